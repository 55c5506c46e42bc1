//! MMEB-train: each side is a text and the path of an image, and either may be empty.

use super::{Parser, around};
use crate::data::item::{Item, Medium, Pair};
use crate::data::value::Value;

/// Where the image goes.
const IMAGE: &str = "<|image_1|>";

pub(super) fn parse(parser: &Parser, values: &Value) -> Result<Pair, String> {
    let side = |text_name: &str, image_name: &str| {
        let text = values.get(text_name).text(text_name)?;
        let image = values.get(image_name).text(image_name)?;
        item(parser, text, image).map_err(|error| format!("`{text_name}`, `{image_name}`: {error}"))
    };
    let empty = || "the text and the image's path are both empty".to_owned();
    let query = side("qry", "qry_image_path")?.ok_or_else(|| format!("`qry`, `qry_image_path`: {}", empty()))?;
    let positive =
        side("pos_text", "pos_image_path")?.ok_or_else(|| format!("`pos_text`, `pos_image_path`: {}", empty()))?;
    let mut pair = super::pair(query, positive);

    // A negative is a text and a path, or as many of either as there are negatives.
    let (texts, images) = (several(values, "neg_text")?, several(values, "neg_image_path")?);
    for index in 0..texts.len().max(images.len()) {
        let of = |all: &[Option<&str>]| all.get(index).copied().flatten().map(str::to_owned);
        let (text, image) = (of(&texts), of(&images));
        let negative = item(parser, text.as_deref(), image.as_deref());
        pair.negatives
            .extend(negative.map_err(|error| format!("`neg_text`, `neg_image_path`: {error}"))?);
    }
    Ok(pair)
}

/// The values of a column that holds one or a list.
fn several<'a>(values: &'a Value, name: &str) -> Result<Vec<Option<&'a str>>, String> {
    match values.get(name) {
        Value::List(values) => values.iter().map(|value| value.text(name)).collect(),
        one => Ok(vec![one.text(name)?]),
    }
}

fn item(parser: &Parser, text: Option<&str>, image: Option<&str>) -> Result<Option<Item>, String> {
    let text = text.unwrap_or_default();
    match image {
        Some(image) => around(Medium::Url(parser.root.resolve(image)?), text, IMAGE).map(Some),
        None if text.contains(IMAGE) => Err(format!("{IMAGE} stands in the text, and there is no image")),
        None => Ok((!text.is_empty()).then(|| Item::text(text, None))),
    }
}
