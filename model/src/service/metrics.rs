//! The service's metrics: their names, units and meaning in one place.

use std::time::{Duration, Instant};

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const QUEUE_INPUTS: &str = "sightstream_queue_inputs";
const QUEUE_TOKENS: &str = "sightstream_queue_tokens";
const BATCH_INPUTS: &str = "sightstream_batch_inputs";
const BATCH_TOKENS: &str = "sightstream_batch_tokens";
const DEVICE_BUSY: &str = "sightstream_device_busy_microseconds_total";
const DEVICE_BUSY_SHARE: &str = "sightstream_device_busy_share";
const STAGE_SECONDS: &str = "sightstream_stage_seconds";
const INPUTS: &str = "sightstream_inputs_total";
const FETCH_RETRIES: &str = "sightstream_fetch_retries_total";
const COALESCED: &str = "sightstream_coalesced_total";
const PART_VECTORS: &str = "sightstream_part_vectors_total";
const PARTS_FAILED: &str = "sightstream_parts_failed_total";
const MODEL_LOADED: &str = "sightstream_model_loaded";

/// Tells the recorder what each metric is. Recorders that are installed later miss the descriptions, not the numbers.
pub(super) fn describe() {
    crate::isolation::describe_metrics();
    describe_gauge!(QUEUE_INPUTS, Unit::Count, "Prepared inputs that wait for the device.");
    describe_gauge!(
        QUEUE_TOKENS,
        Unit::Count,
        "Tokens of the prepared inputs that wait for the device."
    );
    describe_histogram!(BATCH_INPUTS, Unit::Count, "Inputs in a batch.");
    describe_histogram!(BATCH_TOKENS, Unit::Count, "Tokens in a batch.");
    describe_counter!(
        DEVICE_BUSY,
        Unit::Microseconds,
        "Time that the device thread spent encoding."
    );
    describe_gauge!(
        DEVICE_BUSY_SHARE,
        Unit::Count,
        "Share of the last second or longer that was spent encoding, 0 to 1."
    );
    describe_histogram!(
        STAGE_SECONDS,
        Unit::Seconds,
        "Time that an input spent in a stage: fetch (with waits for its host and retries), preprocess, queue (waiting for room, then for its batch), device."
    );
    describe_counter!(
        INPUTS,
        Unit::Count,
        "Distinct inputs by outcome (ok, failed, cancelled) and, for those that failed, the reason."
    );
    describe_counter!(FETCH_RETRIES, Unit::Count, "Fetches that were tried again.");
    describe_counter!(
        COALESCED,
        Unit::Count,
        "Calls that shared the work of an equal one in flight."
    );
    describe_counter!(
        PART_VECTORS,
        Unit::Count,
        "Vectors of parts (windows of a video, pages of a document) that were asked for: computed, or shared with who asked before."
    );
    describe_gauge!(
        MODEL_LOADED,
        Unit::Count,
        "1 while the model is in memory, 0 while it is given up because no request came, or once its device is lost."
    );
    describe_counter!(
        PARTS_FAILED,
        Unit::Count,
        "Parts that have no vector while their whole was embedded, by reason."
    );
}

/// Whether the model is there: 0 while it is given up, or its device is lost.
pub(super) fn model_loaded(loaded: bool) {
    gauge!(MODEL_LOADED).set(if loaded { 1.0 } else { 0.0 });
}

/// A stage of an input's way, as the label `stage` names it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    Fetch,
    Preprocess,
    Queue,
    Device,
}

/// How long one input spent in a stage.
pub(super) fn stage(stage: Stage, took: Duration) {
    let label = match stage {
        Stage::Fetch => "fetch",
        Stage::Preprocess => "preprocess",
        Stage::Queue => "queue",
        Stage::Device => "device",
    };
    histogram!(STAGE_SECONDS, "stage" => label).record(took);
}

/// What waits in the queue now.
pub(super) fn queue_depth(inputs: usize, tokens: usize) {
    gauge!(QUEUE_INPUTS).set(inputs as f64);
    gauge!(QUEUE_TOKENS).set(tokens as f64);
}

/// One batch goes to the device.
pub(super) fn batch(inputs: usize, tokens: usize) {
    histogram!(BATCH_INPUTS).record(inputs as f64);
    histogram!(BATCH_TOKENS).record(tokens as f64);
}

/// One input has its vector.
pub(super) fn input_ok() {
    counter!(INPUTS, "outcome" => "ok", "reason" => "none").increment(1);
}

/// One input failed.
pub(super) fn input_failed(reason: &'static str) {
    counter!(INPUTS, "outcome" => "failed", "reason" => reason).increment(1);
}

/// All callers of one input went away.
pub(super) fn input_cancelled() {
    counter!(INPUTS, "outcome" => "cancelled", "reason" => "none").increment(1);
}

/// One call joined an equal one.
pub(super) fn coalesced() {
    counter!(COALESCED).increment(1);
}

/// The vector of a part was encoded.
pub(super) fn part_vector_computed() {
    counter!(PART_VECTORS, "outcome" => "computed").increment(1);
}

/// The vector of a part was known, or on its way.
pub(super) fn part_vector_shared() {
    counter!(PART_VECTORS, "outcome" => "shared").increment(1);
}

/// A part of a whole has no vector.
pub(super) fn part_failed(reason: &'static str) {
    counter!(PARTS_FAILED, "reason" => reason).increment(1);
}

/// Keeps the device's busy time and share.
#[derive(Debug)]
pub(super) struct BusyClock {
    window_start: Instant,
    busy: Duration,
}

impl BusyClock {
    /// The shortest window that a share is computed over.
    pub(super) const WINDOW: Duration = Duration::from_secs(1);

    pub(super) fn start() -> Self {
        Self {
            window_start: Instant::now(),
            busy: Duration::ZERO,
        }
    }

    /// The device was busy this long.
    pub(super) fn add(&mut self, took: Duration) {
        self.busy += took;
        counter!(DEVICE_BUSY).increment(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Publishes the share once the window is long enough, and starts the next one.
    pub(super) fn publish(&mut self, now: Instant) {
        let window = now.duration_since(self.window_start);
        if window >= Self::WINDOW {
            gauge!(DEVICE_BUSY_SHARE).set((self.busy.as_secs_f64() / window.as_secs_f64()).min(1.0));
            *self = Self {
                window_start: now,
                busy: Duration::ZERO,
            };
        }
    }
}
