//! What things, colours, numbers and places are called.

use crate::scenes::dice::Dice;

/// One of the words for a colour.
pub fn colour(name: &str, dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(match name {
        "red" => &["red"],
        "orange" => &["orange"],
        "yellow" => &["yellow"],
        "green" => &["green"],
        "blue" => &["blue"],
        "purple" => &["purple", "purple", "violet"],
        "black" => &["black"],
        "white" => &["white"],
        _ => &["grey", "grey", "gray"],
    })
}

/// One of the words for a thing, and for several of it.
pub fn thing(name: &str, dice: &mut Dice) -> (&'static str, &'static str) {
    dice.pick::<(&str, &str)>(match name {
        "circle" => &[("circle", "circles"), ("circle", "circles"), ("disc", "discs")],
        "square" => &[("square", "squares")],
        "triangle" => &[("triangle", "triangles")],
        "star" => &[("star", "stars")],
        "heart" => &[("heart", "hearts")],
        "cross" => &[("cross", "crosses"), ("cross", "crosses"), ("plus sign", "plus signs")],
        "ring" => &[("ring", "rings")],
        "house" => &[("house", "houses")],
        "tree" => &[("tree", "trees")],
        "fish" => &[("fish", "fish")],
        "bicycle" => &[("bicycle", "bicycles"), ("bike", "bikes")],
        "boat" => &[("boat", "boats"), ("sailing boat", "sailing boats")],
        _ => &[("car", "cars")],
    })
}

/// One of the words for a number of things; for one of it, words that stand before `sound`.
pub fn count(name: &str, sound: &str, dice: &mut Dice) -> &'static str {
    match name {
        "1" => dice.pick(&[article(sound), article(sound), "one", "a single"]),
        "2" => dice.pick(&["two", "two", "2", "a pair of"]),
        "3" => dice.pick(&["three", "three", "3"]),
        _ => dice.pick(&["four", "four", "4"]),
    }
}

/// The word for a number up to five that is written in digits.
pub fn number(digits: &str) -> &'static str {
    match digits {
        "1" => "one",
        "2" => "two",
        "3" => "three",
        "4" => "four",
        _ => "five",
    }
}

/// `a` or `an`, by the word that follows.
pub fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

/// One of the words for a position.
pub fn position(name: &str, dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(match name {
        "left" => &["on the left", "at the left", "on the left side", "to the left"],
        "right" => &["on the right", "at the right", "on the right side", "to the right"],
        "top" => &["at the top", "in the upper half", "on top"],
        "bottom" => &["at the bottom", "in the lower half", "down below"],
        _ => &["in the middle", "in the centre", "in the center"],
    })
}

/// Puts words together with single spaces; empty ones fall out.
pub fn join(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// Writes a caption as people do: mostly as it is, at times with a capital letter or a full stop.
pub fn written(caption: String, dice: &mut Dice) -> String {
    let capital = dice.chance(20);
    let stop = dice.chance(20);
    let mut letters = caption.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let mut written = match first {
        Some(first) if capital => first.to_string() + letters.as_str(),
        _ => caption,
    };
    if stop {
        written.push('.');
    }
    written
}
