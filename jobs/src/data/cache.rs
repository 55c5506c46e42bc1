//! Media that were decoded before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sightstream_model::media::Media;
use sightstream_model::processor::FittedMedia;

/// Decoded media, in the size that the model sees, up to a number of bytes. What is in it stays: rows come again once a pass, so
/// that to let go what was used longest ago would let go what is used next.
#[derive(Debug)]
pub(super) struct MediaCache {
    most_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    media: HashMap<String, Arc<FittedMedia<'static>>>,
    bytes: usize,
}

impl MediaCache {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            held: Mutex::default(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<FittedMedia<'static>>> {
        self.held().media.get(key).cloned()
    }

    /// Keeps a medium if there is room for it.
    pub(super) fn put(&self, key: &str, media: &Arc<FittedMedia<'static>>) {
        let bytes = bytes(media.media()) + key.len();
        let mut held = self.held();
        if held.bytes + bytes <= self.most_bytes && !held.media.contains_key(key) {
            held.bytes += bytes;
            held.media.insert(key.to_owned(), Arc::clone(media));
        }
    }

    /// Nothing panics while it holds this lock.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(media: &Media) -> usize {
    match media {
        Media::Text(text) => text.len(),
        Media::Image(image) | Media::Page(image) => image.as_raw().len(),
        Media::Clip(frames) => frames.iter().map(|frame| frame.as_raw().len()).sum(),
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use sightstream_model::processor::PixelTarget;

    use super::*;

    #[test]
    fn it_keeps_what_fits_and_lets_nothing_go() {
        let target = PixelTarget {
            factor: 28,
            min_pixels: 784,
            max_pixels: 7840,
        };
        let image = || Arc::new(target.fit_owned(Media::Image(RgbImage::new(28, 28))));
        let cache = MediaCache::new(2 * 28 * 28 * 3 + 2);
        for key in ["a", "b", "c"] {
            cache.put(key, &image());
        }
        assert_eq!(["a", "b", "c"].map(|key| cache.get(key).is_some()), [true, true, false]);
        cache.put("d", &Arc::new(target.fit_owned(Media::Text("red".into()))));
        assert!(cache.get("d").is_none());
    }
}
