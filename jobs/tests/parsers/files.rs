//! Which files are a dataset, and which are none.

use std::path::Path;

use sightstream_jobs::JobError;
use sightstream_jobs::data::{Dataset, DatasetOptions, Item, ItemWords, Mode, ParserKind, read_items};

use super::kit::{at, folder, open, text_column, write, write_parquet};

#[test]
fn several_files_are_one_dataset_and_rows_limits_it() {
    let folder = folder();
    let line =
        |number: usize| format!("{{\"query\": {{\"text\": \"{number}\"}}, \"positive\": {{\"text\": \"p\"}}}}\n");
    let lines = |numbers: std::ops::Range<usize>| numbers.map(line).collect::<String>();
    write(&folder, "train-1.jsonl", &lines(3..5));
    write(&folder, "train-0.jsonl", &lines(0..3));
    write(&folder, "test-0.jsonl", &lines(90..95));
    write(&folder, "notes.txt", "none of them");
    let texts = |path: &Path, rows: Option<usize>| {
        let dataset = open(&DatasetOptions {
            rows,
            ..DatasetOptions::new("mine", ParserKind::Pairs, path)
        });
        let rows = (0..dataset.rows()).map(|row| match dataset.pair(row).expect("a pair").query.words {
            ItemWords::Given { text, .. } => text.expect("text"),
            ItemWords::Around { .. } => panic!("no words around"),
        });
        rows.collect::<Vec<_>>().join(" ")
    };
    let pattern = folder.path().join("train-*.jsonl");
    assert_eq!(texts(&pattern, None), "0 1 2 3 4");
    assert_eq!(texts(&pattern, Some(4)), "0 1 2 3");
    assert_eq!(texts(&pattern, Some(3)), "0 1 2");
    assert_eq!(texts(&pattern, Some(100)), "0 1 2 3 4");
    assert_eq!(texts(folder.path(), None), "90 91 92 93 94 0 1 2 3 4");
}

#[test]
fn what_cannot_be_opened_is_refused_by_name() {
    let folder = folder();
    let row = r#"{"query": {"text": "a"}, "positive": {"text": "b"}}"#;
    let options = DatasetOptions::new("mine", ParserKind::Pairs, write(&folder, "a.jsonl", row));
    let refused = |change: &dyn Fn(&mut DatasetOptions)| {
        let mut options = options.clone();
        change(&mut options);
        Dataset::open(&options).map(|_| ()).expect_err("refused").to_string()
    };
    let missing = refused(&|options| options.path = "/no/such.jsonl".into());
    assert_eq!(missing, "dataset `mine`: /no/such.jsonl: there is no such file");
    let pattern = folder.path().join("b-*.jsonl");
    assert!(refused(&|options| options.path = pattern.clone()).ends_with("no file has such a name"));
    let text = write(&folder, "a.csv", "a,b");
    assert!(refused(&|options| options.path = text.clone()).contains(".jsonl (an object a line) and .parquet"));
    let empty = write(&folder, "empty.jsonl", "\n\n");
    assert!(refused(&|options| options.path = empty.clone()).ends_with("there is no row in it"));
    let broken = write(&folder, "broken.parquet", "PAR1");
    assert!(refused(&|options| options.path = broken.clone()).contains("broken.parquet: "));
    let other = folder.path().join("other.parquet");
    write_parquet(&other, vec![("caption", text_column())]);
    let columns = refused(&|options| options.path = other.clone());
    assert!(
        columns.contains("it has the columns caption; none of query, positive"),
        "{columns}"
    );
    assert_eq!(
        refused(&|options| options.weight = 0.0),
        "dataset `mine`: weight: 0 is no number above 0"
    );
    assert!(refused(&|options| options.rows = Some(0)).contains("rows: 0 leaves nothing"));
    assert!(
        refused(&|options| options.media_root = Some("/no/such".into()))
            .contains("media_root: /no/such: there is no such folder")
    );
    assert_eq!(
        refused(&|options| options.mode = Some(Mode::PageRetrieval)),
        "dataset `mine`: mode: the parser pairs has none; leave it out"
    );
    let mode = refused(&|options| {
        options.parser = ParserKind::Vidore;
        options.mode = Some(Mode::VideoRetrieval);
    });
    assert!(mode.ends_with("write question_answering or page_retrieval"), "{mode}");
    let instruction = refused(&|options| {
        options.parser = ParserKind::Mmeb;
        options.query_instruction = Some("Find:".into());
    });
    assert!(instruction.contains("rows of mmeb hold their own"), "{instruction}");
}

#[test]
fn a_corpus_is_a_file_of_items() {
    let folder = folder();
    let lines = "{\"url\": \"a.png\"}\n{\"text\": \"b\", \"instruction\": \"i\"}\n{\"other\": 1}";
    let path = write(&folder, "corpus.jsonl", lines);
    let items: Vec<Result<Item, String>> = read_items(&path).expect("opens").collect();
    assert_eq!(items[0].as_ref().expect("an item").medium, at(&folder, "a.png"));
    assert_eq!(items[1], Ok(Item::text("b", Some("i"))));
    let message = items[2].as_ref().expect_err("no item");
    assert!(message.contains("corpus.jsonl line 3: it has `other`"), "{message}");
}

#[test]
fn parsers_and_modes_have_names() {
    for name in [
        "pairs",
        "mmeb",
        "llavahound_caption",
        "llavahound_qa",
        "vidore",
        "visrag",
    ] {
        assert_eq!(name.parse::<ParserKind>().expect("a parser").to_string(), name);
    }
    for name in [
        "caption_retrieval",
        "video_retrieval",
        "question_answering",
        "page_retrieval",
    ] {
        assert_eq!(name.parse::<Mode>().expect("a mode").to_string(), name);
    }
    let error = "csv".parse::<ParserKind>().expect_err("none");
    assert!(
        matches!(&error, JobError::Config(message) if message.contains("pairs, mmeb, llavahound_caption")),
        "{error}"
    );
}
