//! When frames are seen: rates that vary, edit lists, beginnings other than 0.

use crate::kit::{Reference, TEN_SECONDS, check, ffmpeg, made};

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
