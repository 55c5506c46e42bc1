//! Options that cannot be used.

use sightstream_connectors::{Role, validate};

use crate::support::source_table;

#[test]
fn options_that_cannot_be_used_are_named_with_the_way_out() {
    for (options, expected) in [
        (&[("source.offset", "newest")][..], "'earliest', 'latest' or 'group'"),
        (&[("source.read_mode", "dirty")], "read_committed"),
        (&[("format", "avro")], "it can be 'json'"),
        (&[("type", "sink")], "write type = 'source'"),
        (&[("bad_data", "ignore")], "'dead_letter', 'drop' or 'fail'"),
        (
            &[("source.tombstones", "yes")],
            "'source.tombstones' cannot be 'yes': write ignore or delete",
        ),
        (&[("sourc.offset", "latest")], "unknown option 'sourc.offset'"),
        (&[("client_configs", "no.such.setting=1")], "no.such.setting"),
        (
            &[("client_configs", "enable.auto.commit=true")],
            "offsets are committed when the rows are durable",
        ),
        (
            &[("client_configs", "partition.assignment.strategy=cooperative-sticky")],
            "range or roundrobin",
        ),
        (&[("client_configs", "fetch.min.bytes")], "has no '='"),
        (
            &[("client_configs", "sasl.password=abc,s3cret")],
            "follows the value of 'sasl.password' has no '='",
        ),
        (
            &[("client_configs", "auto.offset.reset=earliest")],
            "'source.offset' = 'group'",
        ),
        (&[("auth.type", "sasl")], "'auth.mechanism' is missing"),
        (&[("auth.type", "aws_msk_iam")], "'none' or 'sasl'"),
    ] {
        let table = source_table("localhost:9092", "media", options);
        let error = validate(&table, Role::Source).expect_err(expected).to_string();
        assert!(!error.contains("s3cret"), "{error}");
        assert!(
            error.contains(expected) && error.contains("`media`"),
            "{options:?}: {error}"
        );
    }
    let good = [
        ("client_configs", "fetch.min.bytes=1, session.timeout.ms=10000"),
        ("auth.type", "sasl"),
        ("auth.mechanism", "PLAIN"),
        ("auth.protocol", "SASL_SSL"),
        ("auth.username", "me"),
        ("auth.password", "secret"),
        ("source.offset", "group"),
    ];
    validate(&source_table("localhost:9092", "media", &good), Role::Source).expect("these are all known");
}
