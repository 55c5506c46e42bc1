//! A small server with the routes of Arroyo's API that a deployment uses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::shapes::*;
use crate::world::{PipelineRow, World, function_name};

/// The server; it ends with this.
pub struct Arroyo {
    pub address: String,
    world: Shared,
    /// Where it runs.
    _runtime: Runtime,
}

type Shared = Arc<Mutex<World>>;

impl Arroyo {
    /// Starts one that speaks `version`, with nothing in it.
    pub fn start(version: Version) -> Self {
        let runtime = Runtime::new().expect("a runtime can be made");
        let world = Arc::new(Mutex::new(World::new(version)));
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port of the loopback interface is free");
        let address = format!("http://{}", listener.local_addr().expect("it listens"));
        let app = app(Arc::clone(&world));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            world,
            _runtime: runtime,
        }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }
}

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().expect("no handler panics while it holds the lock")
}

fn app(world: Shared) -> Router {
    let api = Router::new()
        .route("/udfs", get(get_udfs).post(create_udf))
        .route("/udfs/validate", post(validate_udf))
        .route("/udfs/{id}", delete(delete_udf))
        .route("/pipelines", get(get_pipelines).post(create_pipeline))
        .route("/pipelines/validate_query", post(validate_query))
        .route(
            "/pipelines/{id}",
            get(get_pipeline).patch(patch_pipeline).delete(delete_pipeline),
        )
        .route("/pipelines/{id}/restart", post(restart_pipeline))
        .route("/pipelines/{id}/jobs", get(get_jobs))
        .route("/pipelines/{id}/jobs/{job}/errors", get(get_job_errors))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "Route not found"));
    Router::new()
        .nest("/api/v1", api)
        // What is no call of the API gives Arroyo's pages.
        .fallback(async || ([("content-type", "text/html")], "<!doctype html>"))
        .layer(middleware::from_fn_with_state(Arc::clone(&world), record))
        .with_state(world)
}

/// Writes the call down, and gives the answer that the test has put in its way.
async fn record(State(world): State<Shared>, request: Request, next: Next) -> Response {
    let call = format!("{} {}", request.method(), request.uri()).replace("/api/v1", "");
    let (parts, body) = request.into_parts();
    let bytes: Bytes = to_bytes(body, usize::MAX)
        .await
        .expect("the command sends its whole body");
    let (answer, lost) = {
        let mut world = lock(&world);
        if !call.ends_with("/jobs") && !call.ends_with("/errors") {
            world.calls.push(call.clone());
        }
        if let Ok(body) = serde_json::from_slice(&bytes) {
            world.bodies.push((call.clone(), body));
        }
        let fails = world
            .fails_from
            .is_some_and(|from| world.calls.iter().any(|made| made == from));
        let failure = fails.then(|| refusal(StatusCode::INTERNAL_SERVER_ERROR, "database is locked"));
        let World { answers, lost, .. } = &mut *world;
        (taken(answers, &call), taken(lost, &call).or(failure))
    };
    if let Some(answer) = answer {
        return answer;
    }
    let done = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    lost.unwrap_or(done)
}

/// The answer that waits for `call`.
fn taken(answers: &mut VecDeque<(&'static str, u16, String)>, call: &str) -> Option<Response> {
    let waiting = answers.iter().position(|(awaited, ..)| *awaited == call)?;
    let (_, status, body) = answers.remove(waiting)?;
    let status = StatusCode::from_u16(status).expect("tests name statuses");
    Some((status, [("location", "https://elsewhere/")], body).into_response())
}

fn refusal(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(ErrorResp { error: error.into() })).into_response()
}

/// A body, with Arroyo's answer to one that does not fit.
struct Post<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Post<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(refusal(rejection.status(), rejection.body_text())),
        }
    }
}

async fn get_udfs(State(world): State<Shared>) -> Json<NonPaginatedCollection<GlobalUdf>> {
    Json(NonPaginatedCollection {
        data: lock(&world).udfs.clone(),
    })
}

async fn create_udf(State(world): State<Shared>, Post(post): Post<UdfPost>) -> Response {
    let mut world = lock(&world);
    let Some(name) = function_name(&post.definition) else {
        return refusal(StatusCode::BAD_REQUEST, "UDF is invalid");
    };
    if !world.compiler_errors.is_empty() || world.linker_fails {
        return refusal(StatusCode::BAD_REQUEST, "UDF is invalid");
    }
    world.built.insert(post.definition.clone());
    if world.udf(&name).is_some() {
        return refusal(StatusCode::BAD_REQUEST, "udf with that name already exists");
    }
    let (id, now) = world.next_id("udf");
    let udf = GlobalUdf {
        id,
        prefix: post.prefix,
        name: name.clone(),
        language: post.language,
        created_at: now,
        updated_at: now,
        definition: post.definition,
        description: post.description,
        dylib_url: Some(format!("file:///tmp/arroyo/artifacts/udfs/{name}_0.so")),
    };
    world.udfs.push(udf.clone());
    Json(udf).into_response()
}

async fn validate_udf(State(world): State<Shared>, Post(post): Post<ValidateUdfPost>) -> Json<UdfValidationResult> {
    assert_eq!(post.language, UdfLanguage::Rust);
    Json(UdfValidationResult {
        udf_name: function_name(&post.definition),
        errors: lock(&world).compiler_errors.clone(),
    })
}

async fn delete_udf(State(world): State<Shared>, Path(id): Path<String>) -> Response {
    let mut world = lock(&world);
    let before = world.udfs.len();
    world.udfs.retain(|udf| udf.id != id);
    match world.udfs.len() < before {
        true => StatusCode::OK.into_response(),
        false => refusal(StatusCode::NOT_FOUND, "UDF not found"),
    }
}

