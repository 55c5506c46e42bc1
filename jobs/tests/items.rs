//! What makes two items one: addresses, however they are written, and what the encoder is given with them.

use std::collections::HashSet;
use std::fs;

use sightstream_jobs::JobError;
use sightstream_jobs::data::{
    Dataset, DatasetOptions, Identity, Item, ItemRow, ItemWords, Medium, Pair, ParserKind, Root,
};
use sightstream_jobs::negatives::{Corpus, MineOptions, mine};
use sightstream_model::media::Media;
use sightstream_model::processor::prompt::prompt;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn item(root: &Root, url: &str) -> Item {
    let row = ItemRow {
        url: Some(url.to_owned()),
        ..ItemRow::default()
    };
    row.to_item(root).expect("an item")
}

fn address(root: &Root, url: &str) -> String {
    match item(root, url).medium {
        Some(Medium::Url(url)) => url,
        other => panic!("{other:?}"),
    }
}

fn identities(root: &Root, urls: &[&str]) -> HashSet<Identity> {
    urls.iter().map(|url| item(root, url).identity()).collect()
}

#[test]
fn a_file_is_one_item_however_its_address_is_written() {
    let root = Root::new("/data").expect("a folder");
    let same = [
        "images/7.jpg",
        "./images/7.jpg",
        "images//./7.jpg",
        "images/more/../7.jpg",
        "../data/images/7.jpg",
        "/data/images/7.jpg",
        "//data/images/./7.jpg",
        "/../data/images/7.jpg",
        "file:///data/images/7.jpg",
        "FILE:/data/./images/7.jpg",
        "file://localhost/data/im%61ges/7.jpg",
    ];
    assert_eq!(identities(&root, &same).len(), 1);
    for url in ["images/7.jpg", "./images/7.jpg", "file:///data/images/7.jpg"] {
        assert_eq!(address(&root, url), "/data/images/7.jpg");
    }
    // What `..` means behind a link is the disk's to say.
    assert_eq!(address(&root, "link/../7.jpg"), "/data/link/../7.jpg");
    let others = [
        "images/7.jpg",
        "7.jpg",
        "images/7.jpeg",
        "Images/7.jpg",
        "images/7.jpg/7.jpg",
    ];
    assert_eq!(identities(&root, &others).len(), others.len());
}

#[test]
fn parts_stay_parts_and_are_told_apart() {
    let root = Root::new("/data").expect("a folder");
    let same = [
        "film.mp4#t=30,60",
        "./film.mp4#t=30.0,60.00",
        "file:///data/film.mp4#t=30,60",
    ];
    assert_eq!(identities(&root, &same).len(), 1);
    for url in same {
        assert_eq!(address(&root, url), "/data/film.mp4#t=30,60");
    }
    let others = [
        "film.mp4",
        "film.mp4#t=30",
        "film.mp4#t=30,61",
        "film.mp4#page=30",
        "film.mp4#other",
    ];
    assert_eq!(identities(&root, &others).len(), others.len());
    assert_eq!(address(&root, "file:///data/a.pdf#page=3"), "/data/a.pdf#page=3");
    // A name that ends like a part is written as a URL, which keeps it one.
    assert_eq!(address(&root, "file:///data/a%23page=3"), "file:///data/a%23page=3");
    assert_eq!(
        address(&root, "file:///data/two%0Alines.png"),
        "file:///data/two%0Alines.png"
    );
    assert_eq!(address(&root, "file:///data/a%23b%20c.png"), "/data/a#b c.png");
    assert_eq!(
        address(&root, "https://host/./a.jpg#t=1.0"),
        "https://host/./a.jpg#t=1.0"
    );
}

#[test]
fn paths_below_an_address_are_one_too() {
    let root = Root::new("s3://bucket/images").expect("an address");
    let same = ["a/7.jpg", "./a/7.jpg", "a/./7.jpg"];
    assert_eq!(identities(&root, &same).len(), 1);
    assert_eq!(address(&root, "./film.mp4#t=1.0"), "s3://bucket/images/film.mp4#t=1");
    // A key may have what a path has not.
    assert_eq!(address(&root, "a//7.jpg"), "s3://bucket/images/a//7.jpg");
    assert_eq!(address(&root, "file:///data/./7.jpg"), "/data/7.jpg");
}

