//! The records of a run, and where each has to be in the end.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::media::{MediaServer, png};
use crate::references::{Reference, distinct};

/// Every so many records there is a bad one.
const BAD_EVERY: usize = 30;
/// Every so many records an id comes again.
const AGAIN_EVERY: usize = 20;
/// Every so many ids, counted in new ones, the url is an `http:` one; and as many are pictures in place.
const SERVED_EVERY: usize = 50;

/// A record of the topic.
#[derive(Debug)]
pub struct Record {
    /// The id, for a good one; for a bad one `bad-N`, which nothing else has.
    pub key: String,
    pub value: Vec<u8>,
}

/// What Qdrant has to hold of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Good {
    pub url: String,
    /// The number of the record, which tells an id's versions apart.
    pub n: usize,
}

/// What the dead letters have to hold of a record.
#[derive(Debug)]
pub struct Bad {
    pub stage: &'static str,
    pub code: &'static str,
    pub value: Vec<u8>,
}

/// All records, in order.
#[derive(Debug, Default)]
pub struct Rows {
    pub records: Vec<Record>,
    /// By id.
    pub good: BTreeMap<String, Good>,
    /// By key.
    pub bad: BTreeMap<String, Bad>,
}

impl Rows {
    /// `count` records, with the files that they name in `folder`.
    pub fn new(count: usize, seed: u64, folder: &Path, media: &MediaServer) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut rows = Self::default();
        let (mut fresh, mut ids) = (references(count, folder, media).into_iter(), Vec::new());
        for n in 0..count {
            if n % BAD_EVERY == BAD_EVERY / 2 {
                rows.add_bad(n, folder, media);
            } else if n % AGAIN_EVERY == AGAIN_EVERY - 1 {
                let id: &String = &ids[random.random_range(0..ids.len())];
                rows.add_good(id.clone(), format!("data:,version%20{n}"), n);
            } else {
                let reference = fresh.next().expect("there are as many as records");
                ids.push(reference.id.clone());
                rows.add_good(reference.id, reference.url, n);
            }
        }
        rows
    }

    fn add_good(&mut self, id: String, url: String, n: usize) {
        let value = json!({"id": id, "url": url, "kind": "good", "n": n});
        self.records.push(Record {
            key: id.clone(),
            value: value.to_string().into_bytes(),
        });
        self.good.insert(id, Good { url, n });
    }

    fn add_bad(&mut self, n: usize, folder: &Path, media: &MediaServer) {
        let key = format!("bad-{n}");
        let record = |url: &str| {
            json!({"id": key, "url": url, "kind": "bad", "n": n})
                .to_string()
                .into_bytes()
        };
        let file = |content: &[u8]| {
            let path = folder.join(format!("{key}.png"));
            std::fs::write(&path, content).expect("the folder can be written to");
            record(&path.display().to_string())
        };
        let picture = png(n);
        let (stage, code, value) = match n / BAD_EVERY % 12 {
            0 => (
                "read",
                "bad_record",
                format!(r#"{{"id": "{key}", "url": "#).into_bytes(),
            ),
            1 => ("read", "bad_record", format!(r#"["{key}"]"#).into_bytes()),
            2 => {
                let value = json!({"id": key, "url": "data:,many", "n": "many"});
                ("read", "bad_record", value.to_string().into_bytes())
            }
            3 => {
                let value = [format!(r#"{{"id": "{key}", "url": ""#).as_bytes(), b"\xff\xfe\"}"].concat();
                ("read", "bad_record", value)
            }
            4 => ("embed", "corrupt", file(&picture[..picture.len() / 2])),
            5 => ("embed", "corrupt", file(b"")),
            6 => (
                "embed",
                "unsupported",
                record("data:application/octet-stream;base64,/////w=="),
            ),
            7 => ("embed", "invalid_reference", record("data:image/png;base64,!!!")),
            8 => ("embed", "invalid_reference", record("ftp://127.0.0.1/picture.png")),
            9 => ("embed", "not_found", record(&media.url("/steady/none"))),
            10 => (
                "embed",
                "not_found",
                record(&folder.join("none.png").display().to_string()),
            ),
            _ => {
                let value = json!({"url": "data:,without%20an%20id", "n": n});
                ("write", "refused", value.to_string().into_bytes())
            }
        };
        self.records.push(Record {
            key: key.clone(),
            value: value.clone(),
        });
        self.bad.insert(key, Bad { stage, code, value });
    }
}

/// Texts and pictures: in place, in files, and from a server that is at times too busy.
fn references(count: usize, folder: &Path, media: &MediaServer) -> Vec<Reference> {
    let mut references = distinct(count, folder);
    for (n, reference) in references.iter_mut().enumerate() {
        reference.url = match n % SERVED_EVERY {
            2 => format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png(n))),
            7 => media.url(&format!("/steady/{n}.png")),
            12 => media.url(&format!("/busy/{n}.png")),
            _ => continue,
        };
    }
    references
}
