//! Clips of eight frames: a thing that moves, and a place that passes by.

use image::RgbImage;

use super::canvas::{Canvas, on_circle};
use super::palette::{ground, shade};
use super::shapes::thing;
use crate::scenes::dice::Dice;
use crate::scenes::world::Combination;

/// How many frames a clip has: as many as the encoder sees of one.
pub const FRAMES: usize = 8;

/// The side of a clip's frames, in pixels.
const SIDE: u32 = 84;

/// A thing that does something, frame by frame.
pub fn motion(scene: &Combination, dice: &mut Dice) -> Vec<RgbImage> {
    let (base, colour) = (
        ground(scene.named("background"), dice),
        shade(scene.named("colour"), dice),
    );
    let size = dice.hundredths(1150, 1400);
    let middle = (42.0 + dice.hundredths(-500, 500), 42.0 + dice.hundredths(-500, 500));
    let reach = dice.hundredths(2100, 2600);
    let begin = dice.below(24) as usize;
    let frame = |index: usize| {
        // From -1 in the first frame to 1 in the last.
        let along = index as f32 / 3.5 - 1.0;
        let (offset, scale, seen) = match scene.named("motion") {
            "left" => ((-along * reach, 0.0), 1.0, true),
            "right" => ((along * reach, 0.0), 1.0, true),
            "up" => ((0.0, -along * reach), 1.0, true),
            "down" => ((0.0, along * reach), 1.0, true),
            "grow" => ((0.0, 0.0), 1.3 + 0.9 * along, true),
            "shrink" => ((0.0, 0.0), 1.3 - 0.9 * along, true),
            "round" => {
                let (x, y) = on_circle(begin + 3 * index);
                ((x * 0.85 * reach, y * 0.85 * reach), 1.0, true)
            }
            _ => ((0.0, 0.0), 1.2, index % 4 < 2),
        };
        let mut canvas = Canvas::new(SIDE, SIDE, base);
        // What moves straight passes the middle of its way; what stays, or goes round, may be anywhere near.
        let at = (middle.0 + offset.0, middle.1 + offset.1);
        if seen {
            thing(&mut canvas, scene.named("shape"), at, scale * size, colour);
        }
        canvas.finish()
    };
    (0..FRAMES).map(frame).collect()
}
