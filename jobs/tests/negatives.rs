//! Hard negatives: the nearest that are not right, in a file that is whole or absent.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sightstream_jobs::JobError;
use sightstream_jobs::data::{
    Dataset, DatasetOptions, Item, ItemEncoder, ItemWords, ParserKind, PrepareOptions, Vectors,
};
use sightstream_jobs::negatives::{Corpus, MineOptions, Mined, Neighbour, Search, mine};
use sightstream_model::encoder::{DeviceChoice, Encoder, EncoderOptions};
use sightstream_model::media::Media;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn words(item: &Item) -> String {
    match &item.words {
        ItemWords::Given { text, .. } => text.clone().unwrap_or_default(),
        ItemWords::Around { .. } => panic!("no words around"),
    }
}

/// A text that is a number stands at this angle, in degrees; others cannot be read.
fn angles(items: &[&Item]) -> Result<Vec<Result<Vec<f32>, String>>, JobError> {
    let vector = |item: &&Item| {
        let text = words(item);
        let number = text.split(' ').next().unwrap_or_default().parse::<f32>();
        let angle = number.map_err(|_| format!("`{text}` is no number"))?.to_radians();
        Ok(vec![angle.cos(), angle.sin()])
    };
    Ok(items.iter().map(vector).collect())
}

/// Rows of a query's angle, its positive's, and its negatives'.
fn dataset(folder: &TempDir, rows: &[(&str, &[&str], &[&str])]) -> Dataset {
    let item = |text: &&str| serde_json::json!({"text": text});
    let line = |(query, positives, negatives): &(&str, &[&str], &[&str])| {
        let row = serde_json::json!({
            "query": item(query),
            "positive": positives.iter().map(item).collect::<Vec<_>>(),
            "negatives": negatives.iter().map(item).collect::<Vec<_>>(),
        });
        format!("{row}\n")
    };
    let path = folder.path().join("pairs.jsonl");
    fs::write(&path, rows.iter().map(line).collect::<String>()).expect("written");
    Dataset::open(&DatasetOptions::new("mine", ParserKind::Pairs, path)).expect("opens")
}

fn corpus(dataset: &Dataset) -> Corpus {
    Corpus::of_dataset(dataset, &angles, &mut |_| {}).expect("a corpus")
}

/// What is mined, and the negatives of each row of the file.
fn mined(dataset: &Dataset, output: &Path, options: &MineOptions) -> (Mined, Vec<String>) {
    let corpus = corpus(dataset);
    let mined = mine(dataset, &angles, &corpus, output, options, &mut |_| {}).expect("mined");
    let written = Dataset::open(&DatasetOptions::new("mined", ParserKind::Pairs, output)).expect("opens");
    let rows = (0..written.rows()).map(|row| {
        let negatives = written.pair(row).expect("a pair").negatives;
        negatives.iter().map(words).collect::<Vec<_>>().join(",")
    });
    (mined, rows.collect())
}

fn options(negatives: usize) -> MineOptions {
    MineOptions {
        negatives,
        depth: 10,
        rows_at_once: 2,
        ..MineOptions::default()
    }
}

#[test]
fn the_nearest_that_are_not_right_become_negatives_hardest_first() {
    let folder = folder();
    let dataset = dataset(
        &folder,
        &[
            ("0 q", &["2", "7"], &["90"]),
            ("10 q", &["12"], &[]),
            ("44 q", &["40"], &["12"]),
        ],
    );
    for name in ["mined.jsonl", "mined.parquet"] {
        let output = folder.path().join(name);
        let (mined, rows) = mined(&dataset, &output, &options(2));
        // The targets are 2, 7, 90, 12 and 40.
        assert_eq!(rows, ["12,40", "7,2", "12,7"]);
        assert_eq!(
            (mined.rows, mined.negatives, mined.short_rows, mined.bad_rows),
            (3, 6, 0, 0)
        );
        // 2 and 7 for the first query, 12 for the second, 40 for the third.
        assert_eq!(mined.right, 4);
    }
}

#[test]
fn what_scores_too_close_to_the_positive_is_left_out() {
    let folder = folder();
    let dataset = dataset(&folder, &[("0", &["20"], &["5", "25", "60", "80"])]);
    let options = MineOptions {
        max_positive_share: Some(0.95),
        ..options(3)
    };
    let (mined, rows) = mined(&dataset, &folder.path().join("mined.jsonl"), &options);
    // cos 20 * 0.95 = 0.893; cos 5 = 0.996, cos 25 = 0.906, cos 60 = 0.5.
    assert_eq!(rows, ["60,80"]);
    assert_eq!((mined.too_close, mined.right, mined.short_rows), (2, 1, 1));
}

