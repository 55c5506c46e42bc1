//! A picture to draw lines and letters on.

use font8x8::{BASIC_FONTS, UnicodeFonts};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use tiny_skia::{Color, Paint, PathBuilder, Pixmap, Rect, Stroke, Transform};

/// Red, green and blue.
pub(super) type Rgb = [u8; 3];

/// A letter's width and height.
pub(super) const LETTER: f32 = 8.0;

/// An opaque picture. Coordinates count from the top left corner.
pub(super) struct Canvas {
    pixmap: Pixmap,
}

/// Which point of a text stands where it is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

impl Canvas {
    /// A white picture; neither side may be 0.
    pub fn white(width: u32, height: u32) -> Self {
        let mut pixmap = Pixmap::new(width, height).expect("a picture has pixels");
        pixmap.fill(Color::WHITE);
        Self { pixmap }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, (left, top): (f32, f32), (width, height): (f32, f32), color: Rgb) {
        if let Some(rect) = Rect::from_xywh(left, top, width, height) {
            self.pixmap
                .fill_rect(rect, &paint(color, false), Transform::identity(), None);
        }
    }

    /// Draws lines from point to point.
    pub fn lines(&mut self, points: &[(f32, f32)], color: Rgb, width: f32) {
        let Some((first, rest)) = points.split_first() else {
            return;
        };
        let mut path = PathBuilder::new();
        path.move_to(first.0, first.1);
        for point in rest {
            path.line_to(point.0, point.1);
        }
        // One point is no path; it is a dot.
        let Some(path) = path.finish() else {
            self.fill((first.0 - width, first.1 - width), (2.0 * width, 2.0 * width), color);
            return;
        };
        let stroke = Stroke {
            width,
            ..Stroke::default()
        };
        self.pixmap
            .stroke_path(&path, &paint(color, true), &stroke, Transform::identity(), None);
    }

    /// Writes `text` with its upper edge at `top`, and its `anchor` at `x`.
    pub fn text(&mut self, text: &str, (x, top): (f32, f32), anchor: Anchor, color: Rgb) {
        let width = text.chars().count() as f32 * LETTER;
        let left = match anchor {
            Anchor::Left => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::Right => x - width,
        };
        for (at, letter) in text.chars().enumerate() {
            let rows = BASIC_FONTS.get(letter).unwrap_or_default();
            for (y, row) in rows.into_iter().enumerate() {
                for x in (0..8).filter(|bit| row >> bit & 1 == 1) {
                    let corner = (left.round() + at as f32 * LETTER + x as f32, top.round() + y as f32);
                    self.fill(corner, (1.0, 1.0), color);
                }
            }
        }
    }

    /// The picture as a PNG.
    pub fn png(&self) -> Result<Vec<u8>, image::ImageError> {
        let mut bytes = Vec::new();
        // Every pixel is opaque, so that what is premultiplied is the color itself.
        PngEncoder::new(&mut bytes).write_image(
            self.pixmap.data(),
            self.pixmap.width(),
            self.pixmap.height(),
            ExtendedColorType::Rgba8,
        )?;
        Ok(bytes)
    }
}

fn paint([red, green, blue]: Rgb, smooth: bool) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    paint.anti_alias = smooth;
    paint
}
