//! From a scene to pixels, the same on every machine.

mod canvas;
mod clip;
mod page;
mod palette;
mod picture;
mod shapes;
mod view;

use image::RgbImage;

use super::dice::Dice;
use super::world::{Family, Scene};

/// The side of the encoder's patches, in pixels.
///
/// Things lie on the grid of patches, give or take a pixel. Where they may lie anywhere, a model of a few million weights needs
/// many times the pairs before it knows a shape again.
const PATCH: f32 = 14.0;

/// Up to a pixel to either side.
fn off_grid(dice: &mut Dice) -> f32 {
    dice.hundredths(-100, 100)
}

/// What a scene looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drawing {
    /// A still picture.
    Picture(RgbImage),
    /// The frames of a clip.
    Clip(Vec<RgbImage>),
}

/// Draws a scene.
pub fn draw(scene: &Scene) -> Drawing {
    let combination = &scene.combination;
    let mut dice = Dice::named(&format!("drawing/{}/{}", combination.key(), scene.variant));
    Drawing::Picture(match combination.family() {
        Family::Objects => picture::objects(combination, &mut dice),
        Family::Pattern => picture::pattern(combination, &mut dice),
        Family::Sign => picture::sign(combination, &mut dice),
        Family::Page => page::page(combination, &mut dice),
        Family::View => view::view(combination, &mut dice),
        Family::Motion => return Drawing::Clip(clip::motion(combination, &mut dice)),
    })
}
