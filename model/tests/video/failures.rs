//! Videos that are none, or not whole.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sightstream_model::media::Failure;
use sightstream_model::media::video::Video;

use crate::kit::{Reference, TEN_SECONDS, check_span, ffmpeg, made, open};

const H264: &str = "-c:v libx264 -g 40 -bf 3 -pix_fmt yuv420p";

fn refused(path: &Path) -> String {
    match open(path) {
        Err(Failure::Unsupported(message) | Failure::Corrupt(message) | Failure::TooLarge(message)) => message,
        Ok(video) => panic!("{} opens: {video:?}", path.display()),
    }
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn sound_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    ffmpeg(
        folder.path(),
        "-f lavfi -i testsrc2=size=96x96:duration=1:rate=1 -frames:v 1 cover.png",
    );
    for name in ["a.wav", "a.mp3", "a.flac", "a.ogg", "a.m4a", "a.aac", "a.mka", "a.aiff"] {
        ffmpeg(folder.path(), &format!("-f lavfi -i sine=duration=2 {name}"));
        assert_eq!(
            refused(&folder.path().join(name)),
            "it holds sound, but no video",
            "{name}"
        );
    }
    // The picture on a song's cover is no video.
    for name in ["cover.mp3", "cover.m4a"] {
        ffmpeg(
            folder.path(),
            &format!(
                "-f lavfi -i sine=duration=2 -i cover.png -map 0 -map 1 -c:v png -disposition:v:0 attached_pic {name}"
            ),
        );
        assert_eq!(
            refused(&folder.path().join(name)),
            "it holds sound, but no video",
            "{name}"
        );
    }
}

#[test]
fn what_is_no_video() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = made(TEN_SECONDS, H264, "secret.mp4");
    let secret = secret.path.display();
    for (name, content) in [
        ("a.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n")),
        ("a.ffconcat", format!("ffconcat version 1.0\nfile {secret}\n")),
        ("a.mpd", format!("<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"x\"><Period><AdaptationSet><Representation><BaseURL>file://{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>")),
        ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n".into()),
        ("a.txt", "a text".repeat(1000)),
        ("empty", String::new()),
    ] {
        let message = refused(&written(folder.path(), name, content.as_bytes()));
        assert!(
            message.contains("not read here") || message.contains("no video that FFmpeg knows"),
            "{name}: {message}"
        );
    }
    let noise: Vec<u8> = (0..100_000u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    refused(&written(folder.path(), "noise", &noise));
    refused(&written(folder.path(), "zeros", &[0; 100_000]));
}

/// A movie may say that its data lie in another file. That file is not opened.
#[test]
fn a_movie_whose_data_lie_elsewhere() {
    let clip = made(TEN_SECONDS, H264, "a.mov");
    let mut bytes = std::fs::read(&clip.path).expect("the file");
    // `url `, flags 1: "here". Without the flag and with a name it would be that file.
    let place = bytes
        .windows(8)
        .position(|word| word == b"url \0\0\0\x01")
        .or_else(|| bytes.windows(8).position(|word| word == b"alis\0\0\0\x01"));
    let place = place.expect("a reference");
    bytes[place + 7] = 0;
    let path = written(clip.folder.path(), "elsewhere.mov", &bytes);
    // Its data are here all the same; what counts is that nothing else is looked for.
    let _ = open(&path);
}

fn cut(clip: &Path, share: f64) -> PathBuf {
    let bytes = std::fs::read(clip).expect("the file");
    let length = (bytes.len() as f64 * share) as usize;
    written(clip.parent().expect("a folder"), "cut", &bytes[..length])
}

fn check_cut(path: &Path, frames: std::ops::Range<usize>) -> Video {
    let reference = Reference::of(path);
    assert!(frames.contains(&reference.frames.len()), "{}", reference.frames.len());
    let mut video = open(path).expect("what there is opens");
    // The last frame is damaged, and error concealment may depend on threads.
    let whole = video.clip(None, 8, &|frame| frame).expect("a clip");
    assert_eq!(whole.len(), 8);
    let until = reference.times[reference.times.len() * 3 / 4];
    check_span(&mut video, &reference, Some((0.0, until)), 0);
    video
}

