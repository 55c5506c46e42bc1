//! The training sets: scenes that are not held out, and rows of pairs with them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::caption::{Question, Told, caption, told};
use super::dice::Dice;
use super::encode::extension;
use super::split::held_out;
use super::world::{Combination, Family, Scene};

/// The instruction of an image that is searched for.
pub const IMAGE: &str = "Represent the given image.";
/// The instruction of a page that is searched for.
pub const PAGE: &str = "Understand the content of the provided document image.";
/// The instruction of a clip that is searched for.
pub const VIDEO: &str = "Understand the content of the provided video.";

/// How many captions find one scene.
const CAPTIONS: usize = 2;

/// How many of a hundred scenes are described in one wording, which is the same for all of them.
const PLAIN_PERCENT: u32 = 40;

/// How many wrong texts stand in a row, at most.
const WRONG_TEXTS: usize = 4;

/// A training set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingSet {
    /// Its name, and that of its file.
    pub name: &'static str,
    /// What its scenes are of.
    pub family: Family,
    rows: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// A medium and its caption; the wrong ones differ in one attribute, which they tell. Those of patterns, places and signs may
    /// leave it out, and then say the same as the caption: equal texts are to be no negatives.
    Captions,
    /// A medium with an instruction that asks for the attribute at a place, and the answer.
    Questions(usize),
    /// A caption and another one of the same scene.
    Paraphrases,
}

/// One side of a pair, as the file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The medium, relative to the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<&'static str>,
}

/// A row of a pairs file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What is searched with.
    pub query: Item,
    /// What is to be found.
    pub positive: Item,
    /// What is nearly it.
    pub negatives: Vec<Item>,
}

const fn set(name: &'static str, family: Family, rows: Rows) -> TrainingSet {
    TrainingSet { name, family, rows }
}

/// All training sets. Those of one family show the same scenes. Each question has a set of its own: in a sub-batch of one, the
/// answers of the others are what the answer has to be told from.
pub const TRAINING_SETS: [TrainingSet; 19] = [
    set("images", Family::Objects, Rows::Captions),
    set("image_shapes", Family::Objects, Rows::Questions(0)),
    set("image_colours", Family::Objects, Rows::Questions(1)),
    set("image_counts", Family::Objects, Rows::Questions(2)),
    set("image_positions", Family::Objects, Rows::Questions(3)),
    set("image_textures", Family::Objects, Rows::Questions(5)),
    set("image_paraphrases", Family::Objects, Rows::Paraphrases),
    set("clips", Family::Motion, Rows::Captions),
    set("clip_shapes", Family::Motion, Rows::Questions(0)),
    set("clip_motions", Family::Motion, Rows::Questions(2)),
    set("pages", Family::Page, Rows::Captions),
    set("page_topics", Family::Page, Rows::Questions(0)),
    set("page_sorts", Family::Page, Rows::Questions(1)),
    set("page_contents", Family::Page, Rows::Questions(2)),
    set("page_paraphrases", Family::Page, Rows::Paraphrases),
    set("patterns", Family::Pattern, Rows::Captions),
    set("views", Family::View, Rows::Captions),
    set("view_paraphrases", Family::View, Rows::Paraphrases),
    set("signs", Family::Sign, Rows::Captions),
];

/// The scenes of a family that are trained on.
pub fn scenes(family: Family) -> Vec<Scene> {
    let count = match family {
        Family::Objects => 36_000,
        Family::Motion => 12_000,
        Family::Page => 16_000,
        Family::Pattern => 2_000,
        Family::View => 6_000,
        Family::Sign => 8_000,
    };
    let mut dice = Dice::named(&format!("training/scenes/{}", family.name()));
    let combinations = std::iter::repeat_with(|| Combination::random(family, &mut dice));
    let trained = combinations.filter(|combination| !held_out(combination));
    (0..count)
        .zip(trained)
        .map(|(variant, combination)| Scene { combination, variant })
        .collect()
}

