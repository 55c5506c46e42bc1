//! What encoding takes, found by doing it once: that depends on the model, the device and the kernels.

use std::fs;

use anyhow::Context;
use sightstream_model::encoder::Encoder;
use sightstream_model::processor::ModelInput;
use sightstream_model::service::input_cost;

use super::resident::own;

/// What was found.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Resident with the model loaded.
    pub resident: u64,
    /// Beyond that, for each token of a batch, while it is encoded.
    pub per_token: u64,
    /// The most language tokens of an image.
    pub image_tokens: u64,
}

impl Probe {
    /// Of a process that loads no model.
    pub fn without_model() -> anyhow::Result<Self> {
        Ok(Self {
            resident: own("VmRSS")?,
            per_token: 0,
            image_tokens: 0,
        })
    }
}

/// How many tokens are encoded at least. What is allocated once, at the first batch of all, counts little among so many.
const LEAST_TOKENS: u64 = 2048;

/// Encodes the largest image, and a text of as many tokens: each as often as makes a batch.
pub fn probe(encoder: &Encoder) -> anyhow::Result<Probe> {
    let image = encoder.processor().largest_image()?;
    let text = ModelInput {
        token_ids: vec![0; image.tokens()],
        vision: None,
    };
    let image_tokens = image.tokens() as u64;
    let mut per_token = 0;
    for input in [image, text] {
        let cost = input_cost(&input) as u64;
        let copies = LEAST_TOKENS.div_ceil(cost);
        let batch = vec![input; copies as usize];
        let before = own("VmRSS")?;
        // The peak starts anew. Where that is not allowed, it is the one of loading the model, and no smaller.
        let _ = fs::write("/proc/self/clear_refs", "5");
        encoder.encode(&batch).context("a first batch cannot be encoded")?;
        let took = own("VmHWM")?.saturating_sub(before);
        per_token = per_token.max(took.div_ceil(copies * cost));
    }
    Ok(Probe {
        resident: own("VmRSS")?,
        per_token,
        image_tokens,
    })
}
