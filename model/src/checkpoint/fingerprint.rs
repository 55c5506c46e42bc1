//! What tells one checkpoint from another.

use safetensors::tensor::TensorInfo;
use sha2::{Digest, Sha256};

use super::CheckpointFiles;
use crate::error::ModelError;

/// The small files that decide a vector.
const SMALL_FILES: [&str; 3] = ["config.json", "tokenizer.json", "preprocessor_config.json"];

/// Tensors up to this size are hashed whole.
const WHOLE: usize = 64 * 1024;

/// Larger ones in this many pieces, which together are as long.
const PIECES: usize = 16;

pub(super) fn fingerprint(files: &CheckpointFiles) -> Result<String, ModelError> {
    let mut hash = Sha256::new();
    for file in SMALL_FILES {
        let content = files.read(file)?.unwrap_or_default();
        update_sized(&mut hash, file.as_bytes());
        update_sized(&mut hash, &content);
    }
    let mut tensors: Vec<_> = files.weights().tensors().collect();
    tensors.sort_by_key(|(name, ..)| *name);
    for (name, info, data) in tensors {
        update_tensor(&mut hash, name, info, data);
    }
    if let Some(adapter) = files.adapter() {
        adapter.describe_to(|text, tensor| match tensor {
            Some((info, data)) => update_tensor(&mut hash, text, info, data),
            None => update_sized(&mut hash, text.as_bytes()),
        });
    }
    Ok(short_digest(hash))
}

fn update_tensor(hash: &mut Sha256, name: &str, info: &TensorInfo, data: &[u8]) {
    update_sized(hash, name.as_bytes());
    update_sized(hash, format!("{:?} {:?}", info.dtype, info.shape).as_bytes());
    hash.update((data.len() as u64).to_le_bytes());
    for piece in sample(data) {
        hash.update(piece);
    }
}

/// The first twelve hexadecimal digits.
pub(crate) fn short_digest(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The length goes in front, so that no two sequences of parts look alike.
fn update_sized(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// All of `data`, or evenly spread pieces of it, the first and the last bytes among them.
fn sample(data: &[u8]) -> Vec<&[u8]> {
    if data.len() <= WHOLE {
        return vec![data];
    }
    let length = WHOLE / PIECES;
    let last_start = data.len() - length;
    (0..PIECES)
        .map(|piece| last_start * piece / (PIECES - 1))
        .map(|start| &data[start..start + length])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_tensor_is_sampled_from_its_first_to_its_last_byte() {
        let data: Vec<u8> = (0..1_000_003u32).map(|i| (i % 251) as u8).collect();
        let pieces = sample(&data);
        assert_eq!(pieces.iter().map(|piece| piece.len()).sum::<usize>(), WHOLE);
        assert_eq!(pieces[0].as_ptr(), data.as_ptr());
        assert_eq!(pieces[PIECES - 1].as_ptr_range().end, data.as_ptr_range().end);
        assert_eq!(sample(&data[..WHOLE]), [&data[..WHOLE]]);
    }
}
