//! Rows that are NULL, in a Kafka topic, as `sightstream dead-letters list` reads them.
//!
//! The key is the row's url, or its beginning, the value a JSON object with `function`, `url` and `instruction`. Headers say what happened; their
//! names are those of the command's dead letters. Arroyo hands a function its arguments only, so that the record which the row
//! was read from is not in it.
//!
//! No row waits for a letter. One that the topic does not take is counted and logged; at the end of the process those that are
//! under way have a few seconds.

use std::ffi::c_int;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use metrics::{Unit, counter, describe_counter};
use percent_encoding::percent_decode_str;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use serde_json::json;

use crate::row::Row;
use crate::tell::Budget;

const LOST: &str = "sightstream_dead_letters_lost_total";

/// How long letters have at the end of the process.
const FLUSH: Duration = Duration::from_secs(5);

/// The most bytes that a url and an instruction take in a letter's JSON, and a url in its key: a `data:` URL may be larger than a
/// topic takes, which is a megabyte unless it was told otherwise.
const MOST_OF_A_URL: usize = 128 << 10;
const MOST_OF_AN_INSTRUCTION: usize = 32 << 10;
const MOST_OF_A_KEY: usize = 1 << 10;

/// Tells the recorder what the metric is.
pub fn describe() {
    describe_counter!(LOST, Unit::Count, "Dead letters that their topic did not take.");
}

/// Where letters go.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    servers: String,
    topic: String,
    client: Vec<(String, String)>,
}

impl Target {
    /// `kafka://HOST:PORT/TOPIC[?librdkafka.setting=value&…]`, as the command's `--dead-letters` has it; or the name of a
    /// topic of the brokers at `servers`.
    ///
    /// # Errors
    /// A sentence without settings, which may hold passwords.
    pub fn parse(text: &str, servers: Option<&str>) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("kafka://") else {
            let servers = servers.filter(|servers| !servers.is_empty()).ok_or(
                "SIGHTSTREAM_DEAD_LETTER_TOPIC names a topic, and no brokers: set SIGHTSTREAM_KAFKA=HOST:PORT, or write \
                 kafka://HOST:PORT/TOPIC",
            )?;
            return Ok(Self {
                servers: servers.to_owned(),
                topic: text.to_owned(),
                client: Vec::new(),
            });
        };
        let (place, settings) = rest.split_once('?').unwrap_or((rest, ""));
        let (servers, topic) = place
            .split_once('/')
            .filter(|(servers, topic)| !servers.is_empty() && !topic.is_empty() && !servers.contains('@'))
            .ok_or("SIGHTSTREAM_DEAD_LETTER_TOPIC: write kafka://HOST:PORT/TOPIC[?librdkafka.setting=value&…]")?;
        let decoded = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded
                .map(String::from)
                .map_err(|_| "SIGHTSTREAM_DEAD_LETTER_TOPIC: a setting is no UTF-8".to_owned())
        };
        let settings = settings.split('&').filter(|setting| !setting.is_empty());
        let client = settings.map(|setting| {
            let (name, value) = setting
                .split_once('=')
                .ok_or("SIGHTSTREAM_DEAD_LETTER_TOPIC: settings are name=value, with & between them")?;
            Ok((decoded(name)?, decoded(value)?))
        });
        Ok(Self {
            servers: servers.to_owned(),
            topic: decoded(topic)?,
            client: client.collect::<Result<_, String>>()?,
        })
    }
}

/// Counts letters that are lost, and tells of some.
#[derive(Default)]
struct Deliveries {
    log: Mutex<Budget>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, letter)) = result {
            self.lost(letter.payload().map_or(0, <[u8]>::len), error);
        }
    }
}

impl Deliveries {
    /// Tells of a letter that is lost. Its row was told of already, as far as the log has room for it.
    fn lost(&self, bytes: usize, error: &KafkaError) {
        counter!(LOST).increment(1);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left_out) = log.take(Instant::now()) {
            tracing::error!(%error, bytes, left_out, "a dead letter is lost");
        }
    }
}

/// Sends letters.
#[derive(Clone)]
pub struct DeadLetters {
    producer: &'static ThreadedProducer<Deliveries>,
    topic: String,
}

impl DeadLetters {
    /// Connects, in the background. Once a process.
    ///
    /// # Errors
    /// A setting that librdkafka does not take.
    pub fn open(target: &Target) -> Result<Self, String> {
        let producer = ThreadedProducer::from_config_and_context(&config(target), Deliveries::default())
            .map_err(|error| format!("SIGHTSTREAM_DEAD_LETTER_TOPIC: {error}"))?;
        static PRODUCER: OnceLock<ThreadedProducer<Deliveries>> = OnceLock::new();
        let producer = PRODUCER.get_or_init(|| producer);
        flush_at_exit(producer);
        Ok(Self {
            producer,
            topic: target.topic.clone(),
        })
    }

