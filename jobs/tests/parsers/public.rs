//! Rows of the public files' shapes.

use std::fs;

use sightstream_jobs::data::{DatasetOptions, Item, Medium, Mode, ParserKind};

use super::kit::{around, at, folder, given, images, only, open, text, write, write_parquet};

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
