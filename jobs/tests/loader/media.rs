//! Media of every kind.

use std::fs;

use image::RgbImage;
use sightstream_jobs::data::{Item, Medium};
use sightstream_model::media::Media;
use sightstream_model::processor::{VisionKind, Words};

use super::kit::{self, draw, drawn, folder, grid, media, part, preparer, processor, text, url};

#[test]
fn videos_are_one_clip_and_documents_are_asked_for_by_page() {
    let folder = folder();
    let preparer = preparer(&folder);
    let prepare = |medium: Medium| preparer.prepare(&Item::medium(medium, None));
    let film = media("jumping_ball.webm");
    let whole = prepare(url(&film)).expect("a clip");
    assert_eq!(grid(&whole), (VisionKind::Video, 4));
    let beginning = prepare(part(&film, "t=0,1")).expect("a part of it");
    assert_eq!(grid(&beginning).0, VisionKind::Video);
    assert_ne!(beginning, whole);

    let document = media("harbour_report.pdf");
    let page = prepare(part(&document, "page=2")).expect("a page");
    assert_eq!(grid(&page), (VisionKind::Image, 1));
    let message = prepare(url(&document)).expect_err("several pages").to_string();
    assert!(
        message.contains("pages is no input; name one page, as in #page=1"),
        "{message}"
    );
}

#[test]
fn frames_in_a_folder_are_a_clip() {
    let folder = folder();
    let processor = processor();
    let preparer = preparer(&folder);
    let frames = folder.path().join("film");
    fs::create_dir(&frames).expect("a folder");
    for number in 0..12 {
        draw(&frames.join(format!("{number}.png")), number);
    }
    let prepared = preparer
        .prepare(&Item::medium(Medium::Frames(frames.clone()), None))
        .expect("a clip");
    // numpy.linspace(0, 11, 8, dtype=int)
    let clip = Media::Clip([0, 1, 3, 4, 6, 7, 9, 11].map(drawn).to_vec());
    assert_eq!(prepared, processor.process(&clip, None, "clip").expect("a clip"));

    RgbImage::new(84, 28).save(frames.join("11.png")).expect("saved");
    let again = kit::preparer(&folder).prepare(&Item::medium(Medium::Frames(frames), None));
    let message = again.expect_err("two sizes").to_string();
    assert!(
        message.ends_with("film: corrupt: its frames are of several sizes"),
        "{message}"
    );
}

#[test]
fn pixels_in_a_row_and_words_beside_pixels_are_read() {
    let folder = folder();
    let processor = processor();
    let preparer = preparer(&folder);
    let mut png = std::io::Cursor::new(Vec::new());
    drawn(5).write_to(&mut png, image::ImageFormat::Png).expect("encoded");
    let medium = Medium::Bytes {
        bytes: png.into_inner().into(),
        name: "row 1".into(),
    };
    let fitted = Media::Image(drawn(5));
    let fitted = processor.target().fit(&fitted);
    let pack = |words| processor.pack_words(&fitted, words, "image").expect("packed");
    let plain = Item::medium(medium.clone(), Some("Look."));
    assert_eq!(
        preparer.prepare(&plain).expect("an image"),
        pack(Words::instruction(Some("Look.")))
    );

    let mut asked = plain.clone();
    asked.words = sightstream_jobs::data::ItemWords::Given {
        instruction: Some("Answer:".into()),
        text: Some("How many?".into()),
    };
    let words = Words::Given {
        instruction: Some("Answer:"),
        text: Some("How many?"),
    };
    assert_eq!(preparer.prepare(&asked).expect("an image"), pack(words));

    let mut around = plain;
    around.words = sightstream_jobs::data::ItemWords::Around {
        before: "See ".into(),
        after: "\nHow many?".into(),
    };
    let words = Words::Around {
        before: "See ",
        after: "\nHow many?",
    };
    let inputs = preparer
        .prepare_all(&[&around, &asked, &Item::text("red", None)])
        .expect("all");
    assert_eq!(inputs[0], pack(words));
    assert_eq!(inputs[2], text(&processor, "red"));

    let broken = Medium::Bytes {
        bytes: (*b"\x89PNG\r\n\x1a\n broken").into(),
        name: "a.parquet row 7 `image`".into(),
    };
    let message = preparer
        .prepare(&Item::medium(broken, None))
        .expect_err("broken")
        .to_string();
    assert!(message.starts_with("a.parquet row 7 `image`: corrupt: "), "{message}");
    let outside = preparer.prepare(&Item::medium(Medium::Url("/etc/hostname".into()), None));
    assert!(outside.expect_err("outside").to_string().contains("not allowed"));
}
