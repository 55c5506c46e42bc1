//! Qdrant: a server by gRPC, or embedded in this process.
//!
//! ```sql
//! CREATE TABLE vectors (id TEXT, url TEXT, vector FLOAT[])
//!   WITH (connector = 'qdrant', url = 'http://localhost:6334', collection = 'media');
//! ```
//!
//! | module | job |
//! | --- | --- |
//! | `config` | what a user may set |
//! | `points`, `ids`, `payload` | rows to points |
//! | `collection` | finding, checking and making a collection behind its alias |
//! | `backend` | what is asked of a Qdrant, with the two that answer: `grpc` and `embedded` |
//! | `sink` | joins the above |
//! | `search` | reading |

mod backend;
mod collection;
mod config;
mod embedded;
mod grpc;
mod ids;
mod payload;
mod points;
mod probe;
mod refusals;
mod search;
mod sink;
#[cfg(feature = "testing")]
pub mod testing;

use std::sync::Arc;

pub use self::backend::Record;
pub use self::collection::{Distance, FINGERPRINT_KEY, MODEL_KEY};
pub use self::ids::{PointId, TEXT_ID_NAMESPACE};
pub use self::points::Vectors;
pub(crate) use self::probe::probe;
pub use self::search::{Collection, CollectionInfo, Filter, Hit, Store};

use self::backend::Backend;
use self::config::{Location, SinkConfig};
use self::embedded::EmbeddedBackend;
use self::grpc::GrpcBackend;
use self::sink::QdrantSink;
use crate::{ConnectorError, Sink, SinkContext, TableDefinition};

/// Checks the options and columns of `table` without connecting to anything.
///
/// # Errors
/// [`ConnectorError::Option`], which names what is wrong.
pub fn validate(table: &TableDefinition) -> Result<(), ConnectorError> {
    SinkConfig::new(table).map(|_| ())
}

/// The column of the points' ids, by which tombstones delete.
///
/// # Errors
/// [`ConnectorError::Option`] if the rows name their collections, and a key alone does not say which is meant.
pub(crate) fn deletion_key(table: &TableDefinition) -> Result<usize, ConnectorError> {
    let (config, reader) = SinkConfig::new(table)?;
    if config.collection.is_none() {
        return Err(table.options().error(format!(
            "tombstones are to delete points, and a tombstone does not say in which collection; write the option \
             'collection', or '{}' = 'ignore' in the source's table",
            crate::kafka::TOMBSTONES
        )));
    }
    Ok(reader.id_column())
}

/// Opens `table` to write to it. A server that is away is waited for.
///
/// # Errors
/// [`ConnectorError::Option`] as [`validate`]; [`ConnectorError::Refused`] if the collection holds vectors of another
/// dimension, distance or model, if access is denied, or if another process has the embedded store open.
pub async fn open_sink(table: &TableDefinition, context: &SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
    let (config, reader) = SinkConfig::new(table)?;
    let backend: Arc<dyn Backend> = match &config.location {
        Location::Server { url } => {
            let waits = Some(&context.waits);
            Arc::new(GrpcBackend::new(url, &config.connection, waits, config.batch_points)?)
        }
        Location::Embedded { path } => Arc::new(
            EmbeddedBackend::open(path, true)
                .await?
                .waiting_for_space(&context.waits),
        ),
    };
    Ok(Arc::new(
        QdrantSink::open(backend, config, reader, context.vectors.clone()).await?,
    ))
}
