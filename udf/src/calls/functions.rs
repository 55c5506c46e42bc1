//! The functions that call the embedding service, as the SQL planner sees them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// A function that is a call of the embedding service. A plan that holds one must go through [`super::extract`] before it
/// runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Function {
    /// `embed(url [, instruction])`: a vector.
    Embed,
    /// `segments(url)`: the references of a medium's parts, one a line.
    Segments,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Embed, Self::Segments];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Segments => "segments",
        }
    }

    /// What it gives.
    pub fn return_type(self) -> DataType {
        match self {
            Self::Embed => vector_type(),
            Self::Segments => DataType::Utf8,
        }
    }

    /// The arguments that it may have, by name. The first one it must have: NULL there gives NULL.
    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Embed => &["url", "instruction"],
            Self::Segments => &["url"],
        }
    }

    /// Which one `expression` calls.
    pub(super) fn of(expression: &Expr) -> Option<Self> {
        let Expr::ScalarFunction(call) = expression else {
            return None;
        };
        Self::ALL
            .into_iter()
            .find(|function| function.name() == call.func.name())
    }

    /// The SQL function.
    pub fn udf(self) -> ScalarUDF {
        let counts = (1..=self.arguments().len()).map(TypeSignature::String);
        ScalarUDF::new_from_impl(ServiceFunction {
            function: self,
            // Volatile: an optimiser must not copy a call that costs a forward pass of the model.
            signature: Signature::new(TypeSignature::OneOf(counts.collect()), Volatility::Volatile),
        })
    }
}

/// The type of a vector: `FLOAT[]`.
pub fn vector_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ServiceFunction {
    function: Function,
    signature: Signature,
}

impl ScalarUDFImpl for ServiceFunction {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.function.return_type())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!(
            "{} cannot be used here; compute it in a view or a subquery first, and use its column",
            self.function.name()
        )
    }
}
