//! Videos that are none, or not whole.

use std::path::{Path, PathBuf};

use sightstream_model::media::Failure;

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
        // By some letters of the folder's name, FFmpeg takes a text for a bare stream of pictures, of which there then is none.
        let reasons = ["not read here", "no video that FFmpeg knows", "streams cannot be read"];
        assert!(
            reasons.iter().any(|reason| message.contains(reason)),
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
    let clip = made(TEN_SECONDS, H264, "secret.mov");
    let folder = clip.folder.path();
    let bytes = std::fs::read(&clip.path).expect("the file");
    let place = |name: &[u8]| bytes.windows(4).rposition(|word| word == name).expect("a box") - 4;
    let secret = clip.path.to_str().expect("a path in UTF-8").as_bytes();
    let (reference, moov) = (place(b"dref") + 16, place(b"moov"));
    let length = |box_at: usize| u32::from_be_bytes(bytes[box_at..box_at + 4].try_into().expect("four bytes"));

    // An alias of the Macintosh: of all that stands in it FFmpeg asks for the names.
    let mut alias = b"alis\0\0\0\0".to_vec();
    alias.resize(alias.len() + 150, 0);
    alias.extend([0, 2]);
    alias.extend((secret.len() as u16).to_be_bytes());
    alias.extend(secret);
    alias.extend([0; 2][..secret.len() % 2].iter());
    alias.extend([0xFF; 4]);
    let alias = [&(alias.len() as u32 + 4).to_be_bytes(), &alias[..]].concat();

    let more = alias.len() as u32 - length(reference);
    let mut movie = bytes.clone();
    for name in [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"] {
        let at = place(name);
        movie[at..at + 4].copy_from_slice(&(length(at) + more).to_be_bytes());
    }
    movie.splice(reference..reference + length(reference) as usize, alias);
    // Nothing of the film is here.
    movie[place(b"mdat") + 8..moov].fill(0);
    let path = written(folder, "elsewhere.mov", &movie);

    ffmpeg(
        folder,
        "-enable_drefs 1 -use_absolute_path 1 -i elsewhere.mov -frames:v 3 stolen%d.png",
    );
    assert!(folder.join("stolen3.png").exists(), "who may open it finds the film");
    let message = refused(&path);
    assert!(message.contains("holds no frame"), "{message}");
}

fn cut(clip: &Path, share: f64) -> PathBuf {
    let bytes = std::fs::read(clip).expect("the file");
    // In the middle of a transport stream's packet too, whose length is even.
    let length = (bytes.len() as f64 * share) as usize | 1;
    written(clip.parent().expect("a folder"), "cut", &bytes[..length])
}

fn check_cut(path: &Path, frames: std::ops::Range<usize>) {
    let reference = Reference::of(path);
    assert!(frames.contains(&reference.frames.len()), "{}", reference.frames.len());
    let mut video = open(path).expect("what there is opens");
    assert!(video.is_truncated(), "{}", path.display());
    // The last frame is damaged, and error concealment may depend on threads.
    let whole = video.clip(None, 8, &|frame| frame).expect("a clip");
    assert_eq!(whole.len(), 8);
    let until = reference.times[reference.times.len() * 3 / 4];
    check_span(&mut video, &reference, Some((0.0, until)), 0);
}

#[test]
fn a_file_whose_end_is_missing() {
    let clip = made(TEN_SECONDS, &format!("{H264} -movflags faststart"), "a.mp4");
    check_cut(&cut(&clip.path, 0.6), 100..250);
    for (name, encoding) in [
        (
            "a.mp4",
            "-c:v libx264 -g 40 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov",
        ),
        ("a.mkv", H264),
        ("a.webm", "-c:v libvpx -g 40 -deadline realtime -cpu-used 8"),
        ("a.ts", H264),
        ("a.avi", "-c:v mpeg4 -g 40 -q:v 4"),
        ("a.flv", "-c:v flv -g 30 -q:v 4"),
    ] {
        let clip = made(TEN_SECONDS, encoding, name);
        assert!(!open(&clip.path).expect(name).is_truncated(), "{name}");
        check_cut(&cut(&clip.path, 0.6), 100..250);
    }
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

/// Small files of several kinds with bytes changed here and there: anything may be said, without much work.
#[test]
fn damage_anywhere() {
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
                // 20 frames, each of which no more than a few passes ask for.
                assert!(video.counts().decoded <= 1000, "{name}, {round}: {:?}", video.counts());
            }
        }
    }
    assert!(opened > 50, "{opened} of 280 opened");
}
