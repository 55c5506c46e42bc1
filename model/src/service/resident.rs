//! A checkpoint on a device, that can be given up and taken again.

use super::device::Backend;
use crate::checkpoint::CheckpointPlace;
use crate::encoder::{Encoder, EncoderOptions};
use crate::error::ModelError;
use crate::processor::ModelInput;

/// The [`Backend`] of a real checkpoint.
pub(super) struct Resident {
    /// `None` while it is given up.
    encoder: Option<Encoder>,
    /// Where it is loaded from again.
    place: CheckpointPlace,
    options: EncoderOptions,
    dimension: usize,
    fingerprint: String,
}

impl Resident {
    pub(super) fn new(encoder: Encoder) -> Self {
        let (place, options) = encoder.origin();
        Self {
            place: place.clone(),
            options: options.clone(),
            dimension: encoder.dimension(),
            fingerprint: encoder.fingerprint().to_owned(),
            encoder: Some(encoder),
        }
    }
}

impl Backend for Resident {
    fn encode(&mut self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, ModelError> {
        match &self.encoder {
            Some(encoder) => encoder.encode(inputs),
            None => Err(ModelError::Device("the model was given up and not loaded again".into())),
        }
    }

    fn release(&mut self) {
        self.encoder = None;
        give_back_freed_memory();
    }

    fn restore(&mut self) -> Result<(), ModelError> {
        let files = self.place.open()?;
        let prepared = Encoder::prepare(&files, &self.options)?;
        // Vectors of another model would lie among those of this one. Its weights are not even loaded.
        if prepared.fingerprint != self.fingerprint {
            let message = format!(
                "the checkpoint `{}` is another one by now (fingerprint {} instead of {}); start again to use it",
                self.place.name(),
                prepared.fingerprint,
                self.fingerprint
            );
            return Err(ModelError::Changed(message));
        }
        self.encoder = Some(Encoder::load_prepared(&files, &self.options, prepared)?);
        Ok(())
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn model_name(&self) -> &str {
        self.place.name()
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Weights were many allocations, and glibc keeps what was freed.
fn give_back_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::DeviceChoice;

    #[test]
    fn what_was_given_up_is_taken_again_and_gives_the_same_vectors() {
        let options = EncoderOptions {
            device: DeviceChoice::Cpu,
            ..EncoderOptions::default()
        };
        let mut resident = Resident::new(Encoder::load(&options).expect("the demo checkpoint is built in"));
        let input = ModelInput {
            token_ids: vec![5, 6, 7],
            vision: None,
        };
        let before = resident.encode(std::slice::from_ref(&input)).expect("encoded");
        resident.release();
        assert!(resident.encode(std::slice::from_ref(&input)).is_err());
        resident.restore().expect("the checkpoint is still built in");
        assert_eq!(resident.encode(&[input]).expect("encoded"), before);
    }

    #[test]
    fn another_checkpoint_in_its_place_is_refused() {
        let options = EncoderOptions {
            device: DeviceChoice::Cpu,
            ..EncoderOptions::default()
        };
        let mut resident = Resident::new(Encoder::load(&options).expect("the demo checkpoint is built in"));
        resident.release();
        let own = std::mem::replace(&mut resident.fingerprint, "0123456789ab".into());
        let error = resident.restore().expect_err("another fingerprint").to_string();
        assert!(error.contains(&own) && error.contains("0123456789ab"), "{error}");
        assert!(resident.encoder.is_none());
        resident.fingerprint = own;
        resident.restore().expect("it is as it was");
    }
}
