//! Objects on a background, signs, and pictures that are all pattern.

use image::RgbImage;

use super::canvas::{Canvas, Colour};
use super::palette::{ground, shade, texture_of};
use super::shapes::{ring, thing};
use super::{PATCH, off_grid};
use crate::scenes::dice::Dice;
use crate::scenes::world::Combination;

/// Sizes of pictures, the usual one more often: sides of whole language tokens.
const SIZES: [(u32, u32); 8] = [
    (112, 112),
    (112, 112),
    (112, 112),
    (112, 112),
    (112, 112),
    (112, 112),
    (140, 112),
    (112, 140),
];

/// One to four equal things.
pub fn objects(scene: &Combination, dice: &mut Dice) -> RgbImage {
    let (width, height) = dice.pick(&SIZES);
    let base = ground(scene.named("background"), dice);
    let mut canvas = Canvas::new(width, height, base);
    texture(&mut canvas, scene.named("texture"), base, dice);
    canvas.light();
    let colour = shade(scene.named("colour"), dice);
    let patches = (canvas.width() / PATCH, canvas.height() / PATCH);
    for (across, down) in places(scene.named("count"), scene.named("position"), patches, dice) {
        let at = (across * PATCH + off_grid(dice), down * PATCH + off_grid(dice));
        let size = dice.hundredths(1200, 1350);
        thing(&mut canvas, scene.named("shape"), at, size, colour);
    }
    canvas.finish()
}

/// The middles of the things, in patches, in a picture of so many patches. A thing takes two by two, and all have four by four
/// together.
fn places(count: &str, position: &str, (columns, rows): (f32, f32), dice: &mut Dice) -> Vec<(f32, f32)> {
    let (x, y) = match position {
        "left" => (2.0, rows / 2.0),
        "right" => (columns - 2.0, rows / 2.0),
        "top" => (columns / 2.0, 2.0),
        "bottom" => (columns / 2.0, rows - 2.0),
        _ => (columns / 2.0, rows / 2.0),
    };
    let upright = match position {
        "left" | "right" => true,
        "top" | "bottom" => false,
        _ => dice.chance(50),
    };
    let offsets: &[(f32, f32)] = match count {
        "1" => &[(0.0, 0.0)],
        "2" => &[(-1.0, 0.0), (1.0, 0.0)],
        "3" => &[(-1.0, -1.0), (-1.0, 1.0), (1.0, 0.0)],
        _ => &[(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)],
    };
    let place = |(across, along): &(f32, f32)| {
        let (dx, dy) = if upright { (*along, *across) } else { (*across, *along) };
        (x + dx, y + dy)
    };
    offsets.iter().map(place).collect()
}

/// What a background has in a second shade of its colour.
fn texture(canvas: &mut Canvas, name: &str, base: Colour, dice: &mut Dice) {
    let second = texture_of(base, dice);
    let begin = (off_grid(dice), off_grid(dice));
    match name {
        "stripes" => upright_stripes(canvas, begin.0, PATCH, second),
        "checks" => checks(canvas, (begin.0 - PATCH, begin.1 - PATCH), PATCH, second),
        "dots" => dots(
            canvas,
            (begin.0 + PATCH / 2.0, begin.1 + PATCH / 2.0),
            PATCH,
            0.3 * PATCH,
            second,
        ),
        _ => {}
    }
}

/// One large thing about the middle of the picture.
pub fn sign(scene: &Combination, dice: &mut Dice) -> RgbImage {
    let (width, height) = dice.pick(&SIZES);
    let mut canvas = Canvas::new(width, height, shade(scene.named("background"), dice));
    let colour = shade(scene.named("colour"), dice);
    let middle = (canvas.width() / 2.0, canvas.height() / 2.0);
    let size = dice.hundredths(2200, 5000);
    // It stays inside, but for the tips of a star: the shorter side has 112 pixels.
    let room = (56.0 - size) / 10.0;
    let at = (
        middle.0 + room * dice.between(-10, 10) as f32,
        middle.1 + room * dice.between(-10, 10) as f32,
    );
    thing(&mut canvas, scene.named("shape"), at, size, colour);
    canvas.finish()
}

/// A picture that is all pattern, in two colours.
pub fn pattern(scene: &Combination, dice: &mut Dice) -> RgbImage {
    let (width, height) = dice.pick(&SIZES);
    let mut canvas = Canvas::new(width, height, shade(scene.named("background"), dice));
    let colour = shade(scene.named("colour"), dice);
    let period = dice.hundredths(2000, 3600);
    let begin = (-dice.hundredths(0, 1800), -dice.hundredths(0, 1800));
    match scene.named("pattern") {
        "upright" => upright_stripes(&mut canvas, begin.0, period, colour),
        "level" => {
            for row in 0..10 {
                let (y, width) = (begin.1 + row as f32 * period, canvas.width());
                canvas.rectangle((0.0, y), (width, period / 2.0), colour);
            }
        }
        "checkerboard" => checks(&mut canvas, begin, period * 0.6, colour),
        "dots" => dots(&mut canvas, begin, period * 0.8, period * 0.27, colour),
        _ => {
            let middle = (canvas.width() / 2.0, canvas.height() / 2.0);
            let width = dice.hundredths(900, 1300);
            for index in [1, 3] {
                let radius = (index + 1) as f32 * width;
                ring(&mut canvas, middle, radius, index as f32 / (index + 1) as f32, colour);
            }
        }
    }
    canvas.finish()
}

fn upright_stripes(canvas: &mut Canvas, begin: f32, period: f32, colour: Colour) {
    let height = canvas.height();
    for column in 0..14 {
        canvas.rectangle((begin + column as f32 * period, 0.0), (period / 2.0, height), colour);
    }
}

fn checks(canvas: &mut Canvas, begin: (f32, f32), side: f32, colour: Colour) {
    for row in 0..16 {
        for column in (row % 2..16).step_by(2) {
            let at = (begin.0 + column as f32 * side, begin.1 + row as f32 * side);
            canvas.rectangle(at, (side, side), colour);
        }
    }
}

fn dots(canvas: &mut Canvas, begin: (f32, f32), period: f32, radius: f32, colour: Colour) {
    for row in 0..14 {
        for column in 0..14 {
            let at = (begin.0 + column as f32 * period, begin.1 + row as f32 * period);
            canvas.circle(at, radius, colour);
        }
    }
}
