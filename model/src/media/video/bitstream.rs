//! What a packet's first bytes tell of its frame, without decoding: whether others are made of it, whether it shows.

use ffmpeg_next::ffi::{AVCodecID, AVCodecParameters};
use memchr::memmem;

/// How a stream's packets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// H.264, with the length of its units' lengths, or start codes.
    H264(Units),
    /// HEVC, likewise.
    Hevc(Units),
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
    /// Every frame stands for itself, or is made of the ones before it: only the first is a key frame.
    Gif,
    /// MPEG-1, -2 and -4, whose decoders leave out frames that no other is made of.
    Mpeg,
    /// Others.
    Other,
}

/// How units are told apart inside a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {
    /// Each has its length in front, in so many bytes.
    Length(usize),
    /// Each begins with 0, 0, 1.
    StartCode,
}

/// What a packet tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Facts {
    /// No other frame is made of it, unless one of a higher layer.
    pub(super) disposable: bool,
    /// The decoder needs nothing from before it, and knows that by itself.
    pub(super) resets: bool,
    /// It is decoded but not shown.
    pub(super) hidden: bool,
    /// Its temporal layer: frames of one may be made of frames of lower ones.
    pub(super) layer: u8,
}

impl Syntax {
    pub(super) fn of(parameters: &AVCodecParameters) -> Self {
        let extra = match usize::try_from(parameters.extradata_size) {
            // SAFETY: FFmpeg's extra data are so many bytes, and live as long as the parameters.
            Ok(size) if size > 0 && !parameters.extradata.is_null() => unsafe {
                std::slice::from_raw_parts(parameters.extradata, size)
            },
            _ => &[],
        };
        // A configuration record begins with its version, 1; extra data with start codes begin with 0.
        let units = |byte: usize| match (extra.first(), extra.get(byte)) {
            (Some(1), Some(sizes)) => Units::Length(usize::from(sizes & 3) + 1),
            _ => Units::StartCode,
        };
        match parameters.codec_id {
            AVCodecID::AV_CODEC_ID_H264 => Self::H264(units(4)),
            AVCodecID::AV_CODEC_ID_HEVC => Self::Hevc(units(21)),
            AVCodecID::AV_CODEC_ID_VP8 => Self::Vp8,
            AVCodecID::AV_CODEC_ID_VP9 => Self::Vp9,
            AVCodecID::AV_CODEC_ID_AV1 => Self::Av1,
            AVCodecID::AV_CODEC_ID_GIF => Self::Gif,
            AVCodecID::AV_CODEC_ID_MPEG1VIDEO | AVCodecID::AV_CODEC_ID_MPEG2VIDEO | AVCodecID::AV_CODEC_ID_MPEG4 => {
                Self::Mpeg
            }
            _ => Self::Other,
        }
    }

    /// What a packet with these bytes, and this mark of a key frame, tells.
    pub(super) fn facts(self, data: &[u8], key: bool) -> Facts {
        let mut facts = Facts {
            resets: key && matches!(self, Self::Vp8 | Self::Vp9 | Self::Av1),
            ..Facts::default()
        };
        match self {
            Self::H264(units) => {
                let mut slices = 0;
                let mut plain = true;
                each_unit(data, units, |unit| {
                    let (importance, kind) = (unit[0] >> 5 & 3, unit[0] & 0x1F);
                    match kind {
                        1..=5 => {
                            slices += 1;
                            plain &= importance == 0;
                            facts.resets |= kind == 5;
                        }
                        // Parameters, which later frames may need.
                        7 | 8 | 13 | 15 => plain = false,
                        _ => {}
                    }
                });
                facts.disposable = plain && slices > 0;
            }
            Self::Hevc(units) => {
                let mut slices = 0;
                let mut plain = true;
                each_unit(data, units, |unit| {
                    let kind = unit[0] >> 1 & 0x3F;
                    match kind {
                        0..=31 => {
                            slices += 1;
                            // The even ones up to 14 are of frames that no other frame of their layer is made of.
                            plain &= kind <= 14 && kind % 2 == 0;
                            facts.resets |= matches!(kind, 19 | 20);
                            let layer = unit.get(1).map_or(0, |byte| (byte & 7).saturating_sub(1));
                            facts.layer = facts.layer.max(layer);
                        }
                        32..=34 => plain = false,
                        _ => {}
                    }
                });
                facts.disposable = plain && slices > 0;
            }
            Self::Vp8 => facts.hidden = data.first().is_some_and(|byte| byte >> 4 & 1 == 0),
            Self::Vp9 => facts.hidden = vp9_is_hidden(data),
            Self::Av1 | Self::Gif | Self::Mpeg | Self::Other => {}
        }
        facts
    }
}

