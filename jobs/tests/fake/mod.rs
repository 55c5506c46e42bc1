//! An encoder that is small enough to train in milliseconds, and has what makes training hard to get right: it is not linear,
//! drops numbers out, and has a parameter that some inputs do not use.

// Each file of tests uses another part of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sightstream_jobs::train::checkpoint::Saved;
use sightstream_jobs::{Embed, Example, JobError, Parameter};
use sightstream_model::processor::ModelInput;

/// Token ids of the fake are below this.
pub const VOCABULARY: u32 = 32;
const WIDTH: usize = 8;
/// The token whose inputs also go through the last parameter.
pub const RARE: u32 = 31;

/// Mean of token embeddings, a layer with tanh, dropout, a second layer, unit length.
pub struct Fake {
    parameters: Vec<Parameter>,
    /// Graphs that are alive, in inputs, and the most there were.
    live: Arc<AtomicUsize>,
    pub most_live: Arc<AtomicUsize>,
    /// Inputs embedded so far.
    pub embedded: AtomicUsize,
    /// Once it is set, gradients of new graphs have no bound.
    pub poisoned: AtomicBool,
}

impl Fake {
    pub fn new(seed: u64, dtype: DType) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut matrix = |name: &str, shape: &[usize]| {
            let count = shape.iter().product();
            let numbers: Vec<f32> = (0..count).map(|_| uniform(&mut random) - 0.5).collect();
            let tensor = Tensor::from_vec(numbers, shape, &Device::Cpu)
                .expect("tensors of the CPU")
                .to_dtype(dtype)
                .expect("tensors of the CPU");
            Parameter {
                name: name.to_owned(),
                var: Var::from_tensor(&tensor).expect("tensors of the CPU"),
            }
        };
        let parameters = vec![
            matrix("embedding", &[VOCABULARY as usize, WIDTH]),
            matrix("hidden.weight", &[WIDTH, WIDTH]),
            matrix("hidden.bias", &[WIDTH]),
            matrix("output.weight", &[WIDTH, WIDTH]),
            matrix("rare.weight", &[WIDTH, WIDTH]),
        ];
        Self {
            parameters,
            live: Arc::default(),
            most_live: Arc::default(),
            embedded: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
        }
    }

    /// How many inputs' graphs are alive now.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Every weight, as bits, in the order of parameters.
    pub fn bits(&self) -> Vec<u32> {
        let numbers = |parameter: &Parameter| {
            let numbers = parameter
                .var
                .to_dtype(DType::F32)
                .expect("tensors of the CPU")
                .flatten_all()
                .expect("tensors of the CPU");
            numbers
                .to_vec1::<f32>()
                .expect("tensors of the CPU")
                .into_iter()
                .map(f32::to_bits)
        };
        self.parameters.iter().flat_map(numbers).collect()
    }
}

impl Embed for Fake {
    fn embed(&self, inputs: &[&ModelInput], dropout: Option<u64>) -> Result<Tensor, JobError> {
        self.embedded.fetch_add(inputs.len(), Ordering::SeqCst);
        let [embedding, hidden, bias, output, rare] = &self.parameters[..] else {
            unreachable!("five were made")
        };
        let mut rows = Vec::new();
        for input in inputs {
            let ids = Tensor::new(&input.token_ids[..], &Device::Cpu)?;
            let row = embedding.var.index_select(&ids, 0)?.mean_keepdim(0)?;
            let is_rare = input.token_ids.contains(&RARE);
            rows.push(if is_rare { row.matmul(&rare.var)? } else { row });
        }
        let rows = Tensor::cat(&rows, 0)?.to_dtype(DType::F32)?;
        let rows = rows.apply_op1(Counted::new(self, inputs.len()))?;
        let rows = rows
            .matmul(&hidden.var.to_dtype(DType::F32)?)?
            .broadcast_add(&bias.var.to_dtype(DType::F32)?)?
            .tanh()?;
        let rows = match dropout {
            None => rows,
            Some(seed) => {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                let mask = (0..rows.elem_count()).map(|_| {
                    if uniform(&mut random) < 0.25 {
                        0.0f32
                    } else {
                        1.0 / 0.75
                    }
                });
                let mask = Tensor::from_vec(mask.collect(), rows.shape(), &Device::Cpu)?;
                (rows * mask)?
            }
        };
        let rows = rows.matmul(&output.var.to_dtype(DType::F32)?)?;
        Ok(rows.broadcast_div(&(rows.sqr()?.sum_keepdim(1)? + 1e-12)?.sqrt()?)?)
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }
}

impl Saved for Fake {
    fn write(&self, folder: &Path) -> Result<(), JobError> {
        let tensors = self
            .parameters
            .iter()
            .map(|one| (one.name.clone(), one.var.as_detached_tensor()))
            .collect();
        candle_core::safetensors::save(&tensors, folder.join("model.safetensors"))?;
        Ok(())
    }
}

/// Examples of random tokens, each text of one to six.
pub fn examples(seed: u64, count: usize, targets: usize) -> Vec<Example> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut input = || {
        let length = 1 + random.next_u32() % 6;
        ModelInput {
            token_ids: (0..length).map(|_| random.next_u32() % VOCABULARY).collect(),
            vision: None,
        }
    };
    (0..count)
        .map(|row| {
            let query = input();
            Example::new(row as u64, query, (0..targets).map(|_| input()).collect())
        })
        .collect()
}

fn uniform(random: &mut ChaCha8Rng) -> f32 {
    (random.next_u32() >> 8) as f32 / (1u32 << 24) as f32
}

/// Its own input, and a mark in the graph that counts how many inputs' graphs are alive.
struct Counted {
    live: Arc<AtomicUsize>,
    inputs: usize,
    poisoned: bool,
}

impl Counted {
    fn new(model: &Fake, inputs: usize) -> Self {
        let now = model.live.fetch_add(inputs, Ordering::SeqCst) + inputs;
        model.most_live.fetch_max(now, Ordering::SeqCst);
        let poisoned = model.poisoned.load(Ordering::SeqCst);
        Self {
            live: model.live.clone(),
            inputs,
            poisoned,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.fetch_sub(self.inputs, Ordering::SeqCst);
    }
}

impl CustomOp1 for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (from, to) = layout
            .contiguous_offsets()
            .expect("rows that were just put together are contiguous");
        Ok((
            CpuStorage::F32(storage.as_slice::<f32>()?[from..to].to_vec()),
            layout.shape().clone(),
        ))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let factor = if self.poisoned { f64::INFINITY } else { 1.0 };
        Ok(Some(gradient.affine(factor, 0.0)?))
    }
}
