//! The things: each within a square of sides 2 around the origin, scaled and moved to its place.

use tiny_skia::PathBuilder;

use super::canvas::{Canvas, Colour, add_polygon, on_circle};
use super::palette::{DARK, LIGHT};

/// What is brown on trees and boats.
const WOOD: Colour = [120, 80, 45];
/// Tyres.
const RUBBER: Colour = [70, 70, 74];

/// Draws a thing around a point; `size` is half of its side.
///
/// # Panics
/// For a name that is no thing of the world.
pub fn thing(canvas: &mut Canvas, name: &str, at: (f32, f32), size: f32, colour: Colour) {
    let place = |x: f32, y: f32| (at.0 + x * size, at.1 + y * size);
    let detail = if bright(colour) { DARK } else { LIGHT };
    match name {
        "circle" => canvas.circle(at, 0.95 * size, colour),
        "ring" => ring(canvas, at, 0.98 * size, 0.56, colour),
        "square" => canvas.rectangle(place(-0.84, -0.84), (1.68 * size, 1.68 * size), colour),
        "triangle" => canvas.polygon(&[place(0.0, -0.95), place(1.0, 0.8), place(-1.0, 0.8)], colour),
        "star" => {
            // Ten points of a circle are 36 degrees apart; these are their sines and cosines.
            const OUTER: [(f32, f32); 5] = [
                (0.0, -1.0),
                (0.951_057, -0.309_017),
                (0.587_785, 0.809_017),
                (-0.587_785, 0.809_017),
                (-0.951_057, -0.309_017),
            ];
            let inner = |index: usize| {
                let (one, two) = (OUTER[index], OUTER[(index + 1) % 5]);
                // The middle of two points lies 0.809 from the centre.
                (0.26 * (one.0 + two.0), 0.26 * (one.1 + two.1))
            };
            let points: Vec<_> = (0..5).flat_map(|index| [OUTER[index], inner(index)]).collect();
            let points: Vec<_> = points.iter().map(|(x, y)| place(1.1 * x, 1.1 * y + 0.06)).collect();
            canvas.polygon(&points, colour);
        }
        "heart" => {
            let mut path = PathBuilder::new();
            path.move_to(0.0, 0.95);
            path.cubic_to(-1.5, -0.1, -1.05, -0.95, -0.5, -0.92);
            path.cubic_to(-0.2, -0.9, -0.05, -0.68, 0.0, -0.45);
            path.cubic_to(0.05, -0.68, 0.2, -0.9, 0.5, -0.92);
            path.cubic_to(1.05, -0.95, 1.5, -0.1, 0.0, 0.95);
            path.close();
            if let Some(path) = path.finish() {
                canvas.path(&path, at, size, colour);
            }
        }
        "cross" => {
            canvas.rectangle(place(-0.32, -0.97), (0.64 * size, 1.94 * size), colour);
            canvas.rectangle(place(-0.97, -0.32), (1.94 * size, 0.64 * size), colour);
        }
        "house" => {
            canvas.polygon(&[place(0.0, -0.98), place(1.0, -0.15), place(-1.0, -0.15)], colour);
            canvas.rectangle(place(-0.72, -0.2), (1.44 * size, 1.12 * size), colour);
            canvas.rectangle(place(-0.2, 0.3), (0.4 * size, 0.62 * size), detail);
            canvas.rectangle(place(-0.58, -0.02), (0.34 * size, 0.3 * size), detail);
            canvas.rectangle(place(0.24, -0.02), (0.34 * size, 0.3 * size), detail);
        }
        "tree" => {
            canvas.rectangle(place(-0.16, 0.1), (0.32 * size, 0.88 * size), WOOD);
            canvas.circle(place(-0.4, -0.1), 0.48 * size, colour);
            canvas.circle(place(0.4, -0.1), 0.48 * size, colour);
            canvas.circle(place(0.0, -0.5), 0.5 * size, colour);
        }
        "fish" => {
            let mut path = PathBuilder::new();
            path.move_to(-0.98, 0.0);
            path.quad_to(-0.3, -0.95, 0.45, 0.0);
            path.quad_to(-0.3, 0.95, -0.98, 0.0);
            path.close();
            if let Some(path) = path.finish() {
                canvas.path(&path, at, size, colour);
            }
            canvas.polygon(&[place(0.28, 0.0), place(0.98, -0.6), place(0.98, 0.6)], colour);
            canvas.circle(place(-0.58, -0.1), 0.12 * size, detail);
        }
        "boat" => {
            canvas.polygon(
                &[place(-0.95, 0.45), place(0.95, 0.45), place(0.6, 0.9), place(-0.6, 0.9)],
                WOOD,
            );
            canvas.rectangle(place(-0.05, -0.98), (0.1 * size, 1.45 * size), WOOD);
            canvas.polygon(&[place(0.1, -0.9), place(0.85, 0.3), place(0.1, 0.3)], colour);
            canvas.polygon(&[place(-0.1, -0.75), place(-0.1, 0.3), place(-0.75, 0.3)], colour);
        }
        "car" => {
            canvas.polygon(
                &[
                    place(-0.6, 0.05),
                    place(-0.35, -0.45),
                    place(0.35, -0.45),
                    place(0.65, 0.05),
                ],
                colour,
            );
            canvas.polygon(
                &[
                    place(-0.42, 0.0),
                    place(-0.25, -0.32),
                    place(0.25, -0.32),
                    place(0.45, 0.0),
                ],
                detail,
            );
            canvas.rectangle(place(-1.0, 0.0), (2.0 * size, 0.45 * size), colour);
            for x in [-0.52, 0.52] {
                canvas.circle(place(x, 0.45), 0.25 * size, RUBBER);
                canvas.circle(place(x, 0.45), 0.1 * size, LIGHT);
            }
        }
        "bicycle" => {
            for x in [-0.56, 0.56] {
                ring(canvas, place(x, 0.35), 0.46 * size, 0.8, RUBBER);
            }
            let width = 0.12 * size;
            let (back, front, pedals, saddle, bar) =
                ((-0.56, 0.35), (0.56, 0.35), (-0.05, 0.35), (-0.2, -0.3), (0.4, -0.3));
            for (from, to) in [
                (back, pedals),
                (pedals, saddle),
                (saddle, back),
                (saddle, bar),
                (bar, pedals),
                (bar, front),
            ] {
                canvas.line(place(from.0, from.1), place(to.0, to.1), width, colour);
            }
            canvas.rectangle(place(-0.4, -0.45), (0.4 * size, 0.13 * size), RUBBER);
            canvas.rectangle(place(0.22, -0.5), (0.4 * size, 0.12 * size), RUBBER);
        }
        _ => unreachable!("`{name}` is no thing of the world"),
    }
}

/// A ring: what is between two circles. `hole` is the inner one's share of the radius.
pub fn ring(canvas: &mut Canvas, (x, y): (f32, f32), radius: f32, hole: f32, colour: Colour) {
    let mut path = PathBuilder::new();
    path.push_circle(x, y, radius);
    path.push_circle(x, y, radius * hole);
    if let Some(path) = path.finish() {
        canvas.path(&path, (0.0, 0.0), 1.0, colour);
    }
}

/// A slice of a pie, from one step of 15 degrees to another.
pub fn slice(canvas: &mut Canvas, (x, y): (f32, f32), radius: f32, (from, to): (usize, usize), colour: Colour) {
    let mut points = vec![(x, y)];
    points.extend(
        (from..=to)
            .map(on_circle)
            .map(|(dx, dy)| (x + radius * dx, y + radius * dy)),
    );
    let mut path = PathBuilder::new();
    add_polygon(&mut path, &points);
    if let Some(path) = path.finish() {
        canvas.path(&path, (0.0, 0.0), 1.0, colour);
    }
}

fn bright(colour: Colour) -> bool {
    colour.iter().map(|channel| u32::from(*channel)).sum::<u32>() > 480
}
