//! From hidden states to the vector.

use candle_core::{D, DType, Result, Tensor};

/// The smallest norm that is divided by, as in PyTorch's `normalize`.
const SMALLEST_NORM: f64 = 1e-12;

/// Each row of `states` (rows, hidden_size) at length 1, in f32.
///
/// The rows are the last tokens' hidden states: [`crate::backbone::Rows::Last`] has picked them already.
///
/// # Errors
/// If the device fails.
pub fn l2_normalize(states: &Tensor) -> Result<Tensor> {
    let states = states.to_dtype(DType::F32)?;
    let norms = states.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(SMALLEST_NORM)?;
    states.broadcast_div(&norms)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn every_row_gets_length_one_and_a_row_of_zeros_stays_finite() {
        let states = Tensor::new(&[[3f32, 4.0], [0.0, 0.0], [-1e-3, 0.0]], &Device::Cpu).expect("made");
        let rows: Vec<Vec<f32>> = l2_normalize(&states).and_then(|rows| rows.to_vec2()).expect("computed");
        assert_eq!(rows, [[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]]);
    }
}
