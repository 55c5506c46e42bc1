//! Rows of the public files' shapes, and of our own, become pairs.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use sightstream_jobs::JobError;
use sightstream_jobs::data::{
    Dataset, DatasetOptions, Item, ItemRow, ItemWords, Medium, Mode, Pair, PairRow, PairWriter, ParserKind, read_items,
};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn write(folder: &TempDir, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("written");
    path
}

/// A Parquet file of small row groups with several pages, as large files have.
fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
    let rows = rows.expect("columns of one length");
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(4))
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(1)
        .build();
    let file = File::create(path).expect("created");
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).expect("a writer");
    writer.write(&rows).expect("written");
    writer.close().expect("closed");
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// What `datasets` writes of a column of images.
fn images(values: &[(Option<&[u8]>, Option<&str>)]) -> ArrayRef {
    let (bytes, paths): (Vec<_>, Vec<_>) = values.iter().copied().unzip();
    let columns: Vec<ArrayRef> = vec![Arc::new(BinaryArray::from(bytes)), text(&paths)];
    let fields = vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ];
    Arc::new(StructArray::new(Fields::from(fields), columns, None))
}

fn open(options: &DatasetOptions) -> Dataset {
    Dataset::open(options).expect("opens")
}

fn at(folder: &TempDir, name: &str) -> Option<Medium> {
    let path = folder.path().join(name);
    Some(Medium::Url(path.to_str().expect("UTF-8").to_owned()))
}

fn given(instruction: Option<&str>, text: Option<&str>) -> ItemWords {
    ItemWords::Given {
        instruction: instruction.map(str::to_owned),
        text: text.map(str::to_owned),
    }
}

fn around(before: &str, after: &str) -> ItemWords {
    ItemWords::Around {
        before: before.to_owned(),
        after: after.to_owned(),
    }
}

fn only(pair: &Pair) -> (&Item, &Item) {
    assert_eq!((pair.positives.len(), pair.candidates.len()), (1, 0));
    (&pair.query, &pair.positives[0])
}

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
fn mmeb_rows_have_their_image_where_the_marker_is() {
    let folder = folder();
    let path = folder.path().join("original-00000-of-00001.parquet");
    write_parquet(
        &path,
        vec![
            (
                "qry",
                text(&[
                    Some("<|image_1|>\nFind a caption."),
                    Some("Find an image: red"),
                    Some("no marker"),
                    Some(""),
                    Some("<|image_1|> twice <|image_1|>"),
                    Some("<|image_1|>"),
                ]),
            ),
            (
                "qry_image_path",
                text(&[
                    Some("a/1.jpg"),
                    Some(""),
                    Some("a/3.jpg"),
                    Some(""),
                    Some("a/5.jpg"),
                    None,
                ]),
            ),
            (
                "pos_text",
                text(&[
                    Some("a cat"),
                    Some("<|image_1|> Represent it."),
                    Some("x"),
                    Some("x"),
                    Some("x"),
                    Some("x"),
                ]),
            ),
            (
                "pos_image_path",
                text(&[Some(""), Some("a/2.jpg"), None, None, None, None]),
            ),
            ("neg_text", text(&[Some("a dog"), Some(""), None, None, None, None])),
            (
                "neg_image_path",
                text(&[Some(""), Some("a/9.jpg"), None, None, None, None]),
            ),
        ],
    );
    let dataset = open(&DatasetOptions {
        media_root: Some(folder.path().to_str().expect("UTF-8").into()),
        ..DatasetOptions::new("caption", ParserKind::Mmeb, &path)
    });
    assert_eq!(dataset.rows(), 6);
    let pair = dataset.pair(0).expect("a pair");
    let (query, positive) = only(&pair);
    assert_eq!(
        (&query.medium, &query.words),
        (&at(&folder, "a/1.jpg"), &around("", "\nFind a caption."))
    );
    assert_eq!(positive, &Item::text("a cat", None));
    assert_eq!(pair.negatives, [Item::text("a dog", None)]);

    let pair = dataset.pair(1).expect("a pair");
    let (query, positive) = only(&pair);
    assert_eq!(query, &Item::text("Find an image: red", None));
    assert_eq!(
        (&positive.medium, &positive.words),
        (&at(&folder, "a/2.jpg"), &around("", " Represent it."))
    );
    assert_eq!(
        (&pair.negatives[0].medium, &pair.negatives[0].words),
        (&at(&folder, "a/9.jpg"), &given(None, None))
    );

    let pair = dataset.pair(2).expect("a pair");
    assert_eq!(
        (&pair.query.words, pair.negatives.len()),
        (&given(None, Some("no marker")), 0)
    );

    let refused = |row: usize| dataset.pair(row).expect_err("refused");
    for (row, expected) in [
        (
            3,
            "`qry`, `qry_image_path`: the text and the image's path are both empty",
        ),
        (4, "`qry`, `qry_image_path`: <|image_1|> stands in it more than once"),
        (
            5,
            "`qry`, `qry_image_path`: <|image_1|> stands in the text, and there is no image",
        ),
    ] {
        let message = refused(row);
        let place = format!("{} row {}: {expected}", path.display(), row + 1);
        assert!(message.starts_with(&place), "{message}");
    }
}

