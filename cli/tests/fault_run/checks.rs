//! What has to be true in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use sightstream_connectors::qdrant::{Store, Vectors};

use crate::command::output;
use crate::job::command;
use crate::rows::{Good, Rows};

/// Two vectors of the same reference: the same but for the order in which a batch is summed.
const SAME: f32 = 0.9999;

/// Where a group stands in a partition, and where that ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    pub committed: i64,
    pub end: i64,
}

/// The standing of `group` in each partition of `topic`.
pub fn standings(broker: SocketAddr, topic: &str, group: &str, partitions: i32) -> Vec<Standing> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.to_string())
        .set("group.id", group)
        .create()
        .expect("the settings are valid");
    let timeout = Duration::from_secs(30);
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let committed = consumer
        .committed_offsets(list, timeout)
        .expect("the broker tells offsets");
    let standing = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        let (_, end) = consumer
            .fetch_watermarks(topic, element.partition(), timeout)
            .expect("the partition is there");
        let Offset::Offset(committed) = element.offset() else {
            panic!("nothing is committed in partition {}", element.partition());
        };
        Standing { committed, end }
    };
    committed.elements().into_iter().map(standing).collect()
}

/// The vector of each good row, as `sightstream embed` gives it.
pub fn vectors_by_embed(rows: &Rows, folder: &Path) -> BTreeMap<String, Vec<f32>> {
    let lines: Vec<String> = rows
        .good
        .iter()
        .map(|(id, good)| json!({"id": id, "url": good.url}).to_string())
        .collect();
    let input = folder.join("references.jsonl");
    std::fs::write(&input, lines.join("\n")).expect("the folder can be written to");
    let output = output(command(folder).arg("embed").arg("--input").arg(&input));
    String::from_utf8(output.stdout)
        .expect("the output is text")
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("the output is JSON lines");
            let vector = serde_json::from_value(line["vector"].clone()).expect("every good row has a vector");
            (line["id"].as_str().expect("ids are text").to_string(), vector)
        })
        .collect()
}

/// Every good id is in the collection once, as its last record says, with the vector that `embed` gives; nothing else is.
pub async fn collection(server: SocketAddr, rows: &Rows, vectors: &BTreeMap<String, Vec<f32>>) {
    let store = Store::open(&format!("http://{server}"), None)
        .await
        .expect("the server answers");
    let collection = store.collection("media").await.expect("the job has made it");
    let (mut found, mut from) = (BTreeMap::new(), None);
    loop {
        let (points, next) = collection.scroll(from, 1_000).await.expect("the server answers");
        for point in points {
            let text = |name: &str| point.payload[name].as_str().expect("it is text").to_string();
            let (id, url) = (text("id"), text("url"));
            let n = point.payload["n"].as_u64().expect("it is a number") as usize;
            let Vectors::Unnamed(vector) = point.vectors else {
                panic!("the collection has one vector a point")
            };
            let cosine: f32 = match vectors.get(&id) {
                Some(expected) => vector.iter().zip(expected).map(|(a, b)| a * b).sum(),
                None => panic!("{id} is in the collection, and is no good row"),
            };
            assert!(
                cosine > SAME,
                "{id} has another vector than embed gives: their cosine is {cosine}"
            );
            let twice = found.insert(id.clone(), Good { url, n });
            assert_eq!(twice, None, "{id} is there twice");
        }
        from = next;
        if from.is_none() {
            break;
        }
    }
    let lost: Vec<&String> = rows.good.keys().filter(|id| !found.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} ids are lost: {lost:?}", lost.len());
    for (id, good) in &rows.good {
        assert_eq!(&found[id], good, "{id} is as its last record says");
    }
}

/// Every bad record is in the dead letters, as it was and with its reason, and no good one is. Gives the letters' count.
pub fn dead_letters(file: &Path, rows: &Rows) -> usize {
    let text = std::fs::read_to_string(file).expect("there are dead letters");
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let letter: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let key = letter["key"].as_str().expect("keys are text");
        let bad = rows
            .bad
            .get(key)
            .unwrap_or_else(|| panic!("a good row was dead-lettered: {line}"));
        assert_eq!(letter["code"], bad.code, "{line}");
        assert_eq!(letter["stage"], bad.stage, "{line}");
        let value = letter["value"].as_str().expect("it has the record's value");
        let value = match letter["value_encoding"].as_str() {
            Some(_) => BASE64_STANDARD.decode(value).expect("it is base64"),
            None => value.as_bytes().to_vec(),
        };
        assert_eq!(value, bad.value, "the record is as it was: {line}");
        found.insert(key.to_string());
    }
    let missing: Vec<&String> = rows.bad.keys().filter(|key| !found.contains(*key)).collect();
    assert!(missing.is_empty(), "bad rows without a dead letter: {missing:?}");
    text.lines().count()
}