/// Calls `see` with each unit that has a byte.
fn each_unit(data: &[u8], units: Units, mut see: impl FnMut(&[u8])) {
    match units {
        Units::Length(bytes) => {
            let mut rest = data;
            while let Some((length, after)) = rest.split_at_checked(bytes) {
                let length = length
                    .iter()
                    .fold(0usize, |length, &byte| length << 8 | usize::from(byte));
                let unit = &after[..length.min(after.len())];
                if !unit.is_empty() {
                    see(unit);
                }
                rest = &after[unit.len()..];
            }
        }
        Units::StartCode => {
            for code in memmem::find_iter(data, &[0, 0, 1]) {
                if let Some(unit) = data.get(code + 3..).filter(|unit| !unit.is_empty()) {
                    see(unit);
                }
            }
        }
    }
}

/// Whether a VP9 packet is one frame that is not shown. Several frames in one packet hold one that is.
fn vp9_is_hidden(data: &[u8]) -> bool {
    let (Some(&first), Some(&last)) = (data.first(), data.last()) else {
        return false;
    };
    if last & 0xE0 == 0xC0 {
        return false;
    }
    let mut bits = (0..8).rev().map(|bit| first >> bit & 1);
    let mut bit = || bits.next().unwrap_or(0);
    let marker = (bit(), bit());
    let profile = bit() | bit() << 1;
    if marker != (1, 0) || (profile == 3 && bit() != 0) {
        return false;
    }
    let shows_existing = bit() == 1;
    let _inter = bit();
    let shown = bit() == 1;
    !shows_existing && !shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_tell_whether_a_frame_is_needed() {
        let sized = Syntax::H264(Units::Length(4));
        let key = [0, 0, 0, 2, 0x67, 1, 0, 0, 0, 2, 0x65, 1];
        assert!(sized.facts(&key, true).resets && !sized.facts(&key, true).disposable);
        let between = [0, 0, 0, 2, 0x06, 5, 0, 0, 0, 3, 0x01, 2, 3];
        assert!(sized.facts(&between, false).disposable);
        let with_parameters = [0, 0, 0, 2, 0x68, 5, 0, 0, 0, 3, 0x01, 2, 3];
        assert!(!sized.facts(&with_parameters, false).disposable);
        let codes = Syntax::H264(Units::StartCode);
        assert!(codes.facts(&[0, 0, 0, 1, 0x01, 9, 0, 0, 1, 0x01, 9], false).disposable);
        // One slice of a frame that others need makes it needed.
        assert!(!codes.facts(&[0, 0, 0, 1, 0x01, 9, 0, 0, 1, 0x41, 9], false).disposable);
        let hevc = Syntax::Hevc(Units::Length(4));
        let facts = hevc.facts(&[0, 0, 0, 3, 0x00, 0x02, 9], false);
        assert!(facts.disposable && facts.layer == 1);
        assert!(!hevc.facts(&[0, 0, 0, 3, 0x02, 0x01, 9], false).disposable);
        assert!(hevc.facts(&[0, 0, 0, 3, 0x26, 0x01, 9], true).resets);
        // Lengths beyond the end, and nothing at all.
        assert!(sized.facts(&[0xFF, 0xFF, 0xFF, 0xFF, 0x01], false).disposable);
        assert_eq!(sized.facts(&[], false), Facts::default());
    }

    #[test]
    fn hidden_frames_are_seen() {
        assert!(Syntax::Vp8.facts(&[0x01], false).hidden);
        assert!(!Syntax::Vp8.facts(&[0x11], false).hidden);
        assert!(Syntax::Vp9.facts(&[0b1000_0100, 0], false).hidden);
        assert!(!Syntax::Vp9.facts(&[0b1000_0110, 0], false).hidden);
        assert!(!Syntax::Vp9.facts(&[0b1000_0100, 0xC1], false).hidden, "a superframe");
        assert!(!Syntax::Vp9.facts(&[0b1000_1000], false).hidden, "shows an earlier one");
    }
}
