//! The operator that embeds.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Builder, ListBuilder, RecordBatch, StringArray, UInt64Array,
};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::apply_expression_roots;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};

use super::vector_type;
use crate::{EmbedContext, ROW_NUMBER, RowFailure};

/// One call of `embed`, its arguments ready to be evaluated.
#[derive(Debug, Clone)]
pub(super) struct PhysicalCall {
    pub url: Arc<dyn PhysicalExpr>,
    pub instruction: Arc<dyn PhysicalExpr>,
    pub column: String,
}

/// Adds a column of vectors for each call. All rows of a batch are embedded at once; rows for which a call fails are left
/// out and reported to the [`EmbedContext`], which the task's session configuration must hold.
#[derive(Debug)]
pub struct EmbedExec {
    input: Arc<dyn ExecutionPlan>,
    calls: Vec<PhysicalCall>,
    properties: Arc<PlanProperties>,
}

impl EmbedExec {
    pub(super) fn try_new(input: Arc<dyn ExecutionPlan>, calls: Vec<PhysicalCall>) -> Result<Self> {
        let input_schema = input.schema();
        let mut fields: Vec<_> = input_schema.fields().iter().cloned().collect();
        fields.extend(
            calls
                .iter()
                .map(|call| Arc::new(Field::new(&call.column, vector_type(), true))),
        );
        let schema = Arc::new(Schema::new_with_metadata(fields, input_schema.metadata().clone()));
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        Ok(Self {
            input,
            calls,
            properties,
        })
    }
}

impl DisplayAs for EmbedExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let calls: Vec<String> = self
            .calls
            .iter()
            .map(|call| format!("{}({}, {})", super::NAME, call.url, call.instruction))
            .collect();
        write!(f, "EmbedExec: {}", calls.join(", "))
    }
}

impl ExecutionPlan for EmbedExec {
    fn name(&self) -> &str {
        "EmbedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let expressions = self
            .calls
            .iter()
            .flat_map(|call| [Arc::clone(&call.url), Arc::clone(&call.instruction)]);
        apply_expression_roots(expressions, f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::try_new(input, self.calls.clone())?)),
            _ => internal_err!("EmbedExec has one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(embedding) = context.session_config().get_extension::<EmbedContext>() else {
            return internal_err!("the session has no EmbedContext");
        };
        let schema = self.schema();
        let calls: Arc<[PhysicalCall]> = self.calls.clone().into();
        let output_schema = Arc::clone(&schema);
        let output = self.input.execute(partition, context)?.and_then(move |batch| {
            let (calls, embedding, schema) = (Arc::clone(&calls), Arc::clone(&embedding), Arc::clone(&output_schema));
            async move { embed_batch(batch, &calls, &embedding, schema).await }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, output.boxed())))
    }
}

/// `batch` with the vectors of `calls` as further columns, without the rows that failed.
async fn embed_batch(
    batch: RecordBatch,
    calls: &[PhysicalCall],
    context: &EmbedContext,
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let row_numbers = row_numbers(&batch)?;
    let mut failed = vec![false; batch.num_rows()];
    let mut columns = batch.columns().to_vec();
    for call in calls {
        columns.push(embed_column(&batch, call, context, row_numbers.as_ref(), &mut failed).await?);
    }
    let output = RecordBatch::try_new(schema, columns)?;
    if failed.contains(&true) {
        let kept: BooleanArray = failed.iter().map(|failed| Some(!failed)).collect();
        Ok(filter_record_batch(&output, &kept)?)
    } else {
        Ok(output)
    }
}

async fn embed_column(
    batch: &RecordBatch,
    call: &PhysicalCall,
    context: &EmbedContext,
    row_numbers: Option<&UInt64Array>,
    failed: &mut [bool],
) -> Result<ArrayRef> {
    let urls = evaluate_text(&call.url, batch)?;
    let instructions = evaluate_text(&call.instruction, batch)?;
    let rows = (0..batch.num_rows()).filter(|&row| urls.is_valid(row) && !failed[row]);
    let calls: Vec<_> = rows
        .map(|row| {
            let (url, instruction) = (
                urls.value(row),
                instructions.is_valid(row).then(|| instructions.value(row)),
            );
            async move { (row, context.embedder.embed(url, instruction).await) }
        })
        .collect();
    let mut vectors = vec![None; batch.num_rows()];
    for (row, result) in join_all(calls).await {
        match result {
            Ok(vector) => vectors[row] = Some(vector),
            Err(failure) if failure.fatal => return Err(DataFusionError::External(Box::new(failure))),
            Err(failure) => {
                failed[row] = true;
                context.failures.push(RowFailure {
                    row: row_numbers.map(|numbers| numbers.value(row)),
                    failure,
                });
            }
        }
    }
    let mut column = ListBuilder::new(Float32Builder::new());
    for vector in vectors {
        match vector {
            Some(vector) => {
                column.values().append_slice(&vector);
                column.append(true);
            }
            None => column.append(false),
        }
    }
    Ok(Arc::new(column.finish()))
}

fn row_numbers(batch: &RecordBatch) -> Result<Option<UInt64Array>> {
    let Some(column) = batch.column_by_name(ROW_NUMBER) else {
        return Ok(None);
    };
    let numbers = column.as_primitive_opt::<UInt64Type>().cloned();
    numbers
        .map(Some)
        .ok_or_else(|| internal_datafusion_err!("{ROW_NUMBER} is not UInt64"))
}

fn evaluate_text(expression: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<StringArray> {
    let array = expression.evaluate(batch)?.into_array(batch.num_rows())?;
    Ok(cast(&array, &DataType::Utf8)?.as_string::<i32>().clone())
}
