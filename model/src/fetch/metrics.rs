//! The metrics of fetching: their names, units and meaning in one place.

use ::metrics::{Unit, counter, describe_counter};

use crate::reference::Location;

const FETCHES: &str = "sightstream_fetches_total";
const RETRIES: &str = "sightstream_fetch_retries_total";
const BYTES: &str = "sightstream_fetch_bytes_total";

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
