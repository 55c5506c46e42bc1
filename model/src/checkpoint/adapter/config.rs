//! `adapter_config.json`: what of PEFT's many kinds of adapters an adapter is, and how strong.

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What is read of `adapter_config.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct AdapterConfig {
    /// The rank of modules that no pattern names.
    #[serde(rename = "r")]
    pub rank: usize,
    /// The strength of modules that no pattern names, as PEFT defines it: see [`AdapterConfig::scaling`].
    #[serde(rename = "lora_alpha")]
    pub alpha: f64,
    /// The share of inputs that was dropped in training.
    #[serde(rename = "lora_dropout", default)]
    pub dropout: f64,
    /// Whether modules have magnitudes (DoRA).
    #[serde(default)]
    pub use_dora: bool,
    /// Whether the strength is divided by the root of the rank.
    #[serde(default)]
    pub use_rslora: bool,
    /// The checkpoint that it was made on, as whoever made it called it.
    #[serde(rename = "base_model_name_or_path", default)]
    pub base_model: Option<String>,
    #[serde(default)]
    rank_pattern: Option<Map<String, Value>>,
    #[serde(default)]
    alpha_pattern: Option<Map<String, Value>>,
}

/// Fields that are empty in an adapter that low-rank products alone describe, and what to say where they are not.
const UNREAD: [(&str, &str); 14] = [
    (
        "modules_to_save",
        "whole modules that were trained beside the adapter are not read",
    ),
    ("fan_in_fan_out", "transposed weights are not read"),
    ("lora_bias", "biases of an adapter are not read"),
    ("layer_replication", "repeated layers are not read"),
    ("target_parameters", "adapters of bare parameters are not read"),
    ("trainable_token_indices", "single trained tokens are not read"),
    (
        "alora_invocation_tokens",
        "an adapter that only some tokens switch on cannot be merged",
    ),
    ("use_qalora", "QA-LoRA is not read"),
    ("use_bdlora", "BD-LoRA is not read"),
    ("arrow_config", "Arrow's routing of several adapters is not read"),
    ("kasa_config", "KaSA is not read"),
    ("velora_config", "VeLoRA is not read"),
    ("monteclora_config", "MonteCLoRA is not read"),
    ("megatron_config", "Megatron's parallel modules are not read"),
];

/// How A and B may have begun. Others changed the weights that they were made on, which are in no checkpoint.
const PLAIN_BEGINNINGS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

const WAY_OUT: &str = "merge it with PEFT (`merge_and_unload`), save the model, and name that";

impl AdapterConfig {
    /// Reads the file's content. The error says what is wrong, without the file's name.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, String> {
        let fields: Map<String, Value> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        match fields.get("peft_type").and_then(Value::as_str) {
            Some("LORA") => {}
            Some(other) => {
                return Err(format!(
                    "`peft_type` is {other}; LORA is read (LoRA and DoRA): {WAY_OUT}"
                ));
            }
            None => return Err("it has no `peft_type`, so it is no adapter of PEFT's".to_string()),
        }
        for (field, why) in UNREAD {
            if let Some(value) = fields.get(field).filter(|value| !is_empty(value)) {
                return Err(format!("`{field}` is {value}: {why}; {WAY_OUT}"));
            }
        }
        if let Some(bias) = fields.get("bias").filter(|bias| *bias != "none" && !is_empty(bias)) {
            return Err(format!("`bias` is {bias}: trained biases are not read; {WAY_OUT}"));
        }
        if let Some(Value::String(how)) = fields.get("init_lora_weights")
            && !PLAIN_BEGINNINGS.contains(&how.as_str())
        {
            return Err(format!(
                "`init_lora_weights` is `{how}`, which changes the weights of the base model too; save it as plain LoRA \
                 (PEFT's `path_initial_model_for_weight_conversion`)"
            ));
        }
        let config: Self = serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
        if !config.alpha.is_finite() {
            return Err("`lora_alpha` is no number".to_string());
        }
        Ok(config)
    }

    /// What B·A of `module` is multiplied by, and the rank that its matrices have. `module` is its name in the model that the
    /// adapter was made on. The first pattern that fits decides, as in PEFT.
    ///
    /// # Errors
    /// What is wrong with a pattern, for people.
    pub fn scaling(&self, module: &str) -> Result<(f64, usize), String> {
        let rank = match find(self.rank_pattern.as_ref(), module).map_err(|why| format!("`rank_pattern`: {why}"))? {
            Some((pattern, value)) => value
                .as_u64()
                .and_then(|rank| usize::try_from(rank).ok())
                .ok_or_else(|| format!("`rank_pattern`: the rank of `{pattern}` is {value}; write a whole number"))?,
            None => self.rank,
        };
        if rank == 0 {
            return Err(format!("the rank of `{module}` is 0"));
        }
        let alpha = match find(self.alpha_pattern.as_ref(), module).map_err(|why| format!("`alpha_pattern`: {why}"))? {
            Some((pattern, value)) => value
                .as_f64()
                .ok_or_else(|| format!("`alpha_pattern`: the alpha of `{pattern}` is {value}; write a number"))?,
            None => self.alpha,
        };
        let divisor = if self.use_rslora {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        Ok((alpha / divisor, rank))
    }
}

/// The first of `patterns` that fits `module`: a regular expression for the whole name, or for what follows one of its dots.
fn find<'a>(patterns: Option<&'a Map<String, Value>>, module: &str) -> Result<Option<(&'a str, &'a Value)>, String> {
    for (pattern, value) in patterns.into_iter().flatten() {
        let regex = Regex::new(&format!(r"^(?:(?:.*\.)?(?:{pattern}))$"))
            .map_err(|error| format!("`{pattern}` cannot be read as a regular expression: {error}"))?;
        if regex.is_match(module) {
            return Ok(Some((pattern, value)));
        }
    }
    Ok(None)
}

/// Whether a field says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(changes: Value) -> Result<AdapterConfig, String> {
        let mut config = json!({
            "peft_type": "LORA", "r": 8, "lora_alpha": 16, "bias": "none", "modules_to_save": null, "fan_in_fan_out": false,
            "init_lora_weights": true, "target_modules": "all-linear", "a_field_of_tomorrow": 3,
        });
        let fields = config.as_object_mut().expect("an object");
        fields.extend(changes.as_object().expect("an object").clone());
        AdapterConfig::from_json(config.to_string().as_bytes())
    }

    #[test]
    fn patterns_fit_whole_names_or_their_ends_and_the_first_decides() {
        let config = read(json!({
            "rank_pattern": {"layers\\.[01]\\.mlp\\.up_proj": 2, "up_proj": 4},
            "alpha_pattern": {"^model.layers.0.mlp.up_proj": 32, "proj": 1},
        }));
        let config = config.expect("readable");
        let scaling = |module| config.scaling(module).expect("a scaling");
        assert_eq!(scaling("model.layers.0.mlp.up_proj"), (16.0, 2));
        assert_eq!(scaling("model.layers.1.mlp.up_proj"), (8.0, 2));
        assert_eq!(scaling("model.layers.2.mlp.up_proj"), (4.0, 4));
        // A name's end begins after a dot.
        assert_eq!(scaling("model.layers.2.mlp.group_proj"), (2.0, 8));
        assert_eq!(scaling("visual.patch_embed.proj"), (1.0 / 8.0, 8));
    }

    #[test]
    fn the_root_of_the_rank_divides_where_it_is_asked_for() {
        let config = read(json!({"use_rslora": true, "r": 16})).expect("readable");
        assert_eq!(config.scaling("q_proj"), Ok((4.0, 16)));
    }

    #[test]
    fn what_cannot_be_merged_is_refused_by_its_field() {
        for (changes, named) in [
            (json!({"peft_type": "IA3"}), "IA3"),
            (json!({"modules_to_save": ["lm_head"]}), "modules_to_save"),
            (json!({"fan_in_fan_out": true}), "fan_in_fan_out"),
            (json!({"bias": "lora_only"}), "bias"),
            (json!({"lora_bias": true}), "lora_bias"),
            (json!({"layer_replication": [[0, 2], [1, 3]]}), "layer_replication"),
            (json!({"init_lora_weights": "pissa"}), "pissa"),
            (json!({"r": "eight"}), "eight"),
        ] {
            let error = read(changes).expect_err(named);
            assert!(error.contains(named), "{error}");
        }
        let config = read(json!({"rank_pattern": {"(up": 2}})).expect("patterns are read when they are asked for");
        assert!(config.scaling("up").is_err_and(|error| error.contains("(up")));
        let config = read(json!({"r": 0})).expect("readable");
        assert!(config.scaling("up").is_err_and(|error| error.contains("rank")));
    }
}
