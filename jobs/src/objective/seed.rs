//! Seeds that are made from other seeds.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The seed of one place in something that is seeded as a whole: the same for the same place, and unrelated between places.
///
/// A run's places are its micro-batches (step, index in the step); a micro-batch's are its chunks.
pub fn derive(seed: u64, place: [u64; 2]) -> u64 {
    let mut key = [0u8; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, place[0], place[1]]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key).next_u64()
}