#[test]
fn mmeb_rows_may_have_several_negatives() {
    let folder = folder();
    let row =
        r#"{"qry": "q", "pos_text": "p", "neg_text": ["n1", "", "<|image_1|>"], "neg_image_path": ["", "", "3.png"]}"#;
    let dataset = open(&DatasetOptions::new(
        "m",
        ParserKind::Mmeb,
        write(&folder, "m.jsonl", row),
    ));
    let pair = dataset.pair(0).expect("a pair");
    assert_eq!(pair.negatives.len(), 2);
    assert_eq!(pair.negatives[0], Item::text("n1", None));
    assert_eq!(
        (&pair.negatives[1].medium, &pair.negatives[1].words),
        (&at(&folder, "3.png"), &around("", ""))
    );
}

#[test]
fn llavahound_videos_are_folders_of_frames_or_files() {
    let folder = folder();
    fs::create_dir(folder.path().join("v1")).expect("a folder");
    for name in ["v2.mp4", "v 3.webm"] {
        write(&folder, name, "");
    }
    let line = |video: &str, question: &str| {
        format!(
            r#"{{"id": "{video}", "video": "{video}", "conversations": [{{"from": "human", "value": "{question}"}}, {{"from": "gpt", "value": "A ball."}}]}}"#
        )
    };
    let lines = [
        line("v1", "<video>\\nDescribe it."),
        line("v2", "What moves? <video>"),
        line("v 3", "No marker"),
        line("v4", "<video>"),
        r#"{"id": "v1", "video": "v1", "conversations": [{"value": "x"}]}"#.to_owned(),
    ];
    let path = write(&folder, "train.jsonl", &lines.join("\n"));
    let videos = [
        Medium::Frames(folder.path().join("v1")),
        Medium::Url(format!("{}/v2.mp4", folder.path().display())),
        Medium::Url(format!("{}/v 3.webm", folder.path().display())),
    ];

    let options = DatasetOptions::new("captions", ParserKind::LlavahoundCaption, &path);
    let dataset = open(&options);
    let words = [
        around("", "\nDescribe it."),
        around("What moves? ", ""),
        given(None, Some("No marker")),
    ];
    for (row, (video, words)) in videos.iter().zip(words).enumerate() {
        let pair = dataset.pair(row).expect("a pair");
        let (query, positive) = only(&pair);
        assert_eq!((query.medium.as_ref(), &query.words), (Some(video), &words));
        assert_eq!(positive, &Item::text("A ball.", None));
    }
    let missing = dataset.pair(3).expect_err("no such video");
    assert!(
        missing.contains("line 4: `video`: ") && missing.contains("no such folder of frames"),
        "{missing}"
    );
    let short = dataset.pair(4).expect_err("no answer");
    assert!(short.ends_with("line 5: `conversations[1].value` is empty"), "{short}");

    let dataset = open(&DatasetOptions {
        mode: Some(Mode::VideoRetrieval),
        ..options.clone()
    });
    let pair = dataset.pair(1).expect("a pair");
    let (query, positive) = only(&pair);
    let instruction = "Find a video that contains the following visual content:";
    assert_eq!(query, &Item::text("A ball.", Some(instruction)));
    assert_eq!(
        positive,
        &Item::medium(videos[1].clone(), Some("Understand the content of the provided video."))
    );

    let dataset = open(&DatasetOptions::new("questions", ParserKind::LlavahoundQa, &path));
    let pair = dataset.pair(1).expect("a pair");
    let (query, positive) = only(&pair);
    assert_eq!(query.medium.as_ref(), Some(&videos[1]));
    assert_eq!(
        query.words,
        given(Some("Answer the question about the given video:"), Some("What moves?"))
    );
    assert_eq!(positive, &Item::text("A ball.", None));
}

