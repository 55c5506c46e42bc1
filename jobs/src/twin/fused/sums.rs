//! Work on the rows of a batch, shared by the cores in pieces that do not depend on their number: sums over rows come out the same
//! to the bit, whatever machine and load.

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use super::matrix::Matrix;

/// The rows of a piece.
pub const PIECE: usize = 64;

/// So many numbers of an elementwise operation go together.
pub const ELEMENTS: usize = 1 << 14;

/// Fills `output`, `width` numbers a row, piece by piece with `step(first_row, rows, partial)`, and sums up what the steps
/// leave in their `partial`, `sums` numbers each that begin as zero.
pub fn by_pieces(
    output: &mut [f32],
    width: usize,
    sums: usize,
    step: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    let partials: Vec<Vec<f32>> = output
        .par_chunks_mut(PIECE * width)
        .enumerate()
        .map(|(index, rows)| {
            let mut partial = vec![0.0; sums];
            step(index * PIECE, rows, &mut partial);
            partial
        })
        .collect();
    total(partials, sums)
}

/// The sum of a matrix's rows.
pub fn column_sums(matrix: Matrix<'_>) -> Vec<f32> {
    weighted_sums(matrix, |sum, number, _, _| *sum += number)
}

/// The sums of the products of two matrices' numbers, column by column; `other` is row-major and of the same shape.
pub fn column_products(matrix: Matrix<'_>, other: &[f32]) -> Vec<f32> {
    let columns = matrix.columns();
    weighted_sums(matrix, |sum, number, row, column| {
        *sum += number * other[row * columns + column]
    })
}

fn weighted_sums(matrix: Matrix<'_>, add: impl Fn(&mut f32, f32, usize, usize) + Sync) -> Vec<f32> {
    let pieces = (0..matrix.rows().div_ceil(PIECE)).into_par_iter();
    let partials: Vec<Vec<f32>> = pieces
        .map(|piece| {
            let mut partial = vec![0.0; matrix.columns()];
            for row in piece * PIECE..((piece + 1) * PIECE).min(matrix.rows()) {
                for (column, (sum, number)) in partial.iter_mut().zip(matrix.row(row)).enumerate() {
                    add(sum, *number, row, column);
                }
            }
            partial
        })
        .collect();
    total(partials, matrix.columns())
}

fn total(partials: Vec<Vec<f32>>, sums: usize) -> Vec<f32> {
    let mut partials = partials.into_iter();
    let mut total = partials.next().unwrap_or_else(|| vec![0.0; sums]);
    for partial in partials {
        for (sum, number) in total.iter_mut().zip(partial) {
            *sum += number;
        }
    }
    total
}
