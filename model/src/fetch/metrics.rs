//! The metrics of fetching: their names, units and meaning in one place.

use ::metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::reference::Location;

const FETCHES: &str = "sightstream_fetches_total";
const RETRIES: &str = "sightstream_fetch_retries_total";
const BYTES: &str = "sightstream_fetch_bytes_total";
const CACHE_BYTES: &str = "sightstream_cache_bytes";
const CACHE_REQUESTS: &str = "sightstream_cache_requests_total";
const CACHE_EVICTIONS: &str = "sightstream_cache_evictions_total";

/// Tells the recorder what each metric is. Recorders that are installed later miss the descriptions, not the numbers.
pub(super) fn describe() {
    describe_counter!(
        FETCHES,
        Unit::Count,
        "Media fetched, by where they lie (file, http, object, data) and outcome: ok, or the reason of the failure."
    );
    describe_counter!(RETRIES, Unit::Count, "Fetches tried again.");
    describe_counter!(
        BYTES,
        Unit::Bytes,
        "Bytes read of media that are not in their reference itself, failed fetches included."
    );
    describe_gauge!(
        CACHE_BYTES,
        Unit::Bytes,
        "Bytes of videos and documents on the disk, those that are being fetched included."
    );
    describe_counter!(
        CACHE_REQUESTS,
        Unit::Count,
        "Videos and documents of other machines that were asked for, by outcome: hit (they were there, or on their way), \
         miss (they were fetched), revalidated (they were there, and had not changed)."
    );
    describe_counter!(
        CACHE_EVICTIONS,
        Unit::Count,
        "Videos and documents that were let go for others."
    );
}

/// A fetch ended: `ok`, or the reason of its failure.
pub(super) fn fetched(location: &Location, outcome: &'static str) {
    let source = match location {
        Location::File(_) => "file",
        Location::Http(_) => "http",
        Location::Object(_) => "object",
        Location::Data { .. } => "data",
    };
    counter!(FETCHES, "source" => source, "outcome" => outcome).increment(1);
}

/// A fetch is tried again.
pub(super) fn retried() {
    counter!(RETRIES).increment(1);
}

/// So many bytes came in.
pub(super) fn bytes(count: usize) {
    counter!(BYTES).increment(count as u64);
}

/// So many bytes of the cache are taken.
pub(super) fn cached(bytes: u64) {
    gauge!(CACHE_BYTES).set(bytes as f64);
}

/// The cache had a medium (`hit`), got it (`miss`), or was told that it had not changed (`revalidated`).
pub(super) fn cache_asked(outcome: &'static str) {
    counter!(CACHE_REQUESTS, "outcome" => outcome).increment(1);
}

/// A medium was let go for others.
pub(super) fn evicted() {
    counter!(CACHE_EVICTIONS).increment(1);
}
