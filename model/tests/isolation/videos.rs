//! Videos in worker processes: each is opened once for all its windows.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use sightstream_model::fetch::{Content, Fetched, Identity, MediaFile};
use sightstream_model::isolation::{Decoder, DecoderIsolation, FittedAnswer, WorkerOptions};
use sightstream_model::media::{DecodeLimits, Media, Parts, Question, Segmentation};
use sightstream_model::reference::Fragment;

use crate::support::{Test, target, workers};

pub const TESTS: &[Test] = &[
    (
        "a_video_is_opened_once_for_all_its_windows",
        a_video_is_opened_once_for_all_its_windows,
    ),
    (
        "videos_that_are_read_by_turns_are_opened_once_each",
        videos_that_are_read_by_turns_are_opened_once_each,
    ),
    (
        "large_videos_by_turns_need_no_more_than_a_small_plan_gives",
        large_videos_by_turns_need_no_more_than_a_small_plan_gives,
    ),
];

/// Longer than one clip here, so that it has windows.
const SEGMENTATION: Segmentation = Segmentation {
    frames: 8,
    longest_clip: 10.0,
    window: 3.0,
    page_dpi: 300.0,
};

/// A minute of video.
fn video(folder: &Path, name: &str, number: u8) -> Fetched {
    made(folder, name, number, "testsrc2=size=160x120:rate=10:duration=60")
}

fn made(folder: &Path, name: &str, number: u8, source: &str) -> Fetched {
    let path = folder.join(name);
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", source])
        .args(["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg is installed").success());
    let file = File::open(&path).expect("it was written");
    let length = file.metadata().expect("it is open").len();
    Fetched {
        content: Content::File(MediaFile {
            file: Arc::new(file),
            length,
            identity: Identity([number; 16]),
        }),
        media_type: None,
    }
}

fn decoder(isolation: DecoderIsolation) -> Decoder {
    Decoder::new(isolation, DecodeLimits::default(), SEGMENTATION, target()).expect("usable options")
}

fn parts(decoder: &Decoder, video: &Fetched) -> Vec<Fragment> {
    match decoder.read(video, None, Question::Input, "it") {
        Ok(FittedAnswer::Parts(parts @ Parts::Windows { .. })) => parts.fragments(&SEGMENTATION).collect(),
        other => panic!("{other:?}"),
    }
}

fn window(decoder: &Decoder, video: &Fetched, part: &Fragment) -> Media {
    match decoder.read(video, Some(part), Question::Input, "it") {
        Ok(FittedAnswer::Media(fitted)) => fitted.into_media(),
        other => panic!("{other:?}"),
    }
}

/// What `work` counted as opened.
fn opened(work: impl FnOnce()) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let told = recorder.handle();
    metrics::with_local_recorder(&recorder, work);
    let told = told.render();
    let line = told
        .lines()
        .find(|line| line.starts_with("sightstream_media_opened_total"));
    line.expect("it was counted").to_owned()
}

fn a_video_is_opened_once_for_all_its_windows() {
    let folder = tempfile::tempdir().expect("a folder");
    let video = video(folder.path(), "a.mp4", 1);
    let mut clips = Vec::new();
    for isolation in [DecoderIsolation::InProcess, DecoderIsolation::Workers(workers("sound"))] {
        let decoder = decoder(isolation);
        let counted = opened(|| {
            let parts = parts(&decoder, &video);
            assert_eq!(parts.len(), 20);
            clips.push(
                parts
                    .iter()
                    .map(|part| window(&decoder, &video, part))
                    .collect::<Vec<_>>(),
            );
        });
        assert_eq!(counted, "sightstream_media_opened_total 1");
    }
    assert!(clips[0] == clips[1], "a worker gives the same to the bit");
    assert!(
        clips[0]
            .iter()
            .all(|clip| matches!(clip, Media::Clip(frames) if frames.len() == 8))
    );
    assert!(clips[0][0] != clips[0][1]);
}

fn videos_that_are_read_by_turns_are_opened_once_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let videos = [("a.mkv", 1), ("b.mp4", 2), ("c.mov", 3)].map(|(name, number)| video(folder.path(), name, number));
    let decoder = decoder(DecoderIsolation::Workers(workers("sound")));
    let counted = opened(|| {
        for part in parts(&decoder, &videos[0]) {
            videos.iter().for_each(|video| drop(window(&decoder, video, &part)));
        }
    });
    assert_eq!(counted, "sightstream_media_opened_total 3");
}

fn large_videos_by_turns_need_no_more_than_a_small_plan_gives() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = "testsrc2=size=1920x1080:rate=4:duration=12";
    let videos =
        [("a.mp4", 1), ("b.mp4", 2), ("c.mp4", 3)].map(|(name, number)| made(folder.path(), name, number, source));
    // The least that a memory limit gives to a worker.
    let options = WorkerOptions {
        memory: 128 << 20,
        ..workers("sound")
    };
    let decoder = decoder(DecoderIsolation::Workers(options));
    for part in parts(&decoder, &videos[0]) {
        for video in &videos {
            let clip = window(&decoder, video, &part);
            assert!(matches!(clip, Media::Clip(frames) if frames.len() == 8));
        }
    }
}