#[test]
fn a_rows_own_negatives_stay_if_they_are_to() {
    let folder = folder();
    let dataset = dataset(&folder, &[("0", &["1"], &["68", "9"]), ("50", &["51"], &["30"])]);
    let keep = MineOptions {
        keep: true,
        ..options(2)
    };
    let output = folder.path().join("mined.jsonl");
    assert_eq!(mined(&dataset, &output, &keep).1, ["68,9,30,51", "30,68,9"]);
    assert_eq!(mined(&dataset, &output, &options(1)).1, ["9", "68"]);
}

#[test]
fn the_query_itself_is_no_negative() {
    let folder = folder();
    let dataset = dataset(&folder, &[("5", &["6"], &[]), ("6", &["5"], &[]), ("9", &["30"], &[])]);
    let (mined, rows) = mined(&dataset, &folder.path().join("mined.jsonl"), &options(1));
    assert_eq!(rows, ["30", "30", "6"]);
    assert_eq!(mined.right, 4);
}

#[test]
fn what_cannot_be_read_is_counted_and_too_much_of_it_leaves_no_file() {
    let folder = folder();
    let rows: [(&str, &[&str], &[&str]); 4] = [
        ("0", &["1"], &["none"]),
        ("red", &["2"], &[]),
        ("3", &["4"], &[]),
        ("5", &["6"], &[]),
    ];
    let dataset = dataset(&folder, &rows);
    let corpus = corpus(&dataset);
    assert_eq!((corpus.len(), corpus.is_empty()), (5 - 1, false));
    assert_eq!(corpus.left_out(), (1, ["`none` is no number".to_owned()].as_slice()));
    let output = folder.path().join("mined.jsonl");
    fs::write(&output, "before").expect("written");
    let error = mine(&dataset, &angles, &corpus, &output, &options(1), &mut |_| {}).expect_err("a quarter is bad");
    let message = error.to_string();
    assert!(
        message.contains("1 of 4 rows could not be read") && message.contains("`red` is no number"),
        "{message}"
    );
    assert_eq!(fs::read_to_string(&output).expect("it stayed"), "before");

    let options = MineOptions {
        max_bad_share: 0.25,
        ..options(1)
    };
    let (mined, rows) = mined(&dataset, &output, &options);
    assert_eq!(
        (mined.rows, mined.bad_rows, mined.reasons),
        (3, 1, vec!["`red` is no number".to_owned()])
    );
    assert_eq!(rows.len(), 3);
    let files = fs::read_dir(folder.path()).expect("read").count();
    assert_eq!(files, 2, "nothing else is left behind");
}

#[test]
fn rows_with_a_positive_that_cannot_be_read_are_left_out_whatever_is_searched() {
    let folder = folder();
    let rows: [(&str, &[&str], &[&str]); 3] = [("0", &["1"], &[]), ("2", &["3", "red"], &[]), ("4", &["5"], &[])];
    let dataset = dataset(&folder, &rows);
    let corpus = corpus(&dataset);
    let searches: [&dyn Search; 2] = [&corpus, &Elsewhere];
    for search in searches {
        for max_positive_share in [None, Some(2.0)] {
            let output = folder.path().join("mined.jsonl");
            let options = MineOptions {
                max_positive_share,
                ..options(1)
            };
            let error = mine(&dataset, &angles, search, &output, &options, &mut |_| {}).expect_err("a third is bad");
            assert!(error.to_string().contains("1 of 3 rows could not be read"), "{error}");
            assert!(!output.exists());
            let options = MineOptions {
                max_bad_share: 0.4,
                ..options
            };
            let mined = mine(&dataset, &angles, search, &output, &options, &mut |_| {}).expect("mined");
            assert_eq!((mined.rows, mined.bad_rows), (2, 1));
            assert_eq!(mined.reasons, ["`red` is no number"]);
            fs::remove_file(&output).expect("it is there");
        }
    }
}

/// Finds what no row names.
struct Elsewhere;

impl Search for Elsewhere {
    fn nearest(&self, queries: &[Vec<f32>], count: usize) -> Result<Vec<Vec<Neighbour>>, JobError> {
        let neighbour = |number: usize| Neighbour {
            item: Item::text(format!("{number} found"), Some("Look.")),
            score: 1.0 - number as f32 / 10.0,
        };
        Ok(queries.iter().map(|_| (0..count).map(neighbour).collect()).collect())
    }
}