    /// Sends the letter of `row`. Never waits.
    pub fn send(&self, row: &Row, code: &str, reason: &str) {
        let letter = Letter::of(row);
        let headers = headers(row, letter.is_truncated, code, reason, SystemTime::now());
        let record = BaseRecord::to(&self.topic)
            .key(letter.key)
            .payload(&letter.value)
            .headers(headers);
        if let Err((error, record)) = self.producer.send(record) {
            let bytes = record.payload.map_or(0, String::len);
            self.producer.context().lost(bytes, &error);
        }
    }
}

fn config(target: &Target) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &target.servers)
        .set("client.id", "sightstream-arroyo")
        .set("acks", "all")
        // After some errors an idempotent producer takes nothing any more, for as long as the process lives. A letter may come
        // twice anyway.
        .set("enable.idempotence", "false")
        .set("queue.buffering.max.kbytes", "65536")
        .set("linger.ms", "50");
    for (name, value) in &target.client {
        config.set(name, value);
    }
    config
}

/// What a letter says of its row.
struct Letter<'a> {
    key: &'a str,
    value: String,
    /// Whether the value has less than the row.
    is_truncated: bool,
}

impl<'a> Letter<'a> {
    fn of(row: &'a Row) -> Self {
        let url = fitting(&row.url, MOST_OF_A_URL);
        let instruction = row.instruction.as_deref();
        let fitting_instruction = instruction.map(|text| fitting(text, MOST_OF_AN_INSTRUCTION));
        let function = row.function.name();
        Self {
            key: &row.url[..row.url.floor_char_boundary(MOST_OF_A_KEY)],
            value: json!({ "function": function, "url": url, "instruction": fitting_instruction }).to_string(),
            is_truncated: url.len() < row.url.len() || fitting_instruction != instruction,
        }
    }
}

/// As much of the beginning of `text` as takes at most `most` bytes in JSON, where some characters are written as several.
fn fitting(text: &str, most: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|&(_, character)| {
        taken += match character {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..='\u{1f}' => "\\u0000".len(),
            _ => character.len_utf8(),
        };
        taken > most
    });
    end.map_or(text, |(end, _)| &text[..end])
}

fn headers(row: &Row, is_truncated: bool, code: &str, reason: &str, now: SystemTime) -> OwnedHeaders {
    let function = row.function.name();
    let time = humantime::format_rfc3339_millis(now).to_string();
    let mut named = vec![
        ("sightstream.time", time.as_str()),
        ("__connect.errors.connector.name", function),
        ("__connect.errors.stage", "TRANSFORMATION"),
        ("__connect.errors.exception.class.name", code),
        ("__connect.errors.exception.message", reason),
        ("sightstream.stage", "embed"),
        ("sightstream.table", function),
    ];
    if is_truncated {
        named.push(("sightstream.truncated", "true"));
    }
    let headers = OwnedHeaders::new_with_capacity(named.len());
    named.into_iter().fold(headers, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    })
}

/// How far the end of the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Away,
    Begun,
    Flushed,
}

/// What the thread that ends the process and the one that flushes tell each other.
static END: (Mutex<End>, Condvar) = (Mutex::new(End::Away), Condvar::new());

fn end() -> MutexGuard<'static, End> {
    END.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets what is under way arrive, when the process ends by `exit` or its `main`. Registered after the producer was made, so
