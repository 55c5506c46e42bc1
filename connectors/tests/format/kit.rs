//! Records and batches of one table.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::Value;
use sightstream_connectors::format::{JsonEncoder, JsonOptions, RecordDecoder, TYPE_JSON, TYPE_KEY};
use sightstream_connectors::{MetadataColumn, Origin, OriginKind, SourceRecord, TableDefinition};

pub fn table(fields: Vec<Field>, metadata: &[(&str, &str)]) -> TableDefinition {
    let metadata = metadata.iter().map(|(column, key)| MetadataColumn {
        column: (*column).into(),
        key: (*key).into(),
    });
    TableDefinition {
        name: "media".into(),
        schema: Arc::new(Schema::new(fields)),
        metadata_columns: metadata.collect(),
        options: Default::default(),
    }
}

pub fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

pub fn json_field(name: &str) -> Field {
    field(name, DataType::Utf8).with_metadata([(TYPE_KEY.to_string(), TYPE_JSON.to_string())].into())
}

pub fn record(value: &[u8]) -> SourceRecord {
    SourceRecord {
        value: Some(value.to_vec()),
        key: Some(b"k1".to_vec()),
        headers: vec![
            ("trace".into(), Some(b"a".to_vec())),
            ("trace".into(), Some(b"b".to_vec())),
            ("empty".into(), None),
        ],
        truncated: false,
        origin: Origin {
            kind: OriginKind::Topic,
            table: "media".into(),
            topic: "media-topic".into(),
            partition: 3,
            offset: 17,
            timestamp_ms: Some(1_700_000_000_123),
        },
    }
}

/// Decodes one record, or gives the reason why not.
pub fn decode_as(table: &TableDefinition, json: JsonOptions, value: &str) -> Result<RecordBatch, String> {
    let decoder = RecordDecoder::new(table, json).expect("the table is well formed");
    let row = decoder.decode(&record(value.as_bytes()))?;
    Ok(decoder.batch(&[row]).expect("a decoded row makes a batch"))
}

pub fn decode(fields: Vec<Field>, value: &str) -> Result<RecordBatch, String> {
    decode_as(&table(fields, &[]), JsonOptions::default(), value)
}

pub fn reason(data_type: DataType, value: &str) -> String {
    decode(vec![field("c", data_type)], value).expect_err(value)
}

pub fn encode(batch: &RecordBatch, options: JsonOptions) -> Vec<Value> {
    let lines = JsonEncoder::new(options)
        .encode(batch)
        .expect("the columns can be written");
    lines
        .iter()
        .map(|line| serde_json::from_slice(line).expect("a line is JSON"))
        .collect()
}

pub fn batch(field: Field, column: ArrayRef) -> RecordBatch {
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).expect("the column fits its field")
}
