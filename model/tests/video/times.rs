//! When frames are seen: rates that vary, edit lists, beginnings other than 0.

use sightstream_model::media::Failure;

use crate::kit::{Reference, TEN_SECONDS, check, check_span, ffmpeg, made, open};

/// Every third frame in the first half, then all, then a gap of a second.
const VARYING: &str =
    "testsrc2=size=192x108:rate=30:duration=10,select='if(lt(n,150),not(mod(n,3)),lt(n,200)+gt(n,230))'";

#[test]
fn a_rate_that_varies() {
    for name in ["a.mp4", "a.mkv", "a.ts"] {
        let clip = made(VARYING, "-fps_mode vfr -c:v libx264 -g 40 -bf 3 -pix_fmt yuv420p", name);
        check(&clip.path, 0);
    }
}

#[test]
fn an_edit_list_that_hides_the_first_frames() {
    let clip = made(TEN_SECONDS, "-c:v libx264 -g 60 -bf 3 -pix_fmt yuv420p", "a.mp4");
    let folder = clip.folder.path();
    for start in ["1.5", "3.97", "2"] {
        ffmpeg(folder, &format!("-ss {start} -i a.mp4 -c copy cut.mp4"));
        let path = folder.join("cut.mp4");
        let reference = Reference::of(&path);
        // There is more in the file than is seen of it.
        assert!(reference.frames.len() <= 300 - 30, "{}", reference.frames.len());
        let video = check(&path, 0);
        assert_eq!(video.counts().all, reference.frames.len() as u64);
    }
}

#[test]
fn a_time_that_begins_late() {
    for name in ["a.ts", "a.mkv", "a.mp4"] {
        let clip = made(
            TEN_SECONDS,
            "-c:v libx264 -g 30 -bf 3 -pix_fmt yuv420p -output_ts_offset 100",
            name,
        );
        let video = check(&clip.path, 0);
        assert!((video.duration() - 10.0).abs() < 0.05, "{name}: {}", video.duration());
    }
}

#[test]
fn a_single_frame() {
    let clip = made(
        "testsrc2=size=192x108:rate=30:duration=1",
        "-frames:v 1 -c:v libx264 -pix_fmt yuv420p",
        "a.mp4",
    );
    let video = check(&clip.path, 0);
    assert_eq!(video.counts().all, 1);
    assert!(video.duration() > 0.0 && video.duration() < 0.1);
}

#[test]
fn fewer_frames_than_are_asked_for() {
    let clip = made(TEN_SECONDS, "-frames:v 5 -c:v libx264 -bf 2 -pix_fmt yuv420p", "a.mp4");
    let video = check(&clip.path, 0);
    assert_eq!(video.counts().all, 5);
}

#[test]
fn a_slow_video() {
    let clip = made(
        "testsrc2=size=192x108:rate=1/7:duration=140",
        "-c:v libx264 -bf 2 -pix_fmt yuv420p",
        "a.mp4",
    );
    let video = check(&clip.path, 0);
    assert!((video.duration() - 140.0).abs() < 7.1, "{}", video.duration());
}

/// A few pictures, each seen for long: a span in which none begins has the one that is on the screen.
#[test]
fn a_slideshow() {
    for (encoding, name) in [
        ("-c:v libx264 -bf 2 -pix_fmt yuv420p", "a.mp4"),
        ("-c:v libvpx -deadline realtime", "a.webm"),
        ("-c:v mpeg4 -bf 2", "a.avi"),
        ("", "a.gif"),
    ] {
        let clip = made("testsrc2=size=192x108:rate=1/20:duration=100", encoding, name);
        let reference = Reference::at_rate(&clip.path, 1.0 / 20.0);
        assert_eq!(reference.frames.len(), 5);
        let mut video = open(&clip.path).expect("it opens");
        for span in [
            Some((1.0, 2.0)),
            Some((20.5, 39.0)),
            Some((75.0, 79.9)),
            Some((30.0, 61.0)),
            Some((0.5, 19.0)),
            Some((60.0, 60.1)),
            None,
        ] {
            check_span(&mut video, &reference, span, 0);
        }
        let last = video.clip(Some((80.5, 81.0)), 8, &|frame| frame);
        // Where the last one ends not every container says.
        if video.duration() > 81.0 {
            assert!(last.expect("the last frame") == reference.frames[4..], "{name}");
        }
        let (end, duration) = (video.duration() + 1.0, video.duration());
        assert!((80.0..=101.0).contains(&duration), "{name}: {duration}");
        match video.clip(Some((end, end + 1.0)), 8, &|frame| frame) {
            Err(Failure::Unsupported(message)) => assert!(message.contains("the video ends at"), "{message}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}
