//! ColPali's and VisRAG's training sets: pages in the rows, with questions.

use super::{FIND_PAGE, Mode, Parser, READ_PAGE, pair, required};
use crate::data::item::{Item, ItemWords, Medium, Pair};
use crate::data::table::TableRow;
use crate::data::value::Value;

/// What the pages of each of VisRAG's sources are.
const SOURCES: [(&str, &str); 10] = [
    ("ArxivQA", "figure of a scientific paper"),
    ("ChartQA", "chart"),
    ("ICML Papers", "page of a paper on machine learning"),
    ("InfoVQA", "page of infographics"),
    ("MP-DocVQA", "page of a scanned document"),
    ("Manuallib", "page of a product manual"),
    ("NeurIPS Papers", "page of a paper on machine learning"),
    ("PlotQA", "plot of numbers"),
    ("SlideVQA", "presentation slide"),
    ("Textbooks", "page of a textbook"),
];

pub(super) fn vidore(parser: &Parser, row: &TableRow) -> Result<Pair, String> {
    let page = page(parser, row)?;
    let question = required(&row.values, "query")?;
    if parser.mode == Some(Mode::PageRetrieval) {
        return Ok(pair(
            Item::text(question, parser.query_instruction(FIND_PAGE)),
            Item::medium(page, parser.target_instruction(READ_PAGE)),
        ));
    }
    let query = Item {
        medium: Some(page),
        words: ItemWords::Given {
            instruction: parser.query_instruction.clone(),
            text: Some(question.to_owned()),
        },
    };
    let answer = required(&row.values, "answer")?;
    Ok(pair(query, Item::text(answer, parser.target_instruction.as_deref())))
}

pub(super) fn visrag(parser: &Parser, row: &TableRow) -> Result<Pair, String> {
    let page = page(parser, row)?;
    let question = required(&row.values, "query")?;
    let source = row.values.get("source").text("source")?;
    let kind = SOURCES.iter().find(|(name, _)| source == Some(name));
    let (find, read) = match kind {
        Some((_, kind)) => (
            format!("Find a {kind} that matches the given query:"),
            format!("Understand the content of the provided {kind}."),
        ),
        None => (FIND_PAGE.to_owned(), READ_PAGE.to_owned()),
    };
    Ok(pair(
        Item::text(question, parser.query_instruction(&find)),
        Item::medium(page, parser.target_instruction(&read)),
    ))
}

/// The page: bytes with or without a path, as datasets of images have them in Parquet, or a path.
fn page(parser: &Parser, row: &TableRow) -> Result<Medium, String> {
    let in_row = |bytes: &std::sync::Arc<[u8]>| Medium::Bytes {
        bytes: bytes.clone(),
        name: format!("{} `image`", row.place),
    };
    let path = |path: &str| parser.root.resolve(path).map(Medium::Url);
    match row.values.get("image") {
        Value::Bytes(bytes) if !bytes.is_empty() => Ok(in_row(bytes)),
        Value::Text(text) if !text.is_empty() => path(text),
        image @ Value::Record(_) => match (image.get("bytes"), image.get("path").text("image.path")?) {
            (Value::Bytes(bytes), _) if !bytes.is_empty() => Ok(in_row(bytes)),
            (_, Some(at)) => path(at),
            _ => Err("`image` has neither bytes nor a path".into()),
        },
        Value::Null | Value::Bytes(_) | Value::Text(_) => Err("`image` is empty".into()),
        other => Err(format!(
            "`image` is {}; it should be an image's bytes or path",
            other.kind()
        )),
    }
}
