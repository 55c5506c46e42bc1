//! The names of modules and tensors, as the hub's files, transformers and PEFT write them.
//!
//! | where | language model | vision tower |
//! | --- | --- | --- |
//! | the hub's files, and here | `model.layers.0.…` | `visual.blocks.0.…` |
//! | transformers 4.52 and later | `model.language_model.layers.0.…` | `model.visual.blocks.0.…` |
//! | PEFT 0.21 around it | `base_model.model.model.language_model.layers.0.…` | `base_model.model.model.visual.blocks.0.…` |
//!
//! PEFT reads adapters that were made around the hub's names too.

use sightstream_model::backbone::Config;

/// One of the two towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tower {
    /// The language model.
    Text,
    /// The vision tower.
    Vision,
}

impl Tower {
    /// How its names begin in the hub's files.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Text => "model",
            Self::Vision => "visual",
        }
    }

    /// How its names begin in transformers.
    fn newer_prefix(self) -> &'static str {
        match self {
            Self::Text => "model.language_model",
            Self::Vision => "model.visual",
        }
    }
}

/// What PEFT puts before the names of the model that it wraps.
const PEFT: &str = "base_model.model.";

/// The name of `module` inside `tower` in transformers.
pub fn newer_name(tower: Tower, module: &str) -> String {
    format!("{}.{module}", tower.newer_prefix())
}

/// The name under which PEFT saves the adapter's tensor `part` (`lora_A.weight`, `lora_B.weight` or `lora_magnitude_vector`) of
/// `module` inside `tower`.
pub fn peft_name(tower: Tower, module: &str, part: &str) -> String {
    format!("{PEFT}{}.{part}", newer_name(tower, module))
}

/// An adapter's name in the form of [`peft_name`]: other saves leave out `language_model`, or write
/// `lora_magnitude_vector.weight`.
pub fn settled_peft_name(name: &str) -> String {
    let inner = name.strip_prefix(PEFT).unwrap_or(name);
    let inner = match inner.strip_suffix("lora_magnitude_vector.weight") {
        Some(module) => format!("{module}lora_magnitude_vector"),
        None => inner.to_string(),
    };
    for tower in [Tower::Vision, Tower::Text] {
        let newer = format!("{}.", tower.newer_prefix());
        if inner.starts_with(&newer) {
            return format!("{PEFT}{inner}");
        }
        if let Some(rest) = inner.strip_prefix(&format!("{}.", tower.prefix()))
            && !(tower == Tower::Text && rest.starts_with("visual."))
        {
            return format!("{PEFT}{newer}{rest}");
        }
    }
    format!("{PEFT}{inner}")
}

/// Every module that an adapter can stand beside, in the order of the layers, the vision tower first. A module's place here
/// decides which random numbers it gets, whatever else is adapted.
pub fn linear_modules(config: &Config) -> Vec<(Tower, String)> {
    let mut modules = vec![(Tower::Vision, "patch_embed.proj".to_string())];
    for block in 0..config.vision.depth {
        modules.extend(
            ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"]
                .map(|module| (Tower::Vision, format!("blocks.{block}.{module}"))),
        );
    }
    modules.extend(["merger.mlp.0", "merger.mlp.2"].map(|module| (Tower::Vision, module.to_string())));
    for layer in 0..config.text.num_hidden_layers {
        modules.extend(
            [
                "self_attn.q_proj",
                "self_attn.k_proj",
                "self_attn.v_proj",
                "self_attn.o_proj",
                "mlp.gate_proj",
                "mlp.up_proj",
                "mlp.down_proj",
            ]
            .map(|module| (Tower::Text, format!("layers.{layer}.{module}"))),
        );
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_of_older_and_newer_saves_get_one_name() {
        let text = "base_model.model.model.language_model.layers.0.mlp.up_proj.lora_A.weight";
        assert_eq!(peft_name(Tower::Text, "layers.0.mlp.up_proj", "lora_A.weight"), text);
        assert_eq!(settled_peft_name(text), text);
        assert_eq!(
            settled_peft_name("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"),
            text
        );
        let vision = "base_model.model.model.visual.blocks.1.attn.qkv.lora_magnitude_vector";
        assert_eq!(
            peft_name(Tower::Vision, "blocks.1.attn.qkv", "lora_magnitude_vector"),
            vision
        );
        for name in [
            vision,
            "base_model.model.model.visual.blocks.1.attn.qkv.lora_magnitude_vector.weight",
            "base_model.model.visual.blocks.1.attn.qkv.lora_magnitude_vector",
        ] {
            assert_eq!(settled_peft_name(name), vision);
        }
    }
}
