//! How a memory limit is shared out.
//!
//! Some of what the process holds is given: the program, the weights, what the sources keep. The rest is bounded by
//! settings. Each of those has a least value, with which one medium after the other can be embedded, and a value that
//! nobody needs more of. The plan is the point between the two that fills the limit.

use std::fmt;

use sightstream_model::service::ServiceOptions;
use sightstream_settings::MemoryShares;

use super::Probe;

/// A decode worker before its first medium: what is resident of the executable and its libraries.
pub const WORKER_START: u64 = 64 * MIB;

/// A worker has to hold a photograph of 12 megapixels while it decodes and resizes it.
const LEAST_DECODE_MEMORY: u64 = 128 * MIB;

/// With less for each, fewer workers are started.
const COMFORTABLE_DECODE_MEMORY: u64 = 256 * MIB;

/// Threads, connections, plans, buffers of the sinks.
const PROGRAM: u64 = 64 * MIB;

/// An allocator keeps some of what was freed: one part in so many of what it manages.
const FRAGMENTATION: u64 = 8;

/// A token of a prepared image: two patches of 1176 numbers.
const PREPARED_TOKEN: u64 = 2 * 1176 * 4;

/// One token of the vision tower is so many of a batch's budget: itself, and its patches.
const BUDGET_OF_A_TOKEN: u64 = 2;

/// Tokens of an image's prompt, generously.
const PROMPT: u64 = 256;

/// Two frames of a clip are as many tokens as one image.
const FRAMES_OF_AN_IMAGE: u64 = 2;

/// The queue holds the next batch, and the one after it.
const BATCHES_QUEUED: u64 = 2;

/// For each byte of a record: the record, its decoded row, the row that is computed of it, and the sink's form of that.
const COPIES_OF_A_RECORD: u64 = 4;

/// Epochs that a Kafka source has read ahead, and the two copies that it holds of each byte: the record and its row.
const READ_AHEAD: u64 = 2 * 4;

/// What a Kafka client holds besides.
const KAFKA_CLIENT: u64 = 48 * MIB;

/// A medium counts as the largest that is allowed until it is fetched. More than so many at once would take memory from
/// what needs it.
const LARGEST_AT_ONCE: u64 = 16;

const LEAST_EPOCH_BYTES: u64 = MIB;

/// The whole way from the least to the most, in the steps that a plan takes.
const WHOLE: u64 = 1000;

const MIB: u64 = 1 << 20;

/// What is given, and what was asked for.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The ceiling, of this process and its workers.
    pub limit: u64,
    /// The program and the model.
    pub probe: Probe,
    /// Threads, each with a worker.
    pub threads: Wish,
    /// What one worker may take.
    pub decode_memory: Wish,
    /// Tokens of a batch.
    pub batch_tokens: Wish,
    /// The largest medium.
    pub media_bytes: u64,
    /// Frames of a video's clip.
    pub clip_frames: u64,
    /// Media fetched at once.
    pub fetches: u64,
    /// What a job holds besides.
    pub records: Records,
}

/// What a job holds besides media.
#[derive(Debug, Clone, Copy)]
pub struct Records {
    /// Sources that are read in epochs.
    pub sources: u64,
    /// Epochs of each that are computed at once.
    pub epochs_in_flight: u64,
    /// Bytes of records in an epoch.
    pub epoch_bytes: Wish,
}

impl Records {
    /// Of a command that reads no tables.
    pub const NONE: Self = Self {
        sources: 0,
        epochs_in_flight: 0,
        epoch_bytes: Wish::UpTo(0),
    };
}

/// A setting: as it was given, or up to its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// By the user.
    Given(u64),
    /// As much of it as there is room for.
    UpTo(u64),
}

/// What everything gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Threads, each with a worker.
    pub threads: u64,
    /// What one worker may take.
    pub decode_memory: u64,
    /// Tokens of a batch.
    pub batch_tokens: u64,
    /// Tokens of one input: as many as a batch, or as the largest clip has, or image where clips find no room.
    pub largest_input: u64,
    /// Bytes of media that are fetched, or wait to be decoded.
    pub fetched_bytes: u64,
    /// Bytes of records in an epoch.
    pub epoch_bytes: u64,
    /// The parts of the limit.
    pub parts: Parts,
}

