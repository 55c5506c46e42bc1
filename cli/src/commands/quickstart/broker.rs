//! A Kafka broker in this process: librdkafka's mock cluster, which keeps its records in memory.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};

/// What the producer may be ahead of the consumer, in bytes. The mock broker keeps 5 MiB in a partition and drops what
/// is older, read or not.
const MAX_AHEAD_BYTES: usize = 2 << 20;

/// Records whose delivery has not been confirmed yet.
const MAX_UNCONFIRMED: usize = 512;

const POLL: Duration = Duration::from_millis(20);

/// The broker; it ends when this is dropped.
pub struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    topic: &'static str,
}

impl Broker {
    /// Starts a broker with `topic`, of one partition.
    pub fn start(topic: &'static str) -> anyhow::Result<Self> {
        let cluster = MockCluster::new(1).context("the broker in this process does not start")?;
        cluster
            .create_topic(topic, 1, 1)
            .with_context(|| format!("the topic {topic} cannot be made"))?;
        Ok(Self { cluster, topic })
    }

    /// `HOST:PORT` on the loopback interface.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Writes `records` (id and JSON value), never far ahead of what all its readers have finished with: `finished` of them.
    pub async fn produce(
        &self,
        records: impl Iterator<Item = (String, String)>,
        finished: impl Fn() -> u64,
    ) -> anyhow::Result<u64> {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap_servers())
            .create()
            .context("the producer does not start")?;
        let mut produced: u64 = 0;
        let mut ahead = Ahead::default();
        let mut unconfirmed = FuturesUnordered::new();
        for (id, value) in records {
            ahead.finished(finished());
            while !ahead.admits(value.len()) {
                tokio::time::sleep(POLL).await;
                ahead.finished(finished());
            }
            ahead.sent(value.len());
            let record = FutureRecord::to(self.topic).key(&id).payload(&value);
            let delivery = producer.send_result(record).map_err(|(error, _)| error);
            unconfirmed.push(delivery.with_context(|| format!("the record {id} cannot be sent"))?);
            produced += 1;
            while unconfirmed.len() >= MAX_UNCONFIRMED {
                confirm(unconfirmed.next().await)?;
            }
        }
        while !unconfirmed.is_empty() {
            confirm(unconfirmed.next().await)?;
        }
        Ok(produced)
    }
}

/// What the producer's future says about one record.
type Delivery = Result<rdkafka::producer::future_producer::OwnedDeliveryResult, futures::channel::oneshot::Canceled>;

fn confirm(delivery: Option<Delivery>) -> anyhow::Result<()> {
    match delivery {
        None | Some(Ok(Ok(_))) => Ok(()),
        Some(Ok(Err((error, _)))) => Err(anyhow!(error).context("the broker did not take a record")),
        Some(Err(_)) => Err(anyhow!("the producer ended before a record was delivered")),
    }
}

/// The records that were sent and not yet finished with.
#[derive(Debug, Default)]
struct Ahead {
    sizes: VecDeque<usize>,
    bytes: usize,
    finished: u64,
}

impl Ahead {
    /// Whether a record of `size` bytes may be sent now. One alone always may.
    fn admits(&self, size: usize) -> bool {
        self.sizes.is_empty() || self.bytes + size <= MAX_AHEAD_BYTES
    }

    fn sent(&mut self, size: usize) {
        self.sizes.push_back(size);
        self.bytes += size;
    }

    /// The first `count` records of all that were sent are done.
    fn finished(&mut self, count: u64) {
        while self.finished < count {
            let Some(size) = self.sizes.pop_front() else { return };
            self.bytes -= size;
            self.finished += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_producer_waits_for_the_consumer_before_the_broker_would_drop_records() {
        let mut ahead = Ahead::default();
        let size = MAX_AHEAD_BYTES / 2;
        ahead.sent(size);
        assert!(ahead.admits(size));
        ahead.sent(size);
        assert!(!ahead.admits(1));
        ahead.finished(1);
        assert!(ahead.admits(size));
        ahead.finished(2);
        assert!(ahead.admits(3 * MAX_AHEAD_BYTES), "a record alone is always sent");
    }
}
