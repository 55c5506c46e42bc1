//! From a query's syntax to a plan that runs on every epoch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, NullHandling, Result, ScalarValue, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::ViewTable;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, cast, lit};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{Optimizer, OptimizerContext};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as SqlStatement;
use datafusion::sql::sqlparser::ast::{Query as SqlQuery, Statement};
use sightstream_connectors::TableDefinition;
use sightstream_connectors::options::nearest;
use sightstream_udf::calls::{self, Function};
use sightstream_udf::{ROW_NUMBER, vector_bytes};

use crate::epoch_table::EpochTable;
use crate::lineage::is_plain;
use crate::row_numbers::{Arrival, number_rows, tables};
use crate::session::session;

/// The connectors whose tables never end.
const UNBOUNDED: [&str; 1] = ["kafka"];

/// A planned query.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// The line of its statement.
    pub line: u64,
    /// The optimised plan: the sink's columns, then the row number if `numbered`.
    pub plan: LogicalPlan,
    pub numbered: bool,
    pub arrival: Arrival,
    /// The tables whose epochs drive the query.
    pub streams: Vec<String>,
    /// The tables that it reads as a whole.
    pub bounded: Vec<String>,
    /// What it asks the embedding service for.
    pub called: BTreeSet<Function>,
    /// For each column of the result, whether it holds the values of a table's column as they are.
    pub plain: Vec<bool>,
}

impl Query {
    /// Whether it calls `function`.
    pub fn calls(&self, function: Function) -> bool {
        self.called.contains(&function)
    }
}

/// Where a query's rows go: the columns that the plan must give.
pub(crate) enum Target<'a> {
    /// The columns `columns` (all, if empty) of a declared table.
    Table {
        definition: &'a TableDefinition,
        columns: &'a [String],
    },
    /// Whatever the query gives.
    Output,
}

/// The tables and views of a script.
pub(crate) struct Catalog {
    session: SessionContext,
    tables: BTreeMap<String, TableDefinition>,
}

impl Catalog {
    pub fn new() -> Self {
        Self {
            session: session(),
            tables: BTreeMap::new(),
        }
    }

    pub fn state(&self) -> SessionState {
        self.session.state()
    }

    pub fn table(&self, name: &str) -> Result<&TableDefinition> {
        match self.tables.get(name) {
            Some(table) => Ok(table),
            None => plan_err!("{}", self.unknown_table(name)),
        }
    }

    fn unknown_table(&self, name: &str) -> String {
        let known = || self.tables.keys().map(String::as_str);
        let meant = nearest(name, known()).map(|meant| format!("did you mean {meant}? "));
        format!(
            "there is no table {name}; {}CREATE TABLE it above, or use one of: {}",
            meant.unwrap_or_default(),
            known().collect::<Vec<_>>().join(", ")
        )
    }

    pub fn add_table(&mut self, table: TableDefinition) -> Result<()> {
        if self.session.table_exist(table.name.as_str())? {
            return plan_err!("the name {} is taken already", table.name);
        }
        let epoch_table = EpochTable::new(&table.name, Arc::clone(&table.schema));
        self.session
            .register_table(table.name.as_str(), Arc::new(epoch_table))?;
        self.tables.insert(table.name.clone(), table);
        Ok(())
    }

    pub async fn add_view(&mut self, name: &str, columns: &[String], query: SqlQuery) -> Result<()> {
        if self.session.table_exist(name)? {
            return plan_err!("the name {name} is taken already");
        }
        let mut plan = self.logical_plan(query).await?;
        if !columns.is_empty() {
            let given = plan.schema().columns();
            if given.len() != columns.len() {
                return plan_err!(
                    "the view {name} names {} columns, its query gives {}",
                    columns.len(),
                    given.len()
                );
            }
            let renamed = given
                .into_iter()
                .zip(columns)
                .map(|(column, name)| Expr::Column(column).alias(name))
                .collect();
            plan = LogicalPlan::Projection(Projection::try_new(renamed, Arc::new(plan))?);
        }
        self.session
            .register_table(name, Arc::new(ViewTable::new(plan, None)))?;
        Ok(())
    }

