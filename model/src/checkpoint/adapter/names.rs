//! One name for each module, however a file spells it.

/// How PEFT begins the name of every tensor that it saves.
pub(super) const PREFIX: &str = "base_model.model.";

/// The name by which a module of an adapter and a module of a checkpoint find each other.
///
/// The same module is `model.layers.0.mlp.up_proj` in the hub's files and in adapters of transformers before 4.52,
/// `model.language_model.layers.0.mlp.up_proj` in newer ones, and without the first `model.` in an adapter that was made on the
/// model without its output head; a module of the vision tower is `visual.…` or `model.visual.…`.
pub(super) fn canonical(module: &str) -> String {
    let inner = module.strip_prefix("model.");
    let rest = inner.unwrap_or(module);
    if let Some(text) = rest.strip_prefix("language_model.") {
        return format!("text.{text}");
    }
    if rest.starts_with("visual.") {
        return rest.to_string();
    }
    let is_text = inner.is_some() || rest.starts_with("layers.") || rest == "embed_tokens";
    if is_text {
        format!("text.{rest}")
    } else {
        module.to_string()
    }
}

/// What a tensor of an adapter is to its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A: (rank, inputs …).
    Down,
    /// B: (outputs, rank …).
    Up,
    /// A of an embedding: (rank, rows).
    EmbeddingDown,
    /// B of an embedding: (hidden_size, rank).
    EmbeddingUp,
    /// DoRA's magnitudes, one for each output.
    Magnitude,
}

/// The module that a tensor of an adapter belongs to, as the file spells it without [`PREFIX`], and what it is there; `None` for
/// what belongs to no low-rank change.
pub(super) fn parse(tensor: &str) -> Option<(&str, Role)> {
    let inner = tensor.strip_prefix(PREFIX)?;
    [
        (".lora_A.weight", Role::Down),
        (".lora_B.weight", Role::Up),
        (".lora_embedding_A", Role::EmbeddingDown),
        (".lora_embedding_B", Role::EmbeddingUp),
        (".lora_magnitude_vector", Role::Magnitude),
        (".lora_magnitude_vector.weight", Role::Magnitude),
    ]
    .into_iter()
    .find_map(|(suffix, role)| Some((inner.strip_suffix(suffix)?, role)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_module_is_one_name() {
        for spelled in [
            "model.layers.0.mlp.up_proj",
            "model.language_model.layers.0.mlp.up_proj",
            "language_model.layers.0.mlp.up_proj",
            "layers.0.mlp.up_proj",
        ] {
            assert_eq!(canonical(spelled), "text.layers.0.mlp.up_proj");
        }
        for spelled in ["visual.blocks.1.attn.qkv", "model.visual.blocks.1.attn.qkv"] {
            assert_eq!(canonical(spelled), "visual.blocks.1.attn.qkv");
        }
        assert_eq!(canonical("lm_head"), "lm_head");
    }

    #[test]
    fn a_tensor_tells_its_module_and_its_role() {
        assert_eq!(
            parse("base_model.model.visual.merger.mlp.0.lora_A.weight"),
            Some(("visual.merger.mlp.0", Role::Down))
        );
        assert_eq!(
            parse("base_model.model.model.layers.3.mlp.up_proj.lora_magnitude_vector"),
            Some(("model.layers.3.mlp.up_proj", Role::Magnitude))
        );
        assert_eq!(parse("base_model.model.model.norm.weight"), None);
        assert_eq!(parse("model.layers.0.mlp.up_proj.lora_A.weight"), None);
    }
}
