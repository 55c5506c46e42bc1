//! Pages beside poppler's: nearly the same pixels, and vectors closer than any two pages have.

use std::path::Path;
use std::process::Command;

use image::RgbImage;
use sightstream_model::encoder::{Encoder, EncoderOptions};
use sightstream_model::media::Media;

use crate::kit::{Read, fixture, fixture_bytes};

const DPI: u32 = 300;

/// So close must the vectors of a page be, and no two different pages may be.
const SAME: f32 = 0.9998;

/// The same page by poppler's command.
fn by_poppler(file: &Path, page: u32) -> RgbImage {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("page");
    let page = page.to_string();
    let status = Command::new("pdftoppm")
        .args([
            "-r",
            &DPI.to_string(),
            "-f",
            &page,
            "-l",
            &page,
            "-cropbox",
            "-singlefile",
            "-png",
        ])
        .arg(file)
        .arg(&out)
        .status()
        .expect("pdftoppm runs; `scripts/setup --test` installs it (poppler-utils)");
    assert!(status.success(), "{status}");
    image::open(out.with_extension("png"))
        .expect("it has drawn the page")
        .to_rgb8()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn pages_of_real_documents_look_and_embed_as_popplers() {
    let encoder = Encoder::load(&EncoderOptions::default()).expect("the demo checkpoint is built in");
    let processor = encoder.processor();
    let vector = |image: RgbImage| {
        let input = processor.process(&Media::Page(image), None, "page").expect("processed");
        encoder.encode(&[input]).expect("encoded").remove(0)
    };
    let mut seen: Vec<(String, Vec<f32>)> = Vec::new();
    for (name, pages) in [("report.pdf", 4), ("charts.pdf", 3), ("form.pdf", 1), ("scan.pdf", 2)] {
        let mut read = Read::of(fixture_bytes(name));
        assert_eq!(read.pages(), Ok(pages), "{name}");
        for number in 1..=pages {
            let place = format!("{name} page {number}");
            let ours = read.page(number).expect("drawn");
            let theirs = by_poppler(&fixture(name), number);
            let near = |a: u32, b: u32| a.abs_diff(b) <= 1;
            assert!(
                near(ours.width(), theirs.width()) && near(ours.height(), theirs.height()),
                "{place}: {:?} and {:?}",
                ours.dimensions(),
                theirs.dimensions()
            );
            // On average over squares of pixels, as the eye sees a page and as the model will: edges are smoothed differently.
            let small = |image: &RgbImage| image::imageops::thumbnail(image, 200, 200);
            let differences = std::iter::zip(small(&ours).into_raw(), small(&theirs).into_raw())
                .map(|(a, b)| f64::from(a.abs_diff(b)))
                .sum::<f64>();
            let mean = differences / (200.0 * 200.0 * 3.0);
            let (ours, theirs) = (vector(ours), vector(theirs));
            let same = cosine(&ours, &theirs);
            println!("{place}: {mean:.2} of 255 apart, cosine {same:.5}");
            assert!(mean < 4.0, "{place}: {mean:.2} of 255 apart on average");
            assert!(same >= SAME, "{place}: cosine {same}");
            seen.push((place, ours));
        }
    }
    for (index, (name, vector)) in seen.iter().enumerate() {
        for (other, another) in &seen[..index] {
            let cosine = cosine(vector, another);
            assert!(cosine < SAME, "{name} and {other}: {cosine}");
        }
    }
}
