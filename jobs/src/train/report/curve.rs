//! The picture of a run: its loss, in-batch accuracy and learning rate over the steps.

use std::io;
use std::path::PathBuf;

use super::Row;
use super::canvas::{Anchor, Canvas, LETTER, Rgb};
use crate::error::JobError;

const WIDTH: f32 = 1000.0;
const LEFT: f32 = 84.0;
const RIGHT: f32 = 976.0;

const INK: Rgb = [40, 44, 52];
const GRID: Rgb = [226, 229, 234];
const STRONG: Rgb = [31, 95, 191];
const PALE: Rgb = [174, 201, 240];

/// A strip of the picture with an axis of its own.
struct Panel {
    title: &'static str,
    top: f32,
    height: f32,
    /// The values at the lower and the upper edge.
    range: (f64, f64),
}

/// Draws `rows`, of which there is at least one, in the order of their steps.
pub(super) fn png(rows: &[Row]) -> Result<Vec<u8>, JobError> {
    let loss = points(rows, |row| row.loss.into());
    let accuracy = points(rows, |row| row.accuracy.into());
    let rate = points(rows, |row| row.learning_rate);
    let mut canvas = Canvas::white(WIDTH as u32, 780);
    let steps = (
        rows.first().map_or(0, |row| row.step),
        rows.last().map_or(0, |row| row.step),
    );

    let panel = Panel {
        title: "loss (pale: each step, strong: smoothed)",
        top: 40.0,
        height: 340.0,
        range: range(&loss, None),
    };
    panel.draw(
        &mut canvas,
        steps,
        &[(&loss, PALE, 1.0), (&smoothed(&loss), STRONG, 2.0)],
    );
    let panel = Panel {
        title: "in-batch accuracy",
        top: 430.0,
        height: 150.0,
        range: (0.0, 1.0),
    };
    panel.draw(
        &mut canvas,
        steps,
        &[(&accuracy, PALE, 1.0), (&smoothed(&accuracy), STRONG, 2.0)],
    );
    let panel = Panel {
        title: "learning rate",
        top: 630.0,
        height: 90.0,
        range: range(&rate, Some(0.0)),
    };
    panel.draw(&mut canvas, steps, &[(&rate, STRONG, 2.0)]);
    let last = rows.last().map_or(0.0, |row| row.loss);
    let title = format!("{} steps, last loss {last:.4}", rows.len());
    canvas.text(&title, (RIGHT, 14.0), Anchor::Right, INK);
    canvas.text("step", (RIGHT, 750.0), Anchor::Right, INK);
    canvas.png().map_err(|error| JobError::Io {
        path: PathBuf::from("loss.png"),
        source: io::Error::other(error),
    })
}

/// A line's points, its colour and width.
type Line<'a> = (&'a [(u64, f64)], Rgb, f32);