/// that it runs before the clean-up of the libraries that the producer uses.
///
/// The thread that ends a process has lost its thread-locals by then, without which nothing can be logged: another one flushes.
fn flush_at_exit(producer: &'static ThreadedProducer<Deliveries>) {
    extern "C" fn wait_for_flush() {
        let mut now = end();
        *now = End::Begun;
        END.1.notify_all();
        // The flush ends by itself. Nobody is left to tell if it does not.
        let _ = END.1.wait_timeout_while(now, FLUSH * 2, |end| *end != End::Flushed);
    }
    let flush = move || {
        drop(END.1.wait_while(end(), |end| *end == End::Away));
        if let Err(error) = producer.flush(FLUSH) {
            let left = producer.in_flight_count();
            tracing::error!(%error, left, "dead letters are lost: the process ends before their topic took them");
        }
        *end() = End::Flushed;
        END.1.notify_all();
    };
    let flusher = thread::Builder::new().name("sightstream-letters".into()).spawn(flush);
    match flusher {
        Ok(_) => {
            // SAFETY: the dylib stays loaded (see `rendezvous`), and nothing unwinds out of the function.
            let _: c_int = unsafe { libc::atexit(wait_for_flush) };
        }
        Err(error) => tracing::warn!(%error, "dead letters under way at the end of the process will be lost"),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers;

    use super::*;
    use crate::row::Function;

    #[test]
    fn a_target_is_a_url_as_the_commands_or_a_topic_and_its_brokers() {
        let url = Target::parse("kafka://a:1,b:2/dead?sasl.password=p%26q&x=1", None).expect("a target");
        assert_eq!((url.servers.as_str(), url.topic.as_str()), ("a:1,b:2", "dead"));
        let settings = [("sasl.password", "p&q"), ("x", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(url.client, settings);
        let named = Target::parse("dead", Some("a:1")).expect("a target");
        assert_eq!((named.servers.as_str(), named.topic.as_str()), ("a:1", "dead"));
        for wrong in [
            "dead",
            "kafka://a:1",
            "kafka:///t",
            "kafka://me:s3cret@a:1/t",
            "kafka://a:1/t?s3cret",
        ] {
            let reason = Target::parse(wrong, None).err().expect(wrong);
            assert!(
                reason.contains("SIGHTSTREAM_DEAD_LETTER_TOPIC") && !reason.contains("s3cret"),
                "{reason}"
            );
        }
    }

    #[test]
    fn one_fatal_error_does_not_end_all_letters_and_settings_of_the_target_win() {
        let target = Target::parse("kafka://a:1/dead?linger.ms=7", None).expect("a target");
        let config = config(&target);
        assert_eq!(
            (config.get("enable.idempotence"), config.get("acks")),
            (Some("false"), Some("all"))
        );
        assert_eq!(config.get("linger.ms"), Some("7"));
    }

    fn row(url: &str, instruction: Option<&str>) -> Row {
        Row {
            function: Function::Embed,
            url: url.to_owned(),
            instruction: instruction.map(str::to_owned),
            given_up: Default::default(),
        }
    }

    #[test]
    fn a_letter_fits_whatever_its_row_holds() {
        for filler in ["\"", "\u{1}", "x", "ä", "\\", "\n"] {
            let url = format!("data:,{}", filler.repeat((2 << 20) / filler.len()));
            let instruction = filler.repeat(1 << 20);
            let long = row(&url, Some(&instruction));
            let letter = Letter::of(&long);
            let size = letter.key.len() + letter.value.len();
            assert!(letter.is_truncated && size < 900_000, "{filler:?}: {size}");
            let read: serde_json::Value = serde_json::from_str(&letter.value).expect("JSON");
            let (read_url, read_instruction) = (read["url"].as_str(), read["instruction"].as_str());
            assert!(read_url.is_some_and(|read| url.starts_with(read) && read.len() > 20 << 10));
            assert!(read_instruction.is_some_and(|read| instruction.starts_with(read) && read.len() > 5 << 10));
            assert!(url.starts_with(letter.key));
        }
        let long = row("a.png", Some(&"x".repeat(MOST_OF_AN_INSTRUCTION + 1)));
        assert!(Letter::of(&long).is_truncated, "for either");
    }

    #[test]
    fn a_letter_has_the_whole_of_a_short_row() {
        let row = row("a \"b\"\n.png", None);
        let letter = Letter::of(&row);
        assert_eq!((letter.key, letter.is_truncated), ("a \"b\"\n.png", false));
        let read: serde_json::Value = serde_json::from_str(&letter.value).expect("JSON");
        assert_eq!(
            read,
            json!({ "function": "embed", "url": "a \"b\"\n.png", "instruction": null })
        );
    }

    #[test]
    fn headers_are_those_that_the_command_reads() {
        let row = row("a.png", None);
        let headers = headers(&row, true, "not_found", "a.png: not found", SystemTime::UNIX_EPOCH);
        let read: Vec<(&str, &str)> = headers
            .iter()
            .map(|header| {
                (
                    header.key,
                    std::str::from_utf8(header.value.expect("a value")).expect("text"),
                )
            })
            .collect();
        for expected in [
            ("sightstream.time", "1970-01-01T00:00:00.000Z"),
            ("__connect.errors.exception.class.name", "not_found"),
            ("__connect.errors.exception.message", "a.png: not found"),
            ("sightstream.stage", "embed"),
            ("sightstream.table", "embed"),
            ("sightstream.truncated", "true"),
        ] {
            assert!(read.contains(&expected), "{expected:?} in {read:?}");
        }
        assert_eq!(read[0].0, "sightstream.time", "what the command looks for first");
    }
}
