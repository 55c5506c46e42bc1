//! The architecture's sizes, from a Hugging Face `config.json`.
//!
//! Two layouts are read: the hub's Qwen2-VL files keep the language model's fields at the top, newer saves of transformers
//! nest them under `text_config`. Where a field is missing, transformers' own default holds.

use serde::Deserialize;
use serde_json::Value;

use super::raw_config::{RawConfig, RawTextConfig};
use crate::error::ModelError;

const FILE: &str = "config.json";

/// The sizes of both towers and the ids of the tokens that stand for pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The language model.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// `<|image_pad|>`: stands for one merged patch of an image.
    pub image_token_id: u32,
    /// `<|video_pad|>`: stands for one merged patch of a video.
    pub video_token_id: u32,
    /// `<|vision_start|>`: where it precedes a pad token, the pixels get three-dimensional positions.
    pub vision_start_token_id: u32,
}

/// The language model's sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// The width of the residual stream, and of the vectors.
    pub hidden_size: usize,
    /// The width inside the MLP.
    pub intermediate_size: usize,
    /// How many decoder layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; each serves `num_attention_heads / num_key_value_heads` query heads.
    pub num_key_value_heads: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// The base of the rotary frequencies.
    pub rope_theta: f64,
    /// How many of a head's `head_dim / 2` frequencies turn by the temporal, the height and the width position.
    pub mrope_section: [usize; 3],
}

impl TextConfig {
    /// The width of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

/// The vision tower's sizes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// How many blocks.
    pub depth: usize,
    /// The width of the residual stream.
    pub embed_dim: usize,
    /// The merger's output width: the language model's hidden size.
    pub hidden_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// The MLP's width, as a multiple of `embed_dim`.
    pub mlp_ratio: f64,
    /// Colours of a pixel. (The hub's files say `in_chans` too, which transformers passes over.)
    pub in_channels: usize,
    /// A patch's side in pixels.
    pub patch_size: usize,
    /// Frames in a patch.
    pub temporal_patch_size: usize,
    /// The side, in patches, of the squares that are merged into one token.
    pub spatial_merge_size: usize,
    hidden_act: String,
}

impl VisionConfig {
    /// The width of one head.
    pub fn head_dim(&self) -> usize {
        self.embed_dim / self.num_heads
    }

    /// The width inside a block's MLP.
    pub fn mlp_dim(&self) -> usize {
        (self.embed_dim as f64 * self.mlp_ratio) as usize
    }

    /// How many numbers a patch has: 1176 in every published checkpoint.
    pub fn patch_dim(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// How many patches are merged into one token.
    pub fn merged_patches(&self) -> usize {
        self.spatial_merge_size * self.spatial_merge_size
    }
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            depth: 32,
            embed_dim: 1280,
            hidden_size: 3584,
            num_heads: 16,
            mlp_ratio: 4.0,
            in_channels: 3,
            patch_size: 14,
            temporal_patch_size: 2,
            spatial_merge_size: 2,
            hidden_act: "quick_gelu".to_string(),
        }
    }
}

