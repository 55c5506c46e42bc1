//! Captions of pages.

use super::Told;
use super::words::{article, colour, join, number};
use crate::scenes::dice::Dice;
use crate::scenes::world::Combination;

const TOPIC: usize = 0;
const SORT: usize = 1;
const CONTENT: usize = 2;
const COLOUR: usize = 3;

/// What of a page a caption may leave out.
pub fn told(dice: &mut Dice) -> Told {
    let mut told = Told::ALL;
    match dice.below(100) {
        0..10 => told.forget(dice.pick(&[TOPIC, SORT])),
        10..30 => told.forget(COLOUR),
        30..38 => told.forget(CONTENT),
        // As people search: `a page with a bar chart`.
        38..46 => {
            told.forget(TOPIC);
            told.forget(SORT);
            if dice.chance(50) {
                told.forget(COLOUR);
            }
        }
        _ => {}
    }
    told
}

/// A caption of a page.
pub fn page(scene: &Combination, told: Told, dice: &mut Dice) -> String {
    let topic = if told.has(TOPIC) { scene.named("topic") } else { "" };
    let sort = if told.has(SORT) { scene.named("sort") } else { "" };
    let heading = join(&[topic, sort]);
    let heading = if dice.chance(25) {
        in_title_case(&heading)
    } else {
        heading
    };
    let colour = if told.has(COLOUR) {
        colour(scene.named("colour"), dice)
    } else {
        ""
    };
    let content = if told.has(CONTENT) {
        content(scene.named("content"), colour, dice)
    } else {
        String::new()
    };
    let content = if content.is_empty() && !colour.is_empty() {
        format!("something in {colour}")
    } else {
        content
    };
    let page = dice.pick(&["a page", "a page", "a document", "a sheet"]);
    if content.is_empty() {
        return match dice.below(3) {
            0 => join(&[article(&heading), &heading]),
            1 => join(&[page, "with the heading", &heading]),
            _ => heading,
        };
    }
    if heading.is_empty() {
        return match dice.below(2) {
            0 => join(&[page, "with", &content]),
            _ => content,
        };
    }
    match dice.below(6) {
        0 => join(&[article(&heading), &heading, "with", &content]),
        1 => join(&[page, "titled", &heading, "with", &content]),
        2 => join(&[&content, "in", article(&heading), &heading]),
        3 => join(&[&content, "under the heading", &heading]),
        4 => join(&[&format!("{heading},"), &content]),
        _ => join(&[page, "headed", &heading, "that shows", &content]),
    }
}

/// `a red table of three rows and two columns`, `a bar chart with four bars in blue`.
fn content(name: &str, colour: &str, dice: &mut Dice) -> String {
    let (kind, rest) = name.split_once(' ').unwrap_or((name, ""));
    let before = dice.chance(50);
    let (front, back) = match (colour, before) {
        ("", _) => (String::new(), String::new()),
        (colour, true) => (colour.to_owned(), String::new()),
        (colour, false) => (String::new(), format!("in {colour}")),
    };
    let words = match kind {
        "table" => {
            let (rows, columns) = rest.split_once('x').unwrap_or(("2", "2"));
            let (rows, columns) = (number(rows), number(columns));
            match dice.below(3) {
                0 => join(&[&front, "table of", rows, "rows and", columns, "columns"]),
                1 => join(&[&front, "table with", rows, "rows and", columns, "columns"]),
                _ => join(&[&front, "table,", rows, "rows,", columns, "columns"]),
            }
        }
        "bars" => match dice.below(3) {
            0 => join(&[&front, "bar chart with", number(rest), "bars"]),
            1 => join(&[&front, "bar chart of", number(rest), "bars"]),
            _ => join(&[&front, "chart with", number(rest), "bars"]),
        },
        "line" => {
            let (before, behind) = dice.pick::<(&str, &str)>(match rest {
                "rising" => &[("rising", "that rises"), ("rising", "going up")],
                "falling" => &[("falling", "that falls"), ("falling", "going down")],
                _ => &[("peaked", "with a peak"), ("peaked", "that rises and falls")],
            });
            let noun = dice.pick(&["line chart", "line chart", "curve"]);
            match dice.below(2) {
                0 => join(&[&front, before, noun]),
                _ => join(&[&front, noun, behind]),
            }
        }
        "pie" => match dice.below(3) {
            0 => join(&[&front, "pie chart with", number(rest), "slices"]),
            1 => join(&[&front, "pie chart of", number(rest), "parts"]),
            _ => join(&[&front, "pie cut in", number(rest), "slices"]),
        },
        _ => {
            let noun = dice.pick(&["lines of text", "text", "paragraph of text"]);
            return match noun {
                "paragraph of text" => join(&[article(&join(&[&front, noun])), &front, noun, &back]),
                noun => join(&[&front, noun, &back]),
            };
        }
    };
    join(&[article(&words), &words, &back])
}

fn in_title_case(words: &str) -> String {
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    let words: Vec<String> = words.split(' ').filter(|word| !word.is_empty()).map(capital).collect();
    words.join(" ")
}
