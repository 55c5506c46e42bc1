//! The project's own format.

use super::Parser;
use crate::data::item::{Item, ItemRow, ItemWords, Pair, Root};
use crate::data::value::Value;

pub(super) fn parse(parser: &Parser, values: &Value) -> Result<Pair, String> {
    let (query, target) = (&parser.query_instruction, &parser.target_instruction);
    let positives = match values.get("positive") {
        Value::List(_) => items(parser, values, "positive", target.as_deref())?,
        one => vec![named(parser, one, "positive", target.as_deref())?],
    };
    if positives.is_empty() {
        return Err("`positive` is empty".into());
    }
    Ok(Pair {
        query: named(parser, values.get("query"), "query", query.as_deref())?,
        positives,
        negatives: items(parser, values, "negatives", target.as_deref())?,
        candidates: items(parser, values, "candidates", target.as_deref())?,
    })
}

fn items(parser: &Parser, values: &Value, name: &str, instruction: Option<&str>) -> Result<Vec<Item>, String> {
    match values.get(name) {
        Value::Null => Ok(Vec::new()),
        Value::List(values) => {
            let items = values.iter().enumerate();
            items
                .map(|(index, value)| named(parser, value, &format!("{name}[{index}]"), instruction))
                .collect()
        }
        other => Err(format!("`{name}` is {}; it should be a list of items", other.kind())),
    }
}

/// An item that `name`s a field; `instruction` is that of the dataset, for one that has none.
fn named(parser: &Parser, value: &Value, name: &str, instruction: Option<&str>) -> Result<Item, String> {
    let mut item = item(value, &parser.root).map_err(|error| format!("`{name}`: {error}"))?;
    if let ItemWords::Given {
        instruction: own @ None,
        ..
    } = &mut item.words
    {
        *own = instruction.map(str::to_owned);
    }
    Ok(item)
}

/// An item, whose relative paths start at `root`.
pub(in crate::data) fn item(value: &Value, root: &Root) -> Result<Item, String> {
    const FIELDS: [&str; 3] = ["url", "text", "instruction"];
    let Value::Record(fields) = value else {
        let (kind, example) = (value.kind(), r#"{"url": …, "text": …, "instruction": …}"#);
        return Err(format!("it is {kind}; it should be an item: {example}"));
    };
    if let Some((field, _)) = fields.iter().find(|(field, _)| !FIELDS.contains(&field.as_str())) {
        return Err(format!(
            "it has `{field}`, which no item has; write `url`, `text` and `instruction`"
        ));
    }
    let [url, text, instruction] = FIELDS.map(|field| match value.get(field) {
        Value::Null => Ok(None),
        Value::Text(text) => Ok(Some(text.clone())),
        other => Err(format!("`{field}` is {}; it should be text", other.kind())),
    });
    let row = ItemRow {
        url: url?,
        text: text?,
        instruction: instruction?,
    };
    row.to_item(root)
}
