//! Products of matrices, by the `gemm` crate.

use gemm::{Parallelism, gemm};

/// A row-major matrix inside a slice: `rows` rows of `columns` numbers, `stride` from one row to the next.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> Matrix<'a> {
    /// # Panics
    /// If the slice ends before the last row does.
    pub fn new(numbers: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(
            rows == 0 || (rows - 1) * stride + columns <= numbers.len(),
            "the matrix is longer than its numbers"
        );
        Self {
            numbers,
            rows,
            columns,
            stride,
        }
    }
}

/// Adds `left · right` to `output`, whose rows lie one after the other; with `fresh`, what it held does not matter.
///
/// # Panics
/// If the shapes do not go together.
pub fn multiply(output: &mut [f32], fresh: bool, left: Matrix<'_>, right: Matrix<'_>, parallelism: Parallelism) {
    let (rows, depth, columns) = (left.rows, left.columns, right.columns);
    assert!(
        depth == right.rows && output.len() == rows * columns,
        "shapes that do not go together"
    );
    // SAFETY: `Matrix::new` saw that every element of both factors, by their strides and 1, lies inside its slice; the output's
    // `rows * columns` elements, by the strides `columns` and 1, are exactly the slice, which is borrowed for writing, so
    // that it overlaps neither factor.
    unsafe {
        gemm(
            rows,
            columns,
            depth,
            output.as_mut_ptr(),
            1,
            columns as isize,
            !fresh,
            left.numbers.as_ptr(),
            1,
            left.stride as isize,
            right.numbers.as_ptr(),
            1,
            right.stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
