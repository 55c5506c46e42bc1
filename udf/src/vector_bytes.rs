//! Vectors as bytes, for `BYTEA` columns: little-endian `f32`, as the Arroyo plugin gives them.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::calls::vector_type;

/// The SQL function `vector_bytes(vector)`: a `FLOAT[]` as little-endian `f32` bytes (`BYTEA`). An `INSERT` of a vector
/// into a `BYTEA` column uses it by itself.
pub fn function() -> ScalarUDF {
    ScalarUDF::new_from_impl(VectorBytes {
        signature: Signature::any(1, Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorBytes {
    signature: Signature,
}

impl ScalarUDFImpl for VectorBytes {
    fn name(&self) -> &str {
        "vector_bytes"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::List(item)] if item.data_type().is_numeric() => Ok(DataType::Binary),
            other => plan_err!("vector_bytes takes a vector (FLOAT[]), not {other:?}"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let vectors = cast(&arrays[0], &vector_type())?;
        let vectors = vectors.as_list::<i32>();
        let mut bytes = BinaryBuilder::new();
        for row in 0..vectors.len() {
            if vectors.is_null(row) {
                bytes.append_null();
                continue;
            }
            let vector = vectors.value(row);
            if vector.null_count() > 0 {
                return exec_err!("a vector with NULL in it has no bytes");
            }
            let numbers = vector.as_primitive::<Float32Type>().values();
            bytes.append_value(
                numbers
                    .iter()
                    .flat_map(|number| number.to_le_bytes())
                    .collect::<Vec<u8>>(),
            );
        }
        Ok(ColumnarValue::Array(Arc::new(bytes.finish())))
    }
}
