//! Instructions that ask for one attribute of a scene, and what answers them.

use super::words;
use crate::scenes::dice::Dice;
use crate::scenes::world::{Combination, Family};

/// An instruction and its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The instruction.
    pub instruction: &'static str,
    /// The answer.
    pub answer: String,
    /// Answers that are wrong: other values of the attribute, and true answers to other questions, in turn.
    pub wrong: Vec<String>,
}

/// The attributes of a family whose values stand among the answers, right or wrong, by their places.
fn asks(family: Family) -> &'static [usize] {
    match family {
        Family::Objects => &[0, 1, 2, 3, 5],
        Family::Motion => &[0, 1, 2],
        Family::Page => &[0, 1, 2, 3],
        Family::Pattern | Family::View | Family::Sign => &[],
    }
}

impl Question {
    /// Asks for an attribute: shape, colour, count, position or texture of objects; shape or motion of what moves; topic, sort or
    /// content of pages.
    ///
    /// # Panics
    /// For another one: sets are this crate's own.
    pub fn about(scene: &Combination, place: usize, dice: &mut Dice) -> Self {
        let instruction = dice.pick(instructions(scene.family(), place));
        let values = 0..scene.family().attributes()[place].values.len();
        let others = values.filter(|value| scene.value(place) != *value);
        let mut wrong: Vec<String> = others.map(|value| answer(&scene.with(place, value), place)).collect();
        let aspects = asks(scene.family()).iter().filter(|other| **other != place);
        let mut elsewhere: Vec<String> = aspects.map(|other| answer(scene, *other)).collect();
        dice.shuffle(&mut wrong);
        dice.shuffle(&mut elsewhere);
        let mut mixed: Vec<String> = Vec::new();
        let mut elsewhere = elsewhere.into_iter();
        for next in wrong {
            mixed.push(next);
            mixed.extend(elsewhere.next());
        }
        mixed.extend(elsewhere);
        Self {
            instruction,
            answer: answer(scene, place),
            wrong: mixed,
        }
    }
}

fn instructions(family: Family, place: usize) -> &'static [&'static str] {
    match (family, place) {
        (Family::Objects, 0) => &[
            "What shape is it?",
            "Which things are shown?",
            "What is shown?",
            "Name the shape.",
        ],
        (Family::Objects, 1) => &[
            "What colour is it?",
            "Which colour do the things have?",
            "Name the colour.",
            "What color is it?",
        ],
        (Family::Objects, 2) => &[
            "How many are there?",
            "Count the things.",
            "What is the number of things?",
        ],
        (Family::Objects, 3) => &["Where is it?", "On which side are the things?", "Name the position."],
        (Family::Objects, 5) => &[
            "What texture has the background?",
            "How is the background textured?",
            "Name the texture.",
        ],
        (Family::Motion, 0) => &["Which thing moves?", "What shape is it?", "Name the shape."],
        (Family::Motion, 2) => &["What does it do?", "How does it move?", "Name the motion."],
        (Family::Page, 0) => &["What is the page about?", "Name the topic."],
        (Family::Page, 1) => &["What sort of page is it?", "Name the second word of the heading."],
        (Family::Page, 2) => &["What does the page show?", "What is below the heading?"],
        (family, place) => unreachable!("no set asks for attribute {place} of {}", family.name()),
    }
}

/// The answer in a few words, the same for all that share the value.
fn answer(scene: &Combination, place: usize) -> String {
    let attribute = &scene.family().attributes()[place];
    let value = attribute.values[scene.value(place)];
    match (attribute.name, value.split_once(' ').unwrap_or((value, ""))) {
        ("count", _) => words::number(value).to_owned(),
        ("motion", ("left" | "right" | "up" | "down", _)) => format!("moves {value}"),
        ("motion", ("round", _)) => "goes round".to_owned(),
        ("motion", _) => format!("{value}s"),
        ("content", ("table", size)) => {
            let (rows, columns) = size.split_once('x').unwrap_or((size, size));
            let (rows, columns) = (words::number(rows), words::number(columns));
            format!("table of {rows} rows and {columns} columns")
        }
        ("content", ("bars", count)) => format!("{} bars", words::number(count)),
        ("content", ("pie", count)) => format!("pie of {} slices", words::number(count)),
        ("content", ("line", "peak")) => "line with a peak".to_owned(),
        ("content", ("line", course)) => format!("{course} line"),
        _ => value.to_owned(),
    }
}
