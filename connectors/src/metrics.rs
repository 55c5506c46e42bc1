//! What the connectors' metrics mean.

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Tells the recorder what each metric is. Called once a recorder is installed.
pub fn describe() {
    let counters = [
        ("sightstream_source_records_total", "Records received."),
        (
            "sightstream_source_rejected_total",
            "Records that could not be decoded.",
        ),
        ("sightstream_source_tombstones_total", "Records without a value."),
        (
            "sightstream_source_rebalances_total",
            "Times that partitions were given to this process or taken from it.",
        ),
        (
            "sightstream_source_commit_retries_total",
            "Commits of offsets that were tried again.",
        ),
        (
            "sightstream_source_lost_commits_total",
            "Commits that came too late: the partition had gone.",
        ),
        (
            "sightstream_source_records_lost_total",
            "Records that were deleted from the topic before they were read.",
        ),
        ("sightstream_sink_rows_total", "Rows written to a topic."),
        ("sightstream_qdrant_points_upserted_total", "Points written to Qdrant."),
        ("sightstream_qdrant_points_deleted_total", "Points deleted in Qdrant."),
        (
            "sightstream_qdrant_rows_rejected_total",
            "Rows that Qdrant or its collection refuses.",
        ),
        (
            "sightstream_qdrant_retries_total",
            "Requests to Qdrant that were tried again.",
        ),
    ];
    for (name, meaning) in counters {
        describe_counter!(name, Unit::Count, meaning);
    }
    let gauges = [
        (
            "sightstream_source_lag",
            "Records of a partition that are not read yet; 0 once the partition has gone to another process.",
        ),
        (
            "sightstream_source_position",
            "The offset after the newest record of a partition that was read.",
        ),
        (
            "sightstream_source_committed",
            "The offset that was committed last for a partition.",
        ),
        ("sightstream_source_partitions", "Partitions that this process reads."),
        (
            "sightstream_waiting",
            "Waits that are going on, by the system that is waited for.",
        ),
        (
            "sightstream_source_paused",
            "1 while the partitions are paused because the job cannot keep up, else 0.",
        ),
    ];
    for (name, meaning) in gauges {
        describe_gauge!(name, Unit::Count, meaning);
    }
    let histograms = [
        ("sightstream_qdrant_request_seconds", "Time of a request to Qdrant."),
        (
            "sightstream_qdrant_index_seconds",
            "Time to build the index of an embedded collection.",
        ),
    ];
    for (name, meaning) in histograms {
        describe_histogram!(name, Unit::Seconds, meaning);
    }
}
