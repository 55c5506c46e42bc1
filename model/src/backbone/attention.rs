//! Attention over packed sequences: many of different lengths one after the other, no padding, none sees another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use candle_core::{DType, Device, Result, Tensor};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

/// How many scores are held at once: longer sequences' queries come in several blocks, and so many short sequences of one
/// length go together. Every core of a CPU may hold as many; a GPU wants large products.
fn max_scores(device: &Device) -> usize {
    if device.is_cpu() { 1 << 22 } else { 1 << 26 }
}

/// Sequences in a packed tensor, by their lengths.
#[derive(Debug, Clone)]
pub struct Segments {
    lengths: Vec<usize>,
}

impl Segments {
    /// Sequences of these lengths, in this order.
    pub fn new(lengths: Vec<usize>) -> Self {
        Self { lengths }
    }

    /// The sequences' lengths.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// How many tokens all have together.
    pub fn total(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// The row of each sequence's last token.
    pub fn last_rows(&self) -> Vec<u32> {
        let ends = self.lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        ends.map(|end: usize| end.saturating_sub(1) as u32).collect()
    }
}

/// Which tokens of packed sequences attend to which. Made once for a batch, and shared by all layers of a tower.
#[derive(Debug, Clone)]
pub struct Pattern {
    runs: Vec<Run>,
}

impl Pattern {
    /// The products that it takes, in the order of the rows.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Each sequence of `queries` attends to the sequence of `keys` at its place, with `heads` query heads. With `causal`, a
    /// query sees no later key; a sequence may have fewer queries than keys, which are then its last ones.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(queries: &Segments, keys: &Segments, heads: usize, causal: bool, device: &Device) -> Result<Self> {
        let mut runs = runs(queries, keys, max_scores(device) / heads);
        if causal {
            let mut masks = HashMap::new();
            for run in &mut runs {
                let mask = match masks.entry((run.q_length, run.k_length, run.block)) {
                    Entry::Occupied(made) => made.into_mut(),
                    Entry::Vacant(place) => place.insert(CausalMask::new(run, device)?),
                };
                run.mask = mask.clone();
            }
        }
        Ok(Self { runs })
    }
}

/// Scaled dot-product attention of packed sequences.
///
/// `q` is (queries, heads, head_dim), `k` and `v` are (keys, kv_heads, head_dim), each of their heads serving
/// `heads / kv_heads` query heads; the result has the shape of `q`.
///
/// # Errors
/// If the shapes do not go together, or the device fails.
pub fn packed_attention(q: &Tensor, k: &Tensor, v: &Tensor, pattern: &Pattern) -> Result<Tensor> {
    let attend = |run: &Run| -> Result<Tensor> {
        // (count * length, heads, head_dim) -> (count, heads, length, head_dim)
        let split = |x: &Tensor, start: usize, length: usize| {
            let (_, heads, size) = x.dims3()?;
            let x = x
                .narrow(0, start, run.count * length)?
                .reshape((run.count, length, heads, size))?;
            x.transpose(1, 2)?.contiguous()
        };
        let output = run_attention(
            &split(q, run.q_start, run.q_length)?,
            &split(k, run.k_start, run.k_length)?,
            &split(v, run.k_start, run.k_length)?,
            run,
        )?;
        let (_, heads, _, size) = output.dims4()?;
        output.transpose(1, 2)?.reshape((run.count * run.q_length, heads, size))
    };
    // On the CPU, runs share the cores: one alone keeps them busy only if it is long.
    let outputs: Vec<Tensor> = if q.device().is_cpu() {
        pattern.runs.par_iter().map(attend).collect::<Result<_>>()?
    } else {
        pattern.runs.iter().map(attend).collect::<Result<_>>()?
    };
    Tensor::cat(&outputs, 0)
}

/// Neighbouring sequences of the same lengths: one product does for all of them.
#[derive(Debug, Clone)]
pub struct Run {
    /// How many sequences.
    pub count: usize,
    /// The first one's first query, as a row of all queries.
    pub q_start: usize,
    /// How many queries each has.
    pub q_length: usize,
    /// The first one's first key, as a row of all keys.
    pub k_start: usize,
    /// How many keys each has.
    pub k_length: usize,
    /// How many queries of each sequence go together.
    pub block: usize,
    /// `None` where every query sees every key.
    mask: Option<CausalMask>,
}

impl Run {
    /// What is added to the scores of `rows` queries from `start` on, (rows, keys): 0 where a query may look, minus infinity
    /// after it. `None` where every query sees every key.
    ///
    /// # Errors
    /// If the device fails.
    pub fn mask(&self, start: usize, rows: usize) -> Result<Option<Tensor>> {
        self.mask.as_ref().map(|mask| mask.block(start, rows)).transpose()
    }
}

