//! Videos as they mostly are.

use crate::kit::{Reference, TEN_SECONDS, check, check_span, made, open_with_threads};

#[test]
fn h264_with_b_frames_and_a_key_frame_a_second() {
    let clip = made(TEN_SECONDS, "-c:v libx264 -g 30 -bf 3 -pix_fmt yuv420p", "a.mp4");
    let video = check(&clip.path, 0);
    assert!((video.duration() - 10.0).abs() < 1e-6, "{}", video.duration());
}

#[test]
fn h264_with_one_key_frame_in_all() {
    let clip = made(
        TEN_SECONDS,
        "-c:v libx264 -g 100000 -sc_threshold 0 -bf 5 -b_strategy 0 -pix_fmt yuv420p",
        "a.mkv",
    );
    check(&clip.path, 0);
}

#[test]
fn any_number_of_threads_gives_the_same_frames() {
    let clip = made(TEN_SECONDS, "-c:v libx264 -g 60 -pix_fmt yuv420p", "a.mp4");
    let reference = Reference::of(&clip.path);
    for threads in [1, 2, 7] {
        let mut video = open_with_threads(&clip.path, threads);
        for span in [None, Some((2.0, 5.0)), Some((5.0, 8.0)), Some((1.0, 1.2))] {
            check_span(&mut video, &reference, span, 0);
        }
    }
}

#[test]
fn windows_in_order_decode_each_frame_once_at_most() {
    let clip = made(TEN_SECONDS, "-c:v libx264 -g 300 -bf 3 -pix_fmt yuv420p", "a.mp4");
    let mut video = open_with_threads(&clip.path, 2);
    for number in 0..5 {
        let start = f64::from(number) * 2.0;
        let frames = video
            .clip(Some((start, start + 2.0)), 8, &|frame| frame)
            .expect("a clip");
        assert_eq!(frames.len(), 8);
    }
    let counts = video.counts();
    assert_eq!((counts.all, counts.used), (300, 40));
    assert!(counts.decoded <= 300, "{counts:?}");
    // Frames that no other is made of are left out where they are not wanted.
    assert!(counts.decoded <= 240, "{counts:?}");
}

#[test]
fn a_few_frames_of_a_long_video_are_sought() {
    let clip = made(TEN_SECONDS, "-c:v libx264 -g 15 -pix_fmt yuv420p", "a.mp4");
    let mut video = open_with_threads(&clip.path, 2);
    assert_eq!(video.clip(None, 4, &|frame| frame).expect("a clip").len(), 4);
    assert!(video.counts().decoded <= 70, "{:?}", video.counts());
}
