//! The records through the command, on a broker in this process and an embedded Qdrant.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use image::ImageFormat;
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use sightstream_connectors::qdrant::{Collection, Store};

use crate::common::{code, folder, output, sightstream, stderr};
use crate::images::{file, picture};
use crate::kinds::{End, Kind, record};
use crate::web::Web;
use crate::{films, media, ready, records};

/// A password and a signature that some records hold.
const SECRET: &str = "s3cret";

/// Sends `records`, of a key and a value each, to `topic`.
fn produce(servers: &str, topic: &str, records: impl IntoIterator<Item = (String, Option<Vec<u8>>)>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("message.max.bytes", "10000000")
        .create()
        .expect("a producer starts");
    for (key, value) in records {
        let mut record = BaseRecord::to(topic).key(&key);
        record.payload = value.as_ref();
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("the queue has room");
    }
    producer
        .flush(Duration::from_secs(60))
        .expect("the broker takes the records");
}

/// The ids in the collection.
async fn ids(collection: &Collection) -> Vec<String> {
    let (points, next) = collection
        .scroll(None, 10_000)
        .await
        .expect("the collection can be read");
    assert!(next.is_none());
    let id = |point: &Value| point.as_str().expect("ids are texts").to_owned();
    let mut ids: Vec<String> = points.iter().map(|point| id(&point.payload["id"])).collect();
    ids.sort();
    ids
}

/// The dead letters by the keys of their records.
fn letters(folder: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(folder.join(".sightstream/job/dead_letters.jsonl")).expect("there are dead letters");
    let count = text.lines().count();
    let letters: BTreeMap<String, Value> = text
        .lines()
        .map(|line| {
            let letter: Value = serde_json::from_str(line).expect("a letter is JSON");
            (
                letter["key"].as_str().expect("each record has a key").to_owned(),
                letter,
            )
        })
        .collect();
    assert_eq!(letters.len(), count, "no record is there twice");
    letters
}

fn run(folder: &Path, servers: &str) -> Output {
    let mut command = sightstream(folder);
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/single_kv");
    command
        .args([
            "run",
            "job.sql",
            "--until-caught-up",
            "--log-level",
            "sightstream=debug,info",
        ])
        .args(["--allow-network", "127.0.0.1", "--max-media-bytes", "4MiB"])
        .args(["--fetch-timeout", "15s", "--fetch-retries", "2"])
        .env("SIGHTSTREAM_MODEL", model)
        .env("BROKER", servers);
    output(command)
}

