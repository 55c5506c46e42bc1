//! The name `embed`, as the SQL planner sees it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// The function's name in SQL.
pub const NAME: &str = "embed";

/// The SQL function `embed`. A plan that holds it must go through [`super::extract`] before it runs.
pub fn function() -> ScalarUDF {
    ScalarUDF::new_from_impl(EmbedFunction::new())
}

/// The type of a vector: `FLOAT[]`.
pub fn vector_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct EmbedFunction {
    signature: Signature,
}

impl EmbedFunction {
    fn new() -> Self {
        // Volatile: an optimiser must not copy a call that costs a forward pass of the model.
        let arguments = TypeSignature::OneOf(vec![TypeSignature::String(1), TypeSignature::String(2)]);
        Self {
            signature: Signature::new(arguments, Volatility::Volatile),
        }
    }
}

impl ScalarUDFImpl for EmbedFunction {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(vector_type())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("embed cannot be used here; compute it in a view or a subquery first, and use its column")
    }
}
