//! Instructions that ask for one attribute of a picture, and what answers them.

use super::words;
use crate::scenes::dice::Dice;
use crate::scenes::world::{Combination, Family};

/// An instruction and its answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The place of the attribute that it asks for.
    pub place: usize,
    /// The instruction.
    pub instruction: &'static str,
    /// The answer.
    pub answer: String,
    /// Answers that are wrong: other values of the attribute, then true answers to other questions.
    pub wrong: Vec<String>,
}

/// The attributes of objects that can be asked for, by their places: shape, colour, count, position, texture.
const OBJECTS: &[usize] = &[0, 1, 2, 3, 5];

/// The attributes that a family's pictures can be asked for.
pub fn asks(family: Family) -> &'static [usize] {
    match family {
        Family::Objects => OBJECTS,
        _ => &[],
    }
}

impl Question {
    /// Asks for an attribute, which is one of [`asks`].
    pub fn about(scene: &Combination, place: usize, dice: &mut Dice) -> Self {
        let instruction = dice.pick(instructions(place));
        let style = dice.below(3);
        let mut say = |combination: &Combination, place: usize| answer(combination, place, style, dice);
        let right = say(scene, place);
        let values = 0..scene.family().attributes()[place].values.len();
        let others = values.filter(|value| scene.value(place) != *value);
        let mut wrong: Vec<String> = others.map(|value| say(&scene.with(place, value), place)).collect();
        let aspects = asks(scene.family()).iter().filter(|other| **other != place);
        let mut elsewhere: Vec<String> = aspects.map(|other| say(scene, *other)).collect();
        dice.shuffle(&mut wrong);
        dice.shuffle(&mut elsewhere);
        // One of this kind, one of that.
        let mut mixed: Vec<String> = Vec::new();
        let mut elsewhere = elsewhere.into_iter();
        for next in wrong {
            mixed.push(next);
            mixed.extend(elsewhere.next());
        }
        mixed.extend(elsewhere);
        Self {
            place,
            instruction,
            answer: right,
            wrong: mixed,
        }
    }

    /// The answer in one word, the same for all that share the value.
    pub fn short_answer(scene: &Combination, place: usize) -> &'static str {
        match scene.family().attributes()[place].values[scene.value(place)] {
            "1" => "one",
            "2" => "two",
            "3" => "three",
            "4" => "four",
            value => value,
        }
    }
}

fn instructions(place: usize) -> &'static [&'static str] {
    match place {
        0 => &[
            "What shape is it?",
            "Which things are shown?",
            "What is shown?",
            "Name the shape.",
        ],
        1 => &[
            "What colour is it?",
            "Which colour do the things have?",
            "Name the colour.",
            "What color is it?",
        ],
        2 => &[
            "How many are there?",
            "Count the things.",
            "What is the number of things?",
        ],
        3 => &["Where is it?", "On which side are the things?", "Name the position."],
        _ => &[
            "What texture has the background?",
            "How is the background textured?",
            "Name the texture.",
        ],
    }
}

/// An answer: a word, or a short sentence.
fn answer(scene: &Combination, place: usize, style: u32, dice: &mut Dice) -> String {
    let value = scene.family().attributes()[place].values[scene.value(place)];
    let (word, name) = match place {
        0 => (words::thing(value, dice).0, "the shape is"),
        1 => (words::colour(value, dice), "the colour is"),
        2 => (Question::short_answer(scene, place), "the number is"),
        3 => (words::position(value, dice), "it is"),
        _ => (value, "the texture is"),
    };
    match (style, place) {
        (0 | 1, _) => word.to_owned(),
        (_, 0) => words::join(&[name, words::article(word), word]),
        _ => words::join(&[name, word]),
    }
}