#[test]
fn a_file_whose_end_is_missing() {
    let clip = made(TEN_SECONDS, &format!("{H264} -movflags faststart"), "a.mp4");
    let video = check_cut(&cut(&clip.path, 0.6), 100..250);
    assert!(video.is_truncated());
    for name in ["a.mkv", "a.ts"] {
        let clip = made(TEN_SECONDS, H264, name);
        check_cut(&cut(&clip.path, 0.6), 100..250);
    }
    let clip = made(TEN_SECONDS, "-c:v mpeg4 -g 40 -q:v 4", "a.avi");
    check_cut(&cut(&clip.path, 0.6), 100..250);
    // The index of this one stands at its end.
    let clip = made(TEN_SECONDS, H264, "a.mp4");
    let message = refused(&cut(&clip.path, 0.6));
    assert!(message.contains("cannot be opened"), "{message}");
    let clip = made(TEN_SECONDS, &format!("{H264} -movflags faststart"), "a.mp4");
    let mut video = open(&cut(&clip.path, 0.6)).expect("what there is opens");
    match video.clip(Some((9.0, 10.0)), 8, &|frame| frame) {
        Err(Failure::Corrupt(message)) => assert!(message.contains("the end of the file is missing"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn damage_in_the_middle() {
    for name in ["a.ts", "a.mkv", "a.mp4"] {
        let clip = made(
            TEN_SECONDS,
            "-c:v libx264 -g 30 -bf 3 -pix_fmt yuv420p -threads 1",
            name,
        );
        let mut bytes = std::fs::read(&clip.path).expect("the file");
        let middle = bytes.len() / 2;
        for (number, byte) in bytes[middle..middle + 6000].iter_mut().enumerate() {
            *byte = (number * 7) as u8;
        }
        let path = written(clip.folder.path(), "damaged", &bytes);
        let mut video = open(&path).expect("it opens");
        assert_eq!(video.clip(None, 8, &|frame| frame).expect("a clip").len(), 8, "{name}");
        // What lies far from the damage is as it was.
        let reference = Reference::of(&clip.path);
        check_span(&mut video, &reference, Some((0.0, 2.0)), 0);
    }
}

/// Small files of several kinds with bytes changed here and there: anything may be said, in time.
#[test]
fn damage_anywhere() {
    let started = Instant::now();
    let source = "testsrc2=size=48x32:rate=10:duration=2";
    let mut opened = 0;
    for (encoding, name) in [
        (H264, "a.mp4"),
        (H264, "a.mkv"),
        (H264, "a.ts"),
        ("-c:v mpeg4 -bf 2", "a.avi"),
        ("", "a.gif"),
        ("-c:v libwebp_anim", "a.webp"),
        ("-c:v libvpx -b:v 100k", "a.webm"),
    ] {
        let clip = made(source, encoding, name);
        let bytes = std::fs::read(&clip.path).expect("the file");
        let mut random = 12_345u64;
        let mut next = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize
        };
        for round in 0..40 {
            let mut damaged = bytes.clone();
            for _ in 0..=round % 8 {
                // Half of it in the headers.
                let place = next()
                    % if round % 2 == 0 {
                        bytes.len()
                    } else {
                        bytes.len().min(1500)
                    };
                damaged[place] = next() as u8;
            }
            if round % 5 == 4 {
                damaged.truncate(next() % bytes.len());
            }
            let path = written(clip.folder.path(), "damaged", &damaged);
            if let Ok(mut video) = open(&path) {
                opened += 1;
                for span in [None, Some((0.5, 1.5)), Some((0.0, 1.0))] {
                    if let Ok(frames) = video.clip(span, 8, &|frame| frame) {
                        assert!((1..=8).contains(&frames.len()));
                    }
                }
            }
        }
    }
    assert!(opened > 50, "{opened} of 280 opened");
    assert!(started.elapsed().as_secs() < 120, "{:?}", started.elapsed());
}
