//! The heads of queries, keys and values, and the form in which keys and values are multiplied with.

use pulp::Simd;

use super::attention::{Attention, Panel, Sequence};

/// What a cache moves at once, in numbers. A register's worth that lies across two of them costs twice.
const CACHE_LINE: usize = 16;

/// Heads side by side in the rows of a projection's output: `stride` numbers a row, the first head at `start`.
#[derive(Clone, Copy)]
pub struct Heads<'a> {
    /// The rows.
    pub numbers: &'a [f32],
    /// Where a row's first head begins.
    pub start: usize,
    /// From one row to the next.
    pub stride: usize,
}

impl<'a> Heads<'a> {
    #[inline(always)]
    pub(super) fn head(&self, row: usize, head: usize, size: usize) -> &'a [f32] {
        &self.numbers[row * self.stride + self.start + head * size..][..size]
    }
}

/// Cosines and sines of each row, half a head's size each.
#[derive(Clone, Copy)]
pub struct Rotary<'a> {
    /// Cosines.
    pub cos: &'a [f32],
    /// Sines.
    pub sin: &'a [f32],
}

/// A head turned by the angles of its row, times `scale`: the first half is the frequencies' real part, the second the
/// imaginary.
#[inline(always)]
pub fn turn(turned: &mut [f32], head: &[f32], rotary: Rotary<'_>, row: usize, scale: f32) {
    let half = head.len() / 2;
    let (cos, sin) = (&rotary.cos[row * half..][..half], &rotary.sin[row * half..][..half]);
    let (real, imaginary) = head.split_at(half);
    let (turned_real, turned_imaginary) = turned.split_at_mut(half);
    for (i, turned) in turned_real.iter_mut().enumerate() {
        *turned = (real[i] * cos[i] - imaginary[i] * sin[i]) * scale;
    }
    for (i, turned) in turned_imaginary.iter_mut().enumerate() {
        *turned = (imaginary[i] * cos[i] + real[i] * sin[i]) * scale;
    }
}

/// The keys and values of one head of one sequence, in panels.
pub struct PackedHeads {
    keys: Aligned,
    values: Aligned,
}

impl PackedHeads {
    /// Turns and packs them. Keys: panels of as many as two registers hold, each with a row for every number of a head, zeros
    /// behind the last key. Values: panels of two registers' columns, each with a row for every key, and one of one register
    /// where their number is odd, zeros behind the last column.
    #[inline(always)]
    pub(super) fn pack<S: Simd>(simd: S, attention: &Attention<'_>, sequence: &Sequence, head: usize) -> Self {
        let (size, keys) = (attention.size, sequence.k_length);
        let width = 2 * S::F32_LANES;
        let mut packed = Self {
            keys: Aligned::zeros(keys.div_ceil(width) * width * size),
            values: Aligned::zeros(size.div_ceil(S::F32_LANES) * S::F32_LANES * keys),
        };
        simd.vectorize(Pack {
            attention,
            sequence,
            head,
            width,
            packed: &mut packed,
        });
        packed
    }

    /// The keys' panels, in their order.
    #[inline(always)]
    pub fn key_panels<S: Simd>(&self, size: usize) -> impl Iterator<Item = &[S::f32s]> {
        let (numbers, _) = S::as_simd_f32s(self.keys.numbers());
        numbers.chunks_exact(2 * size)
    }

    /// The values' panels, each with its first column.
    #[inline(always)]
    pub fn value_panels<S: Simd>(&self, size: usize, keys: usize) -> impl Iterator<Item = (usize, Panel<'_, S::f32s>)> {
        let (numbers, _) = S::as_simd_f32s(self.values.numbers());
        let width = 2 * S::F32_LANES;
        let panels = numbers.chunks(2 * keys);
        (0..size)
            .step_by(width)
            .zip(panels.map(move |panel| match panel.len() == 2 * keys {
                true => Panel::Two(panel),
                false => Panel::One(panel),
            }))
    }
}

struct Pack<'a> {
    attention: &'a Attention<'a>,
    sequence: &'a Sequence,
    head: usize,
    width: usize,
    packed: &'a mut PackedHeads,
}

impl pulp::WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            attention,
            sequence,
            head,
            width,
            packed,
        } = self;
        let (size, keys) = (attention.size, sequence.k_length);
        let mut turned = vec![0.0; width * size];
        for (panel, first) in packed
            .keys
            .numbers_mut()
            .chunks_exact_mut(width * size)
            .zip((0..keys).step_by(width))
        {
            let count = width.min(keys - first);
            for (key, turned) in turned.chunks_exact_mut(size).enumerate().take(count) {
                let row = sequence.k_start + first + key;
                turn(turned, attention.k.head(row, head, size), attention.k_rotary, row, 1.0);
            }
            for (place, row) in panel.chunks_exact_mut(width).enumerate() {
                for (key, turned) in row.iter_mut().zip(turned.chunks_exact(size)).take(count) {
                    *key = turned[place];
                }
            }
        }
        for (index, panel) in packed.values.numbers_mut().chunks_mut(width * keys).enumerate() {
            let columns = panel.len() / keys;
            let first = index * width;
            let last = size.min(first + columns);
            for (key, row) in panel.chunks_exact_mut(columns).enumerate() {
                let value = attention.v.head(sequence.k_start + key, head, size);
                row[..last - first].copy_from_slice(&value[first..last]);
            }
        }
    }
}

/// Numbers that begin with a cache line.
struct Aligned {
    numbers: Vec<f32>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn zeros(length: usize) -> Self {
        let numbers = vec![0.0; length + CACHE_LINE];
        // Should there be no such place, the numbers are as right anywhere.
        let start = numbers
            .as_ptr()
            .align_offset(CACHE_LINE * size_of::<f32>())
            .min(CACHE_LINE);
        Self { numbers, start, length }
    }

    fn numbers(&self) -> &[f32] {
        &self.numbers[self.start..][..self.length]
    }

    fn numbers_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.start..][..self.length]
    }
}
