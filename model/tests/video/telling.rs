//! What is told of videos beside their frames: log lines, metrics.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use metrics_exporter_prometheus::PrometheusBuilder;
use sightstream_model::media::{Answer, DecodeLimits, Media, Question, Reader, Reading, Segmentation};
use sightstream_model::reference::Fragment;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::kit::{TEN_SECONDS, content, made, open};

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        self.0.lock().expect("nothing panics with it").push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").expect("strings take all");
    }
}

#[test]
fn ffmpegs_log_goes_to_tracing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("headless.mp4");
    std::fs::write(
        &path,
        b"\0\0\0\x14ftypisom\0\0\x02\0isom\0\0\0\x10mdat\x01\x02\x03\x04\x05\x06\x07\x08",
    )
    .expect("written");
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || open(&path).expect_err("it has no index"));
    let lines = lines.0.lock().expect("nothing panics with it");
    let told = lines.iter().find(|line| line.contains("moov atom not found"));
    let told = told.unwrap_or_else(|| panic!("{lines:?}"));
    assert!(told.starts_with("WARN ffmpeg") && !told.contains("0x"), "{told}");
}

#[test]
fn frames_and_cut_files_are_counted() {
    let clip = made(
        TEN_SECONDS,
        "-c:v libx264 -g 30 -pix_fmt yuv420p -movflags faststart",
        "a.mp4",
    );
    let bytes = std::fs::read(&clip.path).expect("the file");
    std::fs::write(&clip.path, &bytes[..bytes.len() * 2 / 3]).expect("written");
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let (mut reader, content) = (Reader::default(), content(&clip.path));
        for _ in 0..2 {
            let reading = Reading {
                media_type: None,
                fragment: None,
                question: Question::Input,
                limits: &DecodeLimits::default(),
                segmentation: &Segmentation::default(),
                name: "a video",
            };
            reader
                .read(&content, &reading, &|frame| frame)
                .expect("what there is is read");
        }
    });
    let told = recorder.handle().render();
    for line in [
        "sightstream_video_frames_total{kind=\"used\"} 16",
        "sightstream_video_truncated_total 1",
    ] {
        assert!(told.lines().any(|told| told == line), "{told}");
    }
    assert!(
        told.contains("sightstream_video_frames_total{kind=\"decoded\"}"),
        "{told}"
    );
}

/// Its windows come one after the other, in any order.
#[test]
fn a_long_animation_is_opened_once() {
    for (name, encoding) in [("a.gif", ""), ("a.webp", "-c:v libwebp_anim -lossless 1")] {
        let clip = made("testsrc2=size=96x60:rate=2:duration=12", encoding, name);
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            let (mut reader, content) = (Reader::default(), content(&clip.path));
            let segmentation = Segmentation {
                longest_clip: 5.0,
                window: 3.0,
                ..Segmentation::default()
            };
            let mut ask = |fragment: Option<Fragment>| {
                let reading = Reading {
                    media_type: Some("image/*"),
                    fragment: fragment.as_ref(),
                    question: Question::Input,
                    limits: &DecodeLimits::default(),
                    segmentation: &segmentation,
                    name,
                };
                reader.read(&content, &reading, &|frame| frame).expect(name)
            };
            let Answer::Parts(parts) = ask(None) else {
                panic!("{name} is long");
            };
            assert_eq!(parts.count(&segmentation), 4, "{name}");
            for fragment in parts.fragments(&segmentation) {
                assert!(matches!(ask(Some(fragment)), Answer::Media(Media::Clip(frames)) if frames.len() == 6));
            }
        });
        let told = recorder.handle().render();
        assert!(told.contains("sightstream_media_opened_total 1\n"), "{name}: {told}");
    }
}
