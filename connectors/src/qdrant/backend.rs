//! What the sink and the search need of a Qdrant, by gRPC or embedded.

use async_trait::async_trait;

use super::collection::{Description, Layout};
use super::ids::PointId;
use super::points::{Point, Vectors};
use super::search::{Filter, Hit};
use crate::ConnectorError;

/// A Qdrant. Names of collections may be aliases wherever points are read or written.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// The system as a user knows it: `Qdrant at http://localhost:6334`.
    fn system(&self) -> &str;

    /// The collection that `alias` leads to; `None` if there is no such alias.
    async fn alias_target(&self, alias: &str) -> Result<Option<String>, ConnectorError>;

    /// The collection of that name; `None` if there is none.
    async fn describe(&self, collection: &str) -> Result<Option<Description>, ConnectorError>;

    /// Makes a collection. No error if another process has made it meanwhile.
    async fn create(&self, collection: &str, layout: &Layout) -> Result<(), ConnectorError>;

    /// Lets `alias` lead to `collection`.
    async fn create_alias(&self, alias: &str, collection: &str) -> Result<(), ConnectorError>;

    /// Writes points of different ids, in no order, replacing those of the same ids. The points that can never be written come back by their index
    /// with the reason.
    async fn upsert(&self, collection: &str, points: Vec<Point>) -> Result<Vec<(usize, String)>, ConnectorError>;

    /// Removes the points of these ids; ids that are not there are passed over.
    async fn delete(&self, collection: &str, ids: &[PointId]) -> Result<(), ConnectorError>;

    /// Returns when everything written and removed so far is durable.
    async fn flush(&self) -> Result<(), ConnectorError>;

    /// Flushes and finishes what work is left.
    async fn close(&self) -> Result<(), ConnectorError>;

    /// The points nearest to a vector, the best first.
    async fn search(&self, collection: &str, query: Nearest<'_>) -> Result<Vec<Hit>, ConnectorError>;

    /// How many points match all `filters`, exactly.
    async fn count(&self, collection: &str, filters: &[Filter]) -> Result<u64, ConnectorError>;

    /// The points of these ids; ids that are not there are left out.
    async fn get(&self, collection: &str, ids: &[PointId]) -> Result<Vec<Record>, ConnectorError>;

    /// `limit` points from the id `from` on, in the order of the ids, and the id to go on from.
    async fn scroll(
        &self,
        collection: &str,
        from: Option<PointId>,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<PointId>), ConnectorError>;

    /// A [`ConnectorError::Refused`] of this system.
    fn refusal(&self, message: String) -> ConnectorError {
        ConnectorError::Refused {
            system: self.system().to_string(),
            message,
        }
    }
}

/// A question for the nearest points.
#[derive(Debug, Clone)]
pub(crate) struct Nearest<'a> {
    /// What they are to be near to.
    pub vector: Vec<f32>,
    /// Which of the points' vectors is compared; empty for the unnamed one.
    pub using: &'a str,
    /// What must hold for them.
    pub filters: &'a [Filter],
    /// The most points.
    pub limit: usize,
}

/// A point as it is stored. Under the cosine distance Qdrant keeps vectors normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: PointId,
    /// Its vectors.
    pub vectors: Vectors,
    /// Its payload.
    pub payload: serde_json::Map<String, serde_json::Value>,
}
