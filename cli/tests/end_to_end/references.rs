//! Media to refer to: texts, and small pictures that all differ.

use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};

/// A record's id and the url in it.
#[derive(Debug, Clone)]
pub struct Reference {
    pub id: String,
    pub url: String,
}

impl Reference {
    pub fn record(&self, n: usize) -> (String, String) {
        let value = serde_json::json!({"id": self.id, "url": self.url, "kind": self.kind(), "n": n});
        (self.id.clone(), value.to_string())
    }

    pub fn kind(&self) -> &str {
        if self.url.starts_with("data:") { "text" } else { "image" }
    }
}

/// `count` distinct references; in `folder`, every fifth is a PNG and every other fifth a JPEG file.
pub fn distinct(count: usize, folder: &Path) -> Vec<Reference> {
    (0..count)
        .map(|n| {
            let url = match n % 5 {
                0 => picture(n, ImageFormat::Png, folder),
                1 => picture(n, ImageFormat::Jpeg, folder),
                _ => format!("data:text/plain,a%20text%20about%20the%20number%20{n}"),
            };
            Reference {
                id: format!("item-{n}"),
                url,
            }
        })
        .collect()
}

fn picture(n: usize, format: ImageFormat, folder: &Path) -> String {
    let (width, height) = (28 + (n % 7) as u32 * 4, 28 + (n % 11) as u32 * 4);
    let seed = (n as u32).wrapping_mul(2_654_435_761);
    let image = RgbImage::from_fn(width, height, |x, y| {
        let cell = seed.rotate_left((x / 8 * 5 + y / 8 * 11) % 32);
        Rgb([cell as u8, (cell >> 8) as u8, (cell >> 16) as u8])
    });
    let path = folder.join(format!("{n}.{}", format.extensions_str()[0]));
    image
        .save_with_format(&path, format)
        .expect("the folder can be written to");
    path.display().to_string()
}
