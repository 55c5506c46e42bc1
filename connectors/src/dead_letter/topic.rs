//! Dead letters in a Kafka topic.

use async_trait::async_trait;
use rdkafka::message::{Header, OwnedHeaders};

use super::{DeadLetter, DeadLetters, Stage};
use crate::ConnectorError;
use crate::kafka::{Connection, Outgoing, TopicWriter};

/// A Kafka topic. A record keeps its key, value and headers, so that it can be sent again as it was. Headers with the
/// names that Kafka Connect uses follow (`__connect.errors.topic`, `.partition`, `.offset`, `.connector.name`: the
/// table, `.stage`, `.exception.class.name`: the code, `.exception.message`: the reason), and `sightstream.stage`.
pub struct DeadLetterTopic {
    connection: Connection,
    writer: TopicWriter,
}

impl DeadLetterTopic {
    /// Connects. Waits for brokers that are away.
    pub async fn open(connection: Connection) -> Result<Self, ConnectorError> {
        Ok(Self {
            writer: TopicWriter::open(connection.clone()).await?,
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
                Err(self
                    .connection
                    .refused(format!("a dead letter{place} is not taken: {reason}")))
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
    let mut put = |name: &str, value: Option<&[u8]>| {
        headers = std::mem::take(&mut headers).insert(Header { key: name, value });
    };
    if let Some(record) = &letter.record {
        for (name, value) in &record.headers {
            put(name, value.as_deref());
        }
        put("__connect.errors.topic", Some(record.origin.topic.as_bytes()));
        put(
            "__connect.errors.partition",
            Some(record.origin.partition.to_string().as_bytes()),
        );
        put(
            "__connect.errors.offset",
            Some(record.origin.offset.to_string().as_bytes()),
        );
    }
    put("__connect.errors.connector.name", Some(letter.table.as_bytes()));
    put("__connect.errors.stage", Some(connect_stage(letter.stage).as_bytes()));
    put("__connect.errors.exception.class.name", Some(letter.code.as_bytes()));
    put("__connect.errors.exception.message", Some(letter.reason.as_bytes()));
    put("sightstream.stage", Some(letter.stage.as_str().as_bytes()));
    let record = letter.record.as_ref();
    Outgoing {
        key: record.and_then(|record| record.key.clone()),
        value: record.and_then(|record| record.value.clone()),
        timestamp: None,
        headers: Some(headers),
    }
}

/// The stage in the words of Kafka Connect.
fn connect_stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Read => "VALUE_CONVERTER",
        Stage::Embed | Stage::Compute => "TRANSFORMATION",
        Stage::Write => "TASK_PUT",
    }
}
