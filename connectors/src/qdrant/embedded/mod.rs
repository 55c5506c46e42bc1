//! A Qdrant in this process: collections, aliases and their metadata as folders and small files around qdrant-edge's
//! shards.
//!
//! Points are durable after [`Backend::flush`], and only then. One process at a time has a store open; within the
//! process, whoever opens it again shares it.

pub(crate) mod convert;
mod files;
mod inspect;
mod lock;
mod shard;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use qdrant_edge::{
    CountRequest, Filter as EdgeFilter, NamedQuery, QueryEnum, QueryRequest, ScoringQuery, ScrollRequest,
    VectorInternal, WithPayloadInterface, WithVector,
};

pub(crate) use self::inspect::{Inspection, inspect};
use self::lock::FolderLock;
use self::shard::Shard;
use self::writer::{Contents, Writer};
use super::backend::{Backend, Nearest, Record};
use super::collection::{Description, Layout};
use super::ids::PointId;
use super::points::Point;
use super::search::{Filter, Hit};
use crate::error::blocking;
use crate::{ConnectorError, Waits};

/// What is left free on the disk: as much as new files and the building of an index (at most one merged segment of
/// 128 MiB at a time) can take between two looks.
const RESERVE: u64 = 256 << 20;

/// The pause between two looks for space.
const SPACE_PAUSE: Duration = Duration::from_secs(1);

/// The stores that this process has open.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Store>>>> = LazyLock::new(Mutex::default);

/// A Qdrant in this process.
#[derive(Clone)]
pub(crate) struct EmbeddedBackend {
    store: Arc<Store>,
    /// Where a wait for space is told; without it there is none.
    waits: Option<Waits>,
}

/// An open store. The order of the fields is the order in which they are let go.
struct Store {
    writer: Writer,
    contents: Arc<Contents>,
    _lock: FolderLock,
}

impl EmbeddedBackend {
    /// Opens the store in the folder `path`; makes it, if `create` says so and it is not there.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] if another process has it open, or there is none and none is to be made.
    pub async fn open(path: &Path, create: bool) -> Result<Self, ConnectorError> {
        let path = path.to_path_buf();
        let store = blocking(move || open_store(&path, create)).await??;
        Ok(Self { store, waits: None })
    }

    /// The same store, which waits for space on its disk before it writes.
    pub fn waiting_for_space(self, waits: &Waits) -> Self {
        Self {
            waits: Some(waits.clone()),
            ..self
        }
    }

    /// Returns when the disk has [`RESERVE`] left. qdrant-edge writes through mapped files: on a full disk that ends the
    /// process, and nothing can be caught. So there must be space before it writes.
    async fn space(&self) -> Result<(), ConnectorError> {
        let Some(waits) = &self.waits else { return Ok(()) };
        let folder = self.store.contents.folder().to_path_buf();
        let mut wait = waits.wait_for("space on the disk", format!("writing to the {}", self.system()));
        loop {
            let looked = folder.clone();
            let free =
                blocking(move || fs4::available_space(&looked).map_err(|source| files::io_error(&looked, source)))
                    .await??;
            if free >= RESERVE {
                wait.passed();
                return Ok(());
            }
            let (free, reserve) = (free >> 20, RESERVE >> 20);
            wait.failed(format!(
                "{free} MiB are free, and {reserve} MiB are left free on purpose"
            ));
            tokio::time::sleep(SPACE_PAUSE).await;
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        collection: &str,
        read: impl FnOnce(&Shard) -> Result<T, ConnectorError> + Send + 'static,
    ) -> Result<T, ConnectorError> {
        // The store is held too: a shard must not outlive the lock, even if the caller goes away meanwhile.
        let store = Arc::clone(&self.store);
        let shard = store.contents.existing(collection)?;
        blocking(move || {
            let result = read(&shard);
            drop(shard);
            drop(store);
            result
        })
        .await?
    }

    /// The `limit` points nearest to `vector` that match `filter`.
    pub async fn nearest(
        &self,
        collection: &str,
        vector: Vec<f32>,
        using: &str,
        filter: Option<EdgeFilter>,
        limit: usize,
    ) -> Result<Vec<Hit>, ConnectorError> {
        let vector = VectorInternal::Dense(vector);
        let nearest = if using.is_empty() {
            NamedQuery {
                query: vector,
                using: None,
            }
        } else {
            NamedQuery::new(vector, using)
        };
        let request = QueryRequest {
            prefetches: Vec::new(),
            query: Some(ScoringQuery::Vector(QueryEnum::Nearest(nearest))),
            filter,
            score_threshold: None,
            limit,
            offset: 0,
            params: None,
            with_vector: WithVector::Bool(false),
            with_payload: WithPayloadInterface::Bool(true),
        };
        self.read(collection, move |shard| {
            let hits = shard.read("search", |edge| edge.query(request))?;
            Ok(hits.into_iter().map(convert::hit_from_edge).collect())
        })
        .await
    }

    /// How many points match `filter`.
    pub async fn count_matching(&self, collection: &str, filter: Option<EdgeFilter>) -> Result<u64, ConnectorError> {
        self.read(collection, move |shard| {
            shard
                .read("count points", |edge| edge.count(CountRequest { filter, exact: true }))
                .map(|count| count as u64)
        })
        .await
    }

    /// The collections' names.
    #[cfg(feature = "testing")]
    pub fn collections(&self) -> Vec<String> {
        self.store.contents.collections()
    }

    /// The aliases with the collections they lead to.
    #[cfg(feature = "testing")]
    pub fn aliases(&self) -> std::collections::BTreeMap<String, String> {
        self.store.contents.aliases().clone()
    }
}

fn open_store(path: &Path, create: bool) -> Result<Arc<Store>, ConnectorError> {
    let system = format!("embedded Qdrant at {}", path.display());
    if create {
        files::make_store(path)?;
    } else if !files::is_store(path) {
        return Err(ConnectorError::Refused {
            system,
            message: "there is no store in this folder; has a pipeline written to it yet?".to_string(),
        });
    }
    let folder = path.canonicalize().map_err(|source| files::io_error(path, source))?;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = open.get(&folder).and_then(Weak::upgrade) {
        return Ok(store);
    }
    let lock = FolderLock::take(&folder, &system)?;
    let contents = Arc::new(Contents::load(&system, folder.clone())?);
    let writer = Writer::start(Arc::clone(&contents)).map_err(|source| files::io_error(path, source))?;
    let store = Arc::new(Store {
        writer,
        contents,
        _lock: lock,
    });
    open.insert(folder, Arc::downgrade(&store));
    Ok(store)
}

#[async_trait]
impl Backend for EmbeddedBackend {
    fn system(&self) -> &str {
        self.store.contents.system()
    }