/// The runs of a packed batch, each with at most `max_scores` pairs of a query and a key, or one sequence long, whose
/// queries then come in blocks.
fn runs(queries: &Segments, keys: &Segments, max_scores: usize) -> Vec<Run> {
    let lengths: Vec<_> = queries
        .lengths
        .iter()
        .copied()
        .zip(keys.lengths.iter().copied())
        .collect();
    let (mut q_start, mut k_start) = (0, 0);
    let mut runs = Vec::new();
    for equal in lengths.chunk_by(|a, b| a == b) {
        let (q_length, k_length) = equal[0];
        let most = (max_scores / (q_length * k_length).max(1)).max(1);
        for part in equal.chunks(most) {
            runs.push(Run {
                count: part.len(),
                q_start,
                q_length,
                k_start,
                k_length,
                block: (max_scores / (part.len() * k_length).max(1)).clamp(1, q_length.max(1)),
                mask: None,
            });
            q_start += part.len() * q_length;
            k_start += part.len() * k_length;
        }
    }
    runs
}

/// `q` (count, heads, queries, head_dim), `k` and `v` (count, kv_heads, keys, head_dim).
fn run_attention(q: &Tensor, k: &Tensor, v: &Tensor, run: &Run) -> Result<Tensor> {
    let (count, heads, q_length, size) = q.dims4()?;
    let (_, kv_heads, k_length, _) = k.dims4()?;
    let groups = heads / kv_heads;
    let scale = 1.0 / (size as f64).sqrt();
    let keys = k.transpose(2, 3)?.contiguous()?;
    let mut outputs = Vec::new();
    for start in (0..q_length).step_by(run.block) {
        let rows = run.block.min(q_length - start);
        // All query heads of a key-value head in one product: (count, kv_heads, groups * rows, head_dim).
        let q = q
            .narrow(2, start, rows)?
            .reshape((count, kv_heads, groups, rows, size))?
            .reshape((count, kv_heads, groups * rows, size))?;
        let mut scores = (q.matmul(&keys)?.to_dtype(DType::F32)? * scale)?;
        if let Some(mask) = run.mask(start, rows)? {
            scores = scores
                .reshape((count, kv_heads, groups, rows, k_length))?
                .broadcast_add(&mask)?
                .reshape((count, kv_heads, groups * rows, k_length))?;
        }
        let weights = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?;
        // (count, kv_heads, groups * rows, head_dim) -> (count, heads, rows, head_dim)
        outputs.push(weights.matmul(v)?.reshape((count, heads, rows, size))?);
    }
    Tensor::cat(&outputs, 2)
}

/// What hides later keys from the queries of a run: 0 where a query may look, minus infinity after it.
///
/// From one query to the next a mask moves by one key, so one that is wider than the keys holds those of all blocks, in the
/// memory of two.
#[derive(Debug, Clone)]
struct CausalMask {
    /// (block, keys + the last block's start): row i is 0 up to the place `last_start + first_key + i`.
    wide: Tensor,
    keys: usize,
    last_start: usize,
}

impl CausalMask {
    /// `None` where each query stands at the last key and sees them all.
    fn new(run: &Run, device: &Device) -> Result<Option<Self>> {
        let (keys, block) = (run.k_length, run.block);
        if run.q_length <= 1 {
            return Ok(None);
        }
        let first_key = keys - run.q_length;
        let last_start = (run.q_length - 1) / block * block;
        let first_place = last_start + first_key;
        let places = Tensor::arange(first_place as u32, (first_place + block) as u32, device)?.unsqueeze(1)?;
        let is_later = Tensor::arange(0, (last_start + keys) as u32, device)?
            .unsqueeze(0)?
            .broadcast_gt(&places)?;
        let hidden = Tensor::full(f32::NEG_INFINITY, is_later.shape(), device)?;
        let wide = is_later.where_cond(&hidden, &hidden.zeros_like()?)?;
        Ok(Some(Self { wide, keys, last_start }))
    }

    /// (rows, keys): the mask of the queries from `start` on.
    fn block(&self, start: usize, rows: usize) -> Result<Tensor> {
        let columns = self.wide.narrow(1, self.last_start - start, self.keys)?;
        columns.narrow(0, 0, rows)?.contiguous()
    }
}

#[cfg(test)]
mod tests {
    use candle_nn::attention::flash_attn_varlen_cpu;

    use super::*;

    fn random(shape: (usize, usize, usize)) -> Tensor {
        Tensor::randn(0f32, 1f32, shape, &Device::Cpu).expect("made")
    }

