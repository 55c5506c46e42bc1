//! Which combinations are held out, and the test sets that are made of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::caption::{Question, Told, caption};
use super::dice::Dice;
use super::world::{Combination, Family, Scene};

/// One combination in so many is held out.
const HELD_OUT_ONE_IN: u64 = 5;

/// How few held-out neighbours the first scene of a group may have.
const FEWEST_NEIGHBOURS: usize = 3;

/// Which sets are drawn of what is held out. Sets that a recipe was sought with are no test of what it trains: those were the
/// first edition.
const EDITION: &str = "second";

/// What is said of objects in the instructions' test set: shape, colour and count, by their places.
const ASKED: [usize; 3] = [0, 1, 2];

/// Whether no training row shows or names this combination.
///
/// A hash decides, so that training and tests share none, whoever draws them and in whichever order. Of patterns, places
/// and signs there is no test set, and nothing is held out.
pub fn held_out(combination: &Combination) -> bool {
    match combination.family() {
        Family::Objects | Family::Motion | Family::Page => {
            let digest = Sha256::digest(format!("held out/{}", combination.key()));
            let number = digest[..8]
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte));
            number.is_multiple_of(HELD_OUT_ONE_IN)
        }
        Family::Pattern | Family::View | Family::Sign => false,
    }
}

/// A set of held-out scenes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestSet {
    /// A caption to its picture, among 500.
    Images,
    /// A caption to its clip, among 200.
    Clips,
    /// A caption to its page, among 200.
    Pages,
    /// A picture with an instruction to the answer, among all answers.
    Instructions,
}

/// A row of a test set: a caption for its scene, or a scene with an instruction for its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What is drawn.
    pub scene: Scene,
    /// What is asked of it, in the instructions' set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instruction: Option<String>,
    /// The caption that finds it, or the answer.
    pub text: String,
}

impl TestSet {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Images, Self::Clips, Self::Pages, Self::Instructions];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Clips => "clips",
            Self::Pages => "pages",
            Self::Instructions => "instructions",
        }
    }

    /// Its rows. Each is a candidate for all the others.
    pub fn cases(self) -> Vec<Case> {
        let mut dice = Dice::named(&format!("test/{EDITION}/{}", self.name()));
        match self {
            Self::Images => described(groups(Family::Objects, 500, &mut dice), &mut dice),
            Self::Clips => described(groups(Family::Motion, 200, &mut dice), &mut dice),
            Self::Pages => described(groups(Family::Page, 200, &mut dice), &mut dice),
            Self::Instructions => asked(150, &mut dice),
        }
    }
}

/// Held-out scenes in groups: one, and others that differ from it in a single attribute, another attribute each where there are
/// held-out ones.
fn groups(family: Family, count: usize, dice: &mut Dice) -> Vec<Combination> {
    let mut taken = BTreeSet::new();
    let mut scenes = Vec::new();
    while scenes.len() < count {
        let first = Combination::random(family, dice);
        let mut neighbours = first.neighbours();
        neighbours.retain(|(_, other)| held_out(other) && !taken.contains(other));
        dice.shuffle(&mut neighbours);
        let mut places = BTreeSet::new();
        neighbours.retain(|(place, _)| places.insert(*place));
        // A group has at least two: the last one is not left alone.
        neighbours.truncate(count - scenes.len() - 1);
        let enough = neighbours.len() >= FEWEST_NEIGHBOURS.min(count - scenes.len() - 1);
        let leaves_one = count - scenes.len() == neighbours.len() + 2;
        if held_out(&first) && !taken.contains(&first) && enough && !neighbours.is_empty() && !leaves_one {
            let group = std::iter::once(first).chain(neighbours.into_iter().map(|(_, other)| other));
            for combination in group {
                taken.insert(combination);
                scenes.push(combination);
            }
        }
    }
    scenes
}

/// With a caption each, which tells every attribute.
fn described(scenes: Vec<Combination>, dice: &mut Dice) -> Vec<Case> {
    let mut case = |(variant, combination): (u32, Combination)| Case {
        scene: Scene { combination, variant },
        instruction: None,
        text: caption(&combination, Told::ALL, dice),
    };
    (0..).zip(scenes).map(&mut case).collect()
}

/// Each picture three times: asked for its shape, its colour, and its count.
fn asked(pictures: u32, dice: &mut Dice) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut variant = 0;
    while variant < pictures {
        let combination = Combination::random(Family::Objects, dice);
        if held_out(&combination) {
            for place in ASKED {
                let question = Question::about(&combination, place, dice);
                cases.push(Case {
                    scene: Scene { combination, variant },
                    instruction: Some(question.instruction.to_owned()),
                    text: question.answer,
                });
            }
            variant += 1;
        }
    }
    cases
}