impl Plan {
    /// What follows for the embedding service.
    pub fn shares(&self) -> MemoryShares {
        MemoryShares {
            max_batch_tokens: self.batch_tokens as usize,
            max_input_tokens: self.largest_input as usize,
            preprocess_threads: self.threads as usize,
            decode_memory: self.decode_memory as usize,
            fetched_bytes: self.fetched_bytes as usize,
        }
    }
}

/// Where the bytes go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// The program and the weights.
    pub resident: u64,
    /// Workers.
    pub decoding: u64,
    /// Media's bytes.
    pub fetched: u64,
    /// Prepared inputs, and the batch on the device.
    pub batches: u64,
    /// Records from the sources to the sinks.
    pub records: u64,
    /// What an allocator keeps.
    pub fragmentation: u64,
}

impl Parts {
    /// All of them.
    pub fn total(&self) -> u64 {
        let Self {
            resident,
            decoding,
            fetched,
            batches,
            records,
            fragmentation,
        } = self;
        resident + decoding + fetched + batches + records + fragmentation
    }
}

/// The limit is less than the least.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a memory limit of {} is too small: {} are needed at least ({least}); raise --memory-limit, or lower --max-pixels, \
     --max-media-bytes, --epochs-in-flight, or what was set of --decode-memory, --preprocess-threads, \
     --max-batch-tokens and --epoch-bytes",
    mebibytes(*limit), mebibytes(least.total())
)]
pub struct TooSmall {
    limit: u64,
    least: Parts,
}

impl Demand {
    /// Shares the limit out.
    ///
    /// # Errors
    /// [`TooSmall`].
    pub fn plan(&self) -> Result<Plan, TooSmall> {
        let threads = self.threads();
        // Clips are larger than images. Where they find no room, images still do.
        let clip_fits = self.at(0, threads, self.clip()).parts.total() <= self.limit;
        let largest = if clip_fits { self.clip() } else { self.image() };
        let least = self.at(0, threads, largest);
        if least.parts.total() > self.limit {
            return Err(TooSmall {
                limit: self.limit,
                least: least.parts,
            });
        }
        // The most of the way from the least to the most that there is room for, to a thousandth.
        let share = (0..=WHOLE)
            .rev()
            .find(|&share| self.at(share, threads, largest).parts.total() <= self.limit);
        Ok(self.at(share.unwrap_or(0), threads, largest))
    }

    /// What the largest image costs.
    fn image(&self) -> u64 {
        match self.probe.image_tokens {
            0 => 0,
            tokens => tokens * BUDGET_OF_A_TOKEN + PROMPT,
        }
    }

    /// What the largest clip costs.
    fn clip(&self) -> u64 {
        self.image() * self.clip_frames.div_ceil(FRAMES_OF_AN_IMAGE).max(1)
    }

    /// So many that each has comfortable room in a half of what is not given.
    fn threads(&self) -> u64 {
        match self.threads {
            Wish::Given(threads) => threads,
            Wish::UpTo(most) => {
                let memory = match self.decode_memory {
                    Wish::Given(memory) => memory,
                    Wish::UpTo(_) => COMFORTABLE_DECODE_MEMORY,
                };
                let room = self.limit.saturating_sub(self.probe.resident) / 2;
                (room / (memory + WORKER_START)).clamp(1, most)
            }
        }
    }

    /// The plan at `share` of [`WHOLE`] on the way, with room for an input of `largest` tokens.
    fn at(&self, share: u64, threads: u64, largest: u64) -> Plan {
        let between = |wish: Wish, least: u64| match wish {
            Wish::Given(value) => value,
            Wish::UpTo(most) if most <= least => most,
            Wish::UpTo(most) if share == WHOLE => most,
            Wish::UpTo(most) => least + (most - least) / WHOLE * share,
        };
        let decode_memory = between(self.decode_memory, LEAST_DECODE_MEMORY);
        let batch_tokens = between(self.batch_tokens, largest);
        let most_fetched = self.media_bytes.saturating_mul(self.fetches.min(LARGEST_AT_ONCE));
        let fetched_bytes = between(Wish::UpTo(most_fetched), self.media_bytes);
        let epoch_bytes = between(self.records.epoch_bytes, LEAST_EPOCH_BYTES);

        let epochs = self.records.epochs_in_flight + 1;
        let of_a_source = epoch_bytes * (epochs * COPIES_OF_A_RECORD + READ_AHEAD) + KAFKA_CLIENT;
        let largest_batch = batch_tokens.max(largest);
        let prepared = largest_batch * BATCHES_QUEUED + largest_batch + threads * largest;
        let mut parts = Parts {
            resident: self.probe.resident + PROGRAM + ServiceOptions::default().part_vector_bytes as u64,
            decoding: threads * (WORKER_START + decode_memory),
            fetched: fetched_bytes,
            batches: prepared * PREPARED_TOKEN + largest_batch * self.probe.per_token,
            records: self.records.sources * of_a_source,
            fragmentation: 0,
        };
        parts.fragmentation = (parts.fetched + parts.batches + parts.records) / FRAGMENTATION;
        Plan {
            threads,
            decode_memory,
            batch_tokens,
            largest_input: largest_batch,
            fetched_bytes,
            epoch_bytes,
            parts,
        }
    }
}

