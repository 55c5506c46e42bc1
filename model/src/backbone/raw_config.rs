//! The fields of `config.json` as they are written, before they are checked.

use serde::Deserialize;

use super::config::{TextConfig, VisionConfig, invalid};
use crate::error::ModelError;

/// The fields outside the language model, in both layouts.
#[derive(Deserialize)]
pub(super) struct RawConfig {
    #[serde(default)]
    pub(super) vision_config: VisionConfig,
    pub(super) image_token_id: Option<u32>,
    pub(super) video_token_id: Option<u32>,
    pub(super) vision_start_token_id: Option<u32>,
}

/// The language model's fields, at the top or under `text_config`.
#[derive(Deserialize)]
pub(super) struct RawTextConfig {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    /// transformers 5 writes this in place of `rope_scaling`, with the base inside.
    rope_parameters: Option<RawRope>,
    hidden_act: Option<String>,
    #[serde(default)]
    use_sliding_window: bool,
    max_window_layers: Option<usize>,
}

#[derive(Deserialize)]
struct RawRope {
    #[serde(rename = "type")]
    kind: Option<String>,
    rope_type: Option<String>,
    mrope_section: [usize; 3],
    rope_theta: Option<f64>,
}

impl RawTextConfig {
    /// The sizes, with transformers' defaults for what is missing.
    pub(super) fn check(self) -> Result<TextConfig, ModelError> {
        if let Some(activation) = self.hidden_act.filter(|activation| activation != "silu") {
            return Err(invalid(format!("`hidden_act` is `{activation}`; only `silu` is built")));
        }
        if self.use_sliding_window && self.max_window_layers.unwrap_or(80) < self.num_hidden_layers {
            return Err(invalid(
                "`use_sliding_window` is true; only full attention is built".to_string(),
            ));
        }
        let Some(rope) = self.rope_parameters.or(self.rope_scaling) else {
            return Err(invalid(
                "`rope_scaling` with its `mrope_section` is missing".to_string(),
            ));
        };
        for kind in [&rope.kind, &rope.rope_type].into_iter().flatten() {
            if kind != "mrope" && kind != "default" {
                return Err(invalid(format!(
                    "`rope_scaling.type` is `{kind}`; only `mrope` and `default` are built"
                )));
            }
        }
        Ok(TextConfig {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            rms_norm_eps: self.rms_norm_eps.unwrap_or(1e-5),
            rope_theta: rope.rope_theta.or(self.rope_theta).unwrap_or(1_000_000.0),
            mrope_section: rope.mrope_section,
        })
    }
}
