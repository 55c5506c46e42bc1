//! What the calls of a batch give, as a column.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Builder, ListBuilder, StringArray};

use super::Function;
use crate::{EmbedFailure, Embedder};

/// What one call gives.
pub(super) enum Value {
    Vector(Arc<[f32]>),
    Text(String),
}

impl Function {
    /// Makes one call, `arguments` being those that it may have; NULL is `None`, and NULL for the first makes no call.
    pub(super) async fn call(
        self,
        embedder: &dyn Embedder,
        arguments: &[Option<&str>],
    ) -> Result<Option<Value>, EmbedFailure> {
        let Some(&Some(url)) = arguments.first() else {
            return Ok(None);
        };
        let value = match self {
            Self::Embed => {
                let instruction = arguments.get(1).copied().flatten();
                Value::Vector(embedder.embed(url, instruction).await?)
            }
            Self::Segments => Value::Text(embedder.segments(url).await?.join("\n")),
        };
        Ok(Some(value))
    }

    /// A column of what it gave, of its type.
    pub(super) fn column(self, values: Vec<Option<Value>>) -> ArrayRef {
        match self {
            Self::Embed => {
                let mut column = ListBuilder::new(Float32Builder::new());
                for value in values {
                    match value {
                        Some(Value::Vector(vector)) => {
                            column.values().append_slice(&vector);
                            column.append(true);
                        }
                        _ => column.append(false),
                    }
                }
                Arc::new(column.finish())
            }
            Self::Segments => {
                let texts = values.into_iter().map(|value| match value {
                    Some(Value::Text(text)) => Some(text),
                    _ => None,
                });
                Arc::new(texts.collect::<StringArray>())
            }
        }
    }
}
