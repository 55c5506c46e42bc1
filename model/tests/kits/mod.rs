//! The fixture kits: small random checkpoints with inputs and transformers' outputs (model/reference/make_fixtures.py).

// Each test file uses its own part of this module.
#![allow(dead_code)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use serde::Deserialize;
use sightstream_model::encoder::{DeviceChoice, DtypeChoice, Encoder, EncoderOptions};
use sightstream_model::fetch::Content;
use sightstream_model::media::{Answer, DecodeLimits, Media, Question, Reader, Reading, Segmentation, decode};
use sightstream_model::processor::{ModelInput, VisionInput, VisionKind};

/// Every kit, by the name of its directory.
pub const KITS: [&str; 3] = ["grouped", "wide_heads", "single_kv"];

/// One input of a kit.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    pub name: String,
    pub kind: Kind,
    pub text: Option<String>,
    pub image: Option<String>,
    /// A sheet of frames, one below the other …
    pub clip: Option<String>,
    /// … and how many there are.
    pub frames: Option<u32>,
    /// A video file.
    pub film: Option<String>,
    pub instruction: Option<String>,
    pub prompt: Option<String>,
}

/// What the processor makes of a case: all of a text, an image, a page, a clip or a film; of the others, whose prompts or pixels it
/// does not make, the kit's own tokens and patches stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Text,
    Image,
    Page,
    Clip,
    Film,
    Video,
    Tokens,
}

impl Case {
    /// Whether another decoder than Pillow's may give other pixels.
    pub fn is_jpeg(&self) -> bool {
        self.image.as_ref().is_some_and(|image| image.ends_with(".jpg"))
    }

    /// Whether its frames come out of another H.264 decoder than the reference's.
    pub fn is_h264(&self) -> bool {
        self.film.as_ref().is_some_and(|film| film.ends_with(".mp4"))
    }
}

/// A kit with its checkpoint loaded.
pub struct Kit {
    pub name: &'static str,
    pub encoder: Encoder,
    pub cases: Vec<Case>,
    reference: HashMap<String, Tensor>,
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub fn options(kit: &str) -> EncoderOptions {
    let model = fixtures().join(kit).to_str().expect("a UTF-8 path").to_string();
    EncoderOptions {
        model: Some(model),
        device: DeviceChoice::Cpu,
        ..EncoderOptions::default()
    }
}

/// Every kit, in f32 on the CPU.
pub fn all() -> impl Iterator<Item = Kit> {
    KITS.into_iter().map(|name| Kit::load(name, None))
}

impl Kit {
    pub fn load(name: &'static str, dtype: Option<DtypeChoice>) -> Self {
        let directory = fixtures().join(name);
        let cases = std::fs::read(directory.join("cases.json")).expect("cases.json");
        Self {
            name,
            encoder: Encoder::load(&EncoderOptions { dtype, ..options(name) }).expect("the kit's checkpoint loads"),
            cases: serde_json::from_slice(&cases).expect("valid cases"),
            reference: candle_core::safetensors::load(directory.join("reference.safetensors"), &Device::Cpu)
                .expect("reference.safetensors"),
        }
    }

    /// A part of the reference's work on a case.
    pub fn reference(&self, case: &Case, part: &str) -> Tensor {
        let name = format!("{}.{part}", case.name);
        self.reference
            .get(&name)
            .unwrap_or_else(|| panic!("{}: no {name}", self.name))
            .clone()
    }

    pub fn reference_u32(&self, case: &Case, part: &str) -> Vec<u32> {
        let values = self
            .reference(case, part)
            .flatten_all()
            .and_then(|values| values.to_vec1::<i64>());
        values
            .expect("64-bit integers")
            .into_iter()
            .map(|value| u32::try_from(value).expect("small"))
            .collect()
    }

    pub fn reference_f32(&self, case: &Case, part: &str) -> Vec<f32> {
        floats(&self.reference(case, part))
    }

