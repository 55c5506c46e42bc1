//! One collection's qdrant-edge shard.
//!
//! What qdrant-edge 0.7.2 leaves to us:
//! - `load` does not replay the log of operations: what was not flushed is lost with the process.
//! - `flush` panics if anything else writes at the same time, and on a full disk. One thread writes, and panics become
//!   errors here.
//! - The log is never cut. Since nothing reads it back, its closed files are removed while the shard is closed; the
//!   last one is kept, because the numbers of new operations go on from it.
//! - The index (HNSW) is built by `optimize` alone, which blocks whoever calls it. Searches go on meanwhile. It is
//!   called in portions, so that no write waits for long.

use std::any::Any;
use std::fs;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use qdrant_edge::{
    EdgeConfig, EdgeConfigBuilder, EdgeOptimizersConfig, EdgeShard, EdgeVectorParams, OperationError,
    PointInsertOperations, PointOperations, PointStructPersisted, UpdateOperation, WalOptions,
};

use super::convert;
use super::files;
use crate::ConnectorError;
use crate::qdrant::collection::Layout;

/// Bytes in a file of the log.
const LOG_FILE_BYTES: usize = 4 << 20;
/// Closed files of the log from which on they are removed.
const LOG_FILES: usize = 4;
/// Kilobytes of vectors in a segment from which on it gets an index, and of new vectors after which the index is
/// brought up to date: 10,000 vectors of 1,536 numbers. Comparing with that many one by one takes some ten
/// milliseconds.
const INDEX_FROM_KB: usize = 64 << 10;
/// The largest segment that merging may make, in kilobytes. It bounds how long one `optimize` takes.
const LARGEST_SEGMENT_KB: usize = 128 << 10;
/// Segments that are left unmerged.
const SEGMENTS: usize = 8;

/// A collection's shard. Any thread may read; one thread writes.
pub(super) struct Shard {
    system: String,
    folder: PathBuf,
    layout: Layout,
    /// See [`INDEX_FROM_KB`].
    index_from_kb: usize,
    /// `None` after a failed reload.
    edge: RwLock<Option<EdgeShard>>,
    /// Whether there are points that are not flushed.
    dirty: AtomicBool,
    /// Bytes of vectors written since the index was last brought up to date.
    unindexed: AtomicUsize,
}

impl Shard {
    /// Makes the shard of a new collection in the folder `collection`. Whatever is there is removed.
    pub fn create(system: &str, collection: &Path, layout: Layout) -> Result<Self, ConnectorError> {
        Self::create_indexed_from(INDEX_FROM_KB, system, collection, layout)
    }

    fn create_indexed_from(
        index_from_kb: usize,
        system: &str,
        collection: &Path,
        layout: Layout,
    ) -> Result<Self, ConnectorError> {
        let folder = files::shard_folder(collection);
        files::remove_folder(collection)?;
        files::make_folder(collection)?;
        files::make_folder(&folder)?;
        let edge = guarded(system, "make the shard", || {
            EdgeShard::new(&folder, edge_config(&layout, index_from_kb))
        })?;
        let shard = Self::new(system, folder, layout, index_from_kb, edge);
        shard.flush_now()?;
        Ok(shard)
    }

    /// Loads the shard in the folder `collection`.
    pub fn load(system: &str, collection: &Path, layout: Layout) -> Result<Self, ConnectorError> {
        let folder = files::shard_folder(collection);
        let edge = load_edge(system, &folder, &layout, INDEX_FROM_KB)?;
        Ok(Self::new(system, folder, layout, INDEX_FROM_KB, edge))
    }

    fn new(system: &str, folder: PathBuf, layout: Layout, index_from_kb: usize, edge: EdgeShard) -> Self {
        Self {
            system: system.to_string(),
            folder,
            layout,
            index_from_kb,
            edge: RwLock::new(Some(edge)),
            dirty: AtomicBool::new(false),
            unindexed: AtomicUsize::new(0),
        }
    }

