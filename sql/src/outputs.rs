//! What the statements of an epoch write, by sink.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{cast, concat, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, UInt64Type};
use arrow::error::ArrowError;
use sightstream_connectors::SourceRecord;
use sightstream_connectors::format::is_json;

use crate::pipeline::SharedSink;

/// Rows on their way to a sink.
pub(crate) struct Output {
    pub sink: Arc<SharedSink>,
    pub rows: RecordBatch,
    /// For each row the number of its record, in order, if the query keeps it.
    pub numbers: Option<UInt64Array>,
}

impl Output {
    /// The first id that is not the key of its record, and that key. Records without a key, and JSON ids, are passed over.
    pub fn other_key(&self, records: &[SourceRecord]) -> Option<(String, String)> {
        let (key, numbers) = (self.sink.key?, self.numbers.as_ref()?);
        if is_json(self.sink.schema.field(key)) {
            return None;
        }
        let ids = cast(self.rows.column(key), &DataType::Utf8).ok()?;
        let ids = ids.as_string::<i32>();
        (0..ids.len()).filter(|&row| ids.is_valid(row)).find_map(|row| {
            let record = records.get(usize::try_from(numbers.value(row)).ok()?)?;
            let key = record.key.as_deref()?;
            let other = key != ids.value(row).as_bytes();
            other.then(|| (ids.value(row).to_string(), String::from_utf8_lossy(key).into_owned()))
        })
    }
}

/// One output for each sink, its rows in the order of the records: a deletion has one place among all rows of its sink,
/// whichever statements they come from.
pub(crate) fn by_sink(outputs: Vec<Output>) -> Result<Vec<Output>, ArrowError> {
    let mut groups: Vec<Vec<Output>> = Vec::new();
    for output in outputs {
        match groups
            .iter_mut()
            .find(|group| Arc::ptr_eq(&group[0].sink, &output.sink))
        {
            Some(group) => group.push(output),
            None => groups.push(vec![output]),
        }
    }
    groups.into_iter().map(merge).collect()
}

fn merge(mut outputs: Vec<Output>) -> Result<Output, ArrowError> {
    if outputs.len() == 1 {
        return Ok(outputs.swap_remove(0));
    }
    let numbers: Option<Vec<&dyn Array>> = outputs
        .iter()
        .map(|output| output.numbers.as_ref().map(|numbers| numbers as &dyn Array))
        .collect();
    let Some(numbers) = numbers else {
        return Err(ArrowError::ComputeError(
            "rows of a stream have lost their numbers".into(),
        ));
    };
    let numbers = concat(&numbers)?;
    let numbers = numbers.as_primitive::<UInt64Type>();
    let rows = concat_batches(outputs[0].rows.schema_ref(), outputs.iter().map(|output| &output.rows))?;
    let mut order: Vec<u32> = (0..numbers.len() as u32).collect();
    order.sort_by_key(|&row| numbers.value(row as usize));
    let sorted = order.iter().map(|&row| numbers.value(row as usize)).collect();
    Ok(Output {
        rows: take_record_batch(&rows, &UInt32Array::from(order))?,
        numbers: Some(sorted),
        sink: Arc::clone(&outputs[0].sink),
    })
}
