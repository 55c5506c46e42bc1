//! How many inputs a second a checkpoint encodes, once they are prepared.
//!
//!     cargo run --release -p sightstream-model --example encode_speed -- [MODEL] [DEVICE] [DTYPE]
//!
//! MODEL as in `--model` (`-`: the demo checkpoint), DEVICE and DTYPE as in the encoder's options.

use std::error::Error;
use std::time::{Duration, Instant};

use image::RgbImage;
use sightstream_model::encoder::{Encoder, EncoderOptions};
use sightstream_model::media::Media;
use sightstream_model::processor::ModelInput;

/// Each row of the table runs for about so long.
const MEASURED: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| arguments.get(index).filter(|value| *value != "-");
    let options = EncoderOptions {
        model: argument(0).cloned(),
        device: argument(1).map_or(Ok(Default::default()), |device| device.parse())?,
        dtype: argument(2).map(|dtype| dtype.parse()).transpose()?,
        ..EncoderOptions::default()
    };
    let encoder = Encoder::load(&options)?;
    println!(
        "{} ({}), {} numbers a vector",
        encoder.model_name(),
        encoder.fingerprint(),
        encoder.dimension()
    );
    println!(
        "{:<18} {:>6} {:>8} {:>10} {:>10}",
        "input", "batch", "tokens", "inputs/s", "tokens/s"
    );
    let prepare = |media: &Media| encoder.processor().process(media, None, "input");
    for (name, media) in [
        ("text, 4 words", Media::Text("red bicycle near water".to_string())),
        ("text, 200 words", Media::Text("red bicycle near water ".repeat(50))),
        ("image 112 x 112", Media::Image(RgbImage::from_fn(112, 112, colour))),
        ("image 336 x 336", Media::Image(RgbImage::from_fn(336, 336, colour))),
        ("image 896 x 896", Media::Image(RgbImage::from_fn(896, 896, colour))),
    ] {
        let input = prepare(&media)?;
        for batch in [1, 16] {
            measure(&encoder, name, &vec![input.clone(); batch])?;
        }
    }
    // Lengths that a stream brings in any order, many of them more than once. 37 and 24 have no common divisor.
    let texts = (0..128).map(|index| Media::Text("red bicycle near water ".repeat(1 + index * 37 % 24)));
    let inputs = texts.map(|text| prepare(&text)).collect::<Result<Vec<_>, _>>()?;
    measure(&encoder, "texts, 4-96 words", &inputs)?;
    Ok(())
}

/// Encodes a batch again and again, and prints a row of the table.
fn measure(encoder: &Encoder, name: &str, inputs: &[ModelInput]) -> Result<(), Box<dyn Error>> {
    encoder.encode(inputs)?;
    let started = Instant::now();
    let mut encoded = 0;
    while started.elapsed() < MEASURED {
        encoded += encoder.encode(inputs)?.len();
    }
    let rate = encoded as f64 / started.elapsed().as_secs_f64();
    let tokens = inputs.iter().map(ModelInput::tokens).sum::<usize>() as f64 / inputs.len() as f64;
    println!(
        "{name:<18} {:>6} {tokens:>8.0} {rate:>10.1} {:>10.0}",
        inputs.len(),
        rate * tokens
    );
    Ok(())
}

fn colour(x: u32, y: u32) -> image::Rgb<u8> {
    image::Rgb([(x * 7 + y) as u8, (y * 5) as u8, (x ^ y) as u8])
}
