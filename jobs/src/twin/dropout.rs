//! Dropout whose masks can be had again: they depend on a seed, the module and the place alone.

use candle_core::{Device, Result, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use super::graph::tie;

/// Two numbers of a mask come from one word of the generator.
const NUMBERS_A_WORD: usize = 2;

/// So many numbers a core makes at once.
const STEP: usize = 1 << 16;

/// `count` factors: zero for about the share `rate` of them, and `1 / (1 - rate)` for the others. The same for the same seed,
/// module and count, on every machine and with any number of cores.
pub fn mask(seed: u64, module: u64, rate: f64, count: usize) -> Vec<f32> {
    let mut factors = vec![0f32; count];
    // A number is kept if 16 random bits, as a number, are at least this.
    let least = (rate * 65_536.0).round() as u32;
    let kept = (1.0 / (1.0 - rate)) as f32;
    factors.par_chunks_mut(STEP).enumerate().for_each(|(index, factors)| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(module);
        random.set_word_pos((index * STEP / NUMBERS_A_WORD) as u128);
        for pair in factors.chunks_mut(NUMBERS_A_WORD) {
            let word = random.next_u32();
            for (place, factor) in pair.iter_mut().enumerate() {
                let bits = (word >> (16 * place)) & 0xffff;
                if bits >= least {
                    *factor = kept;
                }
            }
        }
    });
    factors
}

/// [`mask`] in the shape, type and place of `x`.
///
/// # Errors
/// If the device fails.
pub fn mask_like(seed: u64, module: u64, rate: f64, x: &Tensor) -> Result<Tensor> {
    let factors = mask(seed, module, rate, x.elem_count());
    Tensor::from_vec(factors, x.shape(), &Device::Cpu)?
        .to_dtype(x.dtype())?
        .to_device(x.device())
}

/// `x` with each number times its factor.
///
/// # Errors
/// If the device fails.
pub fn apply(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let output = x.detach().mul(mask)?;
    let mask = mask.clone();
    tie(&[x], output, move |gradient, _| Ok(vec![Some(gradient.mul(&mask)?)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_the_same_for_the_same_seed_and_module_alone() {
        let made = mask(5, 2, 0.1, 3 * STEP + 7);
        assert_eq!(made, mask(5, 2, 0.1, 3 * STEP + 7));
        assert_eq!(
            made[..STEP + 9],
            mask(5, 2, 0.1, STEP + 9),
            "a shorter one is its beginning"
        );
        assert_ne!(made, mask(6, 2, 0.1, 3 * STEP + 7));
        assert_ne!(made, mask(5, 3, 0.1, 3 * STEP + 7));
    }

    #[test]
    fn about_the_asked_share_is_dropped_and_the_mean_stays() {
        for rate in [0.0, 0.1, 0.5, 0.9] {
            let made = mask(1, 0, rate, 200_000);
            let dropped = made.iter().filter(|factor| **factor == 0.0).count() as f64 / made.len() as f64;
            assert!((dropped - rate).abs() < 0.004, "{rate}: {dropped}");
            let kept = (1.0 / (1.0 - rate)) as f32;
            assert!(made.iter().all(|factor| *factor == 0.0 || *factor == kept));
        }
    }
}
