//! `cosine_similarity(a, b)`: how alike two vectors are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// The SQL function `cosine_similarity(a, b)`: the cosine of the angle between two vectors of the same length, a
/// `DOUBLE` from -1 to 1. NULL if either is NULL or has no direction (all zeros).
pub fn function() -> ScalarUDF {
    ScalarUDF::new_from_impl(CosineSimilarity {
        signature: Signature::any(2, Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CosineSimilarity {
    signature: Signature,
}

impl ScalarUDFImpl for CosineSimilarity {
    fn name(&self) -> &str {
        "cosine_similarity"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        for argument in arguments {
            match argument {
                DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)
                    if item.data_type().is_numeric() || item.data_type().is_null() => {}
                DataType::Null => {}
                other => return plan_err!("cosine_similarity compares vectors (FLOAT[]), not {other}"),
            }
        }
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let vectors = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        let (left, right) = (cast(&arrays[0], &vectors)?, cast(&arrays[1], &vectors)?);
        let (left, right) = (left.as_list::<i32>(), right.as_list::<i32>());
        let similarities = (0..left.len())
            .map(|row| {
                if left.is_null(row) || right.is_null(row) {
                    return Ok(None);
                }
                similarity(&left.value(row), &right.value(row))
            })
            .collect::<Result<Float64Array>>()?;
        Ok(ColumnarValue::Array(Arc::new(similarities)))
    }
}

fn similarity(left: &ArrayRef, right: &ArrayRef) -> Result<Option<f64>> {
    if left.len() != right.len() {
        return exec_err!(
            "cosine_similarity compares vectors of one length, not {} with {}",
            left.len(),
            right.len()
        );
    }
    if left.null_count() + right.null_count() > 0 {
        return Ok(None);
    }
    let (left, right) = (
        left.as_primitive::<Float64Type>().values(),
        right.as_primitive::<Float64Type>().values(),
    );
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms = (dot(left, left) * dot(right, right)).sqrt();
    Ok((norms > 0.0).then(|| dot(left, right) / norms))
}