    /// The plan of `query`, whose rows go to `target`.
    pub async fn plan(&self, line: u64, query: SqlQuery, target: Target<'_>) -> Result<Query> {
        let plan = self.logical_plan(query).await?;
        let plan = match target {
            Target::Table { definition, columns } => to_columns(plan, definition, columns)?,
            Target::Output => plan,
        };
        let plain = (0..plan.schema().fields().len())
            .map(|index| is_plain(&plan, index))
            .collect();
        let read = tables(&plan)?;
        let (streams, bounded) = self.split(&plan, &read)?;
        let unbounded = streams.iter().any(|name| self.is_unbounded(name));
        let names: BTreeSet<String> = streams.iter().cloned().collect();
        let epochs = if streams.is_empty() {
            None
        } else {
            Some(number_rows(plan.clone(), &names, Arrival::Epochs))
        };
        let (arrival, (plan, numbered)) = match epochs {
            Some(Ok(plan)) => (Arrival::Epochs, plan),
            Some(Err(error)) if unbounded => return Err(error),
            _ => (Arrival::Whole, number_rows(plan, &names, Arrival::Whole)?),
        };
        let state = self.state();
        let plan = extract_calls(plan, &state)?;
        let called = calls::called(&plan)?;
        let plan = state.optimize(&plan)?;
        // Planned again for every epoch; what cannot be planned is an error now.
        state.query_planner().create_physical_plan(&plan, &state).await?;
        Ok(Query {
            line,
            plan,
            numbered,
            arrival,
            streams,
            bounded,
            called,
            plain,
        })
    }

    async fn logical_plan(&self, query: SqlQuery) -> Result<LogicalPlan> {
        let statement = SqlStatement::Statement(Box::new(Statement::Query(Box::new(query))));
        let planned = self.state().statement_to_plan(statement).await;
        keep_null_lists(planned.map_err(|error| self.in_our_words(error))?)
    }

    /// What DataFusion says of a table that is not there names catalogs and schemas, of which a script knows nothing.
    fn in_our_words(&self, error: DataFusionError) -> DataFusionError {
        match error {
            DataFusionError::Diagnostic(diagnostic, inner) => {
                DataFusionError::Diagnostic(diagnostic, Box::new(self.in_our_words(*inner)))
            }
            DataFusionError::Collection(errors) => {
                DataFusionError::Collection(errors.into_iter().map(|error| self.in_our_words(error)).collect())
            }
            DataFusionError::Plan(message) => {
                let name = message
                    .strip_prefix("table 'datafusion.public.")
                    .and_then(|rest| rest.strip_suffix("' not found"));
                DataFusionError::Plan(name.map_or_else(|| message.clone(), |name| self.unknown_table(name)))
            }
            other => other,
        }
    }

    fn is_unbounded(&self, table: &str) -> bool {
        self.tables
            .get(table)
            .is_some_and(|table| UNBOUNDED.contains(&table.connector().as_str()))
    }

    /// The tables `read` as streams and as bounded tables. Topics are streams. Without a topic, a file takes that part:
    /// every file of a UNION ALL, the first file of a join.
    fn split(&self, plan: &LogicalPlan, read: &[String]) -> Result<(Vec<String>, Vec<String>)> {
        let (streams, files): (Vec<String>, Vec<String>) =
            read.iter().cloned().partition(|name| self.is_unbounded(name));
        if !streams.is_empty() {
            return Ok((streams, files));
        }
        let meet = tables_meet(plan)?;
        Ok(match files.split_first() {
            Some((first, others)) if meet => (vec![first.clone()], others.to_vec()),
            _ => (files, Vec::new()),
        })
    }
}

/// `plan` with a row for each NULL that is unnested, as Arroyo has it: DataFusion's SQL would drop the record without a
/// word.
fn keep_null_lists(plan: LogicalPlan) -> Result<LogicalPlan> {
    let kept = plan.transform_up_with_subqueries(|node| {
        Ok(match node {
            LogicalPlan::Unnest(mut unnest) if unnest.options.null_handling == NullHandling::Drop => {
                unnest.options.null_handling = NullHandling::Preserve;
                Transformed::yes(LogicalPlan::Unnest(unnest))
            }
            other => Transformed::no(other),
        })
    });
    kept.map(|kept| kept.data)
}

