//! What the reference of a part says: `part_start`, `part_end`, `part_page`, `part_of`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use sightstream_model::reference::{Fragment, split_part};

/// The SQL functions of this module. Each takes a media reference; what stands behind its `#` and names no part, also one
/// that is only badly written, belongs to the rest.
pub fn functions() -> impl Iterator<Item = ScalarUDF> {
    [PartField::Start, PartField::End, PartField::Page, PartField::Of]
        .into_iter()
        .map(|field| {
            ScalarUDF::new_from_impl(PartFunction {
                field,
                signature: Signature::string(1, Volatility::Immutable),
            })
        })
}

/// What is asked of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PartField {
    /// `part_start(url)`: where its span of time begins, in seconds (`DOUBLE`); NULL where it names none.
    Start,
    /// `part_end(url)`: where it ends; NULL also where it names no end.
    End,
    /// `part_page(url)`: its page (`INT`), from 1; NULL where it names none.
    Page,
    /// `part_of(url)`: the reference of the whole (`TEXT`), which is the reference itself where it names no part.
    Of,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PartFunction {
    field: PartField,
    signature: Signature,
}

impl ScalarUDFImpl for PartFunction {
    fn name(&self) -> &str {
        match self.field {
            PartField::Start => "part_start",
            PartField::End => "part_end",
            PartField::Page => "part_page",
            PartField::Of => "part_of",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.field {
            PartField::Start | PartField::End => DataType::Float64,
            PartField::Page => DataType::Int32,
            PartField::Of => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let urls = cast(&arrays[0], &DataType::Utf8)?;
        let split = urls.as_string::<i32>().iter().map(|url| url.map(split_part));
        let part = |(_, part): (&str, Option<Fragment>)| part;
        let column: ArrayRef = match self.field {
            PartField::Start => Arc::new(split.map(|url| start(url.and_then(part)?)).collect::<Float64Array>()),
            PartField::End => Arc::new(split.map(|url| end(url.and_then(part)?)).collect::<Float64Array>()),
            PartField::Page => Arc::new(split.map(|url| page(url.and_then(part)?)).collect::<Int32Array>()),
            PartField::Of => {
                let urls = urls.as_string::<i32>().iter();
                let wholes = urls.zip(split).map(|(url, split)| match split? {
                    (whole, Some(_)) => Some(whole),
                    // Also what an http URL has behind its `#` stays.
                    (_, None) => url,
                });
                Arc::new(wholes.collect::<StringArray>())
            }
        };
        Ok(ColumnarValue::Array(column))
    }
}

fn start(part: Fragment) -> Option<f64> {
    match part {
        Fragment::Time { start, .. } => Some(start),
        Fragment::Page(_) => None,
    }
}

fn end(part: Fragment) -> Option<f64> {
    match part {
        Fragment::Time { end, .. } => end,
        Fragment::Page(_) => None,
    }
}

/// Pages beyond what an `INT` holds are in no document.
fn page(part: Fragment) -> Option<i32> {
    match part {
        Fragment::Page(page) => i32::try_from(page).ok(),
        Fragment::Time { .. } => None,
    }
}