    /// The collection's layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Reads from the shard; `what` says what for in errors. Any thread may.
    pub fn read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&EdgeShard) -> Result<T, OperationError>,
    ) -> Result<T, ConnectorError> {
        let edge = self.edge.read().unwrap_or_else(PoisonError::into_inner);
        let Some(edge) = edge.as_ref() else {
            return Err(refused(
                &self.system,
                format!("cannot {what}: the shard could not be loaded again"),
            ));
        };
        guarded(&self.system, what, || read(edge))
    }

    /// Writes points, replacing those of the same ids. Writer thread only.
    pub fn upsert(&self, points: Vec<PointStructPersisted>) -> Result<(), ConnectorError> {
        let numbers: usize = self.layout.vectors.values().map(|params| params.size).sum();
        let bytes = points.len() * numbers * size_of::<f32>();
        self.dirty.store(true, Ordering::Relaxed);
        self.unindexed.fetch_add(bytes, Ordering::Relaxed);
        let operation = PointOperations::UpsertPoints(PointInsertOperations::PointsList(points));
        self.read("write points", |edge| {
            edge.update(UpdateOperation::PointOperation(operation))
        })
    }

    /// Removes points. Writer thread only.
    pub fn delete(&self, ids: Vec<qdrant_edge::PointId>) -> Result<(), ConnectorError> {
        self.dirty.store(true, Ordering::Relaxed);
        let operation = PointOperations::DeletePoints { ids };
        self.read("delete points", |edge| {
            edge.update(UpdateOperation::PointOperation(operation))
        })
    }

    /// Makes everything written durable. Writer thread only.
    pub fn flush(&self) -> Result<(), ConnectorError> {
        if self.dirty.load(Ordering::Relaxed) {
            self.flush_now()?;
            self.dirty.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flush_now(&self) -> Result<(), ConnectorError> {
        self.read("flush", |edge| {
            edge.flush();
            Ok(())
        })
    }

    /// What is due between two flushes: the log is cut, and a portion of the index built. Writer thread only, with
    /// nothing unflushed.
    pub fn maintain(&self) -> Result<(), ConnectorError> {
        if closed_log_files(&self.folder)?.len() > LOG_FILES {
            self.reload()?;
        }
        if self.unindexed.load(Ordering::Relaxed) >= self.index_from_kb << 10 {
            self.index();
        }
        Ok(())
    }

    /// Brings the index up to date. The points are safe without it, so a failure is no more than a warning.
    /// Writer thread only.
    pub fn index(&self) {
        let started = std::time::Instant::now();
        self.unindexed.store(0, Ordering::Relaxed);
        match self
            .read("build the index", EdgeShard::optimize)
            .and_then(|built| self.flush_now().map(|()| built))
        {
            Ok(true) => {
                let seconds = started.elapsed().as_secs_f64();
                metrics::histogram!("sightstream_qdrant_index_seconds").record(seconds);
                tracing::info!(shard = %self.folder.display(), seconds, "built the index");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(shard = %self.folder.display(), %error, "the index was not built; searches are slower");
            }
        }
    }

    /// Closes the shard, cuts its log, and loads it again.
    fn reload(&self) -> Result<(), ConnectorError> {
        let mut edge = self.edge.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = edge.take() {
            guarded(&self.system, "close the shard", || {
                drop(open);
                Ok(())
            })?;
        }
        *edge = Some(load_edge(&self.system, &self.folder, &self.layout, self.index_from_kb)?);
        Ok(())
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        let edge = self.edge.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let closed = guarded(&self.system, "close the shard", || {
            drop(edge);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::warn!(shard = %self.folder.display(), %error, "the shard did not close well");
        }
    }
}

fn load_edge(system: &str, folder: &Path, layout: &Layout, index_from_kb: usize) -> Result<EdgeShard, ConnectorError> {
    cut_log(folder)?;
    // Left behind by a process that was killed while it built an index.
    files::remove_folder(&folder.join("temp_segments"))?;
    guarded(system, "load the shard", || {
        EdgeShard::load(folder, Some(edge_config(layout, index_from_kb)))
    })
}

/// Points and payloads stay in mapped files: what a store holds in memory does not grow with it.
fn edge_config(layout: &Layout, index_from_kb: usize) -> EdgeConfig {
    let vectors = layout.vectors.iter().map(|(name, params)| {
        let params = EdgeVectorParams::builder(params.size, convert::distance(params.distance))
            .on_disk(true)
            .build();
        (name.clone(), params)
    });
    EdgeConfigBuilder::new()
        .vectors(vectors.collect())
        .on_disk_payload(true)
        .optimizers(EdgeOptimizersConfig {
            default_segment_number: Some(SEGMENTS),
            max_segment_size: Some(LARGEST_SEGMENT_KB),
            indexing_threshold: Some(index_from_kb),
            ..EdgeOptimizersConfig::default()
        })
        .wal_options(WalOptions {
            segment_capacity: LOG_FILE_BYTES,
            segment_queue_len: 0,
            retain_closed: NonZeroUsize::MIN,
        })
        .build()
}

/// The closed files of the log with the number of their first operation, the oldest first.
fn closed_log_files(shard: &Path) -> Result<Vec<(u64, PathBuf)>, ConnectorError> {
    let folder = shard.join("wal");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(files::io_error(&folder, error)),
    };
    let mut closed = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| files::io_error(&folder, source))?.path();
        let first = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix("closed-")?.parse().ok());
        closed.extend(first.map(|first: u64| (first, path)));
    }
    closed.sort();
    Ok(closed)
}

