//! Kafka records: each is decoded or refused with a reason of a readable length, every decoded one is a row, and rows that
//! are written as JSON are read back as they were.
#![no_main]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use libfuzzer_sys::fuzz_target;
use sightstream_connectors::format::{
    BytesEncoding, JsonEncoder, JsonOptions, RecordDecoder, Row, TYPE_JSON, TYPE_KEY,
};
use sightstream_connectors::{MetadataColumn, Origin, OriginKind, SourceRecord, TableDefinition};

/// Longer than any message that a person can read; dead letters carry it in a header.
const MOST_CHARACTERS: usize = 1000;

const MOST_COLUMNS: usize = 12;

// The first line declares the columns `a`, `b`, …, a character each; every line after it is a record.
fuzz_target!(|input: &[u8]| {
    let Some((header, records)) = input.split_at_checked(input.iter().position(|&byte| byte == b'\n').unwrap_or(0))
    else {
        return;
    };
    let options = JsonOptions {
        bytes: if header.contains(&b'#') {
            BytesEncoding::Hex
        } else {
            BytesEncoding::Base64
        },
        ..JsonOptions::default()
    };
    let table = table(header);
    let decoder = RecordDecoder::new(&table, options).expect("each column has a type that JSON is read into");
    let records: Vec<SourceRecord> = records.split(|&byte| byte == b'\n').skip(1).map(record).collect();
    let mut rows: Vec<Row> = Vec::new();
    for record in &records {
        match decoder.decode(record) {
            Ok(row) => rows.push(row),
            Err(reason) => {
                let length = reason.chars().count();
                assert!((1..=MOST_CHARACTERS).contains(&length), "{length} characters: {reason}");
            }
        }
    }
    let batch = decoder.batch(&rows).expect("decoding has checked every row");
    assert_eq!(batch.num_rows(), rows.len());
    assert_eq!(batch.schema(), table.schema);
    if !table.metadata_columns.is_empty() {
        return;
    }
    let written = JsonEncoder::new(options)
        .encode(&batch)
        .expect("what was read can be written");
    let reread = written.iter().map(|json| {
        assert!(!json.contains(&b'\n'), "a record is one line");
        let read = decoder.decode(&record(json));
        read.unwrap_or_else(|reason| panic!("{}: {reason}", String::from_utf8_lossy(json)))
    });
    let reread = decoder
        .batch(&reread.collect::<Vec<_>>())
        .expect("decoding has checked every row");
    assert_eq!(reread, batch);
});

fn table(header: &[u8]) -> TableDefinition {
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut metadata_columns = Vec::new();
    for &letter in header {
        if letter == b'!' {
            if let Some(last) = fields.pop() {
                fields.push(Arc::new(Field::clone(&last).with_nullable(false)));
            }
            continue;
        }
        let name = char::from(b'a' + fields.len() as u8).to_string();
        let metadata = match letter {
            b'k' | b'K' => Some("key"),
            b'h' | b'H' => Some("headers"),
            b'o' => Some("offset_id"),
            b'w' => Some("timestamp"),
            _ => None,
        };
        let Some(field) = field(&name, letter) else { continue };
        if let Some(key) = metadata {
            let (column, key) = (name, key.to_string());
            metadata_columns.push(MetadataColumn { column, key });
        }
        fields.push(Arc::new(field));
        if fields.len() == MOST_COLUMNS {
            break;
        }
    }
    TableDefinition {
        name: "fuzzed".to_string(),
        schema: Arc::new(Schema::new(fields)),
        metadata_columns,
        options: Default::default(),
    }
}

fn field(name: &str, letter: u8) -> Option<Field> {
    let list = |item: DataType| DataType::List(Arc::new(Field::new_list_field(item, true)));
    let data_type = match letter {
        b't' | b'j' | b'k' | b'h' | b'H' => DataType::Utf8,
        b'1' => DataType::Int8,
        b'2' => DataType::Int16,
        b'4' => DataType::Int32,
        b'8' | b'o' => DataType::Int64,
        b'u' => DataType::UInt64,
        b'f' => DataType::Float32,
        b'd' => DataType::Float64,
        b'b' => DataType::Boolean,
        b'x' | b'K' => DataType::Binary,
        b'n' | b'w' => DataType::Timestamp(TimeUnit::Nanosecond, None),
        b's' => DataType::Timestamp(TimeUnit::Millisecond, None),
        b'D' => DataType::Date32,
        b'N' => DataType::Decimal128(20, 4),
        b'F' => list(DataType::Float32),
        b'T' => list(DataType::Utf8),
        b'V' => DataType::FixedSizeList(Arc::new(Field::new_list_field(DataType::Float32, true)), 3),
        b'L' => list(list(DataType::Int32)),
        b'S' => DataType::Struct(
            vec![
                Field::new("x", DataType::Int32, true),
                Field::new("y", list(DataType::Utf8), true),
            ]
            .into(),
        ),
        _ => return None,
    };
    let field = Field::new(name, data_type, true);
    Some(match letter {
        b'j' | b'H' => field.with_metadata([(TYPE_KEY.to_string(), TYPE_JSON.to_string())].into()),
        _ => field,
    })
}

fn record(value: impl AsRef<[u8]>) -> SourceRecord {
    let value = value.as_ref();
    let part = |length: usize| value.get(..length).map(<[u8]>::to_vec);
    SourceRecord {
        value: (value != b"tombstone").then(|| value.to_vec()),
        key: part(4),
        headers: vec![
            ("one".to_string(), part(2)),
            ("one".to_string(), part(6)),
            ("two".to_string(), part(1)),
        ],
        truncated: false,
        origin: Origin {
            kind: OriginKind::Topic,
            table: "fuzzed".to_string(),
            topic: "topic".to_string(),
            partition: 0,
            offset: value.len() as i64,
            timestamp_ms: value.first().map(|&byte| i64::from(byte) << 55),
        },
    }
}
