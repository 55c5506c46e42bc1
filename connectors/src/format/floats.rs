//! Vectors: lists of plain numbers, which are most of the bytes of a record that has one.

/// The items of the JSON array `json`, valid JSON, if each is a number that an `f32` holds: the quick way for what most
/// lists of floats are. `None` leaves everything else (NULL items, numbers in strings, errors) to the way by cells.
pub(super) fn parse(json: &str) -> Option<Vec<f32>> {
    let items = json.strip_prefix('[')?.strip_suffix(']')?;
    if items.trim_ascii().is_empty() {
        return Some(Vec::new());
    }
    // A guess: a digit, a point, six to eight digits, a comma.
    let mut floats = Vec::with_capacity(items.len() / 10);
    for item in items.split(',') {
        let item = item.trim_ascii();
        if !matches!(item.as_bytes().first()?, b'-' | b'0'..=b'9') {
            return None;
        }
        // At once as an f32: by way of f64 a few values would be rounded twice.
        floats.push(item.parse().ok().filter(|value: &f32| value.is_finite())?);
    }
    Some(floats)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn plain_numbers_are_read() {
        assert_eq!(parse("[1,-2.5, 3e-2 ,\n0]"), Some(vec![1.0, -2.5, 0.03, 0.0]));
        assert_eq!(parse("[ ]"), Some(Vec::new()));
    }

    #[test]
    fn anything_else_is_left_to_the_slower_way() {
        for json in [
            "[1,null]",
            "[\"1\"]",
            "[\"1,2\"]",
            "[1e39]",
            "[[1]]",
            "[true]",
            "{}",
            "\"[1]\"",
            "7",
        ] {
            assert_eq!(parse(json), None, "{json}");
        }
    }
}
