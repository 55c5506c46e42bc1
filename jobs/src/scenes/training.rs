//! The training sets: scenes that are not held out, and rows of pairs with them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::caption::{Question, Told, asks, caption, told};
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

/// How many wrong texts stand in a row.
const WRONG_TEXTS: usize = 4;

/// A training set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingSet {
    /// Its name, and that of its file.
    pub name: &'static str,
    family: Family,
    /// How many scenes its rows show.
    scenes: u32,
    rows: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// A caption for its medium; the wrong one differs in one attribute, which the caption tells.
    TextToMedium,
    /// A medium for its caption; the wrong captions differ in one attribute.
    MediumToText,
    /// A picture and an instruction for the answer.
    Questions,
    /// A caption for another one of the same scene.
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

const fn set(name: &'static str, family: Family, scenes: u32, rows: Rows) -> TrainingSet {
    TrainingSet {
        name,
        family,
        scenes,
        rows,
    }
}

/// All training sets. Those of one family show the same scenes.
pub const TRAINING_SETS: [TrainingSet; 13] = [
    set("images", Family::Objects, 24_000, Rows::TextToMedium),
    set("image_captions", Family::Objects, 24_000, Rows::MediumToText),
    set("image_questions", Family::Objects, 24_000, Rows::Questions),
    set("image_paraphrases", Family::Objects, 24_000, Rows::Paraphrases),
    set("clips", Family::Motion, 8_000, Rows::TextToMedium),
    set("clip_captions", Family::Motion, 8_000, Rows::MediumToText),
    set("clip_paraphrases", Family::Motion, 8_000, Rows::Paraphrases),
    set("pages", Family::Page, 10_000, Rows::TextToMedium),
    set("page_captions", Family::Page, 10_000, Rows::MediumToText),
    set("page_paraphrases", Family::Page, 10_000, Rows::Paraphrases),
    set("patterns", Family::Pattern, 2_000, Rows::TextToMedium),
    set("views", Family::View, 6_000, Rows::TextToMedium),
    set("view_paraphrases", Family::View, 6_000, Rows::Paraphrases),
];

/// The scenes of a family, two by two: the second differs from the first in one attribute.
pub fn scenes(family: Family) -> Vec<Scene> {
    let count = TRAINING_SETS
        .iter()
        .filter(|set| set.family == family)
        .map(|set| set.scenes)
        .max()
        .unwrap_or(0);
    let mut dice = Dice::named(&format!("training/scenes/{}", family.name()));
    let mut scenes = Vec::new();
    for variant in (0..count).step_by(2) {
        let first = loop {
            let first = Combination::random(family, &mut dice);
            if !held_out(&first) {
                break first;
            }
        };
        let second = neighbour(&first, &mut dice);
        scenes.push(Scene {
            combination: first,
            variant,
        });
        scenes.push(Scene {
            combination: second,
            variant: variant + 1,
        });
    }
    scenes
}

/// One that is not held out and differs in one attribute, each attribute as often.
fn neighbour(of: &Combination, dice: &mut Dice) -> Combination {
    let mut neighbours = of.neighbours();
    neighbours.retain(|(_, other)| !held_out(other));
    let mut places: Vec<usize> = neighbours.iter().map(|(place, _)| *place).collect();
    places.dedup();
    // A place without a thing has no neighbour but other places; there is always one.
    let chosen = dice.pick(&places);
    neighbours.retain(|(place, _)| *place == chosen);
    dice.pick(&neighbours).1
}

/// The file of a scene, relative to the folder of the training sets.
pub fn file(scene: &Scene) -> String {
    let family = scene.combination.family();
    format!("{}/{:05}.{}", family.name(), scene.variant, extension(family))
}

impl TrainingSet {
    /// What its scenes are of.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Its rows, about scenes of its family from [`scenes`].
    pub fn rows(&self, scenes: &[Scene]) -> Vec<Row> {
        let mut dice = Dice::named(&format!("training/rows/{}", self.name));
        let scenes = &scenes[..scenes.len().min(self.scenes as usize)];
        let rows = scenes.iter().enumerate().flat_map(|(index, scene)| {
            // The other one of the two.
            let twin = &scenes[index ^ 1];
            match self.rows {
                Rows::TextToMedium => (0..CAPTIONS).map(|_| self.finds(scene, twin, &mut dice)).collect(),
                Rows::MediumToText => vec![self.describes(scene, &mut dice)],
                Rows::Questions => vec![self.answers(scene, &mut dice)],
                Rows::Paraphrases => vec![self.rephrases(scene, twin, &mut dice)],
            }
        });
        rows.collect()
    }

    fn finds(&self, scene: &Scene, twin: &Scene, dice: &mut Dice) -> Row {
        let instruction = dice.chance(15).then(|| search_instruction(self.family));
        let target = target_instruction(self.family, dice);
        let medium = |scene: &Scene| Item {
            url: Some(file(scene)),
            instruction: Some(target),
            ..Item::default()
        };
        Row {
            query: Item {
                instruction,
                ..text(caption(&scene.combination, self.told_against(scene, twin, dice), dice))
            },
            positive: medium(scene),
            negatives: vec![medium(twin)],
        }
    }

    fn describes(&self, scene: &Scene, dice: &mut Dice) -> Row {
        let mut neighbours = scene.combination.neighbours();
        dice.shuffle(&mut neighbours);
        let mut places = BTreeSet::new();
        neighbours.retain(|(place, _)| places.insert(*place));
        neighbours.truncate(WRONG_TEXTS);
        Row {
            query: Item {
                url: Some(file(scene)),
                instruction: Some(target_instruction(self.family, dice)),
                ..Item::default()
            },
            positive: text(caption(&scene.combination, Told::ALL, dice)),
            negatives: neighbours
                .iter()
                .map(|(_, other)| text(caption(other, Told::ALL, dice)))
                .collect(),
        }
    }

    fn answers(&self, scene: &Scene, dice: &mut Dice) -> Row {
        let place = dice.pick(asks(self.family));
        let question = Question::about(&scene.combination, place, dice);
        Row {
            query: Item {
                url: Some(file(scene)),
                instruction: Some(question.instruction),
                ..Item::default()
            },
            positive: text(question.answer),
            negatives: question.wrong.into_iter().take(WRONG_TEXTS).map(text).collect(),
        }
    }

    fn rephrases(&self, scene: &Scene, twin: &Scene, dice: &mut Dice) -> Row {
        let told = self.told_against(scene, twin, dice);
        Row {
            query: text(caption(&scene.combination, told, dice)),
            positive: text(caption(&scene.combination, Told::ALL, dice)),
            negatives: vec![text(caption(&twin.combination, Told::ALL, dice))],
        }
    }

    /// What a caption tells, with what its scene and the other one differ in.
    fn told_against(&self, scene: &Scene, twin: &Scene, dice: &mut Dice) -> Told {
        let (one, two) = (&scene.combination, &twin.combination);
        let differ = |place: &usize| one.value(*place) != two.value(*place);
        let told = told(self.family, dice);
        (0..self.family.attributes().len()).filter(differ).fold(told, Told::and)
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
