//! A kind of input, and where it ends.

/// Where a record ends.
#[derive(Debug, Clone)]
pub enum End {
    /// In the collection.
    Arrives,
    /// Nowhere: a tombstone, which tables pass over by default.
    PassedOver,
    /// In the dead letters.
    DeadLetter {
        stage: &'static str,
        code: &'static str,
        /// A part of the reason.
        reason: String,
    },
}

/// A record that is out of the ordinary. Its key is its name.
#[derive(Debug, Clone)]
pub struct Kind {
    pub name: &'static str,
    pub value: Option<Vec<u8>>,
    pub end: End,
}

/// A dead letter.
pub fn letter(stage: &'static str, code: &'static str, reason: impl Into<String>) -> End {
    let reason = reason.into();
    End::DeadLetter { stage, code, reason }
}

/// A record whose value is these bytes.
pub fn raw(name: &'static str, value: impl Into<Vec<u8>>, end: End) -> Kind {
    let value = Some(value.into());
    Kind { name, value, end }
}

/// A record of a medium that `embed` ends: at the stage of that name, or not at all.
pub fn medium(name: &'static str, url: &str, end: End) -> Kind {
    raw(name, record(name, url), end)
}

/// A record of a medium for which `embed` gives this code and reason.
pub fn refused(name: &'static str, url: &str, code: &'static str, reason: impl Into<String>) -> Kind {
    medium(name, url, letter("embed", code, reason))
}

/// The value of a well-formed record.
pub fn record(id: &str, url: &str) -> Vec<u8> {
    serde_json::json!({"id": id, "url": url}).to_string().into_bytes()
}
