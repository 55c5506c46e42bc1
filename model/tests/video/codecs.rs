//! Codecs, each with frames that are made of others where it has such.

use crate::kit::{TEN_SECONDS, assert_encoder, check, made};

/// [`check`], and that what came was as the index says: not every clip was decoded through.
fn check_quick(path: &std::path::Path) {
    let counts = check(path, 0).counts();
    assert!(counts.decoded < counts.all * 7, "{counts:?}");
}

/// Five seconds, for the slower encoders.
const FIVE_SECONDS: &str = "testsrc2=size=192x108:rate=25:duration=5";

#[test]
fn h264_with_open_groups() {
    let clip = made(
        TEN_SECONDS,
        "-c:v libx264 -x264-params open-gop=1:keyint=40:bframes=3 -pix_fmt yuv420p",
        "a.mp4",
    );
    check_quick(&clip.path);
    let clip = made(
        TEN_SECONDS,
        "-c:v libx264 -x264-params open-gop=1:keyint=40:bframes=3 -pix_fmt yuv420p",
        "a.ts",
    );
    check_quick(&clip.path);
}

#[test]
fn h264_that_refreshes_without_key_frames() {
    let clip = made(
        TEN_SECONDS,
        "-c:v libx264 -x264-params intra-refresh=1:keyint=30 -pix_fmt yuv420p",
        "a.mkv",
    );
    check(&clip.path, 0);
}

#[test]
fn h264_interlaced() {
    let clip = made(
        TEN_SECONDS,
        "-c:v libx264 -x264-params interlaced=1:keyint=50 -pix_fmt yuv420p",
        "a.mp4",
    );
    check(&clip.path, 0);
}

#[test]
fn hevc() {
    assert_encoder("libx265");
    let clip = made(
        FIVE_SECONDS,
        "-c:v libx265 -x265-params keyint=50:bframes=4:log-level=error -pix_fmt yuv420p",
        "a.mp4",
    );
    check_quick(&clip.path);
    let clip = made(
        FIVE_SECONDS,
        "-c:v libx265 -x265-params keyint=25:open-gop=0:temporal-layers=3:log-level=error -pix_fmt yuv420p",
        "a.mkv",
    );
    check_quick(&clip.path);
}

#[test]
fn vp8_with_frames_that_are_not_shown() {
    assert_encoder("libvpx");
    let clip = made(
        FIVE_SECONDS,
        "-c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -g 60 -b:v 300k -arnr-maxframes 7",
        "a.webm",
    );
    check_quick(&clip.path);
}

#[test]
fn vp9_with_frames_that_are_not_shown() {
    assert_encoder("libvpx-vp9");
    let clip = made(
        FIVE_SECONDS,
        "-c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 16 -g 50 -deadline realtime -cpu-used 5",
        "a.webm",
    );
    check_quick(&clip.path);
}

#[test]
fn av1() {
    assert_encoder("libsvtav1");
    let clip = made(FIVE_SECONDS, "-c:v libsvtav1 -preset 10 -g 40", "a.mp4");
    check_quick(&clip.path);
}

#[test]
fn mpeg_2_with_b_frames() {
    let clip = made(TEN_SECONDS, "-c:v mpeg2video -g 15 -bf 2 -q:v 4", "a.ts");
    check_quick(&clip.path);
}

#[test]
fn mpeg_4_with_b_frames() {
    let clip = made(TEN_SECONDS, "-c:v mpeg4 -g 60 -bf 2 -q:v 4", "a.mp4");
    check_quick(&clip.path);
}

#[test]
fn ffv1() {
    let clip = made(TEN_SECONDS, "-c:v ffv1 -g 1", "a.mkv");
    check(&clip.path, 0);
    let clip = made(TEN_SECONDS, "-c:v ffv1 -level 3 -g 12 -slices 4", "a.mkv");
    check(&clip.path, 0);
}

#[test]
fn motion_jpeg_and_prores() {
    let clip = made(FIVE_SECONDS, "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p", "a.avi");
    check(&clip.path, 0);
    let clip = made(FIVE_SECONDS, "-c:v prores_ks -profile:v 1", "a.mov");
    check(&clip.path, 0);
}
