//! Places: a sky, what is below it, and a thing in it.

use image::RgbImage;

use super::canvas::{Canvas, Colour, blend};
use super::palette::{LIGHT, shade};
use super::shapes::thing;
use crate::scenes::dice::Dice;
use crate::scenes::world::Combination;

const SKY: Colour = [160, 205, 240];
const NIGHT: Colour = [18, 20, 56];
const WATER: Colour = [32, 92, 158];
const GRASS: Colour = [104, 168, 76];
const SAND: Colour = [232, 205, 150];
const ROCK: Colour = [108, 110, 122];
const TAR: Colour = [92, 92, 98];
const LAMP: Colour = [250, 214, 92];

/// Sizes of pictures: wide, square and tall.
const SIZES: [(u32, u32); 4] = [(140, 112), (140, 84), (112, 112), (112, 140)];

/// Draws a place.
pub fn view(scene: &Combination, dice: &mut Dice) -> RgbImage {
    let (width, height) = dice.pick(&SIZES);
    let place = scene.named("place");
    let sky = match place {
        "sunset" => [250, 168, 96],
        "city" => NIGHT,
        "desert" => [250, 200, 130],
        "snow" => [128, 146, 178],
        _ => SKY,
    };
    let sky = blend(sky, LIGHT, dice.between(0, 18));
    let mut canvas = Canvas::new(width, height, sky);
    let (width, height) = (canvas.width(), canvas.height());
    let horizon = height * dice.hundredths(50, 62);
    let ground = |canvas: &mut Canvas, colour| canvas.rectangle((0.0, horizon), (width, height - horizon), colour);
    match place {
        "sea" => {
            ground(&mut canvas, WATER);
            let strip = height * 0.14;
            if dice.chance(50) {
                canvas.rectangle((0.0, height - strip), (width, strip), GRASS);
            }
        }
        "sunset" => {
            let x = width * dice.hundredths(35, 65);
            canvas.circle((x, horizon), height * 0.18, LAMP);
            ground(&mut canvas, [70, 88, 136]);
            for row in 0..4 {
                let half = height * (0.14 - 0.02 * row as f32);
                let y = horizon + height * (0.05 + 0.09 * row as f32);
                canvas.rectangle((x - half, y), (2.0 * half, height * 0.03), [246, 190, 110]);
            }
        }
        "meadow" => ground(&mut canvas, GRASS),
        "desert" => {
            canvas.circle((width * dice.hundredths(12, 40), height * 0.2), height * 0.09, LAMP);
            ground(&mut canvas, SAND);
            cactus(
                &mut canvas,
                width * dice.hundredths(70, 86),
                horizon + height * 0.12,
                height * 0.13,
            );
        }
        "snow" => {
            ground(&mut canvas, LIGHT);
            for x in [dice.hundredths(10, 24), dice.hundredths(74, 90)] {
                fir(&mut canvas, width * x, horizon + height * 0.08, height * 0.2);
            }
            for _ in 0..40 {
                let flake = (width * dice.hundredths(0, 100), horizon * dice.hundredths(0, 100));
                canvas.circle(flake, 1.3, LIGHT);
            }
        }
        "city" => {
            canvas.circle((width * 0.82, height * 0.16), height * 0.09, [246, 240, 200]);
            for block in 0..6 {
                let top = height * dice.hundredths(28, 55);
                let x = width * block as f32 / 6.0;
                canvas.rectangle((x, top), (width / 6.0 - 2.0, height - top), [40, 42, 70]);
                for row in 0..8 {
                    for column in 0..2 {
                        if dice.chance(60) {
                            let at = (x + 4.0 + 8.0 * column as f32, top + 5.0 + 9.0 * row as f32);
                            canvas.rectangle(at, (4.0, 5.0), LAMP);
                        }
                    }
                }
            }
            canvas.rectangle((0.0, height * 0.86), (width, height * 0.14), TAR);
        }
        "mountains" => {
            for (x, top) in [
                (dice.hundredths(22, 36), dice.hundredths(24, 34)),
                (dice.hundredths(62, 76), dice.hundredths(12, 24)),
            ] {
                mountain(&mut canvas, (x * width, top * height), horizon + height * 0.06);
            }
            canvas.rectangle((0.0, horizon + height * 0.06), (width, height), GRASS);
        }
        _ => {
            ground(&mut canvas, GRASS);
            let middle = width / 2.0;
            let (far, near) = (width * 0.04, width * 0.36);
            let side = [
                (middle - far, horizon),
                (middle + far, horizon),
                (middle + near, height),
                (middle - near, height),
            ];
            canvas.polygon(&side, TAR);
            for row in 0..3 {
                let y = horizon + (height - horizon) * (0.15 + 0.3 * row as f32);
                let half = 1.0 + row as f32;
                canvas.rectangle((middle - half, y), (2.0 * half, height * 0.06), LIGHT);
            }
        }
    }
    let name = scene.named("thing");
    if name != "nothing" {
        let size = height.min(width) * dice.hundredths(23, 30);
        let at = (
            width * dice.hundredths(36, 64),
            horizon + height * 0.08 - size * dice.hundredths(0, 30),
        );
        let colour = shade(scene.named("colour"), dice);
        thing(&mut canvas, name, at, size, colour);
    }
    canvas.finish()
}

fn mountain(canvas: &mut Canvas, top: (f32, f32), foot: f32) {
    let rise = foot - top.1;
    let slope = |down: f32| {
        [
            top,
            (top.0 + down * 0.8, top.1 + down),
            (top.0 - down * 0.8, top.1 + down),
        ]
    };
    canvas.polygon(&slope(rise), ROCK);
    canvas.polygon(&slope(rise * 0.3), LIGHT);
}

fn fir(canvas: &mut Canvas, x: f32, foot: f32, size: f32) {
    const NEEDLES: Colour = [40, 92, 66];
    canvas.rectangle(
        (x - size * 0.1, foot - size * 0.3),
        (size * 0.2, size * 0.5),
        [110, 74, 44],
    );
    for row in 0..3 {
        let (y, half) = (foot - size * (0.2 + 0.5 * row as f32), size * (0.6 - 0.13 * row as f32));
        canvas.polygon(&[(x, y - size * 0.75), (x + half, y), (x - half, y)], NEEDLES);
    }
}

fn cactus(canvas: &mut Canvas, x: f32, foot: f32, size: f32) {
    const SKIN: Colour = [54, 128, 84];
    canvas.rectangle((x - size * 0.16, foot - size * 2.0), (size * 0.32, size * 2.0), SKIN);
    canvas.rectangle((x - size * 0.7, foot - size * 1.1), (size * 1.4, size * 0.25), SKIN);
    canvas.rectangle((x - size * 0.7, foot - size * 1.6), (size * 0.25, size * 0.6), SKIN);
    canvas.rectangle((x + size * 0.45, foot - size * 1.7), (size * 0.25, size * 0.7), SKIN);
}