#[test]
fn a_search_elsewhere_serves_as_well() {
    let folder = folder();
    let dataset = dataset(&folder, &[("0", &["1"], &[])]);
    let output = folder.path().join("mined.jsonl");
    let mut seen = Vec::new();
    let mined = mine(&dataset, &angles, &Elsewhere, &output, &options(2), &mut |rows| {
        seen.push(rows)
    })
    .expect("mined");
    assert_eq!((mined.negatives, seen), (2, vec![1]));
    let line = fs::read_to_string(&output).expect("read");
    assert_eq!(
        line,
        "{\"query\":{\"text\":\"0\"},\"positive\":{\"text\":\"1\"},\"negatives\":[{\"text\":\"0 found\",\"instruction\":\"Look.\"},\
         {\"text\":\"1 found\",\"instruction\":\"Look.\"}]}\n"
    );
}

/// A number n is (n, n²). The product with (2 m, -1) is m² - (m - n)², and exact in f32.
fn parabola(items: &[&Item]) -> Result<Vec<Result<Vec<f32>, String>>, JobError> {
    let vector = |item: &&Item| {
        let number: f32 = words(item).parse().map_err(|_| "it is no number".to_owned())?;
        Ok(vec![number, number * number])
    };
    Ok(items.iter().map(vector).collect())
}

/// More items than are multiplied at once.
#[test]
fn neighbours_are_exact_over_several_blocks() {
    let numbers = (-2500..2500).map(|number| Ok(Item::text(number.to_string(), None)));
    let corpus = Corpus::of(numbers, &parabola, &mut |_| {}).expect("a corpus");
    let queries = [-2500.0, 1000.0, 2499.0].map(|number| vec![2.0 * number, -1.0]);
    let found = corpus.nearest(&queries, 3).expect("found");
    let texts = found
        .iter()
        .map(|found| found.iter().map(|near| words(&near.item)).collect::<Vec<_>>().join(" "));
    // Of two that are as near, the first of the corpus.
    assert_eq!(
        texts.collect::<Vec<_>>(),
        ["-2500 -2499 -2498", "1000 999 1001", "2499 2498 2497"]
    );
    for found in &found {
        assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }
    assert_eq!(corpus.nearest(&[], 3).expect("nothing"), Vec::<Vec<Neighbour>>::new());
}

#[test]
fn options_that_cannot_be_followed_are_refused() {
    let folder = folder();
    let dataset = dataset(&folder, &[("0", &["1"], &[])]);
    let output = folder.path().join("mined.jsonl");
    let corpus = corpus(&dataset);
    let refused = |options: MineOptions| {
        let error = mine(&dataset, &angles, &corpus, &output, &options, &mut |_| {}).expect_err("refused");
        assert!(!output.exists());
        error.to_string()
    };
    assert!(refused(options(0)).starts_with("negatives: 0"));
    assert_eq!(
        refused(options(11)),
        "depth: 10 neighbours cannot give 11 negatives after 0 that are passed over; raise it"
    );
    let share = MineOptions {
        max_positive_share: Some(0.0),
        ..options(1)
    };
    assert!(refused(share).starts_with("max_positive_share: write a share above 0"));
    let empty = Corpus::of(std::iter::empty(), &angles, &mut |_| {}).map(|_| ());
    assert!(
        empty
            .expect_err("nothing")
            .to_string()
            .starts_with("the corpus has no item")
    );
}

#[test]
fn an_encoder_gives_the_vectors_that_it_gives_elsewhere() {
    let kit = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/tests/fixtures/grouped");
    let encoder = Encoder::load(&EncoderOptions {
        model: kit.to_str().map(str::to_owned),
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    });
    let encoder = Arc::new(encoder.expect("the kit"));
    let items = ItemEncoder::new(Arc::clone(&encoder), &PrepareOptions::default(), 2).expect("an encoder of items");
    let texts: Vec<String> = (0..21).map(|number| format!("text {number}")).collect();
    let mut asked: Vec<Item> = texts.iter().map(|text| Item::text(text.as_str(), None)).collect();
    asked.insert(5, Item::text("it holds <|image_pad|>", None));
    let vectors = items.vectors(&asked.iter().collect::<Vec<_>>()).expect("vectors");
    assert_eq!(vectors.len(), 22);
    assert!(vectors[5].as_ref().expect_err("no text").contains("stands for pixels"));
    let processor = encoder.processor();
    for (item, vector) in asked.iter().zip(&vectors).filter(|(_, vector)| vector.is_ok()) {
        let vector = vector.as_ref().expect("one that has one");
        let input = processor
            .process(&Media::Text(words(item)), None, "text")
            .expect("text");
        let expected = encoder.encode(&[input]).expect("encoded").remove(0);
        let cosine: f32 = vector.iter().zip(&expected).map(|(a, b)| a * b).sum();
        assert!((cosine - 1.0).abs() < 1e-5, "{cosine}");
    }
}
