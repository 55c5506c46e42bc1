//! Runs a query on the rows of an epoch.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::UInt64Type;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::context::SessionState;
use datafusion::physical_plan::collect;
use futures::FutureExt;
use futures::future::BoxFuture;
use sightstream_udf::{EmbedContext, EmbedFailure, Embedder, ROW_NUMBER, RowFailure, RowFailures};

use crate::epoch_table::EpochInput;
use crate::error::sentence;
use crate::planner::{Query, internal, visible_schema};
use crate::remembering::Remembering;
use crate::row_numbers::Arrival;

/// The code of a failure that is not `embed`'s.
pub(crate) const EXPRESSION: &str = "expression";

/// What a query made of an epoch.
#[derive(Debug)]
pub(crate) struct Computed {
    /// The sink's columns, in the order of the records.
    pub rows: RecordBatch,
    /// For each row the number of its record, if the query keeps it.
    pub numbers: Option<UInt64Array>,
    /// Rows that could not be computed.
    pub failures: Vec<RowFailure>,
}

/// Runs queries; shared by all epochs of a job.
pub(crate) struct Computer {
    pub state: SessionState,
    pub embedder: Arc<dyn Embedder>,
    /// The tables that queries read as a whole.
    pub bounded: HashMap<String, RecordBatch>,
}

impl Computer {
    /// Runs `query` on the rows `input` of its streams, which hold their row numbers.
    ///
    /// A row on which an expression fails (a cast, a division by zero) fails alone: the epoch is halved until the row is
    /// found. An error that comes without any row is the query's own.
    pub async fn compute(
        &self,
        query: &Query,
        input: HashMap<String, RecordBatch>,
        embedder: &Arc<dyn Embedder>,
    ) -> Result<Computed> {
        let error = match self.run(query, &input, embedder).await {
            Ok(computed) => return Ok(computed),
            Err(error) => error,
        };
        if query.arrival == Arrival::Whole || is_fatal(&error) {
            return Err(error);
        }
        self.run(query, &HashMap::new(), embedder).await?;
        self.halve(query, input, error, embedder).await
    }

    /// The embedder for all queries of one epoch: it embeds a row once, whatever the number of queries and of their runs.
    pub fn embedder_of_epoch(&self) -> Arc<dyn Embedder> {
        Arc::new(Remembering::new(Arc::clone(&self.embedder)))
    }

    /// Computes the halves of `input`, on whose whole the query failed with `error`.
    fn halve<'a>(
        &'a self,
        query: &'a Query,
        input: HashMap<String, RecordBatch>,
        error: DataFusionError,
        embedder: &'a Arc<dyn Embedder>,
    ) -> BoxFuture<'a, Result<Computed>> {
        async move {
            let Some((table, batch)) = input.iter().find(|(_, batch)| batch.num_rows() > 0) else {
                return Err(error);
            };
            if batch.num_rows() == 1 {
                let failure = EmbedFailure {
                    code: EXPRESSION.to_string(),
                    message: sentence(&error),
                    fatal: false,
                };
                let row = Some(row_numbers(batch)?.value(0));
                let rows = RecordBatch::new_empty(visible_schema(&query.plan));
                let numbers = query.numbered.then(|| UInt64Array::from(Vec::<u64>::new()));
                return Ok(Computed {
                    rows,
                    numbers,
                    failures: vec![RowFailure { row, failure }],
                });
            }
            let middle = batch.num_rows() / 2;
            let mut halves = Vec::with_capacity(2);
            for half in [batch.slice(0, middle), batch.slice(middle, batch.num_rows() - middle)] {
                let half = HashMap::from([(table.clone(), half)]);
                halves.push(match self.run(query, &half, embedder).await {
                    Ok(computed) => computed,
                    Err(error) if is_fatal(&error) => return Err(error),
                    Err(error) => self.halve(query, half, error, embedder).await?,
                });
            }
            join(halves)
        }
        .boxed()
    }

    async fn run(
        &self,
        query: &Query,
        input: &HashMap<String, RecordBatch>,
        embedder: &Arc<dyn Embedder>,
    ) -> Result<Computed> {
        let failures = Arc::new(RowFailures::default());
        let embedding = EmbedContext {
            embedder: Arc::clone(embedder),
            failures: Arc::clone(&failures),
        };
        let mut batches = input.clone();
        batches.extend(
            query
                .bounded
                .iter()
                .filter_map(|name| Some((name.clone(), self.bounded.get(name)?.clone()))),
        );
        let config = self
            .state
            .config()
            .clone()
            .with_extension(Arc::new(EpochInput { batches }))
            .with_extension(Arc::new(embedding));
        let context = Arc::new(TaskContext::default().with_session_config(config));
        let plan = self
            .state
            .query_planner()
            .create_physical_plan(&query.plan, &self.state)
            .await?;
        let schema = plan.schema();
        let batches = collect(plan, context).await?;
        let (rows, numbers) = take_numbers(concat_batches(&schema, &batches)?, query)?;
        Ok(Computed {
            rows,
            numbers,
            failures: failures.take(),
        })
    }
}

/// Whether the error is not about the rows.
fn is_fatal(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::External(inner) => inner.downcast_ref::<EmbedFailure>().is_none_or(|failure| failure.fatal),
        DataFusionError::ResourcesExhausted(_) | DataFusionError::Internal(_) | DataFusionError::Plan(_) => true,
        _ => false,
    }
}

/// The rows and, taken out, the numbers of their records. Rows of an epoch are brought into the order of the records: an
/// operator such as a join may have changed it, and of two rows with one id the later record must win. Whole files keep
/// the order that the query gives them.
fn take_numbers(batch: RecordBatch, query: &Query) -> Result<(RecordBatch, Option<UInt64Array>)> {
    if !query.numbered {
        return Ok((batch, None));
    }
    let numbers = row_numbers(&batch)?;
    let batch = if query.arrival == Arrival::Whole || numbers.values().is_sorted() {
        batch
    } else {
        let mut order: Vec<u32> = (0..numbers.len() as u32).collect();
        order.sort_by_key(|&row| numbers.value(row as usize));
        take_record_batch(&batch, &UInt32Array::from(order))?
    };
    let numbers = row_numbers(&batch)?;
    let visible: Vec<usize> = (0..batch.num_columns() - 1).collect();
    Ok((batch.project(&visible)?, Some(numbers)))
}

/// The last column, which holds the row numbers.
fn row_numbers(batch: &RecordBatch) -> Result<UInt64Array> {
    let column = batch
        .columns()
        .last()
        .filter(|_| batch.schema().field(batch.num_columns() - 1).name() == ROW_NUMBER);
    column
        .and_then(|column| column.as_primitive_opt::<UInt64Type>())
        .cloned()
        .ok_or_else(|| internal("the rows have lost their numbers"))
}

/// The rows of `parts`, one after the other; there is at least one part.
fn join(parts: Vec<Computed>) -> Result<Computed> {
    let schema = parts
        .first()
        .ok_or_else(|| internal("an epoch has no halves"))?
        .rows
        .schema();
    let rows = concat_batches(&schema, parts.iter().map(|part| &part.rows))?;
    let numbers: Option<Vec<&UInt64Array>> = parts.iter().map(|part| part.numbers.as_ref()).collect();
    let numbers = numbers.map(|parts| parts.iter().flat_map(|part| part.values()).copied().collect());
    let failures = parts.into_iter().flat_map(|part| part.failures).collect();
    Ok(Computed {
        rows,
        numbers,
        failures,
    })
}
