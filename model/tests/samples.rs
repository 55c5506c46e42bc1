//! The sample media that are long (examples/media), and what they are searched with (examples/queries): a query finds the
//! window and the page that show the same, with the demo checkpoint too.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sightstream_model::encoder::{Encoder, EncoderOptions};
use sightstream_model::fetch::{Content, Identity, MediaFile};
use sightstream_model::media::{Answer, DecodeLimits, Media, Parts, Question, Reader, Reading, Segmentation};
use sightstream_model::processor::prompt::DEFAULT_PAGE_INSTRUCTION;
use sightstream_model::reference::Fragment;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// A medium of the examples.
struct Sample {
    content: Content,
    reader: Reader,
    encoder: Arc<Encoder>,
}

impl Sample {
    fn open(encoder: &Arc<Encoder>, path: &str) -> Self {
        let file = File::open(examples().join(path)).expect(path);
        let length = file.metadata().expect(path).len();
        Self {
            content: Content::File(MediaFile {
                file: Arc::new(file),
                length,
                identity: Identity([1; 16]),
            }),
            reader: Reader::default(),
            encoder: Arc::clone(encoder),
        }
    }

    fn ask(&mut self, fragment: Option<&Fragment>, question: Question) -> Answer {
        let reading = Reading {
            media_type: None,
            fragment,
            question,
            limits: &DecodeLimits::default(),
            segmentation: &Segmentation::default(),
            name: "a sample",
        };
        let target = self.encoder.processor().target();
        let answer = self
            .reader
            .read(&self.content, &reading, &|image| target.fit_image(image));
        answer.expect("it is read")
    }

    fn vector(&mut self, fragment: Option<&Fragment>, instruction: Option<&str>) -> Vec<f32> {
        let Answer::Media(media) = self.ask(fragment, Question::Input) else {
            panic!("it has parts");
        };
        self.embed(&media, instruction)
    }

    fn embed(&self, media: &Media, instruction: Option<&str>) -> Vec<f32> {
        let input = self.encoder.processor().process(media, instruction, "a sample");
        let vectors = self.encoder.encode(&[input.expect("processed")]);
        vectors.expect("encoded").remove(0)
    }

    /// Its parts, and their vectors.
    fn parts(&mut self) -> (Parts, Vec<Vec<f32>>) {
        let Answer::Parts(parts) = self.ask(None, Question::Parts) else {
            panic!("it was asked for its parts");
        };
        let fragments: Vec<_> = parts.fragments(&Segmentation::default()).collect();
        let vectors = fragments.iter().map(|fragment| self.vector(Some(fragment), None));
        (parts, vectors.collect())
    }
}

/// The part that is nearest to a query, counted from 0, and how much nearer than the next it is.
fn nearest(parts: &[Vec<f32>], query: &[f32]) -> (usize, f32) {
    let cosine = |vector: &Vec<f32>| vector.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
    let mut ranked: Vec<_> = parts.iter().map(cosine).enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    println!("{ranked:.4?}");
    (ranked[0].0, ranked[0].1 - ranked[1].1)
}

fn demo() -> Arc<Encoder> {
    Arc::new(Encoder::load(&EncoderOptions::default()).expect("the demo checkpoint is built in"))
}

#[test]
fn a_short_film_finds_the_half_minute_that_shows_the_same() {
    let encoder = demo();
    let (parts, windows) = Sample::open(&encoder, "media/seven_places.mp4").parts();
    assert_eq!(parts, Parts::Windows { duration: 210.0 });
    assert_eq!(windows.len(), 7);
    let query = Sample::open(&encoder, "queries/snow_again.mp4").vector(None, None);
    let (window, margin) = nearest(&windows, &query);
    assert!(window == 3 && margin > 0.005, "window {window}, by {margin}");
    // So does a part of the film itself, however short.
    let fragment = Fragment::Time {
        start: 65.0,
        end: Some(70.0),
    };
    let part = Sample::open(&encoder, "media/seven_places.mp4").vector(Some(&fragment), None);
    assert_eq!(nearest(&windows, &part).0, 2);
}

#[test]
fn a_photograph_finds_the_page_that_it_shows() {
    let encoder = demo();
    let (parts, pages) = Sample::open(&encoder, "media/harbour_report.pdf").parts();
    assert_eq!(parts, Parts::Pages(5));
    let mut query = Sample::open(&encoder, "queries/photo_of_a_page.jpg");
    for instruction in [Some(DEFAULT_PAGE_INSTRUCTION), None] {
        let query = query.vector(None, instruction);
        let (page, margin) = nearest(&pages, &query);
        assert!(page == 4 && margin > 0.001, "page {}, by {margin}", page + 1);
    }
}

#[test]
fn the_short_film_is_one_clip() {
    let encoder = demo();
    let mut film = Sample::open(&encoder, "media/jumping_ball.webm");
    assert_eq!(film.ask(None, Question::Parts), Answer::Parts(Parts::Whole));
    let Answer::Media(Media::Clip(frames)) = film.ask(None, Question::Input) else {
        panic!("it is a film");
    };
    assert_eq!(frames.len(), 8);
}