#[test]
fn pages_lie_in_the_rows_of_vidore_and_visrag() {
    let folder = folder();
    let path = folder.path().join("train-00000-of-00001.parquet");
    let queries: Vec<String> = (0..9).map(|row| format!("question {row}")).collect();
    let queries: Vec<Option<&str>> = queries.iter().map(|query| Some(query.as_str())).collect();
    let mut pages: Vec<(Option<&[u8]>, Option<&str>)> = vec![(Some(b"a page"), Some("1.png")); 9];
    pages[1] = (None, Some("pages/2.png"));
    pages[2] = (None, None);
    let mut answers = vec![Some("an answer"); 9];
    answers[3] = None;
    let mut sources = vec![Some("SlideVQA"); 9];
    sources[5] = Some("Elsewhere");
    let files = vec![
        ("image", images(&pages)),
        ("query", text(&queries)),
        ("answer", text(&answers)),
        ("source", text(&sources)),
    ];
    write_parquet(&path, files);
    let bytes = |row: usize| Medium::Bytes {
        bytes: (*b"a page").into(),
        name: format!("{} row {} `image`", path.display(), row + 1),
    };

    let dataset = open(&DatasetOptions::new("colpali", ParserKind::Vidore, &path));
    for row in [8, 0, 4, 7] {
        let pair = dataset.pair(row).expect("a pair");
        let (query, positive) = only(&pair);
        assert_eq!(query.medium, Some(bytes(row)));
        assert_eq!(query.words, given(None, queries[row]));
        assert_eq!(positive, &Item::text("an answer", None));
    }
    assert_eq!(
        dataset.pair(1).expect("a path").query.medium,
        at(&folder, "pages/2.png")
    );
    let place = path.display();
    let refused = |row: usize| dataset.pair(row).expect_err("refused");
    assert_eq!(
        refused(2),
        format!("{place} row 3: `image` has neither bytes nor a path")
    );
    assert_eq!(refused(3), format!("{place} row 4: `answer` is empty"));

    let dataset = open(&DatasetOptions {
        mode: Some(Mode::PageRetrieval),
        ..DatasetOptions::new("colpali", ParserKind::Vidore, &path)
    });
    let pair = dataset.pair(3).expect("needs no answer");
    let (query, positive) = only(&pair);
    let instruction = "Find a document image that matches the given query:";
    assert_eq!(query, &Item::text("question 3", Some(instruction)));
    let instruction = "Understand the content of the provided document image.";
    assert_eq!(positive, &Item::medium(bytes(3), Some(instruction)));

    let dataset = open(&DatasetOptions::new("visrag", ParserKind::Visrag, &path));
    let pair = dataset.pair(0).expect("a pair");
    let (query, positive) = only(&pair);
    let instruction = "Find a presentation slide that matches the given query:";
    assert_eq!(query, &Item::text("question 0", Some(instruction)));
    let instruction = "Understand the content of the provided presentation slide.";
    assert_eq!(positive, &Item::medium(bytes(0), Some(instruction)));
    let other = dataset.pair(5).expect("a pair").query;
    let instruction = "Find a document image that matches the given query:";
    assert_eq!(other, Item::text("question 5", Some(instruction)));
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

fn text_column() -> ArrayRef {
    text(&[Some("a")])
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
