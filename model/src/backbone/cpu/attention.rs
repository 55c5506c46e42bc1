//! Attention over packed sequences: rotary embedding, scores, softmax and the weighted sum of the values, a head and some
//! queries at a time, so that scores never leave a core's cache.

use std::cell::RefCell;

use pulp::{Arch, Simd, WithSimd, bytemuck};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::heads::{Heads, PackedHeads, Rotary, turn};
use super::softmax::exponentiate;
use super::tile::{DEPTH, FEW_ROWS, MANY_ROWS, Row, ZEROS, accumulate};

/// The most scores that a core holds at once: 1 MiB.
const MOST_SCORES: usize = 1 << 18;

/// The most blocks of queries that share the keys and values which a core has at hand.
const MOST_BLOCKS: usize = 4;

/// A sequence's place among the queries and among the keys.
#[derive(Debug, Clone, Copy)]
pub struct Sequence {
    /// Its first row of the queries.
    pub q_start: usize,
    /// How many queries it has.
    pub q_length: usize,
    /// Its first row of keys and values.
    pub k_start: usize,
    /// How many keys it has: at least one.
    pub k_length: usize,
}

/// All that attention reads.
pub struct Attention<'a> {
    /// Query heads, not turned yet.
    pub q: Heads<'a>,
    /// Key heads, not turned yet.
    pub k: Heads<'a>,
    /// Value heads.
    pub v: Heads<'a>,
    /// The queries' table.
    pub q_rotary: Rotary<'a>,
    /// The keys' table.
    pub k_rotary: Rotary<'a>,
    /// How many query heads.
    pub heads: usize,
    /// How many key and value heads, each of which serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// The width of a head: an even number up to [`Attention::WIDEST`].
    pub size: usize,
    /// Whether a query sees no later key. A sequence's queries are then its last tokens.
    pub causal: bool,
    /// Who attends to whom.
    pub sequences: &'a [Sequence],
}

/// Some queries of one head of one sequence.
struct Task<'a> {
    sequence: &'a Sequence,
    head: usize,
    /// The keys and values of the head that serves this one.
    packed: &'a PackedHeads,
    /// Counted in the sequence.
    first: usize,
    count: usize,
}

thread_local! {
    /// The queries and the scores of a core's task, kept from one to the next.
    static SCRATCH: RefCell<Vec<Row>> = const { RefCell::new(Vec::new()) };
}

impl Attention<'_> {
    /// The widest head.
    pub const WIDEST: usize = DEPTH;

    /// The attended values: a row for each query, its heads side by side.
    pub fn compute(&self) -> Vec<f32> {
        Arch::new().dispatch(self)
    }

    fn compute_in_blocks_of<S: Simd, const ROWS: usize>(&self, simd: S) -> Vec<f32> {
        let served = self.heads / self.kv_heads;
        let pack = |index: usize| {
            let sequence = &self.sequences[index / self.kv_heads];
            let head = index % self.kv_heads;
            PackedHeads::pack(simd, self, sequence, head)
        };
        let packed: Vec<_> = (0..self.sequences.len() * self.kv_heads)
            .into_par_iter()
            .map(pack)
            .collect();
        let mut tasks = Vec::new();
        for (sequence, packed) in self.sequences.iter().zip(packed.chunks(self.kv_heads)) {
            let blocks = (MOST_SCORES / (sequence.k_length * ROWS)).clamp(1, MOST_BLOCKS);
            for head in 0..self.heads {
                let packed = &packed[head / served];
                for first in (0..sequence.q_length).step_by(blocks * ROWS) {
                    let count = (blocks * ROWS).min(sequence.q_length - first);
                    tasks.push(Task {
                        sequence,
                        head,
                        packed,
                        first,
                        count,
                    });
                }
            }
        }
        let queries: usize = self.sequences.iter().map(|sequence| sequence.q_length).sum();
        let mut output = vec![0.0; queries * self.heads * self.size];
        let target = Target(output.as_mut_ptr(), output.len());
        tasks.into_par_iter().for_each(|task| {
            SCRATCH.with_borrow_mut(|scratch| {
                simd.vectorize(Attend::<ROWS> {
                    attention: self,
                    task,
                    scratch,
                    target: &target,
                });
            });
        });
        output
    }
}

impl WithSimd for &Attention<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        if S::REGISTER_COUNT >= 32 {
            self.compute_in_blocks_of::<S, MANY_ROWS>(simd)
        } else {
            self.compute_in_blocks_of::<S, FEW_ROWS>(simd)
        }
    }
}

/// One task, in blocks of `ROWS` queries.
struct Attend<'a, const ROWS: usize> {
    attention: &'a Attention<'a>,
    task: Task<'a>,
    scratch: &'a mut Vec<Row>,
    target: &'a Target,
}

