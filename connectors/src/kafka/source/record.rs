//! A Kafka message as a record, and what it takes in memory.

use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::{Origin, OriginKind, SourceRecord};

/// What a record and its place take in memory, besides its decoded row.
pub(super) fn held_bytes(record: &SourceRecord) -> usize {
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|(name, value)| size_of::<(String, Option<Vec<u8>>)>() + name.len() + value.as_ref().map_or(0, Vec::len))
        .sum();
    let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
    let names = record.origin.topic.len() + record.origin.table.len();
    size_of::<SourceRecord>() + bytes(&record.key) + bytes(&record.value) + headers + names
}

/// `message` as a record of the table `table`.
pub(in crate::kafka) fn source_record(message: &BorrowedMessage<'_>, table: &str) -> SourceRecord {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_string(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    SourceRecord {
        value: message.payload().map(<[u8]>::to_vec),
        key: message.key().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
        truncated: false,
        origin: Origin {
            kind: OriginKind::Topic,
            table: table.to_string(),
            topic: message.topic().to_string(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
        },
    }
}