    async fn alias_target(&self, alias: &str) -> Result<Option<String>, ConnectorError> {
        Ok(self.store.contents.aliases().get(alias).cloned())
    }

    async fn describe(&self, collection: &str) -> Result<Option<Description>, ConnectorError> {
        if self.store.contents.shard(collection).is_none() {
            return Ok(None);
        }
        let name = self
            .alias_target(collection)
            .await?
            .unwrap_or_else(|| collection.to_string());
        self.read(collection, move |shard| {
            let points = shard.read("count points", |edge| Ok(edge.info().points_count as u64))?;
            Ok(Some(Description {
                name,
                layout: shard.layout().clone(),
                points,
            }))
        })
        .await
    }

    async fn create(&self, collection: &str, layout: &Layout) -> Result<(), ConnectorError> {
        self.space().await?;
        self.store.writer.create(collection, layout.clone()).await
    }

    async fn create_alias(&self, alias: &str, collection: &str) -> Result<(), ConnectorError> {
        self.store.writer.create_alias(alias, collection).await
    }

    async fn upsert(&self, collection: &str, points: Vec<Point>) -> Result<Vec<(usize, String)>, ConnectorError> {
        self.space().await?;
        let points = points.into_iter().map(convert::point_to_edge).collect();
        let started = std::time::Instant::now();
        let written = self.store.writer.upsert(collection, points).await;
        metrics::histogram!("sightstream_qdrant_request_seconds", "operation" => "upsert")
            .record(started.elapsed().as_secs_f64());
        // Whatever a shard cannot hold (another dimension, an unknown vector) is found before, by the layout.
        written.map(|()| Vec::new())
    }

    async fn delete(&self, collection: &str, ids: &[PointId]) -> Result<(), ConnectorError> {
        let ids = ids.iter().copied().map(convert::id_to_edge).collect();
        let started = std::time::Instant::now();
        let deleted = self.store.writer.delete(collection, ids).await;
        metrics::histogram!("sightstream_qdrant_request_seconds", "operation" => "delete")
            .record(started.elapsed().as_secs_f64());
        deleted
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        self.space().await?;
        let started = std::time::Instant::now();
        let flushed = self.store.writer.flush().await;
        metrics::histogram!("sightstream_qdrant_request_seconds", "operation" => "flush")
            .record(started.elapsed().as_secs_f64());
        flushed
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.store.writer.finish().await
    }

    async fn search(&self, collection: &str, query: Nearest<'_>) -> Result<Vec<Hit>, ConnectorError> {
        let filter = convert::filter_to_edge(query.filters).map_err(|problem| self.refusal(problem))?;
        self.nearest(collection, query.vector, query.using, filter, query.limit)
            .await
    }

    async fn count(&self, collection: &str, filters: &[Filter]) -> Result<u64, ConnectorError> {
        let filter = convert::filter_to_edge(filters).map_err(|problem| self.refusal(problem))?;
        self.count_matching(collection, filter).await
    }

    async fn get(&self, collection: &str, ids: &[PointId]) -> Result<Vec<Record>, ConnectorError> {
        let ids: Vec<_> = ids.iter().copied().map(convert::id_to_edge).collect();
        self.read(collection, move |shard| {
            let records = shard.read("get points", |edge| {
                edge.retrieve(
                    &ids,
                    Some(WithPayloadInterface::Bool(true)),
                    Some(WithVector::Bool(true)),
                )
            })?;
            Ok(records.into_iter().map(convert::record_from_edge).collect())
        })
        .await
    }

    async fn scroll(
        &self,
        collection: &str,
        from: Option<PointId>,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<PointId>), ConnectorError> {
        let request = ScrollRequest {
            offset: from.map(convert::id_to_edge),
            limit: Some(limit),
            with_vector: WithVector::Bool(true),
            ..ScrollRequest::default()
        };
        self.read(collection, move |shard| {
            let (records, next) = shard.read("scroll", |edge| edge.scroll(request))?;
            Ok((
                records.into_iter().map(convert::record_from_edge).collect(),
                next.map(convert::id_from_edge),
            ))
        })
        .await
    }
}