/// Bytes, for people.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(MIB))
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("program and model", self.resident),
            ("decoding", self.decoding),
            ("fetched media", self.fetched),
            ("batches", self.batches),
            ("records", self.records),
            ("fragmentation", self.fragmentation),
        ];
        for (index, (name, bytes)) in parts.into_iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {}", mebibytes(bytes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(limit: u64) -> Demand {
        Demand {
            limit,
            probe: Probe {
                resident: 150 * MIB,
                per_token: 40_000,
                image_tokens: 1280,
            },
            threads: Wish::UpTo(8),
            decode_memory: Wish::UpTo(1536 * MIB),
            batch_tokens: Wish::UpTo(16_384),
            media_bytes: 64 * MIB,
            clip_frames: 8,
            fetches: 64,
            records: Records {
                sources: 1,
                epochs_in_flight: 4,
                epoch_bytes: Wish::UpTo(8 * MIB),
            },
        }
    }

    #[test]
    fn every_limit_is_filled_and_none_is_passed() {
        for mebibytes in (900..40_000).step_by(700) {
            let limit = mebibytes * MIB;
            let plan = demand(limit).plan().expect("it is enough");
            assert!(plan.parts.total() <= limit, "{plan:?}");
            let is_most = plan.threads == 8 && plan.decode_memory == 1536 * MIB && plan.batch_tokens == 16_384;
            // Steps are coarse where everything is nearly as large as it may grow.
            assert!(is_most || plan.parts.total() >= limit - limit / 25, "{limit}: {plan:?}");
            assert!(plan.batch_tokens >= 2 * 1280 && plan.fetched_bytes >= 64 * MIB);
        }
    }

    #[test]
    fn clips_have_room_where_there_is_some_and_images_always() {
        let clip = 4 * (2 * 1280 + PROMPT);
        let (small, large) = (demand(1000 * MIB).plan(), demand(3000 * MIB).plan());
        let (small, large) = (small.expect("enough for images"), large.expect("enough for clips"));
        assert!((2 * 1280..clip).contains(&small.largest_input), "{small:?}");
        assert!(large.largest_input >= clip, "{large:?}");
    }

    #[test]
    fn more_memory_is_never_less_of_anything_but_threads_grow_first() {
        let (small, large) = (demand(2048 * MIB).plan(), demand(16_384 * MIB).plan());
        let (small, large) = (small.expect("enough"), large.expect("enough"));
        assert!(small.threads < large.threads && small.batch_tokens < large.batch_tokens);
        assert!(small.fetched_bytes < large.fetched_bytes && small.epoch_bytes < large.epoch_bytes);
    }

    #[test]
    fn what_was_given_stays_as_it_is() {
        let demand = Demand {
            threads: Wish::Given(2),
            decode_memory: Wish::Given(200 * MIB),
            batch_tokens: Wish::Given(4000),
            records: Records {
                epoch_bytes: Wish::Given(123_456),
                ..demand(0).records
            },
            ..demand(2048 * MIB)
        };
        let plan = demand.plan().expect("enough");
        let given = (plan.threads, plan.decode_memory, plan.batch_tokens, plan.epoch_bytes);
        assert_eq!(given, (2, 200 * MIB, 4000, 123_456));
    }

    #[test]
    fn a_limit_that_is_too_small_is_told_what_is_needed_and_for_what() {
        let told = demand(300 * MIB).plan().expect_err("too small").to_string();
        assert!(told.starts_with("a memory limit of 300 MiB is too small: "), "{told}");
        for part in [
            "program and model 230 MiB",
            "decoding 192 MiB",
            "fetched media 64 MiB",
            "batches",
            "records",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
