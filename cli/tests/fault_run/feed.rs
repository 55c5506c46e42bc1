//! The producer: it writes records while the job runs.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use crate::rows::Rows;

/// How long the last records may take once everything is well again.
const FLUSH: Duration = Duration::from_secs(120);

/// Records, by their numbers, and the time to spread them over.
type Share = (Range<usize>, Duration);

/// Writes down what the producer says, and what it could not deliver.
struct Events(Mutex<File>);

impl Events {
    fn note(&self, line: &str) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{line}").expect("the folder can be written to");
    }
}

impl ClientContext for Events {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        self.note(&format!("{facility} {message}"));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.note(&format!("{error}: {reason}"));
    }
}

impl ProducerContext for Events {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.note(&format!("not delivered: {error}"));
        }
    }
}

/// A thread that writes what it is given, in order.
pub struct Feed {
    shares: mpsc::Sender<Share>,
    thread: JoinHandle<()>,
}

impl Feed {
    /// A producer for `topic` at `broker`, which may be away at any time; its own log is in `folder`.
    pub fn start(broker: SocketAddr, topic: &str, rows: Arc<Rows>, folder: &Path) -> Self {
        let log = File::create(folder.join("producer.log")).expect("the folder can be written to");
        let producer: BaseProducer<Events> = ClientConfig::new()
            .set("bootstrap.servers", broker.to_string())
            // In order, and each record at least once: a record that is there twice changes nothing.
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "1")
            .set("message.timeout.ms", "0")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "5000")
            .create_with_context(Events(Mutex::new(log)))
            .expect("the settings are valid");
        let (shares, received) = mpsc::channel();
        let topic = topic.to_string();
        let thread = std::thread::spawn(move || {
            for share in received {
                write(&producer, &topic, &rows, share);
            }
            producer.flush(FLUSH).expect("the broker takes all records");
        });
        Self { shares, thread }
    }

    /// Has the records `rows` written, spread over `time`.
    pub fn write(&self, rows: Range<usize>, time: Duration) {
        self.shares.send((rows, time)).expect("the producer's thread runs");
    }

    /// Returns when the broker has everything.
    pub async fn finish(self) {
        drop(self.shares);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        joined
            .expect("the thread is waited for")
            .expect("all records are written");
    }
}

fn write(producer: &BaseProducer<Events>, topic: &str, rows: &Rows, (share, time): Share) {
    let started = Instant::now();
    let count = share.len();
    for (written, row) in rows.records[share].iter().enumerate() {
        let due = started + time.mul_f64(written as f64 / count as f64);
        while Instant::now() < due {
            producer.poll(
                due.saturating_duration_since(Instant::now())
                    .min(Duration::from_millis(50)),
            );
        }
        let mut record = BaseRecord::to(topic).key(&row.key).payload(&row.value);
        while let Err((_, unsent)) = producer.send(record) {
            record = unsent;
            producer.poll(Duration::from_millis(50));
        }
    }
}