impl Config {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Config`] if it is not JSON, is of another model, lacks a size, has sizes that do not go together, or asks
    /// for something that is not built (sliding windows, scaled rotary embeddings, other activations).
    pub fn from_json(json: &[u8]) -> Result<Self, ModelError> {
        let value: Value = serde_json::from_slice(json).map_err(|error| invalid(error.to_string()))?;
        let text_value = value
            .get("text_config")
            .filter(|text| text.is_object())
            .unwrap_or(&value);
        match value.get("model_type").and_then(Value::as_str) {
            Some("qwen2_vl") => {}
            other => {
                return Err(invalid(format!(
                    "`model_type` is {}; only `qwen2_vl` checkpoints are supported",
                    other.map_or("missing".to_string(), |kind| format!("`{kind}`"))
                )));
            }
        }
        let text = RawTextConfig::deserialize(text_value).map_err(|error| invalid(error.to_string()))?;
        let raw = RawConfig::deserialize(&value).map_err(|error| invalid(error.to_string()))?;
        let config = Self {
            text: text.check()?,
            vision: raw.vision_config,
            image_token_id: raw.image_token_id.unwrap_or(151_655),
            video_token_id: raw.video_token_id.unwrap_or(151_656),
            vision_start_token_id: raw.vision_start_token_id.unwrap_or(151_652),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ModelError> {
        let (text, vision) = (&self.text, &self.vision);
        let positive = [
            ("hidden_size", text.hidden_size),
            ("vocab_size", text.vocab_size),
            ("num_hidden_layers", text.num_hidden_layers),
            ("intermediate_size", text.intermediate_size),
            ("vision_config.embed_dim", vision.embed_dim),
            ("vision_config.patch_size", vision.patch_size),
            ("vision_config.temporal_patch_size", vision.temporal_patch_size),
            ("vision_config.spatial_merge_size", vision.spatial_merge_size),
            ("vision_config.in_channels", vision.in_channels),
        ];
        if let Some((field, _)) = positive.into_iter().find(|(_, size)| *size == 0) {
            return Err(invalid(format!("`{field}` is 0")));
        }
        divides(
            "num_attention_heads",
            text.num_attention_heads,
            "hidden_size",
            text.hidden_size,
        )?;
        divides(
            "num_key_value_heads",
            text.num_key_value_heads,
            "num_attention_heads",
            text.num_attention_heads,
        )?;
        divides(
            "vision_config.num_heads",
            vision.num_heads,
            "vision_config.embed_dim",
            vision.embed_dim,
        )?;
        let sections: usize = text.mrope_section.iter().sum();
        if 2 * sections != text.head_dim() {
            return Err(invalid(format!(
                "`mrope_section` {:?} adds up to {sections}; it should be half the head size {}",
                text.mrope_section,
                text.head_dim()
            )));
        }
        if !vision.head_dim().is_multiple_of(4) {
            return Err(invalid(format!(
                "the vision tower's head size is {}; two-dimensional rotary embedding needs a multiple of 4",
                vision.head_dim()
            )));
        }
        if vision.hidden_size != text.hidden_size {
            return Err(invalid(format!(
                "`vision_config.hidden_size` is {}; it should be the language model's `hidden_size`, {}",
                vision.hidden_size, text.hidden_size
            )));
        }
        if vision.hidden_act != "quick_gelu" {
            return Err(invalid(format!(
                "`vision_config.hidden_act` is `{}`; only `quick_gelu` is built",
                vision.hidden_act
            )));
        }
        Ok(())
    }
}

fn divides(part: &str, count: usize, whole: &str, size: usize) -> Result<(), ModelError> {
    if count == 0 || !size.is_multiple_of(count) {
        return Err(invalid(format!(
            "`{part}` ({count}) does not divide `{whole}` ({size})"
        )));
    }
    Ok(())
}

pub(super) fn invalid(message: String) -> ModelError {
    ModelError::Config {
        file: FILE.to_string(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flat() -> Value {
        json!({
            "model_type": "qwen2_vl", "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960,
            "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
            "use_sliding_window": false, "max_window_layers": 28,
            "vision_config": {"hidden_size": 1536, "in_chans": 3, "in_channels": 3},
        })
    }

    fn read(value: &Value) -> Result<Config, ModelError> {
        Config::from_json(value.to_string().as_bytes())
    }

    #[test]
    fn both_layouts_give_the_same_sizes() {
        let flat = flat();
        let text: serde_json::Map<String, Value> = flat
            .as_object()
            .expect("an object")
            .iter()
            .filter(|(name, _)| *name != "vision_config" && *name != "model_type")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let nested = json!({"model_type": "qwen2_vl", "text_config": text, "vision_config": {"hidden_size": 1536}});
        let config = read(&flat).expect("flat");
        assert_eq!(config, read(&nested).expect("nested"));
        assert_eq!(
            (
                config.text.head_dim(),
                config.vision.head_dim(),
                config.vision.patch_dim()
            ),
            (128, 80, 1176)
        );
        assert_eq!(
            (
                config.image_token_id,
                config.video_token_id,
                config.vision_start_token_id
            ),
            (151655, 151656, 151652)
        );
    }

    #[test]
    fn transformers_5_keeps_the_base_inside_rope_parameters() {
        let mut value = flat();
        let fields = value.as_object_mut().expect("an object");
        fields.remove("rope_scaling");
        fields.remove("rope_theta");
        fields.insert(
            "rope_parameters".into(),
            json!({"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 5e5}),
        );
        assert_eq!(read(&value).expect("valid").text.rope_theta, 5e5);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (field, value, named) in [
            ("model_type", json!("qwen2_5_vl"), "`qwen2_5_vl`"),
            ("hidden_size", json!(null), "null"),
            ("hidden_size", json!(1540), "num_attention_heads"),
            ("num_key_value_heads", json!(5), "num_key_value_heads"),
            (
                "rope_scaling",
                json!({"type": "mrope", "mrope_section": [16, 24, 20]}),
                "mrope_section",
            ),
            (
                "rope_scaling",
                json!({"type": "yarn", "mrope_section": [16, 24, 24]}),
                "yarn",
            ),
            ("use_sliding_window", json!(true), "use_sliding_window"),
            ("hidden_act", json!("gelu"), "gelu"),
            (
                "vision_config",
                json!({"hidden_size": 1024}),
                "vision_config.hidden_size",
            ),
            (
                "vision_config",
                json!({"hidden_size": 1536, "num_heads": 7}),
                "vision_config.num_heads",
            ),
            (
                "vision_config",
                json!({"hidden_size": 1536, "hidden_act": "gelu"}),
                "quick_gelu",
            ),
        ] {
            let mut config = flat();
            config[field] = value;
            if field == "use_sliding_window" {
                config["max_window_layers"] = json!(10);
            }
            let error = read(&config).expect_err(field).to_string();
            assert!(
                error.starts_with("config.json: ") && error.contains(named),
                "{field}: {error}"
            );
        }
        assert!(Config::from_json(b"{").is_err());
    }
}
