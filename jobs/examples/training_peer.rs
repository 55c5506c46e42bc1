//! This side of jobs/reference/bench_training.py, which compares it with PyTorch: a training step for each line on its input,
//! and a line of JSON with its loss, its seconds by the clock and of the processor, and the most memory that this process has held.
//!
//!     training_peer MODEL EXAMPLES CHUNK TEMPERATURE LEARNING_RATE WEIGHT_DECAY LARGEST_NORM
//!
//! MODEL is a checkpoint's folder, EXAMPLES a pairs file (JSON lines) of images and texts, CHUNK what GradCache takes of queries
//! and of targets at once (0: all).

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use candle_core::{DType, Device};
use serde::Deserialize;
use serde_json::json;
use sightstream_jobs::example::Example;
use sightstream_jobs::objective::{GradCache, InfoNce};
use sightstream_jobs::optimiser::{AdamW, AdamWOptions};
use sightstream_jobs::twin::{Trainable, Twin};
use sightstream_jobs::{Embed, JobError};
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::media::{self, DecodeLimits, Media};
use sightstream_model::processor::{ModelInput, Processor, ProcessorOverrides};

#[derive(Deserialize)]
struct Row {
    query: Item,
    positive: Item,
    negatives: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    url: Option<String>,
    text: Option<String>,
    instruction: Option<String>,
}

struct Step {
    twin: Twin,
    batch: Vec<Example>,
    grad_cache: GradCache,
    objective: InfoNce,
    optimiser: AdamW,
    learning_rate: f64,
    largest_norm: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, examples, chunk, numbers @ ..] = &arguments[..] else {
        return Err("training_peer MODEL EXAMPLES CHUNK TEMPERATURE LEARNING_RATE WEIGHT_DECAY LARGEST_NORM".into());
    };
    let numbers: Vec<f64> = numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
    let [temperature, learning_rate, weight_decay, largest_norm] = numbers[..] else {
        return Err("four numbers follow CHUNK".into());
    };
    let files = CheckpointFiles::locate(Some(model))?;
    let processor = Processor::load(&files, &ProcessorOverrides::default())?;
    let batch = read(&processor, examples)?;
    let twin = Twin::load(&files, &Trainable::All, DType::F32, &Device::Cpu)?;
    let options = AdamWOptions {
        weight_decay,
        ..AdamWOptions::default()
    };
    let chunk = Some(chunk.parse()?).filter(|&chunk| chunk > 0);
    let mut step = Step {
        optimiser: AdamW::new(twin.parameters(), options)?,
        twin,
        batch,
        grad_cache: GradCache {
            query_chunk: chunk,
            target_chunk: chunk,
        },
        objective: InfoNce {
            temperature,
            symmetric: false,
            mask_duplicates: false,
        },
        learning_rate,
        largest_norm,
    };
    for line in std::io::stdin().lock().lines() {
        line?;
        let (started, processor) = (Instant::now(), processor_seconds()?);
        let loss = step.run()?;
        let answer = json!({
            "loss": loss,
            "seconds": started.elapsed().as_secs_f64(),
            "processor_seconds": processor_seconds()? - processor,
            "peak_mib": peak_mib()?,
        });
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

impl Step {
    fn run(&mut self) -> Result<f32, JobError> {
        let mut outcome = self
            .grad_cache
            .gradients(&self.twin, &self.batch, &self.objective, None)?;
        outcome.gradients.clip(self.largest_norm)?;
        self.optimiser.step(&outcome.gradients, self.learning_rate)?;
        Ok(outcome.loss)
    }
}

fn read(processor: &Processor, file: &str) -> Result<Vec<Example>, Box<dyn Error>> {
    let text = std::fs::read_to_string(file)?;
    let rows = text.lines().zip(0..).map(|(line, row)| {
        let Row {
            query,
            positive,
            negatives,
        } = serde_json::from_str(line)?;
        let targets = std::iter::once(&positive).chain(&negatives);
        let targets: Result<_, _> = targets.map(|target| prepare(processor, target)).collect();
        Ok(Example::new(row, prepare(processor, &query)?, targets?))
    });
    rows.collect()
}

fn prepare(processor: &Processor, item: &Item) -> Result<ModelInput, Box<dyn Error>> {
    let (media, name) = match &item.url {
        Some(file) => {
            let bytes = std::fs::read(file)?;
            let media = media::decode(&bytes, None, &DecodeLimits::default(), file)?.whole(None, file)?;
            (media, file.as_str())
        }
        None => (Media::Text(item.text.clone().unwrap_or_default()), "text"),
    };
    Ok(processor.process(&media, item.instruction.as_deref(), name)?)
}

/// The processor's time that this process has had, to a hundredth of a second.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in parentheses, may hold spaces. Behind it the times are the 12th and 13th field.
    let (_, fields) = stat.rsplit_once(')').ok_or("no times in /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

fn peak_mib() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .ok_or("no VmHWM")?
        .parse()?;
    Ok(kib / 1024.0)
}
