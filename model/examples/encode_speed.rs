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
    for (name, media) in [
        ("text, 4 words", Media::Text("red bicycle near water".to_string())),
        ("text, 200 words", Media::Text("red bicycle near water ".repeat(50))),
        ("image 112 x 112", Media::Image(RgbImage::from_fn(112, 112, colour))),
        ("image 336 x 336", Media::Image(RgbImage::from_fn(336, 336, colour))),
        ("image 896 x 896", Media::Image(RgbImage::from_fn(896, 896, colour))),
    ] {
        let input = encoder.processor().process(&media, None)?;
        for batch in [1, 16] {
            let inputs = vec![input.clone(); batch];
            encoder.encode(&inputs)?;
            let started = Instant::now();
            let mut encoded = 0;
            while started.elapsed() < MEASURED {
                encoded += encoder.encode(&inputs)?.len();
            }
            let rate = encoded as f64 / started.elapsed().as_secs_f64();
            println!(
                "{name:<18} {batch:>6} {:>8} {rate:>10.1} {:>10.0}",
                input.tokens(),
                rate * input.tokens() as f64
            );
        }
    }
    Ok(())
}

fn colour(x: u32, y: u32) -> image::Rgb<u8> {
    image::Rgb([(x * 7 + y) as u8, (y * 5) as u8, (x ^ y) as u8])
}
