//! Rows of our own.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use sightstream_jobs::data::{DatasetOptions, Item, ItemRow, Medium, PairRow, PairWriter, ParserKind};

use super::kit::{at, folder, given, only, open, text, write, write_parquet};

#[test]
fn pairs_are_read_from_lines() {
    let folder = folder();
    let path = write(
        &folder,
        "pairs.jsonl",
        "{\"query\": {\"text\": \"red\", \"instruction\": \"Find an image:\"}, \"positive\": {\"url\": \"a/red.png\"}}\n\
         \n\
         {\"id\": 3, \"query\": {\"url\": \"/abs/a.png#page=2\", \"text\": \"And?\"}, \"positive\": [{\"text\": \"one\"}, {\"text\": \"two\"}],\
          \"negatives\": [{\"url\": \"https://h/a.png\"}, {\"url\": \"film.mp4#t=1,2\", \"instruction\": \"\"}], \"candidates\": [{\"text\": \"c\"}]}\n\
         {\"query\": {\"url\": \"data:,blue\"}, \"positive\": {\"text\": \"blue\"}, \"negatives\": null}",
    );
    let dataset = open(&DatasetOptions::new("mine", ParserKind::Pairs, &path));
    assert_eq!((dataset.rows(), dataset.name()), (3, "mine"));

    let first = dataset.pair(0).expect("a pair");
    let (query, positive) = only(&first);
    assert_eq!(
        (&query.medium, &query.words),
        (&None, &given(Some("Find an image:"), Some("red")))
    );
    assert_eq!(
        (&positive.medium, &positive.words),
        (&at(&folder, "a/red.png"), &given(None, None))
    );

    let second = dataset.pair(1).expect("a pair");
    assert_eq!(second.query.medium, Some(Medium::Url("/abs/a.png#page=2".into())));
    assert_eq!(second.query.words, given(None, Some("And?")));
    assert_eq!(second.positives, [Item::text("one", None), Item::text("two", None)]);
    assert_eq!(second.negatives[0].medium, Some(Medium::Url("https://h/a.png".into())));
    assert_eq!(second.negatives[1].medium, at(&folder, "film.mp4#t=1,2"));
    assert_eq!(second.negatives[1].words, given(Some(""), None));
    assert_eq!(second.candidates, [Item::text("c", None)]);
    assert_eq!(
        dataset.pair(2).expect("a pair").query.medium,
        Some(Medium::Url("data:,blue".into()))
    );
}

#[test]
fn instructions_of_the_dataset_are_for_items_without_one() {
    let folder = folder();
    let row =
        r#"{"query": {"text": "q"}, "positive": {"url": "p.png", "instruction": "own"}, "negatives": [{"text": "n"}]}"#;
    let dataset = open(&DatasetOptions {
        query_instruction: Some("Find:".into()),
        target_instruction: Some("Look.".into()),
        media_root: Some("s3://bucket/images/".into()),
        ..DatasetOptions::new("mine", ParserKind::Pairs, write(&folder, "a.jsonl", row))
    });
    let pair = dataset.pair(0).expect("a pair");
    assert_eq!(pair.query, Item::text("q", Some("Find:")));
    assert_eq!(pair.negatives, [Item::text("n", Some("Look."))]);
    assert_eq!(pair.positives[0].words, given(Some("own"), None));
    assert_eq!(
        pair.positives[0].medium,
        Some(Medium::Url("s3://bucket/images/p.png".into()))
    );
}

