//! The innermost product: a few rows times a panel of columns, summed up in registers.

use pulp::Simd;

/// The deepest product at once: a block's rows of this length stay in the first cache.
pub const DEPTH: usize = 512;

/// From one row of a block to the next. Not a power of two, after which the rows would get in each other's way in the cache.
const STRIDE: usize = DEPTH + 16;

/// A row of a block, of which the first [`DEPTH`] numbers count.
pub type Row = [f32; STRIDE];

/// A row of zeros.
pub const ZEROS: Row = [0.0; STRIDE];

/// How many rows go together, so that the sums of as many times two registers, a row of the panel and a factor fill the
/// registers: with 32 of them …
pub const MANY_ROWS: usize = 14;

/// … and with 16.
pub const FEW_ROWS: usize = 6;

/// Adds to `sums` the product of `ROWS` rows and a panel: `WIDTH` registers for each number of a row.
///
/// # Panics
/// If there are fewer rows, or the panel is deeper than a row.
#[inline(always)]
pub fn accumulate<S: Simd, const ROWS: usize, const WIDTH: usize>(
    simd: S,
    sums: &mut [[S::f32s; WIDTH]; ROWS],
    rows: &[Row],
    panel: &[S::f32s],
) {
    let rows: &[Row; ROWS] = rows.first_chunk().expect("as many rows as sums");
    assert!(panel.len() <= WIDTH * STRIDE, "a panel as deep as the rows at most");
    // A copy that nothing else can see: the compiler keeps it in registers.
    let mut now = *sums;
    for (place, columns) in panel.chunks_exact(WIDTH).enumerate() {
        for (sums, row) in now.iter_mut().zip(rows) {
            let factor = simd.splat_f32s(row[place]);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = simd.mul_add_f32s(factor, *column, *sum);
            }
        }
    }
    *sums = now;
}
