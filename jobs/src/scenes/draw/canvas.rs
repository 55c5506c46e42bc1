//! A picture that is being drawn: filled paths in opaque colours.
//!
//! Coordinates are pixels. All arithmetic is additions, multiplications, divisions and square roots of `f32`, which are the
//! same everywhere, and angles come from a table.

use image::{Rgb, RgbImage};
use tiny_skia::{Color, ColorU8, FillRule, Paint, Path, PathBuilder, Pixmap, Rect, Transform};

/// A colour of a pixel.
pub type Colour = [u8; 3];

/// How many hundredths of a lit background's colours are the light's.
const LIGHT_SHARE: i32 = 25;

/// A picture that is being drawn.
#[derive(Debug, Clone)]
pub struct Canvas {
    pixmap: Pixmap,
}

impl Canvas {
    /// A picture of one colour.
    ///
    /// # Panics
    /// If a side is 0: sizes are this module's own.
    pub fn new(width: u32, height: u32, colour: Colour) -> Self {
        let mut pixmap = Pixmap::new(width, height).expect("sides of a picture are positive");
        pixmap.fill(opaque(colour));
        Self { pixmap }
    }

    /// Puts what is drawn so far in a light that is redder to the right, bluer below and greener elsewhere: each patch of a
    /// background shows where it is.
    ///
    /// Qwen2-VL's rotary positions are relative, and a small model is slow to find places by them alone.
    pub fn light(&mut self) {
        let (width, height) = (self.pixmap.width(), self.pixmap.height());
        for (pixel, place) in self.pixmap.pixels_mut().iter_mut().zip(0..) {
            // At most 255: a place is less than the side.
            let across = (256 * (place % width) / width) as u8;
            let down = (256 * (place / width) / height) as u8;
            let light = [across, 255 - across / 2 - down / 2, down];
            let [red, green, blue] = blend([pixel.red(), pixel.green(), pixel.blue()], light, LIGHT_SHARE);
            *pixel = ColorU8::from_rgba(red, green, blue, 255).premultiply();
        }
    }

    /// Its width.
    pub fn width(&self) -> f32 {
        self.pixmap.width() as f32
    }

    /// Its height.
    pub fn height(&self) -> f32 {
        self.pixmap.height() as f32
    }

    /// Fills a path, which is scaled and then moved.
    pub fn path(&mut self, path: &Path, (x, y): (f32, f32), scale: f32, colour: Colour) {
        let mut paint = Paint::default();
        paint.set_color(opaque(colour));
        let transform = Transform::from_row(scale, 0.0, 0.0, scale, x, y);
        self.pixmap.fill_path(path, &paint, FillRule::EvenOdd, transform, None);
    }

    /// Fills a rectangle. One without an area is nothing.
    pub fn rectangle(&mut self, (x, y): (f32, f32), (width, height): (f32, f32), colour: Colour) {
        if let Some(rectangle) = Rect::from_xywh(x, y, width, height) {
            self.path(&PathBuilder::from_rect(rectangle), (0.0, 0.0), 1.0, colour);
        }
    }

    /// Fills a circle.
    pub fn circle(&mut self, (x, y): (f32, f32), radius: f32, colour: Colour) {
        if let Some(circle) = PathBuilder::from_circle(x, y, radius) {
            self.path(&circle, (0.0, 0.0), 1.0, colour);
        }
    }

    /// Fills a polygon.
    pub fn polygon(&mut self, points: &[(f32, f32)], colour: Colour) {
        if let Some(polygon) = polygon(points) {
            self.path(&polygon, (0.0, 0.0), 1.0, colour);
        }
    }

    /// A straight line of some width.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), width: f32, colour: Colour) {
        let along = (to.0 - from.0, to.1 - from.1);
        let length = (along.0 * along.0 + along.1 * along.1).sqrt();
        if length > 0.0 {
            let aside = (-along.1 / length * width / 2.0, along.0 / length * width / 2.0);
            let corner = |point: (f32, f32), side: f32| (point.0 + side * aside.0, point.1 + side * aside.1);
            self.polygon(
                &[corner(from, 1.0), corner(to, 1.0), corner(to, -1.0), corner(from, -1.0)],
                colour,
            );
        }
    }

    /// The picture.
    pub fn finish(self) -> RgbImage {
        let (width, height) = (self.pixmap.width(), self.pixmap.height());
        let pixels = self.pixmap.pixels();
        // Everything is opaque, so that premultiplied colours are the colours.
        RgbImage::from_fn(width, height, |x, y| {
            let pixel = pixels[(y * width + x) as usize];
            Rgb([pixel.red(), pixel.green(), pixel.blue()])
        })
    }
}

/// A closed polygon; `None` of fewer than two points.
pub fn polygon(points: &[(f32, f32)]) -> Option<Path> {
    let mut path = PathBuilder::new();
    add_polygon(&mut path, points);
    path.finish()
}

/// Adds a closed polygon to a path.
pub fn add_polygon(path: &mut PathBuilder, points: &[(f32, f32)]) {
    for (index, (x, y)) in points.iter().enumerate() {
        match index {
            0 => path.move_to(*x, *y),
            _ => path.line_to(*x, *y),
        }
    }
    path.close();
}

fn opaque([red, green, blue]: Colour) -> Color {
    Color::from_rgba8(red, green, blue, 255)
}

/// A point of the unit circle, in steps of 15 degrees, clockwise from the top.
pub fn on_circle(step: usize) -> (f32, f32) {
    /// Sines of 0, 15, … 90 degrees.
    const SINES: [f32; 7] = [0.0, 0.258_819_04, 0.5, 0.707_106_77, 0.866_025_4, 0.965_925_8, 1.0];
    let step = step % 24;
    let (quarter, rest) = (step / 6, step % 6);
    let (sine, cosine) = (SINES[rest], SINES[6 - rest]);
    match quarter {
        0 => (sine, -cosine),
        1 => (cosine, sine),
        2 => (-sine, cosine),
        _ => (-cosine, -sine),
    }
}

/// A colour between two: `share` hundredths of the second.
pub fn blend(one: Colour, two: Colour, share: i32) -> Colour {
    std::array::from_fn(|channel| {
        let (one, two) = (i32::from(one[channel]), i32::from(two[channel]));
        (one + (two - one) * share / 100).clamp(0, 255) as u8
    })
}
