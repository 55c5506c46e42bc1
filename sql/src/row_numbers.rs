//! Carries the hidden row number through a plan, and refuses what needs state across epochs.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::default_table_source::{provider_as_source, source_as_provider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, JoinType, Result, plan_err};
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder, Projection, Sort,
    SubqueryAlias, Union, Unnest, Window,
};
use sightstream_udf::ROW_NUMBER;

use crate::epoch_table::EpochTable;

/// How a plan's rows arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Epoch by epoch: a row of the result must depend on one row of the stream.
    Epochs,
    /// All at once, from bounded tables only: anything goes.
    Whole,
}

/// `plan` with the row numbers of the tables `streams` in the last column of its result, which is there if the second
/// value says so (an aggregate's rows have no number).
///
/// # Errors
/// A plan error in a user's words for what needs state across epochs, with [`Arrival::Epochs`].
pub(crate) fn number_rows(
    plan: LogicalPlan,
    streams: &BTreeSet<String>,
    arrival: Arrival,
) -> Result<(LogicalPlan, bool)> {
    let plan = Numbering { streams, arrival }.visit(plan)?;
    match number_of(&plan) {
        None => Ok((plan, false)),
        Some(_) => Ok((number_last(plan)?, true)),
    }
}

/// The names of the epoch tables that `plan` reads, those of its subqueries too, leftmost first.
pub(crate) fn tables(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut names = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let Some(table) = epoch_table(node)
            && !names.contains(&table.name)
        {
            names.push(table.name);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(names)
}

fn epoch_table(node: &LogicalPlan) -> Option<EpochTable> {
    let LogicalPlan::TableScan(scan) = node else {
        return None;
    };
    let provider = source_as_provider(&scan.source).ok()?;
    (provider.as_ref() as &dyn std::any::Any)
        .downcast_ref::<EpochTable>()
        .cloned()
}

/// The row number among the columns of `plan`.
fn number_of(plan: &LogicalPlan) -> Option<Column> {
    plan.schema()
        .columns()
        .into_iter()
        .find(|column| column.name == ROW_NUMBER)
}

fn visible_columns(plan: &LogicalPlan) -> impl Iterator<Item = Expr> {
    plan.schema()
        .columns()
        .into_iter()
        .filter(|column| column.name != ROW_NUMBER)
        .map(Expr::Column)
}

/// `plan` with its row number as the last column.
fn number_last(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns = visible_columns(&plan)
        .chain(number_of(&plan).map(Expr::Column))
        .collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// `plan` without its row number.
fn without_number(plan: LogicalPlan) -> Result<LogicalPlan> {
    if number_of(&plan).is_none() {
        return Ok(plan);
    }
    let columns = visible_columns(&plan).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

struct Numbering<'a> {
    streams: &'a BTreeSet<String>,
    arrival: Arrival,
}

impl Numbering<'_> {
    fn visit(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        self.check_subqueries(&plan)?;
        match plan {
            LogicalPlan::TableScan(scan) => {
                let name = scan.table_name.clone();
                let scan = LogicalPlan::TableScan(scan);
                match epoch_table(&scan) {
                    Some(table) if self.streams.contains(&table.name) => {
                        LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(table.numbered())), None)?.build()
                    }
                    _ => Ok(scan),
                }
            }
            LogicalPlan::Projection(projection) => {
                let input = self.visit(Arc::unwrap_or_clone(projection.input))?;
                let columns = projection
                    .expr
                    .into_iter()
                    .chain(number_of(&input).map(Expr::Column))
                    .collect();
                Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?))
            }
            LogicalPlan::Filter(filter) => {
                let input = self.visit(Arc::unwrap_or_clone(filter.input))?;
                Ok(LogicalPlan::Filter(Filter::try_new(filter.predicate, Arc::new(input))?))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.visit(Arc::unwrap_or_clone(alias.input))?;
                Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
                    Arc::new(input),
                    alias.alias,
                )?))
            }
            LogicalPlan::Unnest(unnest) => {
                let input = self.visit(Arc::unwrap_or_clone(unnest.input))?;
                Ok(LogicalPlan::Unnest(Unnest::try_new(
                    Arc::new(input),
                    unnest.exec_columns,
                    unnest.options,
                )?))
            }
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Sort(sort) => {
                let input = self.stateful(Arc::unwrap_or_clone(sort.input), "ORDER BY")?;
                Ok(LogicalPlan::Sort(Sort {
                    input: Arc::new(input),
                    ..sort
                }))
            }
            LogicalPlan::Limit(mut limit) => {
                limit.input = Arc::new(self.stateful(Arc::unwrap_or_clone(limit.input), "LIMIT")?);
                Ok(LogicalPlan::Limit(limit))
            }
            LogicalPlan::Window(window) => {
                let input = self.stateful(Arc::unwrap_or_clone(window.input), "a window function")?;
                Ok(LogicalPlan::Window(Window::try_new(
                    window.window_expr,
                    Arc::new(input),
                )?))
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = self.stateful(
                    Arc::unwrap_or_clone(aggregate.input),
                    "an aggregate (GROUP BY, count, …)",
                )?;
                let aggregate = Aggregate::try_new(Arc::new(input), aggregate.group_expr, aggregate.aggr_expr)?;
                Ok(LogicalPlan::Aggregate(aggregate))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input =
                    without_number(self.stateful(Arc::unwrap_or_clone(input), "DISTINCT (or UNION without ALL)")?)?;
                Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(input))))
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => {
                let input = without_number(self.stateful(Arc::unwrap_or_clone(distinct.input), "DISTINCT ON")?)?;
                let (on, select, sort) = (distinct.on_expr, distinct.select_expr, distinct.sort_expr);
                let distinct = DistinctOn::try_new(on, select, sort, Arc::new(input))?;
                Ok(LogicalPlan::Distinct(Distinct::On(distinct)))
            }
            leaf @ (LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_)) => Ok(leaf),
            other if self.reads_stream(&other)? => {
                plan_err!(
                    "{} cannot read from a stream here",
                    other.display().to_string().split(':').next().unwrap_or("")
                )
            }
            other => Ok(other),
        }
    }

    /// The input of an operator that needs all rows at once, which is called `what`.
    fn stateful(&self, input: LogicalPlan, what: &str) -> Result<LogicalPlan> {
        if self.arrival == Arrival::Epochs && self.reads_stream(&input)? {
            return plan_err!(
                "{what} over a stream needs state that outlives an epoch, which this engine does not keep; run this query \
                 on an Arroyo cluster, or over files only"
            );
        }
        self.visit(input)
    }

    fn union(&self, union: Union) -> Result<LogicalPlan> {
        let mut inputs = Vec::with_capacity(union.inputs.len());
        for input in union.inputs {
            inputs.push(self.visit(Arc::unwrap_or_clone(input))?);
        }
        let numbered = inputs.iter().filter(|input| number_of(input).is_some()).count();
        if numbered == 0 {
            return Ok(LogicalPlan::Union(Union::try_new_with_loose_types(
                inputs.into_iter().map(Arc::new).collect(),
            )?));
        }
        if numbered < inputs.len() {
            if self.arrival == Arrival::Epochs {
                return plan_err!(
                    "UNION ALL of a stream with rows that are no stream: they would come again with every epoch; write \
                     them with an INSERT of their own"
                );
            }
            inputs = inputs.into_iter().map(without_number).collect::<Result<_>>()?;
            return Ok(LogicalPlan::Union(Union::try_new_with_loose_types(
                inputs.into_iter().map(Arc::new).collect(),
            )?));
        }
        let inputs = inputs
            .into_iter()
            .map(|input| number_last(input).map(Arc::new))
            .collect::<Result<_>>()?;
        Ok(LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?))
    }

    fn join(&self, join: Join) -> Result<LogicalPlan> {
        let mut left = self.visit(Arc::unwrap_or_clone(join.left))?;
        let mut right = self.visit(Arc::unwrap_or_clone(join.right))?;
        let (on_left, on_right) = (number_of(&left).is_some(), number_of(&right).is_some());
        if self.arrival == Arrival::Epochs {
            let kept = match join.join_type {
                JoinType::Inner => !(on_left && on_right),
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => !on_right,
                JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => !on_left,
                JoinType::Full => !on_left && !on_right,
            };
            if on_left && on_right {
                return plan_err!(
                    "a join of two streams needs state that outlives an epoch, which this engine does not keep; join the \
                     stream with a file (single_file, filesystem), or run this query on an Arroyo cluster"
                );
            }
            if !kept {
                return plan_err!(
                    "a {} JOIN keeps rows of the table that have no match in the stream, which is known only at the \
                     stream's end; use INNER JOIN, or put the stream on the side that is kept",
                    join.join_type.to_string().to_uppercase()
                );
            }
        } else {
            // A side that may be filled with NULLs has no number for every row, and one number is enough.
            if on_left && matches!(join.join_type, JoinType::Right | JoinType::Full) {
                left = without_number(left)?;
            }
            if number_of(&left).is_some() || matches!(join.join_type, JoinType::Left | JoinType::Full) {
                right = without_number(right)?;
            }
        }
        Ok(LogicalPlan::Join(Join::try_new(
            Arc::new(left),
            Arc::new(right),
            join.on,
            join.filter,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?))
    }

    fn reads_stream(&self, plan: &LogicalPlan) -> Result<bool> {
        Ok(tables(plan)?.iter().any(|table| self.streams.contains(table)))
    }

    /// Subqueries in expressions (`IN (SELECT …)`) may read bounded tables only.
    fn check_subqueries(&self, plan: &LogicalPlan) -> Result<()> {
        if self.arrival == Arrival::Whole {
            return Ok(());
        }
        plan.apply_subqueries(|subquery| {
            if self.reads_stream(subquery)? {
                return plan_err!(
                    "a subquery in an expression reads from a stream, which needs all its rows at once; read from a file \
                     there, or run this query on an Arroyo cluster"
                );
            }
            Ok(TreeNodeRecursion::Jump)
        })?;
        Ok(())
    }
}
