//! The operator that makes calls.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, UInt64Array};
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
use futures::{StreamExt, TryStreamExt};

use super::Function;
use super::results::Value;
use crate::{EmbedContext, ROW_NUMBER, RowFailure};

/// How many calls of a batch are made at once: more than the service has on its way, so that it always has the next one. A
/// batch may have one row for each window of many videos.
const CALLS_AT_ONCE: usize = 4096;

/// One call, its arguments ready to be evaluated.
#[derive(Debug, Clone)]
pub(super) struct PhysicalCall {
    pub function: Function,
    pub arguments: Vec<Arc<dyn PhysicalExpr>>,
    pub column: String,
}

impl fmt::Display for PhysicalCall {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let arguments: Vec<String> = self.arguments.iter().map(ToString::to_string).collect();
        write!(f, "{}({})", self.function.name(), arguments.join(", "))
    }
}

/// Adds a column of results for each call. The calls of a batch are made at once; rows for which a call fails are left
/// out and reported to the [`EmbedContext`], which the task's session configuration must hold.
#[derive(Debug)]
pub struct CallExec {
    input: Arc<dyn ExecutionPlan>,
    calls: Vec<PhysicalCall>,
    properties: Arc<PlanProperties>,
}

impl CallExec {
    pub(super) fn try_new(input: Arc<dyn ExecutionPlan>, calls: Vec<PhysicalCall>) -> Result<Self> {
        let input_schema = input.schema();
        let mut fields: Vec<_> = input_schema.fields().iter().cloned().collect();
        fields.extend(calls.iter().map(|call| {
            let field = Field::new(&call.column, call.function.return_type(), true);
            Arc::new(field)
        }));
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

impl DisplayAs for CallExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let calls: Vec<String> = self.calls.iter().map(ToString::to_string).collect();
        write!(f, "CallExec: {}", calls.join(", "))
    }
}

impl ExecutionPlan for CallExec {
    fn name(&self) -> &str {
        "CallExec"
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
        let expressions = self.calls.iter().flat_map(|call| call.arguments.iter().cloned());
        apply_expression_roots(expressions, f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::try_new(input, self.calls.clone())?)),
            _ => internal_err!("CallExec has one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(service) = context.session_config().get_extension::<EmbedContext>() else {
            return internal_err!("the session has no EmbedContext");
        };
        let schema = self.schema();
        let calls: Arc<[PhysicalCall]> = self.calls.clone().into();
        let output_schema = Arc::clone(&schema);
        let output = self.input.execute(partition, context)?.and_then(move |batch| {
            let (calls, service, schema) = (Arc::clone(&calls), Arc::clone(&service), Arc::clone(&output_schema));
            async move { call_batch(batch, &calls, &service, schema).await }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, output.boxed())))
    }
}

/// `batch` with the results of `calls` as further columns, without the rows that failed.
async fn call_batch(
    batch: RecordBatch,
    calls: &[PhysicalCall],
    context: &EmbedContext,
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let row_numbers = row_numbers(&batch)?;
    let mut failed = vec![false; batch.num_rows()];
    let mut columns = batch.columns().to_vec();
    for call in calls {
        columns.push(call_column(&batch, call, context, row_numbers.as_ref(), &mut failed).await?);
    }
    let output = RecordBatch::try_new(schema, columns)?;
    if failed.contains(&true) {
        let kept: BooleanArray = failed.iter().map(|failed| Some(!failed)).collect();
        Ok(filter_record_batch(&output, &kept)?)
    } else {
        Ok(output)
    }
}

async fn call_column(
    batch: &RecordBatch,
    call: &PhysicalCall,
    context: &EmbedContext,
    row_numbers: Option<&UInt64Array>,
    failed: &mut [bool],
) -> Result<ArrayRef> {
    let arguments = call
        .arguments
        .iter()
        .map(|argument| evaluate_text(argument, batch))
        .collect::<Result<Vec<_>>>()?;
    let calls: Vec<_> = (0..batch.num_rows())
        .filter(|&row| !failed[row])
        .map(|row| {
            let of_row = arguments
                .iter()
                .map(|column| column.is_valid(row).then(|| column.value(row)));
            let of_row: Vec<Option<&str>> = of_row.collect();
            async move { (row, call.function.call(&*context.embedder, &of_row).await) }
        })
        .collect();
    let mut calls = futures::stream::iter(calls).buffer_unordered(CALLS_AT_ONCE);
    let mut values: Vec<Option<Value>> = Vec::new();
    values.resize_with(batch.num_rows(), || None);
    while let Some((row, result)) = calls.next().await {
        match result {
            Ok(value) => values[row] = value,
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
    Ok(call.function.column(values))
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
