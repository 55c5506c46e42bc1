//! The UDF files, as Arroyo reads them.

use arrow::datatypes::DataType;
use arroyo_udf_common::parse::NullableType;

use crate::pipeline::{EMBED, SEGMENTS};

#[test]
fn arroyo_sees_two_functions_with_the_engines_signatures() {
    let embed = &EMBED.file;
    assert_eq!(embed.name, "embed");
    assert_eq!(embed.arguments.len(), 2);
    assert!(
        embed
            .arguments
            .iter()
            .all(|argument| argument.data_type == DataType::Utf8)
    );
    assert!(
        embed.arguments.iter().all(|argument| argument.nullable),
        "NULLs reach the function"
    );
    assert_eq!(embed.result, NullableType::null(DataType::Binary));
    let segments = &SEGMENTS.file;
    assert_eq!(segments.name, "segments");
    assert_eq!(segments.arguments.len(), 1);
    assert_eq!(segments.arguments[0], NullableType::null(DataType::Utf8));
    assert_eq!(segments.result, NullableType::null(DataType::Utf8));
}
