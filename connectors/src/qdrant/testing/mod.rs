//! A server of Qdrant's gRPC API over the embedded store, for tests.
//!
//! It knows what the sink and the search ask for; other methods answer `Unimplemented`.

mod collections;
mod filters;
mod points;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use qdrant_client::qdrant::collections_server::CollectionsServer;
use qdrant_client::qdrant::points_server::PointsServer;
use qdrant_client::qdrant::qdrant_server::{Qdrant, QdrantServer};
use qdrant_client::qdrant::{HealthCheckReply, HealthCheckRequest};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

use super::embedded::EmbeddedBackend;
use super::ids::PointId;
use crate::ConnectorError;

/// The header in which a client gives its key.
const API_KEY_HEADER: &str = "api-key";

/// A running server. Dropping it stops it; [`TestServer::stop`] waits for that.
pub struct TestServer {
    address: SocketAddr,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), tonic::transport::Error>>>,
}

/// The services' state.
struct Service {
    store: EmbeddedBackend,
    api_key: Option<String>,
    failures: Mutex<Vec<Failure>>,
    refused_key: Mutex<Option<String>>,
    requests: Mutex<HashMap<&'static str, usize>>,
    /// Where points are forgotten once they are answered for: the ids of all that came.
    ids: Option<Mutex<HashSet<PointId>>>,
}

struct Failure {
    method: &'static str,
    code: Code,
    left: usize,
}

impl TestServer {
    /// A server over the store in `folder`, on a free port of the loopback interface.
    ///
    /// # Errors
    /// [`ConnectorError`] if the store cannot be opened or no port be had.
    pub async fn start(folder: &Path, api_key: Option<&str>) -> Result<Self, ConnectorError> {
        Self::start_at(folder, SocketAddr::from(([127, 0, 0, 1], 0)), api_key).await
    }

    /// As [`TestServer::start`], at an address of the caller's.
    pub async fn start_at(folder: &Path, address: SocketAddr, api_key: Option<&str>) -> Result<Self, ConnectorError> {
        Self::serve(folder, address, api_key, None).await
    }

    /// As [`TestServer::start_at`], but of upserted points only the ids are kept, and counted: so that a measurement of
    /// clients is one of clients.
    pub async fn start_forgetful(folder: &Path, address: SocketAddr) -> Result<Self, ConnectorError> {
        Self::serve(folder, address, None, Some(Mutex::default())).await
    }

    async fn serve(
        folder: &Path,
        address: SocketAddr,
        api_key: Option<&str>,
        ids: Option<Mutex<HashSet<PointId>>>,
    ) -> Result<Self, ConnectorError> {
        let io_error = |source| ConnectorError::Io {
            path: address.to_string(),
            source,
        };
        let service = Arc::new(Service {
            store: EmbeddedBackend::open(folder, true).await?,
            api_key: api_key.map(str::to_string),
            failures: Mutex::default(),
            refused_key: Mutex::default(),
            requests: Mutex::default(),
            ids,
        });
        let incoming = TcpIncoming::bind(address).map_err(io_error)?;
        let address = incoming.local_addr().map_err(io_error)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let limit = usize::MAX;
        let server = Server::builder()
            .add_service(QdrantServer::from_arc(Arc::clone(&service)))
            .add_service(CollectionsServer::from_arc(Arc::clone(&service)))
            .add_service(PointsServer::from_arc(Arc::clone(&service)).max_decoding_message_size(limit))
            .serve_with_incoming_shutdown(incoming, async move { drop(stopped.await) });
        Ok(Self {
            address,
            service,
            stop: Some(stop),
            task: Some(tokio::spawn(server)),
        })
    }

    /// The URL to connect to: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets the next `times` requests of `method` (`upsert`, `query`, `create_collection`, …) fail with `code`.
    pub fn fail(&self, method: &'static str, code: Code, times: usize) {
        locked(&self.service.failures).push(Failure {
            method,
            code,
            left: times,
        });
    }

    /// Refuses upserts with a point whose payload has the entry `key`, with `InvalidArgument`.
    pub fn refuse_payload_key(&self, key: &str) {
        *locked(&self.service.refused_key) = Some(key.to_string());
    }

    /// How many requests of `method` have come in, failed ones included.
    pub fn requests(&self, method: &'static str) -> usize {
        locked(&self.service.requests).get(method).copied().unwrap_or_default()
    }

    /// Stops listening, and returns when what was being answered is answered.
    pub async fn stop(mut self) {
        if let (Some(stop), Some(task)) = (self.stop.take(), self.task.take()) {
            if stop.send(()).is_err() {
                tracing::debug!("the test server had ended by itself");
            }
            drop(task.await);
        }
    }
}

impl Service {
    /// Counts the request, and answers for what it may not or shall not do.
    fn admit<T>(&self, method: &'static str, request: &Request<T>) -> Result<(), Status> {
        *locked(&self.requests).entry(method).or_default() += 1;
        let key = request
            .metadata()
            .get(API_KEY_HEADER)
            .and_then(|value| value.to_str().ok());
        if self.api_key.is_some() && key != self.api_key.as_deref() {
            return Err(Status::unauthenticated(
                "Must provide an API key or an Authorization bearer token",
            ));
        }
        let mut failures = locked(&self.failures);
        match failures
            .iter_mut()
            .find(|failure| failure.method == method && failure.left > 0)
        {
            Some(failure) => {
                failure.left -= 1;
                Err(Status::new(failure.code, "as the test asked for"))
            }
            None => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl Qdrant for Service {
    async fn health_check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckReply>, Status> {
        self.admit("health_check", &request)?;
        Ok(Response::new(HealthCheckReply {
            title: "sightstream test server".to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            commit: None,
        }))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn status(error: ConnectorError) -> Status {
    match error {
        ConnectorError::Refused { message, .. } => Status::invalid_argument(message),
        other => Status::internal(other.to_string()),
    }
}

fn not_found(collection: &str) -> Status {
    Status::not_found(format!("Not found: Collection `{collection}` doesn't exist!"))
}

/// Answers the methods of a service that no test needs.
macro_rules! unimplemented_methods {
    ($($method:ident($request:ty) -> $response:ty;)*) => {
        $(
            fn $method<'life0, 'async_trait>(
                &'life0 self,
                _request: tonic::Request<$request>,
            ) -> std::pin::Pin<
                Box<dyn Future<Output = Result<tonic::Response<$response>, tonic::Status>> + Send + 'async_trait>,
            >
            where
                'life0: 'async_trait,
                Self: 'async_trait,
            {
                Box::pin(async {
                    Err(tonic::Status::unimplemented(concat!("the test server has no method ", stringify!($method))))
                })
            }
        )*
    };
}
use unimplemented_methods;
