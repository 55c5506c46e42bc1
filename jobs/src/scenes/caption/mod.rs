//! What is said of a scene: captions in varied words, and questions with their answers.

mod motion;
mod objects;
mod page;
mod question;
mod view;
mod words;

pub use question::Question;

use super::dice::Dice;
use super::world::{Combination, Family, MOST_ATTRIBUTES};

/// Which attributes a caption tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told([bool; MOST_ATTRIBUTES]);

impl Told {
    /// Each of them: such a caption fits one combination alone.
    pub const ALL: Self = Self([true; MOST_ATTRIBUTES]);

    /// Whether it tells the attribute at a place.
    pub fn has(self, place: usize) -> bool {
        self.0[place]
    }

    /// Leaves an attribute out.
    pub fn forget(&mut self, place: usize) {
        self.0[place] = false;
    }

    /// Puts an attribute in.
    #[must_use]
    pub fn and(mut self, place: usize) -> Self {
        self.0[place] = true;
        self
    }
}

/// What a caption of this family may tell: mostly all, at times as little as people type when they search.
pub fn told(family: Family, dice: &mut Dice) -> Told {
    match family {
        Family::Objects => objects::told(dice),
        Family::Motion => motion::told(dice),
        Family::Page => page::told(dice),
        Family::Pattern | Family::View | Family::Sign => Told::ALL,
    }
}

/// A caption of a combination that tells these attributes.
///
/// Captions of patterns, places and signs are freer: they may tell less.
pub fn caption(scene: &Combination, told: Told, dice: &mut Dice) -> String {
    let caption = match scene.family() {
        Family::Objects => objects::objects(scene, told, dice),
        Family::Motion => motion::motion(scene, told, dice),
        Family::Page => page::page(scene, told, dice),
        Family::Pattern => objects::pattern(scene, dice),
        Family::View => view::view(scene, dice),
        Family::Sign => objects::sign(scene, dice),
    };
    words::written(caption, dice)
}
