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
use crate::row_numbers::Arrival;

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
    /// found.
    pub fn compute<'a>(
        &'a self,
        query: &'a Query,
        input: HashMap<String, RecordBatch>,
    ) -> BoxFuture<'a, Result<Computed>> {
        async move {
            let error = match self.run(query, &input).await {
                Ok(computed) => return Ok(computed),
                Err(error) => error,
            };
            if query.arrival == Arrival::Whole || is_fatal(&error) {
                return Err(error);
            }
            let Some((table, batch)) = input.iter().find(|(_, batch)| batch.num_rows() > 0) else {
                return Err(error);
            };
            if batch.num_rows() == 1 {
                let failure = EmbedFailure {
                    code: "expression".to_string(),
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
            let half = |from, length| HashMap::from([(table.clone(), batch.slice(from, length))]);
            let first = self.compute(query, half(0, middle)).await?;
            let second = self.compute(query, half(middle, batch.num_rows() - middle)).await?;
            join(first, second)
        }
        .boxed()
    }

    async fn run(&self, query: &Query, input: &HashMap<String, RecordBatch>) -> Result<Computed> {
        let failures = Arc::new(RowFailures::default());
        let embedding = EmbedContext {
            embedder: Arc::clone(&self.embedder),
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
        let (rows, numbers) = in_order(concat_batches(&schema, &batches)?, query.numbered)?;
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

/// The rows in the order of their numbers, and the numbers taken out. An operator such as a join may have changed the
/// order, and of two rows with one id the later record must win.
fn in_order(batch: RecordBatch, numbered: bool) -> Result<(RecordBatch, Option<UInt64Array>)> {
    if !numbered {
        return Ok((batch, None));
    }
    let numbers = row_numbers(&batch)?;
    let batch = if numbers.values().is_sorted() {
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

fn join(first: Computed, second: Computed) -> Result<Computed> {
    let rows = concat_batches(&first.rows.schema(), [&first.rows, &second.rows])?;
    let numbers = match (first.numbers, second.numbers) {
        (Some(first), Some(second)) => Some(first.values().iter().chain(second.values()).copied().collect()),
        _ => None,
    };
    let failures = first.failures.into_iter().chain(second.failures).collect();
    Ok(Computed {
        rows,
        numbers,
        failures,
    })
}
