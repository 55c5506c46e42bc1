//! How many images a second the encoder alone takes, of a folder's images, and how many a core prepares for it.
//!
//!     cargo run --release --locked --workspace --example bare_encoder -- FOLDER [COUNT] [MODEL]
//!
//! With COUNT the folder is filled with so many JPEGs of 640 x 480 first, each another one. They are decoded and
//! preprocessed in one thread and then encoded in batches as the service makes them; the two are timed apart. Prints
//! `prepared a second by a core` and `encoded a second` as two numbers.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::RgbImage;
use sightstream_model::encoder::{Encoder, EncoderOptions};
use sightstream_model::media::{DecodeLimits, decode};
use sightstream_model::processor::ModelInput;
use sightstream_model::service::{ServiceOptions, input_cost};

const SIZE: (u32, u32) = (640, 480);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    if let Some(count) = arguments.next() {
        draw(&folder, count.parse()?)?;
    }
    let options = EncoderOptions {
        model: arguments.next(),
        ..EncoderOptions::default()
    };
    let encoder = Encoder::load(&options)?;
    let limits = ServiceOptions::default();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let (mut preparing, mut encoding) = (Duration::ZERO, Duration::ZERO);
    let (mut batch, mut tokens): (Vec<ModelInput>, usize) = (Vec::new(), 0);
    let mut encode = |batch: &mut Vec<ModelInput>| -> Result<(), Box<dyn Error>> {
        let started = Instant::now();
        encoder.encode(batch)?;
        encoding += started.elapsed();
        batch.clear();
        Ok(())
    };
    for file in &files {
        let started = Instant::now();
        let media = decode(
            &std::fs::read(file)?,
            None,
            &DecodeLimits::default(),
            "a file of the folder",
        )?;
        let input = encoder.processor().process(&media, None, "a file of the folder")?;
        preparing += started.elapsed();
        let cost = input_cost(&input);
        if !batch.is_empty() && (tokens + cost > limits.max_batch_tokens || batch.len() == limits.max_batch_inputs) {
            encode(&mut batch)?;
            tokens = 0;
        }
        tokens += cost;
        batch.push(input);
    }
    if !batch.is_empty() {
        encode(&mut batch)?;
    }
    let rate = |time: Duration| files.len() as f64 / time.as_secs_f64();
    println!("{:.2} {:.2}", rate(preparing), rate(encoding));
    Ok(())
}

/// Fills `folder` with pictures of which no two are alike.
fn draw(folder: &Path, count: u32) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    for number in 0..count {
        let picture = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            let wave = (f64::from(x * (number % 7 + 1)) / 60.0).sin() * (f64::from(y + number) / 45.0).cos();
            let light = (wave * 100.0 + 128.0) as u8;
            image::Rgb([light, light.wrapping_add((number * 37) as u8), ((x ^ y) & 0x3f) as u8])
        });
        picture.save(folder.join(format!("{number:05}.jpg")))?;
    }
    Ok(())
}
