//! The DataFusion session that statements are planned in.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};
use sightstream_udf::calls::{CallPlanner, Function};
use sightstream_udf::{cosine_similarity, parts, vector_bytes};

/// A session with our functions. One partition: the rows of an epoch keep their order.
pub(crate) fn session() -> SessionContext {
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(false);
    let parser = &mut config.options_mut().sql_parser;
    parser.collect_spans = true;
    // Connectors speak plain Utf8.
    parser.map_string_types_to_utf8view = false;
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_query_planner(Arc::new(Planner))
        .build();
    let session = SessionContext::new_with_state(state);
    let calls = Function::ALL.into_iter().map(Function::udf);
    calls
        .chain(parts::functions())
        .for_each(|function| session.register_udf(function));
    session.register_udf(cosine_similarity::function());
    session.register_udf(vector_bytes::function());
    session
}

/// DataFusion's planner, which knows the operator of `embed` and `segments`.
#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(CallPlanner)])
            .create_physical_plan(plan, session)
            .await
    }
}
