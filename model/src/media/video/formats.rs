//! Which of FFmpeg's formats are read: containers of video. Not those that name other files (playlists, concatenations,
//! lists of images), which are no media, nor those that draw something of their own.

use crate::media::failure::Failure;

/// Containers of video, and bare streams of it, by FFmpeg's names.
const VIDEO: &[&str] = &[
    "3g2",
    "3gp",
    "4xm",
    "amv",
    "asf",
    "asf_o",
    "av1",
    "avi",
    "avs",
    "bink",
    "cavsvideo",
    "cdxl",
    "dirac",
    "dnxhd",
    "dv",
    "ea",
    "film_cpk",
    "flic",
    "flv",
    "gif",
    "gxf",
    "h261",
    "h263",
    "h264",
    "hevc",
    "idcin",
    "ifv",
    "ipmovie",
    "ivf",
    "ivr",
    "live_flv",
    "lmlm4",
    "m4a",
    "m4v",
    "matroska",
    "mgsts",
    "mj2",
    "mjpeg",
    "mjpeg_2000",
    "mlv",
    "moflex",
    "mov",
    "mp4",
    "mpeg",
    "mpegts",
    "mpegvideo",
    "msnwctcp",
    "mtv",
    "mv",
    "mvi",
    "mxf",
    "mxg",
    "nsv",
    "nut",
    "nuv",
    "obu",
    "ogg",
    "paf",
    "pmp",
    "psxstr",
    "pva",
    "r3d",
    "rl2",
    "rm",
    "roq",
    "smk",
    "smush",
    "svs",
    "swf",
    "thp",
    "tiertexseq",
    "tmv",
    "ty",
    "vc1",
    "vc1test",
    "vividas",
    "vivo",
    "vmd",
    "webm",
    "wsvqa",
    "wtv",
    "wc3movie",
    "xmv",
    "yop",
    "yuv4mpegpipe",
];

/// Formats of sound alone.
const SOUND: &[&str] = &[
    "aa", "aac", "aax", "ac3", "ac4", "act", "adx", "aiff", "alaw", "amr", "amrnb", "amrwb", "ape", "apm", "aptx",
    "aptx_hd", "ast", "au", "bfstm", "bit", "brstm", "caf", "codec2", "dfpwm", "dsf", "dts", "dtshd", "eac3", "flac",
    "g722", "g723_1", "g726", "g729", "gsm", "hca", "ilbc", "ircam", "iff", "loas", "mlp", "mmf", "mp3", "mpc", "mpc8",
    "mulaw", "oma", "qcp", "rso", "sbc", "shn", "sox", "spdif", "tak", "truehd", "tta", "voc", "vqf", "w64", "wav",
    "wsd", "wv", "xwma",
];

/// What a format holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Video,
    Sound,
    /// What is not read.
    Other,
}

/// What a format holds, by its name, or several with commas between them.
pub(super) fn held_by(names: &str) -> Holds {
    let any = |known: &[&str]| names.split(',').any(|name| known.contains(&name));
    match names {
        _ if any(VIDEO) => Holds::Video,
        _ if any(SOUND) => Holds::Sound,
        _ => Holds::Other,
    }
}

/// The failure of a medium without pictures.
pub(super) fn only_sound() -> Failure {
    Failure::Unsupported("it holds sound, but no video".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_other_files_is_not_read() {
        assert_eq!(held_by("mov,mp4,m4a,3gp,3g2,mj2"), Holds::Video);
        assert_eq!(held_by("matroska,webm"), Holds::Video);
        assert_eq!(held_by("wav"), Holds::Sound);
        for other in [
            "concat",
            "hls",
            "dash",
            "image2",
            "image2pipe",
            "tty",
            "lavfi",
            "sdp",
            "rtsp",
            "imf",
            "png_pipe",
        ] {
            assert_eq!(held_by(other), Holds::Other, "{other}");
        }
    }
}