impl<const ROWS: usize> WithSimd for Attend<'_, ROWS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            attention,
            task,
            scratch,
            target,
        } = self;
        let Task {
            sequence,
            head,
            packed,
            first,
            count,
        } = task;
        let size = attention.size;
        let seen_by = |query: usize| match attention.causal {
            true => sequence.k_length - sequence.q_length + query + 1,
            false => sequence.k_length,
        };
        let seen = seen_by(first + count - 1);
        let blocks = count.div_ceil(ROWS);
        // The queries of all blocks, and behind them for each block the scores, `DEPTH` keys and then the next.
        let deep = seen.div_ceil(DEPTH);
        scratch.resize(blocks * ROWS * (1 + deep), ZEROS);
        let (queries, scores) = scratch.split_at_mut(blocks * ROWS);
        let scale = 1.0 / (size as f32).sqrt();
        for (query, turned) in (first..first + count).zip(queries.iter_mut()) {
            let row = sequence.q_start + query;
            turn(
                &mut turned[..size],
                attention.q.head(row, head, size),
                attention.q_rotary,
                row,
                scale,
            );
        }
        let width = 2 * S::F32_LANES;
        for (panel, first_key) in packed.key_panels::<S>(size).zip((0..seen).step_by(width)) {
            let (depth_block, column) = (first_key / DEPTH, first_key % DEPTH);
            for (block, queries) in queries.chunks_exact(ROWS).enumerate() {
                let mut sums = [[simd.splat_f32s(0.0); 2]; ROWS];
                accumulate(simd, &mut sums, queries, panel);
                let rows = &mut scores[(block * deep + depth_block) * ROWS..][..ROWS];
                for (row, sums) in rows.iter_mut().zip(&sums) {
                    row[column..column + width].copy_from_slice(bytemuck::cast_slice(sums));
                }
            }
        }
        let mut shares = [0.0; MOST_BLOCKS * MANY_ROWS];
        for (query, share) in shares.iter_mut().enumerate().take(count) {
            let rows = &mut scores[query / ROWS * deep * ROWS + query % ROWS..];
            *share = 1.0 / exponentiate(simd, rows, ROWS, seen_by(first + query), seen);
        }
        let write = |query: usize, column: usize, sums: &[f32]| {
            let query = sequence.q_start + first + query;
            let numbers = &sums[..sums.len().min(size - column)];
            // SAFETY: no two tasks have the same query and head, and so no two write to the same numbers.
            unsafe { target.write((query * attention.heads + head) * size + column, numbers) };
        };
        for (column, panel) in packed.value_panels::<S>(size, sequence.k_length) {
            for block in 0..blocks {
                let scores = &scores[block * deep * ROWS..][..deep * ROWS];
                let shares = &shares[block * ROWS..][..ROWS];
                match panel {
                    Panel::Two(panel) => {
                        let sums = weighted::<S, ROWS, 2>(simd, scores, &panel[..2 * seen], shares);
                        for (query, sums) in (block * ROWS..count).zip(&sums) {
                            write(query, column, bytemuck::cast_slice(sums));
                        }
                    }
                    Panel::One(panel) => {
                        let sums = weighted::<S, ROWS, 1>(simd, scores, &panel[..seen], shares);
                        for (query, sums) in (block * ROWS..count).zip(&sums) {
                            write(query, column, bytemuck::cast_slice(sums));
                        }
                    }
                }
            }
        }
    }
}

/// Some columns of the values, two registers wide, or one where no more are left.
#[derive(Clone, Copy)]
pub enum Panel<'a, T> {
    /// Two.
    Two(&'a [T]),
    /// One.
    One(&'a [T]),
}

/// The values of a panel's columns, each weighted by a row's scores, times the row's share.
#[inline(always)]
fn weighted<S: Simd, const ROWS: usize, const WIDTH: usize>(
    simd: S,
    scores: &[Row],
    panel: &[S::f32s],
    shares: &[f32],
) -> [[S::f32s; WIDTH]; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); WIDTH]; ROWS];
    for (scores, panel) in scores.chunks_exact(ROWS).zip(panel.chunks(DEPTH * WIDTH)) {
        accumulate(simd, &mut sums, scores, panel);
    }
    for (sums, share) in sums.iter_mut().zip(shares) {
        let share = simd.splat_f32s(*share);
        for sum in sums {
            *sum = simd.mul_f32s(*sum, share);
        }
    }
    sums
}

/// The output that tasks share, each writing numbers of its own.
struct Target(*mut f32, usize);

// SAFETY: `write` is all that the pointer is used for, and its callers promise to write to different places.
unsafe impl Sync for Target {}

impl Target {
    /// # Safety
    /// Nobody else reads or writes these numbers meanwhile, and the output outlives the call.
    #[inline(always)]
    unsafe fn write(&self, start: usize, numbers: &[f32]) {
        assert!(start + numbers.len() <= self.1, "inside the output");
        // SAFETY: the place is inside the output, as was just seen, and nobody else's, as the caller promises.
        unsafe { std::ptr::copy_nonoverlapping(numbers.as_ptr(), self.0.add(start), numbers.len()) };
    }
}