/// Whether rows of several tables meet anywhere in `plan`: in a join or in a subquery of an expression.
fn tables_meet(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        found |= matches!(node, LogicalPlan::Join(_));
        node.apply_subqueries(|_| {
            found = true;
            Ok(TreeNodeRecursion::Stop)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// `plan` with its calls of `embed` and `segments` as operators. Columns that nobody reads go first: a view's vectors are computed only
/// where they are used.
fn extract_calls(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let options: &Arc<ConfigOptions> = state.config_options();
    let analysed = state.analyzer().execute_and_check(plan, options, |_, _| {})?;
    let pruning = Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]);
    let pruned = pruning.optimize(analysed, &OptimizerContext::new(), |_, _| {})?;
    calls::extract(pruned)
}

/// `plan` with the columns of the table `definition`, cast to their types. `columns` names those that the plan gives;
/// the others are NULL.
fn to_columns(plan: LogicalPlan, definition: &TableDefinition, columns: &[String]) -> Result<LogicalPlan> {
    let schema: &Schema = &definition.schema;
    let declared: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let targets = if columns.is_empty() { &declared[..] } else { columns };
    let given = plan.schema().columns();
    if given.len() != targets.len() {
        let names: Vec<&str> = given.iter().map(|column| column.name.as_str()).collect();
        return plan_err!(
            "INSERT INTO {} needs {} columns ({}), but its query gives {} ({})",
            definition.name,
            targets.len(),
            targets.join(", "),
            given.len(),
            names.join(", ")
        );
    }
    let mut sources: HashMap<&str, (Column, DataType)> = HashMap::new();
    for (target, (column, field)) in targets.iter().zip(given.into_iter().zip(plan.schema().fields())) {
        if schema.index_of(target).is_err() {
            return plan_err!(
                "the table {} has no column {target}; it has {}",
                definition.name,
                declared.join(", ")
            );
        }
        if sources.insert(target, (column, field.data_type().clone())).is_some() {
            return plan_err!("INSERT INTO {} names the column {target} twice", definition.name);
        }
    }
    let projection = schema
        .fields()
        .iter()
        .map(|field| Ok(column(field, sources.remove(field.name().as_str()))?.alias(field.name())))
        .collect::<Result<Vec<_>>>()?;
    LogicalPlanBuilder::from(plan).project(projection)?.build()
}

/// The expression for the sink's column `field` from a column of the query and its type.
fn column(field: &Field, source: Option<(Column, DataType)>) -> Result<Expr> {
    let wanted = field.data_type();
    let Some((column, found)) = source else {
        return Ok(lit(ScalarValue::try_from(wanted)?));
    };
    let expression = Expr::Column(column);
    match (&found, wanted) {
        (DataType::Null, wanted) => Ok(lit(ScalarValue::try_from(wanted)?)),
        (found, wanted) if found == wanted => Ok(expression),
        (found, DataType::Binary) if *found == calls::vector_type() => {
            Ok(vector_bytes::function().call(vec![expression]))
        }
        // Arrow would print a list as text, which nobody means.
        (found, wanted) if can_cast_types(found, wanted) && found.is_nested() == wanted.is_nested() => {
            Ok(cast(expression, wanted.clone()))
        }
        (found, wanted) => plan_err!(
            "the column {} is {wanted}; the query gives {found}, which cannot be cast",
            field.name()
        ),
    }
}

/// The columns of a query's result, without the row number.
pub(crate) fn visible_schema(plan: &LogicalPlan) -> SchemaRef {
    let fields: Vec<_> = plan
        .schema()
        .fields()
        .iter()
        .filter(|field| field.name() != ROW_NUMBER)
        .map(Arc::clone)
        .collect();
    Arc::new(Schema::new(fields))
}

/// Names the layer of an error that the engine itself makes.
pub(crate) fn internal(message: impl Into<String>) -> DataFusionError {
    DataFusionError::Internal(message.into())
}