/// The file of a scene, relative to the folder of the training sets.
pub fn file(scene: &Scene) -> String {
    let family = scene.combination.family();
    format!("{}/{:05}.{}", family.name(), scene.variant, extension(family))
}

impl TrainingSet {
    /// Its rows, about these scenes of its family.
    pub fn rows(&self, scenes: &[Scene]) -> Vec<Row> {
        let mut dice = Dice::named(&format!("training/rows/{}", self.name));
        let mut rows = Vec::new();
        for scene in scenes {
            match self.rows {
                Rows::Captions => rows.extend((0..CAPTIONS).map(|_| self.describes(scene, &mut dice))),
                Rows::Questions(place) => rows.push(answers(scene, place, &mut dice)),
                Rows::Paraphrases => rows.push(self.rephrases(scene, &mut dice)),
            }
        }
        rows
    }

    fn describes(&self, scene: &Scene, dice: &mut Dice) -> Row {
        let told = told(self.family, dice);
        let instruction = dice.chance(15).then(|| search_instruction(self.family));
        let with_instruction = |text| Item { instruction, ..text };
        let target = target_instruction(self.family, dice);
        let others = neighbours(scene, WRONG_TEXTS, dice);
        // All of a row in one wording, so that a wrong caption differs from the right one by its attribute and not by what is
        // around it; and that of many rows the same: what media show is learned sooner from few words.
        let wording = match dice.chance(PLAIN_PERCENT) {
            true => Dice::named("training/wording"),
            false => dice.fork(),
        };
        let says = |combination, told| with_instruction(text(caption(combination, told, &mut wording.clone())));
        Row {
            query: medium(scene, target),
            positive: says(&scene.combination, told),
            negatives: others
                .iter()
                .map(|(place, other)| says(other, told.and(*place)))
                .collect(),
        }
    }

    fn rephrases(&self, scene: &Scene, dice: &mut Dice) -> Row {
        let told = told(self.family, dice);
        let others = neighbours(scene, 2, dice);
        Row {
            query: text(caption(&scene.combination, told, dice)),
            positive: text(caption(&scene.combination, Told::ALL, dice)),
            negatives: others
                .iter()
                .map(|(_, other)| text(caption(other, Told::ALL, dice)))
                .collect(),
        }
    }
}

fn answers(scene: &Scene, place: usize, dice: &mut Dice) -> Row {
    let question = Question::about(&scene.combination, place, dice);
    Row {
        query: medium(scene, question.instruction),
        positive: text(question.answer),
        negatives: question.wrong.into_iter().take(WRONG_TEXTS).map(text).collect(),
    }
}

/// Combinations that differ from the scene's in one attribute, each in another one. There may be fewer.
fn neighbours(scene: &Scene, count: usize, dice: &mut Dice) -> Vec<(usize, Combination)> {
    let mut neighbours = scene.combination.neighbours();
    // What training says shall not name what is held out either.
    neighbours.retain(|(_, other)| !held_out(other));
    dice.shuffle(&mut neighbours);
    // One for each place: else attributes of many values would be asked for most.
    let mut places = BTreeSet::new();
    neighbours.retain(|(place, _)| places.insert(*place));
    dice.shuffle(&mut neighbours);
    neighbours.truncate(count);
    neighbours
}

fn medium(scene: &Scene, instruction: &'static str) -> Item {
    Item {
        url: Some(file(scene)),
        instruction: Some(instruction),
        ..Item::default()
    }
}

fn text(text: String) -> Item {
    Item {
        text: Some(text),
        ..Item::default()
    }
}

/// What searches may say in front.
fn search_instruction(family: Family) -> &'static str {
    match family {
        Family::Motion => "Find a video that contains the following visual content:",
        Family::Page => "Find a document image that matches the given query:",
        _ => "Find an image that matches the given caption:",
    }
}

/// The instruction of a medium that is searched for. A page may come as an image or from a document.
fn target_instruction(family: Family, dice: &mut Dice) -> &'static str {
    match family {
        Family::Motion => VIDEO,
        Family::Page => dice.pick(&[IMAGE, PAGE]),
        _ => IMAGE,
    }
}
