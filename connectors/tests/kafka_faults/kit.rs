//! Tables that wait, and what a broker holds.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sightstream_connectors::{
    Sink, SinkContext, Source, SourceContext, TableDefinition, Waits, open_sink, open_source,
};

use crate::support::{PATIENCE, consume, context, within};

pub static METRICS: LazyLock<PrometheusHandle> = LazyLock::new(|| {
    PrometheusBuilder::new()
        .install_recorder()
        .expect("no other recorder in this process")
});

/// A session that outlasts the faults of a test.
pub const LONG_SESSION: (&str, &str) = ("client_configs", "session.timeout.ms=30000,heartbeat.interval.ms=200");

pub async fn open_waiting(table: &TableDefinition, records: usize, waits: &Waits) -> Arc<dyn Source> {
    let context = SourceContext {
        waits: waits.clone(),
        ..context(records, false)
    };
    within(open_source(table, &context)).await.expect("the source opens")
}

pub fn sink_table(servers: &str, options: &[(&str, &str)]) -> TableDefinition {
    let base = [
        ("connector", "kafka"),
        ("bootstrap_servers", servers),
        ("topic", "media"),
        ("type", "sink"),
        ("format", "json"),
    ];
    TableDefinition {
        name: "out".into(),
        schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)])),
        metadata_columns: Vec::new(),
        options: base
            .iter()
            .chain(options)
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    }
}

pub async fn open_sink_waiting(table: &TableDefinition, waits: &Waits) -> Arc<dyn Sink> {
    let context = SinkContext {
        waits: waits.clone(),
        ..SinkContext::default()
    };
    within(open_sink(table, &context)).await.expect("the sink opens")
}

pub fn rows(ids: &[&str]) -> RecordBatch {
    let ids = Arc::new(StringArray::from(ids.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("id", ids as _, true)]).expect("one column")
}

pub async fn values(servers: &str, count: usize) -> Vec<String> {
    let servers = servers.to_string();
    let read = tokio::task::spawn_blocking(move || consume(&servers, "media", count)).await;
    let values = read.expect("it reads").into_iter().map(|message| {
        let value: serde_json::Value =
            serde_json::from_slice(message.payload().expect("it has a value")).expect("the value is JSON");
        value["id"].as_str().expect("ids are text").to_string()
    });
    values.collect()
}

/// What the group has committed of the partition 0.
pub async fn committed_offset(servers: &str) -> Option<i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "indexer")
        .create()
        .expect("a consumer starts");
    let mut list = TopicPartitionList::new();
    list.add_partition("media", 0);
    let asked = tokio::task::spawn_blocking(move || consumer.committed_offsets(list, PATIENCE)).await;
    let offsets = asked.expect("no panic").expect("the broker answers");
    match offsets.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// Returns when something is waited for whose purpose holds `purpose`, with what was seen.
pub async fn begun(waits: &Waits, purpose: &str) -> String {
    within(async {
        loop {
            if let Some(waiting) = waits.current().into_iter().find(|wait| wait.purpose.contains(purpose)) {
                return waiting.reason;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Returns when nothing is waited for.
pub async fn over(waits: &Waits) {
    within(async {
        while !waits.current().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
