//! This side of model/reference/bench.py, which compares it with transformers: does what a line on its input asks for, and
//! answers with a line that says how long it took.
//!
//!     peer MODEL [DEVICE] [DTYPE]
//!
//! MODEL as in `--model` (`-`: the demo checkpoint), DEVICE and DTYPE as in the encoder's options. A line is JSON:
//! `{"prepare": [{"text": …} or {"image": FILE}, …]}` makes a batch, `{"encode": 0}` encodes the first one that was made,
//! `{"vectors": 0}` gives its vectors, and `{"patches": FILE}` reads a JPEG's bytes and makes patches of them.

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};
use sightstream_model::encoder::{Encoder, EncoderOptions};
use sightstream_model::media::{self, DecodeLimits, Media};
use sightstream_model::processor::ModelInput;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Command {
    Prepare(Vec<Input>),
    Encode(usize),
    Vectors(usize),
    Patches(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Input {
    Text(String),
    Image(String),
}

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
    let mut batches = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&encoder, &mut batches, serde_json::from_str(&line?)?)?;
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn answer(encoder: &Encoder, batches: &mut Vec<Vec<ModelInput>>, command: Command) -> Result<Value, Box<dyn Error>> {
    match command {
        Command::Prepare(inputs) => {
            let inputs: Vec<_> = inputs
                .iter()
                .map(|input| prepare(encoder, input))
                .collect::<Result<_, _>>()?;
            let tokens: usize = inputs.iter().map(ModelInput::tokens).sum();
            batches.push(inputs);
            Ok(json!({ "tokens": tokens }))
        }
        Command::Encode(batch) => {
            let started = Instant::now();
            encoder.encode(&batches[batch])?;
            Ok(json!({ "seconds": started.elapsed().as_secs_f64() }))
        }
        Command::Vectors(batch) => Ok(json!({ "vectors": encoder.encode(&batches[batch])? })),
        Command::Patches(file) => {
            let bytes = std::fs::read(&file)?;
            let started = Instant::now();
            let input = patches(encoder, &bytes, &file)?;
            let seconds = started.elapsed().as_secs_f64();
            let vision = input.vision.ok_or("an image has pixels")?;
            let sum: f64 = vision.patches.iter().copied().map(f64::from).sum();
            Ok(json!({ "seconds": seconds, "grid": vision.grid_thw, "mean": sum / vision.patches.len() as f64 }))
        }
    }
}

fn prepare(encoder: &Encoder, input: &Input) -> Result<ModelInput, Box<dyn Error>> {
    match input {
        Input::Text(text) => Ok(encoder.processor().process(&Media::Text(text.clone()), None, "text")?),
        Input::Image(file) => patches(encoder, &std::fs::read(file)?, file),
    }
}

fn patches(encoder: &Encoder, bytes: &[u8], name: &str) -> Result<ModelInput, Box<dyn Error>> {
    let media = media::decode(bytes, None, &DecodeLimits::default(), name)?.whole(None, name)?;
    Ok(encoder.processor().process(&media, None, name)?)
}