#[test]
fn a_bad_row_is_named_by_file_and_line() {
    let folder = folder();
    let rows = [
        (r#"{"query": {"text": "a"}, "positive": {"text": "b"}}"#, None),
        ("{\"query\": ", Some("it is no JSON")),
        ("[1]", Some("it is a list; a row is an object")),
        (
            r#"{"query": {"text": "a"}}"#,
            Some("`positive`: it is null; it should be an item"),
        ),
        (
            r#"{"query": {"text": "a"}, "positive": []}"#,
            Some("`positive` is empty"),
        ),
        (
            r#"{"query": {"text": ""}, "positive": {"text": "b"}}"#,
            Some("`query`: it has neither `url` nor `text`"),
        ),
        (
            r#"{"query": {"txt": "a"}, "positive": {"text": "b"}}"#,
            Some("`query`: it has `txt`, which no item has"),
        ),
        (
            r#"{"query": {"text": 1}, "positive": {"text": "b"}}"#,
            Some("`query`: `text` is a number; it should be text"),
        ),
        (
            r#"{"query": {"text": "a"}, "positive": {"url": "ftp://h/a"}}"#,
            Some("`positive`: ftp://h/a: not a media reference"),
        ),
        (
            r#"{"query": {"text": "a"}, "positive": {"text": "b"}, "negatives": [{"text": "c"}, 3]}"#,
            Some("`negatives[1]`: it is a number"),
        ),
        (
            r#"{"query": {"text": "a"}, "positive": {"text": "b"}, "negatives": "c"}"#,
            Some("`negatives` is text; it should be a list of items"),
        ),
    ];
    let lines: Vec<&str> = rows.iter().map(|(row, _)| *row).collect();
    let path = write(&folder, "pairs.jsonl", &lines.join("\n"));
    let dataset = open(&DatasetOptions::new("mine", ParserKind::Pairs, &path));
    for (row, (_, expected)) in rows.iter().enumerate() {
        let message = dataset.pair(row).err();
        let place = format!("{} line {}: ", path.display(), row + 1);
        match (&message, expected) {
            (None, None) => {}
            (Some(message), Some(expected)) => {
                assert!(message.starts_with(&place) && message.contains(expected), "{message}");
            }
            _ => panic!("row {row}: {message:?}"),
        }
    }
}

#[test]
fn pairs_that_were_written_read_back_the_same() {
    let folder = folder();
    let item = |url: Option<&str>, text: Option<&str>, instruction: Option<&str>| ItemRow {
        url: url.map(str::to_owned),
        text: text.map(str::to_owned),
        instruction: instruction.map(str::to_owned),
    };
    // More than a row group has.
    let rows: Vec<PairRow> = (0..1500)
        .map(|row| PairRow {
            query: item(None, Some(&format!("query {row} \"é\"")), Some("Find:")),
            positive: (0..1 + row % 3)
                .map(|n| item(Some(&format!("{row}/{n}.png")), None, None))
                .collect(),
            negatives: (0..row % 4)
                .map(|n| item(Some("n.png"), Some(&format!("no {n}")), Some("")))
                .collect(),
            candidates: (0..row % 2)
                .map(|n| item(None, Some(&format!("c {n}")), None))
                .collect(),
        })
        .collect();
    for name in ["pairs.jsonl", "pairs.parquet"] {
        let path = folder.path().join(name);
        let mut writer = PairWriter::create(&path).expect("begins");
        for row in &rows {
            writer.write(row).expect("written");
        }
        assert!(!path.exists(), "it is absent until it is whole");
        assert_eq!(writer.finish().expect("finished"), 1500);
        let dataset = open(&DatasetOptions::new("mine", ParserKind::Pairs, &path));
        assert_eq!(dataset.rows(), 1500);
        for row in [0, 1, 2, 3, 1023, 1024, 1025, 1499, 7] {
            let pair = dataset.pair(row).expect("a pair");
            assert_eq!(pair.to_row(folder.path()).as_ref(), Some(&rows[row]), "{name} {row}");
        }
    }
    let line = fs::read_to_string(folder.path().join("pairs.jsonl")).expect("read");
    assert_eq!(
        line.lines().next(),
        Some(r#"{"query":{"text":"query 0 \"é\"","instruction":"Find:"},"positive":{"url":"0/0.png"}}"#)
    );
    drop(PairWriter::create(&folder.path().join("never.jsonl")).expect("begins"));
    let left: Vec<_> = fs::read_dir(folder.path())
        .expect("read")
        .map(|entry| entry.expect("read").file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn pairs_in_parquet_may_be_of_any_text_type_and_lists() {
    let folder = folder();
    let path = folder.path().join("pairs.parquet");
    let item = |values: &[Option<&str>]| -> ArrayRef {
        let column = arrow::compute::cast(&text(values), &DataType::LargeUtf8).expect("cast");
        let field = Field::new("text", DataType::LargeUtf8, true);
        Arc::new(StructArray::new(Fields::from(vec![field]), vec![column], None))
    };
    let negatives = item(&[Some("n1"), Some("n2"), Some("n3")]);
    let field = Arc::new(Field::new("item", negatives.data_type().clone(), true));
    let lists = ListArray::new(field, OffsetBuffer::from_lengths([2, 0, 1]), negatives, None);
    write_parquet(
        &path,
        vec![
            ("query", item(&[Some("q1"), Some("q2"), Some("q3")])),
            ("positive", item(&[Some("p1"), Some("p2"), Some("p3")])),
            ("negatives", Arc::new(lists)),
        ],
    );
    let dataset = open(&DatasetOptions::new("mine", ParserKind::Pairs, &path));
    let negatives = |row: usize| dataset.pair(row).expect("a pair").negatives;
    let texts = |texts: &[&str]| texts.iter().map(|text| Item::text(*text, None)).collect::<Vec<_>>();
    assert_eq!(
        [0, 1, 2].map(negatives),
        [texts(&["n1", "n2"]), texts(&[]), texts(&["n3"])]
    );
}