async fn validate_query(
    State(world): State<Shared>,
    Post(post): Post<ValidateQueryPost>,
) -> Json<QueryValidationResult> {
    let errors = lock(&world).planned(&post.query, &post.udfs.unwrap_or_default());
    Json(QueryValidationResult {
        graph: errors.is_empty().then(|| World::graph(1)),
        errors,
    })
}

async fn create_pipeline(State(world): State<Shared>, Post(post): Post<PipelinePost>) -> Response {
    let mut world = lock(&world);
    let errors = world.planned(&post.query, &post.udfs.unwrap_or_default());
    if !errors.is_empty() {
        return refusal(StatusCode::BAD_REQUEST, format!("Failed to plan query: {errors:?}"));
    }
    let starts = world.starts.clone();
    let starts: Vec<&str> = starts.iter().map(String::as_str).collect();
    let id = world.has_pipeline(&post.name, &post.query, &starts);
    let failure = world.failure.clone();
    let row = row(&mut world, &id).expect("it was made just now");
    row.parallelism = post.parallelism;
    row.interval = post.checkpoint_interval_micros.unwrap_or(row.interval);
    row.failure = failure;
    let row = row.clone();
    Json(world.shown_pipeline(&row)).into_response()
}

fn row<'a>(world: &'a mut World, id: &str) -> Option<&'a mut PipelineRow> {
    world.pipelines.iter_mut().find(|row| row.id == id)
}

fn no_pipeline() -> Response {
    refusal(StatusCode::NOT_FOUND, "Pipeline not found")
}

async fn get_pipelines(
    State(world): State<Shared>,
    Query(page): Query<PaginationQueryParams>,
) -> Json<PaginatedCollection<Pipeline>> {
    let world = lock(&world);
    let before = page.starting_after.as_deref().unwrap_or_default();
    let before = world.pipeline(before).map(|row| row.created_at);
    let mut rows: Vec<&PipelineRow> = world
        .pipelines
        .iter()
        .filter(|row| before.is_none_or(|before| row.created_at < before))
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.created_at));
    let limit = page.limit.unwrap_or(10) as usize;
    Json(PaginatedCollection {
        has_more: rows.len() > limit,
        data: rows
            .into_iter()
            .take(limit)
            .map(|row| world.shown_pipeline(row))
            .collect(),
    })
}

async fn get_pipeline(State(world): State<Shared>, Path(id): Path<String>) -> Response {
    let world = lock(&world);
    match world.pipeline(&id) {
        Some(row) => Json(world.shown_pipeline(row)).into_response(),
        None => no_pipeline(),
    }
}

async fn patch_pipeline(
    State(world): State<Shared>,
    Path(id): Path<String>,
    Post(patch): Post<PipelinePatch>,
) -> Response {
    assert!(patch.parallelism.is_none() && patch.checkpoint_interval_micros.is_none());
    let mut world = lock(&world);
    let (stops, then) = (world.stops.clone(), world.starts_again.clone());
    let Some(row) = row(&mut world, &id) else {
        return no_pipeline();
    };
    let at_rest = matches!(row.state(), "Stopped" | "Failed" | "Finished");
    match patch.stop {
        Some(StopType::Checkpoint) if !at_rest => row.states = stops.into(),
        Some(StopType::Immediate) if !at_rest => row.goes(&["Stopping", "Stopped"]),
        Some(StopType::None) if row.state() == "Stopped" => {
            row.starts_again(then);
        }
        _ => {}
    }
    row.stop = patch.stop.unwrap_or(row.stop);
    let row = row.clone();
    Json(world.shown_pipeline(&row)).into_response()
}

async fn restart_pipeline(
    State(world): State<Shared>,
    Path(id): Path<String>,
    Post(restart): Post<PipelineRestart>,
) -> Response {
    assert_eq!(restart.force, Some(false));
    let mut world = lock(&world);
    let then = world.starts_again.clone();
    let Some(row) = row(&mut world, &id) else {
        return no_pipeline();
    };
    row.starts_again(then);
    let row = row.clone();
    Json(world.shown_pipeline(&row)).into_response()
}

async fn delete_pipeline(State(world): State<Shared>, Path(id): Path<String>) -> Response {
    let mut world = lock(&world);
    match row(&mut world, &id) {
        None => no_pipeline(),
        Some(row) if !matches!(row.state(), "Stopped" | "Finished" | "Failed") => refusal(
            StatusCode::BAD_REQUEST,
            "Pipeline's jobs must be in a terminal state (stopped, finished, or failed) before it can be deleted",
        ),
        Some(_) => {
            world.pipelines.retain(|row| row.id != id);
            StatusCode::OK.into_response()
        }
    }
}

async fn get_jobs(State(world): State<Shared>, Path(id): Path<String>) -> Response {
    let mut world = lock(&world);
    let Some(found) = row(&mut world, &id) else {
        return no_pipeline();
    };
    let now = found.clone();
    if found.states.len() > 1 {
        found.states.pop_front();
        // A job that recovers is scheduled again.
        if matches!(now.state(), "Recovering" | "Compiling") {
            found.run += 1;
        }
    }
    Json(NonPaginatedCollection {
        data: vec![world.shown_job(&now)],
    })
    .into_response()
}

async fn get_job_errors(State(world): State<Shared>, Path((id, job)): Path<(String, String)>) -> Response {
    let world = lock(&world);
    if world.pipeline(&id).is_none() || job != format!("job_{id}") {
        return refusal(StatusCode::NOT_FOUND, "Job not found");
    }
    Json(PaginatedCollection {
        data: world.job_errors.clone(),
        has_more: false,
    })
    .into_response()
}
