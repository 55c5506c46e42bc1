//! Products of matrices with any strides, by the `gemm` crate.

use gemm::{Parallelism, gemm};
use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSliceMut;

use super::sums::PIECE;

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// All of the slice, row-major.
    ///
    /// # Panics
    /// If it does not hold whole rows.
    pub fn new(numbers: &'a [f32], columns: usize) -> Self {
        assert!(numbers.len().is_multiple_of(columns), "whole rows");
        Self::strided(numbers, numbers.len() / columns, columns, columns)
    }

    /// `rows` rows of `columns` numbers, `stride` from one row to the next.
    ///
    /// # Panics
    /// If the slice ends before the last row does.
    pub fn strided(numbers: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(
            fits(numbers.len(), rows, columns, stride),
            "the matrix is longer than its numbers"
        );
        Self {
            numbers,
            rows,
            columns,
            row_stride: stride,
            column_stride: 1,
        }
    }

    /// Its columns as rows.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Its first rows.
    ///
    /// # Panics
    /// If it has fewer.
    pub fn first_rows(self, rows: usize) -> Self {
        assert!(rows <= self.rows, "rows that it has");
        Self { rows, ..self }
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns it has.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One of its rows.
    ///
    /// # Panics
    /// If it is the columns of another one.
    pub fn row(&self, row: usize) -> &'a [f32] {
        assert_eq!(self.column_stride, 1, "rows that lie in one piece");
        &self.numbers[row * self.row_stride..][..self.columns]
    }
}

/// A matrix to write to: rows of numbers that lie in one piece.
pub struct MatrixMut<'a> {
    numbers: &'a mut [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// All of the slice, row-major.
    ///
    /// # Panics
    /// If it does not hold whole rows.
    pub fn new(numbers: &'a mut [f32], columns: usize) -> Self {
        assert!(numbers.len().is_multiple_of(columns), "whole rows");
        let rows = numbers.len() / columns;
        Self::strided(numbers, rows, columns, columns)
    }

    /// `rows` rows of `columns` numbers, `stride` from one row to the next.
    ///
    /// # Panics
    /// If the slice ends before the last row does.
    pub fn strided(numbers: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(
            fits(numbers.len(), rows, columns, stride),
            "the matrix is longer than its numbers"
        );
        Self {
            numbers,
            rows,
            columns,
            stride,
        }
    }

    /// The same one, for a shorter time.
    pub fn again(&mut self) -> MatrixMut<'_> {
        MatrixMut {
            numbers: &mut *self.numbers,
            rows: self.rows,
            columns: self.columns,
            stride: self.stride,
        }
    }

    /// Fills every row with `bias`, or with zeros without one; with `add`, adds it instead.
    pub fn begin(&mut self, add: bool, bias: Option<&[f32]>) {
        let columns = self.columns;
        let whole = (self.rows * self.stride).min(self.numbers.len());
        let pieces = self.numbers[..whole].par_chunks_mut(PIECE * self.stride);
        pieces.for_each(|rows| {
            for row in rows.chunks_mut(self.stride) {
                match (bias, add) {
                    (Some(bias), false) => row[..columns].copy_from_slice(bias),
                    (Some(bias), true) => row.iter_mut().zip(bias).for_each(|(number, bias)| *number += bias),
                    (None, false) => row[..columns].fill(0.0),
                    (None, true) => {}
                }
            }
        });
    }

    /// Its rows.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let columns = self.columns;
        self.numbers
            .chunks_mut(self.stride)
            .take(self.rows)
            .map(move |row| &mut row[..columns])
    }
}

fn fits(length: usize, rows: usize, columns: usize, stride: usize) -> bool {
    columns <= stride && (rows == 0 || (rows - 1) * stride + columns <= length)
}

/// Writes `scale · left · right` to `output`, or with `add` adds it.
///
/// # Panics
/// If the shapes do not go together.
pub fn multiply(output: MatrixMut<'_>, add: bool, scale: f32, left: Matrix<'_>, right: Matrix<'_>, cores: Parallelism) {
    let (rows, depth, columns) = (left.rows, left.columns, right.columns);
    assert!(
        depth == right.rows && output.rows == rows && output.columns == columns,
        "shapes that do not go together"
    );
    // SAFETY: the constructors saw that every element of the factors and of the output, by their strides, lies inside its slice
    // (turning a factor swaps both its sizes and its strides); the output is borrowed for writing, so that it overlaps neither.
    unsafe {
        gemm(
            rows,
            columns,
            depth,
            output.numbers.as_mut_ptr(),
            1,
            output.stride as isize,
            add,
            left.numbers.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.numbers.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            cores,
        );
    }
}

/// All cores, for a product outside of work that is shared already.
pub fn all_cores() -> Parallelism {
    match rayon::current_num_threads() {
        1 => Parallelism::None,
        threads => Parallelism::Rayon(threads),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_turns_scales_and_sums_are_followed() {
        // [[1, 2], [3, 4], [5, 6]], three numbers a row.
        let numbers = [1.0, 2.0, 9.0, 3.0, 4.0, 9.0, 5.0, 6.0];
        let a = Matrix::strided(&numbers, 3, 2, 3);
        let mut output = [1.0, 1.0, 7.0, 1.0, 1.0];
        multiply(
            MatrixMut::strided(&mut output, 2, 2, 3),
            true,
            2.0,
            a.t(),
            a,
            Parallelism::None,
        );
        assert_eq!(output, [71.0, 89.0, 7.0, 89.0, 113.0]);
        multiply(
            MatrixMut::strided(&mut output, 2, 2, 3),
            false,
            1.0,
            a.t(),
            a,
            Parallelism::None,
        );
        assert_eq!(output, [35.0, 44.0, 7.0, 44.0, 56.0]);
    }
}
