//! From the logical to the physical operator.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::exec::PhysicalCall;
use super::{CallExec, CallNode};

/// Plans [`CallNode`] as [`CallExec`].
#[derive(Debug, Default)]
pub struct CallPlanner;

#[async_trait]
impl ExtensionPlanner for CallPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<CallNode>() else {
            return Ok(None);
        };
        let (&[logical_input], [input]) = (logical_inputs, physical_inputs) else {
            return internal_err!("Call has one input");
        };
        let physical = |expr| planner.create_physical_expr(expr, logical_input.schema(), session, context);
        let calls = node
            .calls()
            .iter()
            .map(|call| {
                Ok(PhysicalCall {
                    function: call.function,
                    arguments: call.arguments.iter().map(physical).collect::<Result<_>>()?,
                    column: call.column.clone(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Some(Arc::new(CallExec::try_new(Arc::clone(input), calls)?)))
    }
}