    /// The case as the backbone reads it.
    pub fn input(&self, case: &Case) -> ModelInput {
        let instruction = case.instruction.as_deref();
        let process = |media: &Media| {
            self.encoder
                .processor()
                .process(media, instruction, &case.name)
                .expect("a valid input")
        };
        match case.kind {
            Kind::Text | Kind::Image | Kind::Page | Kind::Clip | Kind::Film => process(&media(case)),
            Kind::Tokens => {
                let vision = process(&media(case)).vision;
                ModelInput {
                    token_ids: self.reference_u32(case, "token_ids"),
                    vision,
                }
            }
            Kind::Video => {
                let grid = self.reference_u32(case, "grid_thw");
                let vision = VisionInput {
                    kind: VisionKind::Video,
                    patches: self.reference_f32(case, "patches"),
                    grid_thw: grid.try_into().expect("three sides"),
                };
                ModelInput {
                    token_ids: self.reference_u32(case, "token_ids"),
                    vision: Some(vision),
                }
            }
        }
    }

    pub fn inputs(&self) -> Vec<ModelInput> {
        self.cases.iter().map(|case| self.input(case)).collect()
    }
}

/// What a case is made of; a video's patches have no pixels.
pub fn media(case: &Case) -> Media {
    match (case.kind, &case.text, &case.image, &case.clip) {
        (Kind::Text, Some(text), ..) => Media::Text(text.clone()),
        (Kind::Page, _, Some(file), _) => Media::Page(image(file)),
        (Kind::Image | Kind::Tokens, _, Some(file), _) => Media::Image(image(file)),
        (Kind::Clip | Kind::Tokens, _, _, Some(file)) => Media::Clip(frames(file, case.frames.expect("a clip's"))),
        (Kind::Film, ..) => Media::Clip(film(case.film.as_deref().expect("a film"))),
        _ => panic!("{case:?} is made of nothing"),
    }
}

/// The pixels of a case's medium.
pub fn images(case: &Case) -> Vec<RgbImage> {
    match media(case) {
        Media::Text(_) => Vec::new(),
        Media::Image(image) | Media::Page(image) => vec![image],
        Media::Clip(frames) => frames,
    }
}

/// An image file, decoded.
pub fn image(file: &str) -> RgbImage {
    let bytes = std::fs::read(fixtures().join("media").join(file)).expect("readable");
    match decode(&bytes, None, &DecodeLimits::default(), file).expect("decodes") {
        Media::Image(image) => image,
        other => panic!("{file} is {other:?}"),
    }
}

/// The frames of a sheet, from the top down.
fn frames(file: &str, count: u32) -> Vec<RgbImage> {
    let sheet = image(file);
    let (width, height) = (sheet.width(), sheet.height() / count);
    (0..count)
        .map(|number| image::imageops::crop_imm(&sheet, 0, number * height, width, height).to_image())
        .collect()
}

/// The frames of a video file that stand for it.
fn film(file: &str) -> Vec<RgbImage> {
    let bytes = std::fs::read(fixtures().join("media").join(file)).expect("readable");
    let reading = Reading {
        media_type: None,
        fragment: None,
        question: Question::Input,
        limits: &DecodeLimits::default(),
        segmentation: &Segmentation::default(),
        name: file,
    };
    let answer = Reader::default().read(&Content::Memory(bytes.into()), &reading, &|frame| frame);
    match answer.expect("decodes") {
        Answer::Media(Media::Clip(frames)) => frames,
        other => panic!("{file} is {other:?}"),
    }
}

pub fn floats(tensor: &Tensor) -> Vec<f32> {
    let floats = tensor
        .to_dtype(DType::F32)
        .and_then(|t| t.flatten_all())
        .and_then(|t| t.to_vec1());
    floats.expect("a tensor of numbers")
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The largest difference, as a share of the reference's largest value.
pub fn relative_difference(ours: &[f32], reference: &[f32]) -> f32 {
    assert_eq!(ours.len(), reference.len(), "as many values");
    // `f32::max` passes over what is not a number, so it would count as no difference.
    assert!(
        ours.iter().chain(reference).all(|value| value.is_finite()),
        "finite values"
    );
    let largest = reference.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    ours.iter()
        .zip(reference)
        .fold(0f32, |most, (a, b)| most.max((a - b).abs()))
        / largest
}
