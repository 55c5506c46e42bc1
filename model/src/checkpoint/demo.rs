//! The demo checkpoint: the real architecture at a small size, embedded in the binary so that nothing needs a download.
//!
//! Trained from scratch on drawn scenes by `sightstream train jobs/configs/demo.yaml` and what follows it; `model/demo/README.md` is its card.

/// The name under which it is shown.
pub(super) const NAME: &str = "demo";

/// The name of its weights' file, for messages.
pub(super) const WEIGHTS_FILE: &str = "model.safetensors";

/// Its weights.
pub(super) const WEIGHTS: &[u8] = include_bytes!("../../demo/model.safetensors");

/// The content of one of its small files.
pub(super) fn read(file: &str) -> Option<&'static [u8]> {
    match file {
        "config.json" => Some(include_bytes!("../../demo/config.json")),
        "tokenizer.json" => Some(include_bytes!("../../demo/tokenizer.json")),
        "preprocessor_config.json" => Some(include_bytes!("../../demo/preprocessor_config.json")),
        _ => None,
    }
}
