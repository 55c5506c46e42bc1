//! Clips of eight frames: a thing that moves, or changes where it is.

use image::RgbImage;

use super::canvas::Canvas;
use super::palette::{ground, shade};
use super::shapes::thing;
use super::{PATCH, off_grid};
use crate::scenes::dice::Dice;
use crate::scenes::world::Combination;

/// How many frames a clip has: as many as the encoder sees of one.
pub const FRAMES: usize = 8;

/// The side of a clip's frames, in pixels.
const SIDE: u32 = 84;

/// Clockwise, in patches.
const CORNERS: [(f32, f32); 4] = [(2.0, 2.0), (4.0, 2.0), (4.0, 4.0), (2.0, 4.0)];

/// A thing that does something, frame by frame.
pub fn motion(scene: &Combination, dice: &mut Dice) -> Vec<RgbImage> {
    let (base, colour) = (
        ground(scene.named("background"), dice),
        shade(scene.named("colour"), dice),
    );
    let size = dice.hundredths(1200, 1350);
    // In patches: where it begins if it moves straight, and where it is across that or if it stays.
    let begin = dice.pick(&[1.0, 2.0]);
    let (x, y) = (dice.pick(&[2.0, 3.0, 4.0]), dice.pick(&[2.0, 3.0, 4.0]));
    let corner = dice.below(4) as usize;
    let (off_x, off_y) = (off_grid(dice), off_grid(dice));
    let mut background = Canvas::new(SIDE, SIDE, base);
    background.light();
    let frame = |index: usize| {
        // The encoder takes two frames at a time: they are alike.
        let step = index / 2;
        let along = step as f32;
        let ((across, down), scale, seen) = match scene.named("motion") {
            "left" => ((6.0 - begin - along, y), 1.0, true),
            "right" => ((begin + along, y), 1.0, true),
            "up" => ((x, 6.0 - begin - along), 1.0, true),
            "down" => ((x, begin + along), 1.0, true),
            "grow" => ((x, y), 0.4 + 0.45 * along, true),
            "shrink" => ((x, y), 1.75 - 0.45 * along, true),
            "round" => (CORNERS[(corner + step) % 4], 1.0, true),
            _ => ((x, y), 1.2, step.is_multiple_of(2)),
        };
        let mut canvas = background.clone();
        let at = (across * PATCH + off_x, down * PATCH + off_y);
        if seen {
            thing(&mut canvas, scene.named("shape"), at, scale * size, colour);
        }
        canvas.finish()
    };
    (0..FRAMES).map(frame).collect()
}