#[test]
fn a_row_is_written_with_the_same_path_from_its_folder() {
    let root = Root::new("/data").expect("a folder");
    let pair = Pair {
        query: Item::text("a cat", None),
        positives: vec![item(&root, "file:///data/images/7.jpg")],
        negatives: vec![item(&root, "./images/8.jpg#t=1.0"), item(&root, "/elsewhere/9.jpg")],
        candidates: Vec::new(),
    };
    let row = pair.to_row("/data".as_ref()).expect("a row");
    let urls = |items: &[ItemRow]| {
        items
            .iter()
            .map(|item| item.url.clone().expect("a url"))
            .collect::<Vec<_>>()
    };
    assert_eq!(urls(&row.positive), ["images/7.jpg"]);
    assert_eq!(urls(&row.negatives), ["images/8.jpg#t=1", "/elsewhere/9.jpg"]);
}

/// Everything is alike.
fn alike(items: &[&Item]) -> Result<Vec<Result<Vec<f32>, String>>, JobError> {
    Ok(items.iter().map(|_| Ok(vec![1.0, 0.0])).collect())
}

#[test]
fn a_rows_own_positive_is_no_negative_in_another_spelling() {
    let folder = folder();
    let path = folder.path().join("pairs.jsonl");
    let own = [
        "images/7.jpg".to_owned(),
        "./images/7.jpg".to_owned(),
        format!("file://{}/images/7.jpg", folder.path().display()),
        format!("{}/images/../images/7.jpg", folder.path().display()),
    ];
    let line = |url: &String| format!("{{\"query\": {{\"text\": \"q\"}}, \"positive\": {{\"url\": \"{url}\"}}}}\n");
    let other = line(&"images/8.jpg".to_owned());
    fs::write(&path, own.iter().map(line).collect::<String>() + &other).expect("written");
    let dataset = Dataset::open(&DatasetOptions::new("mine", ParserKind::Pairs, &path)).expect("opens");
    let corpus = Corpus::of_dataset(&dataset, &alike, &mut |_| {}).expect("a corpus");
    assert_eq!(corpus.len(), 2);
    let options = MineOptions {
        negatives: 1,
        ..MineOptions::default()
    };
    let output = folder.path().join("mined.jsonl");
    let mined = mine(&dataset, &alike, &corpus, &output, &options, &mut |_| {}).expect("mined");
    assert_eq!((mined.rows, mined.negatives), (5, 5));
    let written = Dataset::open(&DatasetOptions::new("mined", ParserKind::Pairs, &output)).expect("opens");
    for row in 0..written.rows() {
        let pair = written.pair(row).expect("a pair");
        assert_ne!(pair.negatives[0].identity(), pair.positives[0].identity());
    }
}

#[test]
fn an_instruction_that_changes_nothing_is_no_instruction() {
    const IMAGE: &str = "Represent the given image.";
    const PAGE: &str = "Understand the content of the provided document image.";
    const VIDEO: &str = "Understand the content of the provided video.";
    let url = |url: &str| Some(Medium::Url(url.to_owned()));
    let (image, page) = (image::RgbImage::new(1, 1), image::RgbImage::new(1, 1));
    let media = [
        (None, Media::Text(String::new())),
        (url("/data/7.jpg"), Media::Image(image.clone())),
        (url("https://host/photo.PNG?id=a.pdf"), Media::Image(image.clone())),
        (url("/data/a.pdf#page=2"), Media::Page(page.clone())),
        (url("/data/A.PDF"), Media::Page(page)),
        (url("/data/film.mp4"), Media::Clip(vec![image.clone()])),
        (url("https://host/film#t=1,2"), Media::Clip(vec![image.clone()])),
        (Some(Medium::Frames("/data/film".into())), Media::Clip(vec![image])),
    ];
    for (medium, decoded) in media {
        for text in [None, Some(""), Some("how many?")] {
            let item = |instruction: Option<&str>| Item {
                medium: medium.clone(),
                words: ItemWords::Given {
                    instruction: instruction.map(str::to_owned),
                    text: text.map(str::to_owned),
                },
            };
            let without = prompt(&decoded, item(None).words());
            assert_eq!(item(None).own_instruction(), None);
            for instruction in ["", IMAGE, PAGE, VIDEO, "Find it:"] {
                let with = item(Some(instruction));
                let expected = (prompt(&decoded, with.words()) != without).then_some(instruction);
                assert_eq!(with.own_instruction(), expected, "{with:?}");
            }
        }
    }
    // What may be an image or a video keeps what is said of it.
    let bytes = Medium::Bytes {
        bytes: vec![1].into(),
        name: "7.jpg".into(),
    };
    for medium in [url("/data/7.gif"), url("https://host/photo?id=7.jpg"), Some(bytes)]
        .into_iter()
        .flatten()
    {
        for instruction in [IMAGE, VIDEO] {
            let item = Item::medium(medium.clone(), Some(instruction));
            assert_eq!(item.own_instruction(), Some(instruction), "{medium:?}");
        }
    }
}
