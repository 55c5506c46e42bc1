//! Where a column's values come from.

use datafusion::common::DFSchema;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};

/// Whether the column at `index` of the result of `plan` holds the values of a table's column as they are, cast at most.
/// What cannot be told is taken to be so.
pub(crate) fn is_plain(plan: &LogicalPlan, index: usize) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => match projection.expr.get(index).map(bare) {
            Some(Expr::Column(column)) => projection
                .input
                .schema()
                .maybe_index_of_column(column)
                .is_none_or(|index| is_plain(&projection.input, index)),
            Some(_) => false,
            None => true,
        },
        LogicalPlan::SubqueryAlias(alias) => is_plain(&alias.input, index),
        LogicalPlan::Filter(filter) => is_plain(&filter.input, index),
        LogicalPlan::Sort(sort) => is_plain(&sort.input, index),
        LogicalPlan::Limit(limit) => is_plain(&limit.input, index),
        LogicalPlan::Distinct(Distinct::All(input)) => is_plain(input, index),
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| is_plain(input, index)),
        LogicalPlan::Unnest(unnest) => match unnest.dependency_indices.get(index) {
            Some(input) if unnest.list_type_columns.iter().any(|(list, _)| list == input) => false,
            Some(input) => is_plain(&unnest.input, *input),
            None => true,
        },
        LogicalPlan::Join(join) => {
            let left = columns(join.left.schema());
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => is_plain(&join.right, index),
                _ if index < left => is_plain(&join.left, index),
                _ if index - left < columns(join.right.schema()) => is_plain(&join.right, index - left),
                _ => true,
            }
        }
        _ => true,
    }
}

/// `expression` without names and casts.
fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::Alias(alias) => bare(&alias.expr),
        Expr::Cast(cast) => bare(&cast.expr),
        Expr::TryCast(cast) => bare(&cast.expr),
        other => other,
    }
}

fn columns(schema: &DFSchema) -> usize {
    schema.fields().len()
}