    fn attention((q, k, v): (&Tensor, &Tensor, &Tensor), queries: &Segments, keys: &Segments, causal: bool) -> Tensor {
        let heads = q.dim(1).expect("three dimensions");
        let pattern = Pattern::new(queries, keys, heads, causal, &Device::Cpu).expect("made");
        packed_attention(q, k, v, &pattern).expect("computed")
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        let difference = (a - b)
            .and_then(|d| d.abs())
            .and_then(|d| d.flatten_all())
            .and_then(|d| d.max(0));
        difference.and_then(|d| d.to_scalar()).expect("same shapes")
    }

    /// candle-nn's fused attention is another way to the same numbers. (It is exact too, and several times slower.)
    #[test]
    fn any_lengths_groups_and_causality_give_what_the_fused_form_gives() {
        let keys = Segments::new(vec![3, 3, 7, 1, 12]);
        let lengths = |segments: &Segments| {
            let lengths: Vec<u32> = segments.lengths().iter().map(|&length| length as u32).collect();
            Tensor::new(lengths, &Device::Cpu).expect("made")
        };
        for (heads, kv_heads, size) in [(4, 2, 16), (3, 1, 28), (2, 2, 80)] {
            for queries in [keys.clone(), Segments::new(vec![1; 5])] {
                for causal in [true, false] {
                    let q = random((queries.total(), heads, size));
                    let (k, v) = (
                        random((keys.total(), kv_heads, size)),
                        random((keys.total(), kv_heads, size)),
                    );
                    let ours = attention((&q, &k, &v), &queries, &keys, causal);
                    let (q_lengths, k_lengths) = (lengths(&queries), lengths(&keys));
                    let scale = 1.0 / (size as f32).sqrt();
                    let fused = flash_attn_varlen_cpu(
                        &q, &k, &v, None, &q_lengths, &k_lengths, 12, 12, scale, causal, None, None,
                    );
                    let difference = largest_difference(&ours, &fused.expect("computed"));
                    assert!(difference < 1e-5, "{heads} {kv_heads} {size} {causal}: {difference}");
                }
            }
        }
    }

    #[test]
    fn queries_that_come_in_blocks_give_what_they_give_at_once() {
        // 8 heads over 2100 keys: 4.2 million scores for 250 queries, so 2100 queries come in nine blocks.
        let (keys, tail) = (Segments::new(vec![2100]), Segments::new(vec![5]));
        let (q, k, v) = (random((2100, 8, 4)), random((2100, 8, 4)), random((2100, 8, 4)));
        let all = attention((&q, &k, &v), &keys, &keys, true);
        let last = q.narrow(0, 2095, 5).expect("in range");
        let last = attention((&last, &k, &v), &tail, &keys, true);
        let difference = largest_difference(&all.narrow(0, 2095, 5).expect("in range"), &last);
        assert!(difference < 1e-5, "{difference}");
    }

    #[test]
    fn equal_neighbours_run_together_up_to_the_limit() {
        let segments = Segments::new(vec![4, 4, 9, 2048, 2048]);
        let runs = runs(&segments, &segments, 2048 * 2048);
        let counts: Vec<_> = runs.iter().map(|run| (run.count, run.q_start, run.k_length)).collect();
        assert_eq!(counts, [(2, 0, 4), (1, 8, 9), (1, 17, 2048), (1, 2065, 2048)]);
    }

    #[test]
    fn sequences_of_one_length_share_a_mask_even_in_several_runs() {
        let segments = Segments::new(vec![2048, 2048, 4, 2048, 1]);
        let pattern = Pattern::new(&segments, &segments, 1, true, &Device::Cpu).expect("made");
        let mask = |run: usize| pattern.runs[run].mask.as_ref().map(|mask| mask.wide.id());
        assert_eq!(pattern.runs.len(), 5);
        assert!(mask(0).is_some() && mask(0) == mask(1) && mask(0) == mask(3));
        assert_ne!(mask(0), mask(2));
        assert_eq!(mask(4), None, "a query at the last key sees them all");
    }

    #[test]
    fn each_block_of_a_mask_hides_what_comes_after_its_queries() {
        let run = Run {
            block: 2,
            ..runs(&Segments::new(vec![5]), &Segments::new(vec![6]), 30).remove(0)
        };
        let mask = CausalMask::new(&run, &Device::Cpu).expect("made").expect("causal");
        for (start, rows) in [(0, 2), (2, 2), (4, 1)] {
            let block = mask.block(start, rows).and_then(|block| block.to_vec2::<f32>());
            for (row, values) in (start..).zip(block.expect("in range")) {
                let seen: Vec<_> = values.iter().map(|value| *value == 0.0).collect();
                let expected: Vec<_> = (0..6).map(|key| key <= row + 1).collect();
                assert_eq!(seen, expected, "query {row}");
            }
        }
    }

    #[test]
    fn the_last_rows_end_each_sequence() {
        assert_eq!(Segments::new(vec![3, 1, 2]).last_rows(), [2, 3, 5]);
    }
}
