//! Random choices that depend on nothing but what they are for: a seed, and which choice it is.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The random numbers of one purpose: equal for equal arguments, on any machine, and unlike those of any others.
pub(super) fn stream(seed: u64, purpose: &str, name: &str, numbers: [u64; 2]) -> ChaCha8Rng {
    let mut digest = Sha256::new();
    digest.update(seed.to_le_bytes());
    for text in [purpose, name] {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    for number in numbers {
        digest.update(number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(digest.finalize().into())
}

/// A number below `end`, which is not 0. Written out because a library's may choose another way in its next version, and a run
/// that goes on must not.
pub(super) fn below(random: &mut ChaCha8Rng, end: usize) -> usize {
    // What this prefers some numbers by is less than 2^-32 for any number of rows that there is.
    ((u128::from(random.next_u64()) * end as u128) >> 64) as usize
}

/// A number from 0 up to 1, without it.
pub(super) fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// The numbers below `rows`, shuffled (Fisher and Yates).
pub(super) fn permutation(random: &mut ChaCha8Rng, rows: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, below(random, last + 1));
    }
    order
}
