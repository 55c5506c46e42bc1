//! The logical operator that adds the results of calls to its input.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use super::Function;

/// One call: of what, with what, and the column that takes the results.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub struct Call {
    /// The function.
    pub function: Function,
    /// All the arguments that it may have, `TEXT`.
    pub arguments: Vec<Expr>,
    /// The name of the column with the results.
    pub column: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(Expr::to_string).collect();
        write!(f, "{}({})", self.function.name(), arguments.join(", "))
    }
}

/// The input's columns, then one column of results for each call. Rows for which a call fails are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallNode {
    input: LogicalPlan,
    calls: Vec<Call>,
    schema: DFSchemaRef,
}

impl CallNode {
    /// Makes `calls` over the columns of `input`.
    pub fn try_new(input: LogicalPlan, calls: Vec<Call>) -> Result<Self> {
        let mut fields: Vec<_> = input
            .schema()
            .iter()
            .map(|(relation, field)| (relation.cloned(), Arc::clone(field)))
            .collect();
        fields.extend(calls.iter().map(|call| {
            let field = Field::new(&call.column, call.function.return_type(), true);
            (None, Arc::new(field))
        }));
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(Self { input, calls, schema })
    }

    /// The calls, in the order of their columns.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }
}

impl Hash for CallNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.calls.hash(state);
    }
}

impl PartialOrd for CallNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.input.partial_cmp(&other.input) {
            Some(Ordering::Equal) => self.calls.partial_cmp(&other.calls),
            ordering => ordering,
        }
    }
}

impl UserDefinedLogicalNodeCore for CallNode {
    fn name(&self) -> &str {
        "Call"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.calls.iter().flat_map(|call| call.arguments.clone()).collect()
    }

    // Filters on other columns may run first: the fewer calls, the better.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.calls.iter().map(|call| call.column.clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let calls: Vec<String> = self.calls.iter().map(Call::to_string).collect();
        write!(f, "Call: {}", calls.join(", "))
    }

    fn with_exprs_and_inputs(&self, expressions: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let arguments: usize = self.calls.iter().map(|call| call.arguments.len()).sum();
        let (Some(input), true) = (inputs.pop(), expressions.len() == arguments) else {
            return internal_err!("Call has one input, and an expression for each argument");
        };
        let mut expressions = expressions.into_iter();
        let calls = self.calls.iter().map(|call| Call {
            arguments: expressions.by_ref().take(call.arguments.len()).collect(),
            ..call.clone()
        });
        Self::try_new(input, calls.collect())
    }
}