impl Panel {
    /// Draws the axes and `lines`.
    fn draw(&self, canvas: &mut Canvas, steps: (u64, u64), lines: &[Line<'_>]) {
        let bottom = self.top + self.height;
        canvas.text(self.title, (LEFT, self.top - 14.0), Anchor::Left, INK);
        for tick in ticks(self.range, if self.height > 200.0 { 8 } else { 4 }) {
            let y = self.y(tick);
            canvas.fill((LEFT, y.round()), (RIGHT - LEFT, 1.0), GRID);
            canvas.text(&label(tick), (LEFT - 8.0, y - LETTER / 2.0), Anchor::Right, INK);
        }
        let whole = ticks((steps.0 as f64, steps.1 as f64), 8)
            .into_iter()
            .filter(|tick| tick.fract() == 0.0);
        for tick in whole {
            let x = x(steps, tick as u64);
            canvas.fill((x.round(), self.top), (1.0, self.height), GRID);
            canvas.text(&label(tick), (x, bottom + 6.0), Anchor::Middle, INK);
        }
        canvas.fill((LEFT, self.top), (1.0, self.height), INK);
        canvas.fill((LEFT, bottom), (RIGHT - LEFT, 1.0), INK);
        for (points, color, width) in lines {
            let points: Vec<(f32, f32)> = thinned(points, (RIGHT - LEFT) as usize)
                .into_iter()
                .map(|(step, value)| (x(steps, step), self.y(value)))
                .collect();
            canvas.lines(&points, *color, *width);
        }
    }

    fn y(&self, value: f64) -> f32 {
        let (low, high) = self.range;
        self.top + self.height * (1.0 - ((value - low) / (high - low)) as f32)
    }
}

fn x((first, last): (u64, u64), step: u64) -> f32 {
    let share = (step - first) as f64 / last.saturating_sub(first).max(1) as f64;
    LEFT + (RIGHT - LEFT) * share as f32
}

/// What `value` gives for each row, without what is no number.
fn points(rows: &[Row], value: impl Fn(&Row) -> f64) -> Vec<(u64, f64)> {
    let points = rows.iter().map(|row| (row.step, value(row)));
    points.filter(|(_, value)| value.is_finite()).collect()
}

/// The least and the largest value with some room around them; `low` is the least where it is given.
fn range(points: &[(u64, f64)], low: Option<f64>) -> (f64, f64) {
    let values = || points.iter().map(|(_, value)| *value);
    let least = low.unwrap_or_else(|| values().fold(f64::INFINITY, f64::min));
    let most = values().fold(f64::NEG_INFINITY, f64::max);
    if !(least.is_finite() && most.is_finite()) {
        return (0.0, 1.0);
    }
    let room = match (most - least) * 0.05 {
        room if room > 0.0 => room,
        _ => most.abs().max(1e-9) * 0.5,
    };
    (if low.is_some() { least } else { least - room }, most + room)
}

/// Round numbers within `range`, about `count` of them.
fn ticks((low, high): (f64, f64), count: usize) -> Vec<f64> {
    let rough = (high - low) / count as f64;
    if rough <= 0.0 || !rough.is_finite() {
        return vec![low];
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|times| times as f64 * step).collect()
}

/// A tick as it is written beside an axis.
fn label(tick: f64) -> String {
    let size = tick.abs();
    if tick == 0.0 {
        return "0".to_string();
    }
    if !(1e-3..1e6).contains(&size) {
        // The product of a round step and a count has digits of its own at the end.
        let text = format!("{tick:.2e}");
        return match text.split_once('e') {
            Some((digits, power)) => format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.')),
            None => text,
        };
    }
    let text = format!("{tick:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// The mean around each point, over about a fiftieth of the run.
fn smoothed(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let reach = points.len() / 100;
    let mut sums = Vec::with_capacity(points.len() + 1);
    sums.push(0.0);
    for (_, value) in points {
        sums.push(sums[sums.len() - 1] + value);
    }
    let mean = points.iter().enumerate().map(|(at, (step, _))| {
        let (from, to) = (at.saturating_sub(reach), (at + reach + 1).min(points.len()));
        (*step, (sums[to] - sums[from]) / (to - from) as f64)
    });
    mean.collect()
}

/// The same curve with a few points for each of `columns`: the least and the largest value stay.
fn thinned(points: &[(u64, f64)], columns: usize) -> Vec<(u64, f64)> {
    if points.len() <= 2 * columns {
        return points.to_vec();
    }
    let of_columns = points.chunks(points.len().div_ceil(columns)).flat_map(|column| {
        let by_value = |one: &&(u64, f64), other: &&(u64, f64)| one.1.total_cmp(&other.1);
        let mut both = [column.iter().min_by(by_value), column.iter().max_by(by_value)];
        both.sort_by_key(|point| point.map(|(step, _)| *step));
        both.into_iter().flatten().copied()
    });
    of_columns.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u64) -> Vec<Row> {
        let row = |step| Row {
            step,
            loss: 4.0 * (-(step as f32) / 300.0).exp() + 0.3 * ((step * 37 % 11) as f32 / 11.0),
            accuracy: 1.0 - (-(step as f32) / 300.0).exp(),
            learning_rate: 5e-5 * (1.0 - step as f64 / count as f64),
            gradient_norm: 1.0,
            samples: 64,
            seconds: 1.0,
            waited: 0.0,
        };
        (1..=count).map(row).collect()
    }

    #[test]
    fn the_picture_holds_axes_and_both_curves() {
        let png = png(&rows(1200)).expect("a picture");
        let picture = image::load_from_memory(&png).expect("a PNG").to_rgb8();
        assert_eq!(picture.dimensions(), (1000, 780));
        let has = |color: Rgb| picture.pixels().filter(|pixel| pixel.0 == color).count();
        for color in [INK, GRID, STRONG, PALE] {
            assert!(has(color) > 100, "{color:?}: {}", has(color));
        }
        // The loss falls: the strong line is high on the left and low on the right.
        let height = |x: u32| (40..380).find(|y| picture.get_pixel(x, *y).0 == STRONG);
        let (start, end) = (height(90).expect("a line"), height(960).expect("a line"));
        assert!(start + 150 < end, "{start} {end}");
    }

    #[test]
    fn a_run_of_one_step_and_one_of_numbers_that_are_none_have_a_picture() {
        png(&rows(1)).expect("a picture");
        let mut bad = rows(3);
        bad.iter_mut().for_each(|row| row.loss = f32::NAN);
        png(&bad).expect("a picture");
    }

    #[test]
    fn ticks_are_round_and_written_shortly() {
        let written = |range, count| ticks(range, count).into_iter().map(label).collect::<Vec<_>>();
        assert_eq!(written((0.0, 1.0), 4), ["0", "0.5", "1"]);
        assert_eq!(written((0.0, 5e-5), 4), ["0", "2e-5", "4e-5"]);
        assert_eq!(written((1.0, 5000.0), 8), ["1000", "2000", "3000", "4000", "5000"]);
        assert_eq!(written((2.0, 2.0), 8), ["2"]);
    }

    #[test]
    fn a_smoothed_curve_lies_within_the_raw_one() {
        let points: Vec<(u64, f64)> = (0..500).map(|step| (step, 500.0 - step as f64)).collect();
        let smooth = smoothed(&points);
        assert_eq!(smooth[250], points[250]);
        assert_eq!(smooth[0].1, (500.0 + 495.0) / 2.0);
        assert_eq!(smoothed(&points[..10]), points[..10]);
    }

    #[test]
    fn a_long_curve_keeps_its_peaks() {
        let mut points: Vec<(u64, f64)> = (0..10_000).map(|step| (step, 1.0)).collect();
        points[7_777].1 = 9.0;
        let thin = thinned(&points, 100);
        assert!(thin.len() <= 200 && thin.contains(&(7_777, 9.0)));
        assert!(thin.is_sorted_by_key(|(step, _)| *step));
    }
}
