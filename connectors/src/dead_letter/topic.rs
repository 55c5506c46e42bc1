//! Dead letters in a Kafka topic.

use async_trait::async_trait;
use rdkafka::message::{Header, Headers, OwnedHeaders};

use super::{DeadLetter, DeadLetters, headers};
use crate::kafka::{Connection, Outgoing, TopicWriter};
use crate::{ConnectorError, Waits};

/// A Kafka topic. A record keeps its key, value and headers, so that it can be sent again as it was; headers that say
/// what happened follow.
pub struct DeadLetterTopic {
    connection: Connection,
    writer: TopicWriter,
}

impl DeadLetterTopic {
    /// Connects. Waits for brokers that are away.
    pub async fn open(connection: Connection, waits: &Waits) -> Result<Self, ConnectorError> {
        let connection = connection.without_size_limit();
        Ok(Self {
            writer: TopicWriter::open(connection.clone(), waits).await?,
            connection,
        })
    }
}

#[async_trait]
impl DeadLetters for DeadLetterTopic {
    async fn write(&self, letters: &[DeadLetter]) -> Result<(), ConnectorError> {
        let records: Vec<Outgoing> = letters.iter().map(outgoing).collect();
        match self.writer.write(&records).await?.into_iter().next() {
            None => Ok(()),
            Some((index, reason)) => {
                let origin = letters[index].record.as_ref().map(|record| &record.origin);
                let place = origin.map_or_else(String::new, |origin| {
                    format!(
                        " (offset {} of partition {} of `{}`)",
                        origin.offset, origin.partition, origin.topic
                    )
                });
                Err(self.connection.refused(format!(
                    "a dead letter{place} of {} bytes is not taken: {reason}. The job stops there, and its position stays; it \
                     goes on once the topic takes the letter ('max.message.bytes' of `{}` says how large one may be), or \
                     with dead letters in a file",
                    size(&records[index]),
                    self.connection.topic
                )))
            }
        }
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        // `write` has waited for every acknowledgement.
        Ok(())
    }
}

fn outgoing(letter: &DeadLetter) -> Outgoing {
    let mut headers = OwnedHeaders::new();
    for (key, value) in headers::encode(letter) {
        let (key, value) = (key.as_str(), value.as_deref());
        headers = headers.insert(Header { key, value });
    }
    let record = letter.record.as_ref();
    Outgoing {
        key: record.and_then(|record| record.key.clone()),
        value: record.and_then(|record| record.value.clone()),
        headers: Some(headers),
        ..Outgoing::default()
    }
}

/// Bytes of a record.
fn size(record: &Outgoing) -> usize {
    let header = |header: Header<'_, &[u8]>| header.key.len() + header.value.map_or(0, <[u8]>::len);
    let headers = record
        .headers
        .iter()
        .flat_map(|headers| headers.iter().map(header))
        .sum::<usize>();
    record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len) + headers
}
