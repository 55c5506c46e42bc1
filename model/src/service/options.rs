//! What a user may set on the service.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::checkpoint::short_digest;
use crate::error::ModelError;
use crate::fetch::FetchedBytes;
use crate::isolation::DecoderIsolation;
use crate::media::{DecodeLimits, Segmentation};

/// How the vectors of a medium's parts become the medium's own. It is then brought to unit length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Merge {
    /// Of each number the largest: what one part shows stays to be found.
    #[default]
    Max,
    /// Their centroid: what most parts show.
    Centroid,
}

impl Merge {
    /// What tells vectors of a model that were merged so from others: `model`, the fingerprint so far, by the default.
    pub fn fingerprint(self, model: &str) -> String {
        match self {
            Self::Max => model.to_owned(),
            Self::Centroid => short_digest(Sha256::new().chain_update(format!("{model} merge=centroid"))),
        }
    }
}

/// How much the service does at once, and so how much memory it may hold.
///
/// The token of every budget here is [`super::input_cost`]: a language token, or four pixel patches in the vision tower.
///
/// # Memory
///
/// Whatever the number of callers, at any moment there are at most
///
/// - `fetched_bytes`, in `fetch_concurrency` media, as fetched bytes (each within the fetcher's size limit), those that wait
///   for a free preprocessing thread included;
/// - `preprocess_threads` media being decoded (each within `decode_limits`), or prepared and waiting for room in the queue;
/// - `queue_tokens` tokens of prepared inputs in the queue, and one batch on the device. A token of an image is two patches'
///   worth of pixels, 2 x 1176 x 4 bytes, so 9.4 kB; a token of text is 4 bytes. The default queue holds at most 310 MB.
///
/// - `part_vector_bytes` of vectors that were computed before.
///
/// `max_in_flight` further bounds how many inputs are anywhere on this way at once. A caller beyond it waits, and costs its
/// reference's text and a task of about a kilobyte. A whole with parts asks for at most 32 of them at a time, and all wholes
/// together for at most 256.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// A batch is closed before it passes this many tokens. An input that is larger goes alone. Default 16,384: six images
    /// of 1280 merged patches, or a few hundred captions.
    pub max_batch_tokens: usize,
    /// A batch is closed at this many inputs. Default 256.
    pub max_batch_inputs: usize,
    /// How long the first input of a batch waits for others to fill it. Default 10 ms.
    pub max_wait: Duration,
    /// Prepared inputs wait in the queue up to this many tokens; then preprocessing waits for the device. An input that is
    /// larger enters when the queue is empty. Default (`None`): twice `max_batch_tokens`, so that the next batch is ready when
    /// the device is.
    pub queue_tokens: Option<usize>,
    /// How many references are fetched at once. Default 64.
    pub fetch_concurrency: usize,
    /// The most bytes of media that are fetched at once or wait to be decoded. Default (`None`): `fetch_concurrency` of the
    /// largest that the fetcher takes.
    pub fetched_bytes: Option<FetchedBytes>,
    /// An input of more tokens fails, because there is no memory to encode it. Default (`None`): what the model can take.
    pub max_input_tokens: Option<usize>,
    /// How many threads decode and preprocess. Default: one for each core.
    pub preprocess_threads: usize,
    /// How many distinct inputs are anywhere between the start of their fetch and their vector. Default 1,024.
    pub max_in_flight: usize,
    /// What a decoder may allocate for one medium.
    pub decode_limits: DecodeLimits,
    /// How media with a length become inputs.
    pub segmentation: Segmentation,
    /// How the vectors of a medium's parts are merged. Default: by the largest numbers.
    pub merge: Merge,
    /// How many bytes of the vectors of parts are kept, for the next who asks for one. Default 16 MiB: 2,700 vectors of 1,536
    /// numbers.
    pub part_vector_bytes: usize,
    /// Where media are decoded. Default: in this process.
    pub decoder: DecoderIsolation,
    /// After so long without a request the model is given up (weights, and the device's memory), and taken again with the next
    /// one. Default (`None`): never.
    pub idle_release: Option<Duration>,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            max_batch_tokens: 16_384,
            max_batch_inputs: 256,
            max_wait: Duration::from_millis(10),
            queue_tokens: None,
            fetch_concurrency: 64,
            fetched_bytes: None,
            max_input_tokens: None,
            preprocess_threads: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            max_in_flight: 1024,
            decode_limits: DecodeLimits::default(),
            segmentation: Segmentation::default(),
            merge: Merge::default(),
            part_vector_bytes: 16 << 20,
            decoder: DecoderIsolation::default(),
            idle_release: None,
        }
    }
}

impl ServiceOptions {
    /// The queue's size in tokens, whether it was given or follows from the batch.
    pub fn effective_queue_tokens(&self) -> usize {
        self.queue_tokens
            .unwrap_or(self.max_batch_tokens.saturating_mul(2).min(MAX_QUEUE_TOKENS))
    }

    /// Refuses what would stand still (a pool of nothing) or what no counter here can hold.
    pub(super) fn validate(&self) -> Result<(), ModelError> {
        let pools = [
            ("max_batch_tokens", self.max_batch_tokens, MAX_QUEUE_TOKENS),
            ("max_batch_inputs", self.max_batch_inputs, usize::MAX),
            ("queue_tokens", self.effective_queue_tokens(), MAX_QUEUE_TOKENS),
            ("fetch_concurrency", self.fetch_concurrency, Semaphore::MAX_PERMITS),
            ("preprocess_threads", self.preprocess_threads, Semaphore::MAX_PERMITS),
            ("max_in_flight", self.max_in_flight, Semaphore::MAX_PERMITS),
        ];
        for (option, value, most) in pools {
            if value == 0 || value > most {
                let message = format!("{value} is out of range: write a number from 1 to {most}");
                return Err(ModelError::Option {
                    option: option.into(),
                    message,
                });
            }
        }
        if self.effective_queue_tokens() < self.max_batch_tokens {
            let message = format!(
                "{} is less than max_batch_tokens ({}), so that no batch could fill: raise it, or leave it out",
                self.effective_queue_tokens(),
                self.max_batch_tokens,
            );
            return Err(ModelError::Option {
                option: "queue_tokens".into(),
                message,
            });
        }
        Ok(())
    }
}

/// Room in the queue is counted by a semaphore whose `acquire_many` takes a `u32`.
const MAX_QUEUE_TOKENS: usize = u32::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_usable() {
        let options = ServiceOptions::default();
        options.validate().expect("the defaults are valid");
        assert_eq!(options.effective_queue_tokens(), 2 * options.max_batch_tokens);
    }

    #[test]
    fn merging_in_another_way_is_another_fingerprint() {
        assert_eq!(Merge::Max.fingerprint("0123456789ab"), "0123456789ab");
        let other = Merge::Centroid.fingerprint("0123456789ab");
        assert!(other.len() == 12 && other != "0123456789ab");
    }

    #[test]
    fn an_empty_pool_is_refused_by_name() {
        let options = ServiceOptions {
            fetch_concurrency: 0,
            ..ServiceOptions::default()
        };
        let error = options.validate().expect_err("nothing would ever be fetched");
        assert!(
            error.to_string().starts_with("fetch_concurrency: 0 is out of range"),
            "{error}"
        );
    }

    #[test]
    fn a_queue_smaller_than_a_batch_is_refused() {
        let options = ServiceOptions {
            queue_tokens: Some(10),
            ..ServiceOptions::default()
        };
        let error = options.validate().expect_err("no batch would fill");
        assert!(
            error.to_string().contains("less than max_batch_tokens (16384)"),
            "{error}"
        );
    }
}