/// Removes all closed files of the log but the last. Only while the shard is closed.
fn cut_log(shard: &Path) -> Result<(), ConnectorError> {
    let mut closed = closed_log_files(shard)?;
    closed.pop();
    // The oldest first: what is left is without a gap, whenever this is cut short.
    for (_, path) in closed {
        fs::remove_file(&path).map_err(|source| files::io_error(&path, source))?;
    }
    Ok(())
}

/// Runs `work`; an error or a panic of qdrant-edge becomes an error that says what it was about.
fn guarded<T>(system: &str, what: &str, work: impl FnOnce() -> Result<T, OperationError>) -> Result<T, ConnectorError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(refused(system, format!("cannot {what}: {error}"))),
        Err(panic) => Err(refused(
            system,
            format!("cannot {what}: {}", panic_message(panic.as_ref())),
        )),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked".to_string())
}

fn refused(system: &str, message: String) -> ConnectorError {
    ConnectorError::Refused {
        system: system.to_string(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qdrant::collection::{Distance, VectorParams};
    use crate::qdrant::ids::PointId;
    use crate::qdrant::points::{Point, Vectors};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    const SIZE: usize = 64;

    fn points(count: u64) -> Vec<Point> {
        let mut random = StdRng::seed_from_u64(7);
        let mut vector = || (0..SIZE).map(|_| random.random_range(-1.0..1.0)).collect();
        (0..count)
            .map(|id| Point {
                id: PointId::Number(id),
                vectors: Vectors::Unnamed(vector()),
                payload: Default::default(),
            })
            .collect()
    }

    fn indexed(shard: &Shard) -> usize {
        shard
            .read("look", |edge| Ok(edge.info().indexed_vectors_count))
            .expect("the shard is open")
    }

    fn count(shard: &Shard) -> usize {
        let request = qdrant_edge::CountRequest {
            filter: None,
            exact: true,
        };
        shard
            .read("count", |edge| edge.count(request))
            .expect("the shard is open")
    }

    #[test]
    fn the_index_is_built_once_there_is_enough_and_no_point_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let params = VectorParams {
            size: SIZE,
            distance: Distance::Cosine,
        };
        let layout = Layout {
            vectors: [(String::new(), params)].into(),
            metadata: Default::default(),
        };
        let collection = folder.path().join("media");
        let shard = Shard::create_indexed_from(100, "test", &collection, layout.clone()).expect("a new shard");
        let write = |points: &[Point]| {
            shard
                .upsert(points.iter().cloned().map(convert::point_to_edge).collect())
                .expect("points are written");
            shard.flush().expect("points are flushed");
            shard.maintain().expect("the shard is kept in order");
        };
        let points = points(1000);
        write(&points[..100]);
        assert_eq!(indexed(&shard), 0, "25 kilobytes are compared one by one");
        write(&points[100..]);
        assert!(indexed(&shard) > 0, "250 kilobytes have an index");
        assert_eq!(count(&shard), 1000);
        write(&points[..100]);
        assert_eq!(count(&shard), 1000, "points in the index are replaced");
        drop(shard);
        let shard = Shard::load("test", &collection, layout).expect("the shard loads");
        assert_eq!(count(&shard), 1000);
        assert!(indexed(&shard) > 0, "the index is there after a restart");
    }
}