/// What is wrong with where `kind` ended, if anything.
fn wrong_end(kind: &Kind, arrived: &BTreeSet<String>, letters: &BTreeMap<String, Value>) -> Option<String> {
    let (arrived, letter) = (arrived.contains(kind.name), letters.get(kind.name));
    let as_expected = match (&kind.end, letter) {
        (End::Arrives, None) => arrived,
        (End::PassedOver, None) => !arrived,
        (End::DeadLetter { stage, code, reason }, Some(letter)) => {
            let told = letter["reason"].as_str().expect("a reason");
            let value = kind.value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
            !arrived
                && letter["stage"] == *stage
                && letter["code"] == *code
                && told.contains(reason)
                && !told.contains(SECRET)
                && value.is_none_or(|value| letter["value"] == value)
        }
        _ => false,
    };
    let told = letter.map(|letter| (&letter["stage"], &letter["code"], &letter["reason"]));
    (!as_expected).then(|| {
        format!(
            "{}: arrived: {arrived}, letter: {told:?}, expected: {:?}",
            kind.name, kind.end
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_bad_input_ends_where_it_should_and_the_good_rows_around_it_arrive() {
    let house = folder();
    let (web, inner, tls) = (
        Web::start("127.0.0.1"),
        Web::start("127.0.0.2"),
        Web::start_tls("127.0.0.1"),
    );
    let folder = house.path().join("job");
    fs::create_dir(&folder).expect("a new folder");
    file(house.path(), "secret.png", &picture(ImageFormat::Png));
    let good_file = file(&folder, "good.png", &picture(ImageFormat::Png));
    let good_urls = ["data:,a%20red%20bicycle", &good_file, &web.url("good.jpg")];

    let media: Vec<Kind> = [
        records::kinds(),
        media::references(),
        media::files(&folder),
        films::files(&folder),
        media::web(&web, &inner, &tls),
    ]
    .concat();
    let ready = ready::kinds();
    let broker = MockCluster::new(1).expect("a broker starts");
    let servers = broker.bootstrap_servers();
    // A good row before each bad one, and one after the last.
    let good = |number: usize| format!("good-{number:03}");
    for (topic, kinds) in [("media", &media), ("ready", &ready)] {
        broker.create_topic(topic, 1, 1).expect("a topic can be made");
        let good_row = |number: usize| {
            let value = match topic {
                "media" => record(&good(number), good_urls[number % good_urls.len()]),
                _ => format!(r#"{{"id":"{}","vector":[1,{number},3]}}"#, good(number)).into_bytes(),
            };
            (good(number), Some(value))
        };
        let pairs = kinds
            .iter()
            .enumerate()
            .flat_map(|(number, kind)| [good_row(number), (kind.name.to_owned(), kind.value.clone())]);
        produce(&servers, topic, pairs.chain([good_row(kinds.len())]));
    }
    let sql = "CREATE TABLE media (id TEXT NOT NULL, url TEXT, n INT)
          WITH (connector = 'kafka', bootstrap_servers = '{{ BROKER }}', topic = 'media', type = 'source',
                format = 'json', 'source.offset' = 'earliest', 'source.group_id' = 'media',
                client_configs = 'session.timeout.ms=6000');
        CREATE TABLE ready (id TEXT, vector FLOAT[])
          WITH (connector = 'kafka', bootstrap_servers = '{{ BROKER }}', topic = 'ready', type = 'source',
                format = 'json', 'source.offset' = 'earliest', 'source.group_id' = 'ready',
                client_configs = 'session.timeout.ms=6000');
        CREATE TABLE vectors (id TEXT, url TEXT, vector FLOAT[])
          WITH (connector = 'qdrant', url = 'embedded:db', collection = 'media');
        CREATE TABLE points (id TEXT, vector FLOAT[])
          WITH (connector = 'qdrant', url = 'embedded:db', collection = 'ready');
        INSERT INTO vectors SELECT id, url, embed(url) FROM media;
        INSERT INTO points SELECT id, vector FROM ready;";
    fs::write(folder.join("job.sql"), sql).expect("a new file");

    let ended = run(&folder, &servers);
    assert_eq!(code(&ended), 0, "{}", stderr(&ended));
    assert!(!stderr(&ended).contains(SECRET), "{}", stderr(&ended));

    let letters = letters(&folder);
    let store = Store::open(&format!("embedded:{}", folder.join("db").display()), None)
        .await
        .expect("the store opens");
    let mut wrong = Vec::new();
    let mut expected_letters = 0;
    for (name, kinds) in [("media", &media), ("ready", &ready)] {
        let collection = store.collection(name).await.expect("it was filled");
        let arrived: BTreeSet<String> = ids(&collection).await.into_iter().collect();
        wrong.extend(kinds.iter().filter_map(|kind| wrong_end(kind, &arrived, &letters)));
        let arrivals = kinds.iter().filter(|kind| matches!(kind.end, End::Arrives));
        let mut expected: BTreeSet<String> = (0..=kinds.len()).map(good).collect();
        expected.extend(arrivals.map(|kind| kind.name.to_owned()));
        let difference: Vec<&String> = expected.symmetric_difference(&arrived).collect();
        if !difference.is_empty() {
            wrong.push(format!("{name}: {difference:?} arrived or should have"));
        }
        expected_letters += kinds
            .iter()
            .filter(|kind| matches!(kind.end, End::DeadLetter { .. }))
            .count();
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", stderr(&ended));
    assert_eq!(letters.len(), expected_letters);
    assert_eq!(inner.connections(), 0, "nobody came to an address that is not allowed");
    drop(store);

    let again = run(&folder, &servers);
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    assert_eq!(self::letters(&folder), letters, "everything was committed");
}
