//! How the rows of a batch are shared by the cores.

use gemm::Parallelism;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

/// With fewer rows for each core than this, the cores share the columns of each product instead: a product with few rows
/// reads its weights more often than it computes with them.
const LEAST_ROWS: usize = 16;

/// So many rows a core takes at once: enough to pay for packing the weights, and so few that what lies between the two
/// products of an MLP stays in its cache.
const MOST_ROWS: usize = 384;

/// Fills `output`, `width` numbers a row, by `step(first_row, rows, parallelism)`, whose products are to be computed with that
/// parallelism: many steps at once, each with one core, or one step with all.
pub fn by_rows(output: &mut [f32], width: usize, step: impl Fn(usize, &mut [f32], Parallelism) + Sync) {
    let threads = rayon::current_num_threads();
    let count = output.len() / width;
    if threads == 1 || count < LEAST_ROWS * threads {
        let parallelism = if threads == 1 {
            Parallelism::None
        } else {
            Parallelism::Rayon(threads)
        };
        for (index, rows) in output.chunks_mut(MOST_ROWS * width).enumerate() {
            step(index * MOST_ROWS, rows, parallelism);
        }
        return;
    }
    // As many steps as a multiple of the cores, so that all of them end at about the same time.
    let steps = count.div_ceil(MOST_ROWS).next_multiple_of(threads);
    let rows_a_step = count.div_ceil(steps);
    output
        .par_chunks_mut(rows_a_step * width)
        .enumerate()
        .for_each(|(index, rows)| step(index * rows_a_step, rows, Parallelism::None));
}
