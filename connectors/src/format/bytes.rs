//! Bytes in JSON texts, and vectors in bytes.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::BytesEncoding;

/// Base64 that takes padding or its absence.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes that `text` stands for; `None` if it is not written so.
pub(super) fn decode(text: &str, encoding: BytesEncoding) -> Option<Vec<u8>> {
    match encoding {
        BytesEncoding::Base64 => BASE64.decode(text).ok(),
        BytesEncoding::Hex => hex(text),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// The vector in `bytes`, little-endian `f32` as `embed` gives them into a BYTEA column. The error says what is wrong
/// with them.
pub(super) fn vector(bytes: &[u8]) -> Result<Vec<f32>, String> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if bytes.is_empty() {
        return Err("there are no bytes of a vector".into());
    }
    if !rest.is_empty() {
        return Err(format!("{} bytes are no whole number of 4-byte floats", bytes.len()));
    }
    let vector: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    match vector.iter().position(|number| !number.is_finite()) {
        Some(place) => Err(format!(
            "the vector in the bytes holds {} at position {place}",
            vector[place]
        )),
        None => Ok(vector),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_whole_and_finite() {
        let bytes = |numbers: &[f32]| {
            numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        assert_eq!(vector(&bytes(&[1.0, -2.5])), Ok(vec![1.0, -2.5]));
        assert!(vector(&[]).is_err_and(|reason| reason.contains("no bytes")));
        let reason = vector(&bytes(&[1.0, -2.5])[..7]).expect_err("a byte is missing");
        assert!(reason.contains("7 bytes"), "{reason}");
        for (number, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
            let reason = vector(&bytes(&[0.0, number])).expect_err("it is not finite");
            assert!(reason.contains(&format!("{shown} at position 1")), "{reason}");
        }
    }
}
