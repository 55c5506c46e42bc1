//! What the engine's metrics mean.

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Tells the recorder what each metric of a job is, those of the connectors included. Called once a recorder is
/// installed.
pub fn describe() {
    sightstream_connectors::metrics::describe();
    let counters = [
        ("sightstream_records_read_total", "Records whose epoch is written."),
        ("sightstream_rows_written_total", "Rows that are durable in a sink."),
        (
            "sightstream_rows_deleted_total",
            "Rows that tombstones deleted in a sink.",
        ),
        (
            "sightstream_records_dropped_total",
            "Records that could not be decoded and were dropped, as bad_data says.",
        ),
        (
            "sightstream_dead_letters_total",
            "Rows that went to the dead letters, by reason.",
        ),
        (
            "sightstream_epochs_dropped_total",
            "Epochs whose partitions went to another process before they were written.",
        ),
    ];
    for (name, meaning) in counters {
        describe_counter!(name, Unit::Count, meaning);
    }
    describe_gauge!(
        "sightstream_epochs_in_flight",
        Unit::Count,
        "Epochs that are read and not durable yet."
    );
    let histograms = [
        ("sightstream_epoch_compute_seconds", "Time to compute an epoch."),
        (
            "sightstream_epoch_write_seconds",
            "Time to write an epoch and its dead letters until they are durable.",
        ),
        (
            "sightstream_epoch_commit_seconds",
            "Time to commit an epoch's position.",
        ),
        (
            "sightstream_epoch_seconds",
            "Time of an epoch from its first computation until it is durable.",
        ),
    ];
    for (name, meaning) in histograms {
        describe_histogram!(name, Unit::Seconds, meaning);
    }
}
