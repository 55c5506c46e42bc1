//! Records that are no rows.

use crate::kinds::{End, Kind, letter, medium, raw};

/// The table is `media (id TEXT NOT NULL, url TEXT, n INT)`.
pub fn kinds() -> Vec<Kind> {
    let bad = |name, value: &[u8], reason: &str| raw(name, value, letter("read", "bad_record", reason));
    let nested = |depth: usize, around: &str| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        around.replace("DEEP", &format!("{open}{close}")).into_bytes()
    };
    vec![
        Kind {
            name: "tombstone",
            value: None,
            end: End::PassedOver,
        },
        bad("empty", b"", "the value is empty"),
        bad(
            "broken-json",
            br#"{"id":"broken-json","url":"#,
            "the value is not JSON: EOF while parsing",
        ),
        bad("no-object", b"[1,2]", "expected a JSON object, found the array [1,2]"),
        bad(
            "not-utf8",
            b"{\"id\":\"not-utf8\",\"url\":\"\xFF\"}",
            "the value is not UTF-8 (at byte 24)",
        ),
        bad("binary", b"\x00\x00\x00\x00\x2A\x02", "the value is not JSON"),
        bad(
            "wrong-type",
            br#"{"id":"wrong-type","url":5}"#,
            "column `url`: expected TEXT, found the number 5",
        ),
        bad(
            "out-of-range",
            br#"{"id":"out-of-range","url":"data:,a","n":5000000000}"#,
            "column `n`: expected INT",
        ),
        bad(
            "missing-id",
            br#"{"url":"data:,a"}"#,
            "column `id` is NOT NULL and is missing",
        ),
        bad(
            "null-id",
            br#"{"id":null,"url":"data:,a"}"#,
            "column `id` is NOT NULL and is null",
        ),
        raw(
            "deep-column",
            nested(10_000, r#"{"id":"deep-column","url":DEEP}"#),
            letter(
                "read",
                "bad_record",
                "column `url`: expected TEXT, found the array [[[[",
            ),
        ),
        raw(
            "deep-ignored",
            nested(10_000, r#"{"id":"deep-ignored","url":"data:,deep","more":DEEP}"#),
            End::Arrives,
        ),
        raw(
            "extra-and-missing",
            br#"{"id":"extra-and-missing","url":"data:,extra","more":{"a":[1]},"url2":7}"#,
            End::Arrives,
        ),
        raw(
            "null-url",
            br#"{"id":"null-url","url":null}"#,
            letter("write", "refused", "the vector is NULL"),
        ),
        medium(
            "oversized",
            &format!("data:text/plain,{}", "word%20".repeat(500_000)),
            letter("embed", "too_large", "2500000 bytes of text; the limit is 1048576"),
        ),
    ]
}
