//! Runs cases, and tells how what came differs from what must come.

use std::fmt::Write;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use crate::case::{self, Case};
use crate::support::Workbench;

/// Long enough for any case; no test waits for it unless it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the cases of a file, and fails with all that is wrong.
pub async fn file(name: &str) {
    let mut wrong = String::new();
    for case in case::read(name) {
        if let Err(difference) = run(&case).await {
            let _ = writeln!(wrong, "{name}.sql, {}:\n{difference}", case.name);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

async fn run(case: &Case) -> Result<(), String> {
    let mut bench = Workbench::new();
    let lines: Vec<&str> = case.input.iter().map(String::as_str).collect();
    let broker = case.sql.contains("{{ KAFKA }}").then(|| Broker::start(&lines));
    match &broker {
        Some(broker) => bench.kafka = broker.servers(),
        None => bench.file("input.jsonl", &lines),
    }
    let result = tokio::time::timeout(PATIENCE, bench.run(&case.sql)).await;
    let result = result.map_err(|_| "it does not end".to_string())?;
    match (result, case.refused.as_slice()) {
        (Ok(_), []) => {}
        (Ok(_), _) => return Err("  it runs, and should be refused".to_string()),
        (Err(error), []) => return Err(format!("  it is refused: {error}")),
        (Err(error), parts) => {
            let error = error.to_string();
            if let Some(part) = missing(&error, parts) {
                return Err(format!("  the error lacks: {part}\n  it is: {error}"));
            }
        }
    }
    if let Some(expected) = &case.output {
        let found = match &broker {
            Some(broker) => broker.records(expected.len()),
            None => lines_of(&bench, "output.jsonl"),
        };
        if found != *expected {
            return Err(format!(
                "  output:\n{}\n  expected:\n{}",
                found.join("\n"),
                expected.join("\n")
            ));
        }
    }
    let dead: Vec<String> = bench
        .rows("dead.jsonl")
        .iter()
        .map(|letter| {
            format!(
                "{}: {}",
                letter["offset"],
                letter["reason"].as_str().unwrap_or("no reason")
            )
        })
        .collect();
    let fits = |(found, expected): (&String, &String)| {
        let (Some((offset, reason)), Some((at, part))) = (found.split_once(": "), expected.split_once(": ")) else {
            return false;
        };
        offset == at && reason.contains(part)
    };
    if dead.len() != case.dead_letters.len() || !dead.iter().zip(&case.dead_letters).all(fits) {
        return Err(format!(
            "  dead letters:\n{}\n  expected:\n{}",
            dead.join("\n"),
            case.dead_letters.join("\n")
        ));
    }
    Ok(())
}

/// The first of `parts` that does not stand in `text` behind those before it.
fn missing<'a>(text: &str, parts: &'a [String]) -> Option<&'a String> {
    let mut rest = text;
    parts.iter().find(|part| match rest.split_once(part.as_str()) {
        Some((_, after)) => {
            rest = after;
            false
        }
        None => true,
    })
}

fn lines_of(bench: &Workbench, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(bench.path(name)).unwrap_or_default();
    text.lines().map(str::to_string).collect()
}

/// A broker with the topics `input`, filled, and `output`.
struct Broker(MockCluster<'static, DefaultProducerContext>);

impl Broker {
    fn start(input: &[&str]) -> Self {
        let cluster = MockCluster::new(1).expect("a mock broker starts");
        for topic in ["input", "output"] {
            cluster.create_topic(topic, 1, 1).expect("a topic can be made");
        }
        let broker = Self(cluster);
        let producer: BaseProducer = broker.config().create().expect("the settings are valid");
        for line in input {
            let (key, time, value) = parts(line);
            let mut record = BaseRecord::<str, str>::to("input").payload(value).timestamp(time);
            record.key = (key != "-").then_some(key);
            producer
                .send(record)
                .map_err(|(error, _)| error)
                .expect("the producer's queue has room");
        }
        producer.flush(PATIENCE).expect("the broker takes the records");
        broker
    }

    fn servers(&self) -> String {
        self.0.bootstrap_servers()
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.servers());
        config
    }

    /// All records in `output`, of which `count` were expected. The time of a record that was written just now
    /// is shown as `@now`.
    fn records(&self, count: usize) -> Vec<String> {
        let consumer: BaseConsumer = self
            .config()
            .set("group.id", "checks")
            .set("auto.offset.reset", "earliest")
            .create()
            .expect("a consumer starts");
        consumer.subscribe(&["output"]).expect("the topic can be read");
        let end = Instant::now() + PATIENCE;
        let mut records = Vec::new();
        let (_, high) = consumer
            .fetch_watermarks("output", 0, PATIENCE)
            .expect("the broker tells offsets");
        let count = usize::try_from(high).unwrap_or(count);
        while records.len() < count && Instant::now() < end {
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
                continue;
            };
            let text = |bytes: Option<&[u8]>| {
                bytes.map_or("-".to_string(), |bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            let time = match message.timestamp() {
                Timestamp::CreateTime(millis) if millis < 1_750_000_000_000 => millis.to_string(),
                _ => "now".to_string(),
            };
            records.push(format!("{} @{time} {}", text(message.key()), text(message.payload())));
        }
        records
    }
}

/// The parts of `KEY @MILLISECONDS VALUE`.
fn parts(line: &str) -> (&str, i64, &str) {
    let parts = line.split_once(" @").and_then(|(key, rest)| {
        let (time, value) = rest.split_once(' ')?;
        Some((key, time.parse().ok()?, value))
    });
    parts.unwrap_or_else(|| panic!("a record is KEY @MILLISECONDS VALUE, not {line}"))
}
