//! Tables, batches and stores for the tests.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float32Array, ListArray, RecordBatch, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sightstream_connectors::format::{TYPE_JSON, TYPE_KEY};
use sightstream_connectors::qdrant::{Collection, Store};
use sightstream_connectors::{ConnectorError, Rejection, Sink, SinkContext, TableDefinition, VectorSpace, open_sink};

/// The URL of the embedded store in `folder`.
pub fn embedded(folder: &Path) -> String {
    format!("embedded:{}", folder.display())
}

/// A space of four numbers.
pub fn space(model: &str, fingerprint: &str) -> VectorSpace {
    VectorSpace {
        dimension: 4,
        model: model.to_string(),
        fingerprint: fingerprint.to_string(),
    }
}

/// A context with vectors of `space`.
pub fn of(space: VectorSpace) -> SinkContext {
    SinkContext {
        vectors: Some(space),
        ..SinkContext::default()
    }
}

/// A context of a job that computes no vectors.
pub fn external() -> SinkContext {
    SinkContext::default()
}

/// A table with these options beside the connector.
pub fn table(schema: SchemaRef, options: &[(&str, &str)]) -> TableDefinition {
    let mut all: std::collections::BTreeMap<String, String> = options
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    all.insert("connector".to_string(), "qdrant".to_string());
    TableDefinition {
        name: "vectors".to_string(),
        schema,
        metadata_columns: Vec::new(),
        options: all,
    }
}

/// The columns `id TEXT, title TEXT, vector FLOAT[]`.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("title", DataType::Utf8, true),
        Field::new(
            "vector",
            DataType::List(Arc::new(Field::new("item", DataType::Float32, true))),
            true,
        ),
    ]))
}

/// A table of [`schema`]'s columns for the collection `media` at `url`.
pub fn media(url: &str) -> TableDefinition {
    table(schema(), &[("url", url), ("collection", "media")])
}

/// Rows of [`schema`]'s columns.
pub fn batch(rows: &[(&str, &str, [f32; 4])]) -> RecordBatch {
    let ids = StringArray::from_iter_values(rows.iter().map(|row| row.0));
    let titles = StringArray::from_iter_values(rows.iter().map(|row| row.1));
    let vectors = lists(&rows.iter().map(|row| Some(row.2.to_vec())).collect::<Vec<_>>());
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(titles), vectors]).expect("the columns fit the schema")
}

/// A column of lists.
pub fn lists(rows: &[Option<Vec<f32>>]) -> ArrayRef {
    let lengths = rows.iter().map(|row| row.as_ref().map_or(0, Vec::len));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let values: Float32Array = rows.iter().flatten().flatten().copied().collect();
    let nulls = rows.iter().map(Option::is_some).collect::<Vec<_>>().into();
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    Arc::new(ListArray::new(item, offsets, Arc::new(values), Some(nulls)))
}

/// A batch of the columns given, each with whether it is JSON.
pub fn columns(columns: Vec<(&str, bool, ArrayRef)>) -> RecordBatch {
    let fields = columns.iter().map(|(name, json, array)| {
        let field = Field::new(*name, array.data_type().clone(), true);
        if *json {
            field.with_metadata(HashMap::from([(TYPE_KEY.to_string(), TYPE_JSON.to_string())]))
        } else {
            field
        }
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
    RecordBatch::try_new(schema, arrays).expect("columns of one length")
}

/// Opens the sink of `table`.
pub async fn open(table: &TableDefinition, context: &SinkContext) -> Result<Arc<dyn Sink>, ConnectorError> {
    open_sink(table, context).await
}

/// Writes and flushes.
pub async fn write(sink: &dyn Sink, batch: &RecordBatch) -> Vec<Rejection> {
    let rejections = sink.write(batch).await.expect("the batch is written");
    sink.flush().await.expect("the batch is flushed");
    rejections
}

/// Writes one batch to the collection `points` of an embedded store in `folder`, and gives the collection and the
/// rejections.
pub async fn written(folder: &Path, batch: &RecordBatch) -> (Collection, Vec<Rejection>) {
    let table = table(batch.schema(), &[("url", &embedded(folder)), ("collection", "points")]);
    let sink = open(&table, &external()).await.expect("the sink opens");
    let rejections = write(sink.as_ref(), batch).await;
    (collection(&embedded(folder), "points").await, rejections)
}

/// A collection at `url`.
pub async fn collection(url: &str, name: &str) -> Collection {
    let store = Store::open(url, None).await.expect("the store opens");
    store.collection(name).await.expect("the collection is there")
}
