//! Decoders with workers of this executable, and media for them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use sightstream_model::error::MediaError;
use sightstream_model::fetch::{Content, Fetched};
use sightstream_model::isolation::{DecodeError, Decoder, DecoderIsolation, FittedAnswer, WorkerOptions};
use sightstream_model::media::{DecodeLimits, Media, Question, Segmentation};
use sightstream_model::processor::PixelTarget;

/// A test, and its name: a claim.
pub type Test = (&'static str, fn());

/// The argument that makes this executable a worker.
pub const WORKER: &str = "decode-worker";

/// The argument that makes this executable a service whose end a test watches.
pub const LEFT_ALONE: &str = "left-alone";

/// Far longer than decoding takes on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A medium whose content tells a faulty worker to show its fault. It looks like a JPEG, so that it needs a decoder.
pub const POISON: &[u8] = b"\xFF\xD8\xFF\xE0 poison \x00";

/// Workers that do what `kind` says (see `faulty`).
pub fn workers(kind: &str) -> WorkerOptions {
    let this = std::env::current_exe().expect("this executable has a path");
    let command: Vec<OsString> = vec![this.into(), WORKER.into(), kind.into()];
    WorkerOptions {
        timeout: PATIENCE,
        ..WorkerOptions::new(command)
    }
}

/// What a demo checkpoint asks for.
pub fn target() -> PixelTarget {
    PixelTarget {
        factor: 28,
        min_pixels: 4 * 784,
        max_pixels: 1280 * 784,
    }
}

pub fn decoder(options: WorkerOptions) -> Decoder {
    decoder_of(DecoderIsolation::Workers(options))
}

pub fn decoder_of(isolation: DecoderIsolation) -> Decoder {
    Decoder::new(isolation, DecodeLimits::default(), Segmentation::default(), target()).expect("usable options")
}

/// One medium through a decoder.
pub fn decode(decoder: &Decoder, bytes: &[u8]) -> Result<Media, MediaError> {
    let fetched = Fetched {
        content: Content::Memory(Bytes::copy_from_slice(bytes)),
        media_type: None,
    };
    match decoder.read(&fetched, None, Question::Input, "it") {
        Ok(FittedAnswer::Media(fitted)) => Ok(fitted.into_media()),
        Ok(FittedAnswer::Parts(parts)) => panic!("{parts:?}"),
        Err(DecodeError::Media(error)) => Err(error),
        Err(DecodeError::Unavailable(error)) => panic!("no worker: {error}"),
    }
}

/// An image of the test media.
pub fn good_image() -> Vec<u8> {
    std::fs::read(formats().join("420.jpg")).expect("a committed file")
}

/// Every readable and unreadable image of the repository's tests.
pub fn all_images() -> Vec<PathBuf> {
    let folders = [formats(), tests().join("fixtures/media")];
    let mut images: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("a committed folder"))
        .map(|entry| entry.expect("a listed file").path())
        .collect();
    images.sort();
    images
}

pub fn formats() -> PathBuf {
    tests().join("formats")
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}
