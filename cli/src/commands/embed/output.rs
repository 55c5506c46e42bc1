//! What `embed` writes: one JSON line for each input.

use std::io::Write;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::input::{Budget, Unreadable};

/// One line.
#[derive(Debug, Serialize)]
pub struct Output {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "numbers")]
    vector: Option<Arc<[f32]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The input line's share of the memory for lines: given back when this line is written.
    #[serde(skip)]
    _budget: Option<Budget>,
}

fn numbers<S: Serializer>(vector: &Option<Arc<[f32]>>, serializer: S) -> Result<S::Ok, S::Error> {
    vector.as_deref().serialize(serializer)
}

impl Output {
    /// The line of a reference.
    pub fn embedded(
        id: Option<Box<RawValue>>,
        url: String,
        vector: Result<Arc<[f32]>, String>,
        budget: Option<Budget>,
    ) -> Self {
        let (vector, error) = match vector {
            Ok(vector) => (Some(vector), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            line: None,
            id,
            url: Some(url),
            vector,
            error,
            _budget: budget,
        }
    }

    /// The line of an input that is no reference.
    pub fn unreadable(Unreadable { line, error }: Unreadable) -> Self {
        Self {
            line: Some(line),
            id: None,
            url: None,
            vector: None,
            error: Some(error),
            _budget: None,
        }
    }

    /// Whether there is no vector.
    pub fn is_error(&self) -> bool {
        self.error.is_some()
    }

    /// Writes the line, to be seen at once by a reader at the other end of a pipe.
    pub fn write(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        out.write_all(&line)?;
        out.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(output: &Output) -> String {
        let mut line = Vec::new();
        output.write(&mut line).expect("a vector can be written to");
        String::from_utf8(line).expect("JSON is UTF-8")
    }

    #[test]
    fn a_line_holds_a_vector_or_an_error_and_the_id_if_there_was_one() {
        let id = RawValue::from_string("7".to_string()).expect("7 is JSON");
        let vector: Arc<[f32]> = vec![0.1, -1.0].into();
        let found = Output::embedded(Some(id), "a".into(), Ok(vector), None);
        assert_eq!(text(&found), "{\"id\":7,\"url\":\"a\",\"vector\":[0.1,-1.0]}\n");
        let failed = Output::embedded(None, "b".into(), Err("no such file".into()), None);
        assert_eq!(text(&failed), "{\"url\":\"b\",\"error\":\"no such file\"}\n");
        assert!(failed.is_error() && !found.is_error());
    }

    #[test]
    fn a_line_that_was_no_reference_is_named_by_its_number() {
        let output = Output::unreadable(Unreadable {
            line: 3,
            error: "no JSON".into(),
        });
        assert_eq!(text(&output), "{\"line\":3,\"error\":\"no JSON\"}\n");
    }
}
