//! The logical operator that adds vectors to its input.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use super::vector_type;

/// One call of `embed`: what to embed, and the column that takes the vectors.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct EmbedCall {
    /// The media reference, `TEXT`.
    pub url: Expr,
    /// The instruction, `TEXT`.
    pub instruction: Expr,
    /// The name of the column with the vectors.
    pub column: String,
}

/// The input's columns, then one column of vectors for each call. Rows for which a call fails are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedNode {
    input: LogicalPlan,
    calls: Vec<EmbedCall>,
    schema: DFSchemaRef,
}

impl EmbedNode {
    /// Embeds by `calls` over the columns of `input`.
    pub fn try_new(input: LogicalPlan, calls: Vec<EmbedCall>) -> Result<Self> {
        let mut fields: Vec<_> = input
            .schema()
            .iter()
            .map(|(relation, field)| (relation.cloned(), Arc::clone(field)))
            .collect();
        fields.extend(
            calls
                .iter()
                .map(|call| (None, Arc::new(Field::new(&call.column, vector_type(), true)))),
        );
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(Self { input, calls, schema })
    }

    /// The calls, in the order of their columns.
    pub fn calls(&self) -> &[EmbedCall] {
        &self.calls
    }
}

impl Hash for EmbedNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.calls.hash(state);
    }
}

impl PartialOrd for EmbedNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.input.partial_cmp(&other.input) {
            Some(Ordering::Equal) => self.calls.partial_cmp(&other.calls),
            ordering => ordering,
        }
    }
}

impl UserDefinedLogicalNodeCore for EmbedNode {
    fn name(&self) -> &str {
        "Embed"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.calls
            .iter()
            .flat_map(|call| [call.url.clone(), call.instruction.clone()])
            .collect()
    }

    // Filters on other columns may run first: the fewer rows are embedded, the better.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.calls.iter().map(|call| call.column.clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let calls: Vec<String> = self
            .calls
            .iter()
            .map(|call| format!("{}({}, {})", super::NAME, call.url, call.instruction))
            .collect();
        write!(f, "Embed: {}", calls.join(", "))
    }

    fn with_exprs_and_inputs(&self, expressions: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), expressions.len() == 2 * self.calls.len()) else {
            return internal_err!("Embed has one input and two expressions a call");
        };
        let mut expressions = expressions.into_iter();
        let mut calls = Vec::with_capacity(self.calls.len());
        for call in &self.calls {
            let (Some(url), Some(instruction)) = (expressions.next(), expressions.next()) else {
                return internal_err!("Embed has two expressions a call");
            };
            calls.push(EmbedCall {
                url,
                instruction,
                column: call.column.clone(),
            });
        }
        Self::try_new(input, calls)
    }
}
