//! Vectors that come ready, and are none.

use crate::kinds::{Kind, letter, raw};

/// The table is `ready (id TEXT, vector FLOAT[])`, and its good vectors have three numbers.
pub fn kinds() -> Vec<Kind> {
    let record = |name: &'static str, vector: &str| format!(r#"{{"id":"{name}","vector":{vector}}}"#);
    let read = |name, vector: &str, reason: &str| raw(name, record(name, vector), letter("read", "bad_record", reason));
    let write = |name, vector: &str, reason: &str| raw(name, record(name, vector), letter("write", "refused", reason));
    vec![
        read("nan", "[1,NaN,3]", "the value is not JSON"),
        read("nan-text", r#"[1,"NaN",3]"#, "column `vector[1]`"),
        read("infinity-text", r#"["Infinity",2,3]"#, "column `vector[0]`"),
        read("overflow", "[1,2,1e39]", "column `vector[2]`"),
        read("words", r#"[1,"two",3]"#, "column `vector[1]`: expected FLOAT"),
        read("no-list", "5", "column `vector`"),
        write(
            "wrong-dimension",
            "[1,2]",
            "vector has 2 numbers where the collection has 3",
        ),
        write("no-numbers", "[]", "the vector is empty"),
        write("a-null", "[1,null,3]", "the vector holds a NULL"),
        write("null", "null", "the vector is NULL"),
    ]
}
