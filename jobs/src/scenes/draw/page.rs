//! Pages: two large words, and below them a table, a chart or text.

use font8x8::legacy::BASIC_LEGACY;
use image::RgbImage;

use super::canvas::{Canvas, Colour, blend};
use super::palette::{LIGHT, shade};
use super::shapes::slice;
use crate::scenes::dice::Dice;
use crate::scenes::world::Combination;

const WIDTH: u32 = 112;
const HEIGHT: u32 = 168;
const INK: Colour = [40, 40, 44];
const PALE: Colour = [170, 170, 174];

/// Draws a page.
pub fn page(scene: &Combination, dice: &mut Dice) -> RgbImage {
    let paper = blend(LIGHT, [240, 232, 214], dice.between(0, 100));
    let mut canvas = Canvas::new(WIDTH, HEIGHT, paper);
    let colour = shade(scene.named("colour"), dice);
    let left = dice.between(6, 8) as f32;
    let top = dice.between(7, 9) as f32;
    letters(&mut canvas, &scene.named("topic").to_uppercase(), (left, top), 2.0, INK);
    letters(
        &mut canvas,
        &scene.named("sort").to_uppercase(),
        (left, top + 19.0),
        2.0,
        INK,
    );
    canvas.rectangle((left, top + 38.0), (98.0, 2.0), colour);
    let frame = Frame {
        left: left + dice.between(0, 1) as f32,
        top: top + 47.0 + dice.between(0, 1) as f32,
    };
    let content = scene.named("content");
    let (kind, rest) = content.split_once(' ').unwrap_or((content, ""));
    match kind {
        "table" => table(&mut canvas, frame, rest, colour, dice),
        "bars" => bars(&mut canvas, frame, rest.parse().unwrap_or(2), colour, dice),
        "line" => line(&mut canvas, frame, rest, colour, dice),
        "pie" => pie(&mut canvas, frame, rest.parse().unwrap_or(2), colour, dice),
        _ => text(&mut canvas, frame, colour, dice),
    }
    canvas.finish()
}

/// Where what is below the heading begins. It has about 92 x 100 pixels.
#[derive(Clone, Copy)]
struct Frame {
    left: f32,
    top: f32,
}

/// Writes letters of 8 x 8 squares.
fn letters(canvas: &mut Canvas, text: &str, (left, top): (f32, f32), scale: f32, colour: Colour) {
    for (place, letter) in text.bytes().enumerate() {
        let rows = BASIC_LEGACY[usize::from(letter & 0x7F)];
        for (y, row) in rows.into_iter().enumerate() {
            for x in (0..8).filter(|x| row >> x & 1 == 1) {
                let at = (left + (8 * place + x) as f32 * scale, top + y as f32 * scale);
                canvas.rectangle(at, (scale, scale), colour);
            }
        }
    }
}

/// Rows and columns with lines around them. The first row has the colour; every cell holds a short word's line.
fn table(canvas: &mut Canvas, frame: Frame, size: &str, colour: Colour, dice: &mut Dice) {
    let (rows, columns) = size.split_once('x').unwrap_or(("2", "2"));
    let (rows, columns): (usize, usize) = (rows.parse().unwrap_or(2), columns.parse().unwrap_or(2));
    let (width, height) = (92.0, dice.hundredths(8800, 9600));
    let (wide, high) = (width / columns as f32, height / rows as f32);
    canvas.rectangle((frame.left, frame.top), (width, high), colour);
    for row in 0..=rows {
        canvas.rectangle((frame.left, frame.top + row as f32 * high - 1.0), (width, 2.0), INK);
    }
    for column in 0..=columns {
        canvas.rectangle((frame.left + column as f32 * wide - 1.0, frame.top), (2.0, height), INK);
    }
    for row in 1..rows {
        for column in 0..columns {
            let at = (
                frame.left + (column as f32 + 0.2) * wide,
                frame.top + (row as f32 + 0.45) * high,
            );
            canvas.rectangle(at, (wide * dice.hundredths(30, 60), 3.0), PALE);
        }
    }
}

fn axes(canvas: &mut Canvas, frame: Frame) {
    canvas.rectangle((frame.left, frame.top), (2.0, 92.0), INK);
    canvas.rectangle((frame.left, frame.top + 90.0), (94.0, 2.0), INK);
}

/// Bars of different heights, side by side.
fn bars(canvas: &mut Canvas, frame: Frame, count: usize, colour: Colour, dice: &mut Dice) {
    axes(canvas, frame);
    let step = 88.0 / count as f32;
    for bar in 0..count {
        let height = dice.hundredths(2500, 8600);
        let at = (frame.left + 5.0 + (bar as f32 + 0.12) * step, frame.top + 90.0 - height);
        canvas.rectangle(at, (step * 0.7, height), colour);
    }
}

/// A line that rises, falls, or rises and falls.
fn line(canvas: &mut Canvas, frame: Frame, course: &str, colour: Colour, dice: &mut Dice) {
    axes(canvas, frame);
    let height = |place: usize| match course {
        "rising" => 14.0 + 16.0 * place as f32,
        "falling" => 78.0 - 16.0 * place as f32,
        _ => 14.0 + 32.0 * (if place < 3 { place } else { 4 - place }) as f32,
    };
    let points: Vec<(f32, f32)> = (0..5)
        .map(|place| {
            let y = height(place) + dice.hundredths(-500, 500);
            (frame.left + 8.0 + 20.0 * place as f32, frame.top + 90.0 - y)
        })
        .collect();
    for pair in points.windows(2) {
        canvas.line(pair[0], pair[1], 4.0, colour);
    }
    for point in points {
        canvas.circle(point, 4.0, colour);
    }
}

/// A pie in shades of its colour, with light gaps between the slices.
fn pie(canvas: &mut Canvas, frame: Frame, count: usize, colour: Colour, dice: &mut Dice) {
    let middle = (frame.left + 46.0, frame.top + 48.0);
    let begin = dice.below(24) as usize;
    let even = 24 / count;
    let mut at = begin;
    for part in 0..count {
        let wanted = even as i32 + dice.between(-1, 1);
        let end = if part + 1 == count {
            begin + 24
        } else {
            at + wanted as usize
        };
        slice(canvas, middle, 42.0, (at, end), blend(colour, LIGHT, 24 * part as i32));
        let edge = super::canvas::on_circle(at);
        at = end;
        canvas.line(middle, (middle.0 + 43.0 * edge.0, middle.1 + 43.0 * edge.1), 3.0, LIGHT);
    }
    // The first gap was drawn under the last slice.
    let edge = super::canvas::on_circle(begin);
    canvas.line(middle, (middle.0 + 43.0 * edge.0, middle.1 + 43.0 * edge.1), 3.0, LIGHT);
}

/// Lines of text, too small to read, with a first line in the page's colour.
fn text(canvas: &mut Canvas, frame: Frame, colour: Colour, dice: &mut Dice) {
    canvas.rectangle((frame.left, frame.top), (64.0, 6.0), colour);
    for row in 1..10 {
        let length = dice.hundredths(6000, 9300);
        canvas.rectangle((frame.left, frame.top + 3.0 + 10.0 * row as f32), (length, 3.0), PALE);
    }
}
