//! What bytes are, by their first ones, as far as it decides how they are fetched and read.

mod moving;

use memchr::memmem;

pub(crate) use moving::is_moving_webp;
pub use moving::{may_move, moves};

/// How many first bytes decide.
pub const HEAD: usize = 1024;

/// The kinds that are told apart before anything is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A container of video, or of sound.
    Video,
    /// A PDF document.
    Document,
    /// An image, text, or what cannot be read: small, and read whole. But an image that moves ([`moves`]) is read as a video.
    Other,
}

impl Kind {
    /// The kind of what begins with `head`, [`HEAD`] bytes or all that there are. The content decides; `media_type` does
    /// where the content says nothing.
    pub fn of(head: &[u8], media_type: Option<&str>) -> Self {
        let head = &head[..head.len().min(HEAD)];
        if head.trim_ascii_start().starts_with(b"%PDF-") {
            return Self::Document;
        }
        // What has a signature of its own may hold the words of another.
        if head.is_empty() || is_still(head) || is_archive(head) {
            return Self::Other;
        }
        if !is_text(head) && is_container(head) {
            return Self::Video;
        }
        if is_document(head, media_type) {
            return Self::Document;
        }
        match !is_text(head) && is_said_to_move(media_type) {
            true => Self::Video,
            false => Self::Other,
        }
    }

    /// Whether a medium of this kind is kept in a file while it is read, and may have parts.
    pub fn has_parts(self) -> bool {
        matches!(self, Self::Video | Self::Document)
    }
}

/// Archives, which may hold a document: ZIP, and tar.
fn is_archive(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.get(257..262) == Some(b"ustar")
}

/// PDF with something else in front of it. A text may speak of it too.
fn is_document(head: &[u8], media_type: Option<&str>) -> bool {
    let is_said =
        || media_type.is_some_and(|media_type| media_type.trim().to_ascii_lowercase().starts_with("application/pdf"));
    memmem::find(head, b"%PDF-").is_some() && (is_said() || !is_text(head))
}

/// A sentence may begin as anything does. No container goes without control characters.
fn is_text(head: &[u8]) -> bool {
    // The last bytes may be the beginning of a character.
    let whole = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !whole
        .chars()
        .any(|character| character.is_control() && !character.is_whitespace())
}

/// Images, whose first bytes say so, and what belongs to neither.
fn is_still(head: &[u8]) -> bool {
    match head {
        [0xFF, 0xD8, 0xFF, ..]
        | [0x89, b'P', b'N', b'G', ..]
        | [b'G', b'I', b'F', b'8', ..]
        | [b'B', b'M', ..]
        | [b'I', b'I', 42 | 43, 0, ..]
        | [b'M', b'M', 0, 42 | 43, ..] => true,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => true,
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => is_still_brand(brand),
        _ => false,
    }
}

/// AVIF and HEIC are images in the container of MP4.
fn is_still_brand(brand: &[u8]) -> bool {
    let stills: [&[u8]; 9] = [
        b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1",
    ];
    stills.iter().any(|still| brand.starts_with(still))
}

/// Containers of video or sound.
fn is_container(head: &[u8]) -> bool {
    let signatures: [&[u8]; 19] = [
        b"\x1A\x45\xDF\xA3",         // Matroska, WebM
        b"OggS",                     // Ogg
        b"FLV\x01",                  // Flash
        b"\x30\x26\xB2\x75\x8E\x66", // ASF: WMV, WMA
        b"\x00\x00\x01\xBA",         // MPEG program stream
        b"\x00\x00\x01\xB3",         // MPEG video
        b"\x00\x00\x01\xB0",         // MPEG-4 video
        b"\x00\x00\x00\x01\x67",     // H.264
        b"\x00\x00\x00\x01\x27",     // H.264
        b"\x00\x00\x00\x01\x09",     // H.264 with delimiters
        b"\x00\x00\x00\x01\x40\x01", // HEVC
        b".RMF",                     // RealMedia
        b"DKIF",                     // IVF
        b"\x06\x0E\x2B\x34\x02\x05", // MXF
        b"YUV4MPEG2 ",               // raw frames
        b"nut/multimedia container", // NUT
        b"fLaC",                     // sound
        b"ID3",                      // sound: MP3 with tags
        b"#!AMR",                    // sound
    ];
    if signatures.iter().any(|signature| head.starts_with(signature)) {
        return true;
    }
    match head {
        [b'R', b'I', b'F', b'F', _, _, _, _, form @ ..] => form.starts_with(b"AVI ") || form.starts_with(b"WAVE"),
        // MP3 without tags: a layer III frame at a rate that there is; and AAC.
        [0xFF, 0xFB | 0xFA | 0xF3 | 0xF2 | 0xE3 | 0xE2, third, _, ..] => !matches!(third >> 4, 0 | 15),
        [0xFF, 0xF0 | 0xF1 | 0xF8 | 0xF9, ..] => true,
        _ => is_mp4(head) || is_transport_stream(head),
    }
}

/// MP4 and MOV: boxes, each of a length and a name.
fn is_mp4(head: &[u8]) -> bool {
    let [a, b, c, d, name @ ..] = head else { return false };
    let length = u32::from_be_bytes([*a, *b, *c, *d]);
    let names: [&[u8]; 9] = [
        b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof",
    ];
    // 0 is to the end of the file, and 1 says that the length comes later.
    (length <= 1 || length >= 8) && names.iter().any(|box_name| name.starts_with(box_name))
}

fn is_transport_stream(head: &[u8]) -> bool {
    transport_packet(head).is_some()
}

/// How long the packets are of what begins as an MPEG transport stream: of 188 bytes, perhaps with a time in front or a code
/// behind.
pub(crate) fn transport_packet(head: &[u8]) -> Option<usize> {
    const SYNC: u8 = 0x47;
    let repeats = |&(start, length): &(usize, usize)| {
        let syncs = || (start..head.len()).step_by(length);
        syncs().count() >= 4 && syncs().all(|place| head[place] == SYNC)
    };
    let shapes = [(0, 188), (4, 192), (0, 204)];
    shapes.into_iter().find(repeats).map(|(_, length)| length)
}

/// Whether a server or a name says that it is video or sound.
fn is_said_to_move(media_type: Option<&str>) -> bool {
    media_type.is_some_and(|media_type| {
        let essence = media_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        essence.starts_with("video/")
            || essence.starts_with("audio/")
            || matches!(
                essence.as_str(),
                "application/mp4" | "application/ogg" | "application/mxf"
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &[u8]) -> Kind {
        Kind::of(head, None)
    }

    #[test]
    fn containers_are_known_by_their_content() {
        for head in [
            &b"\0\0\0\x20ftypisom\0\0\x02\0"[..],
            b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
            b"\0\0\0\x20ftypM4A \0\0\x02\0",
            b"\0\x01\x02\x03moov\0\0\0\x6Cmvhd",
            b"\0\0\0\x08wide\0\0\0\0mdat",
            b"\0\0\0\0mdat\x01\x02",
            b"\0\0\0\x08free\0\0",
            b"\x1A\x45\xDF\xA3\x9F\x42",
            b"RIFF\0\0\0\0AVI LIST",
            b"RIFF\0\0\0\0WAVEfmt \0",
            b"FLV\x01\x05\0\0\0\x09",
            b"OggS\0\x02\0\0",
            b"\x30\x26\xB2\x75\x8E\x66\xCF\x11",
            b"\0\0\x01\xBA\x44\0",
            b"fLaC\0\0\0\x22",
            b"ID3\x04\0\0\0\0\0\0",
            b"\xFF\xFB\x90\x64\0\0",
            b"\xFF\xF1\x50\x80\0\0",
        ] {
            assert_eq!(of(head), Kind::Video, "{head:?}");
        }
        for (start, length) in [(0, 188), (4, 192), (0, 204)] {
            let mut stream = vec![0xFF; HEAD];
            stream
                .iter_mut()
                .skip(start)
                .step_by(length)
                .for_each(|byte| *byte = 0x47);
            assert_eq!(of(&stream), Kind::Video, "{length}");
            stream[start + length] = 0;
            assert_eq!(of(&stream), Kind::Other, "{length}");
        }
    }

    #[test]
    fn images_and_sentences_are_no_videos() {
        for head in [
            &b"\0\0\0\x1Cftypavif\0\0\0\0"[..],
            b"\0\0\0\x18ftypheic\0\0\0\0",
            b"\0\0\0\x18ftypmif1\0\0\0\0",
            b"RIFF\0\0\0\0WEBPVP8X",
            b"GIF89a\x01\0\x01\0",
            b"\xFF\xD8\xFF\xE0\0\x10JFIF",
            b"\x89PNG\r\n\x1A\n",
            b"BM\0\0\0\0",
            b"OggS is how an Ogg begins",
            b"ID3 tags are old",
            b"fLaC",
            b"GGGG",
            b"PK\x03\x04",
            b"",
            &[0xFF; 64],
            b"\xFF\xFEt\0e\0x\0t\0",
        ] {
            assert_eq!(of(head), Kind::Other, "{head:?}");
        }
        let mut text = vec![b'G'; HEAD];
        assert_eq!(of(&text), Kind::Other);
        text[HEAD - 1] = 0xC3;
        assert!(is_text(&text), "a character that is cut");
    }

    #[test]
    fn documents_may_begin_with_something_else() {
        assert_eq!(of(b"%PDF-1.7\n"), Kind::Document);
        assert_eq!(of(b"\xEF\xBB\xBF\0\0junk\n%PDF-1.4\n"), Kind::Document);
        assert_eq!(of(b"\n%PDF-1.4"), Kind::Document);
        let behind_text = b"a page of text\n%PDF-1.4";
        assert_eq!(Kind::of(behind_text, Some("application/pdf")), Kind::Document);
        assert_eq!(of(b"a text about %PDF-1.4"), Kind::Other);
        let mut late = vec![0; HEAD];
        late.extend_from_slice(b"%PDF-1.4");
        assert_eq!(of(&late), Kind::Other);
    }

    #[test]
    fn what_is_said_decides_where_the_content_says_nothing() {
        let unknown = b"\x01\x02\x03\x04";
        assert_eq!(Kind::of(unknown, Some("video/x-unheard-of")), Kind::Video);
        assert_eq!(Kind::of(unknown, Some("Video/MP4; codecs=\"avc1\"")), Kind::Video);
        assert_eq!(Kind::of(unknown, Some("application/octet-stream")), Kind::Other);
        assert_eq!(Kind::of(b"not found", Some("video/mp4")), Kind::Other);
        assert_eq!(Kind::of(b"\xFF\xD8\xFF\xE0", Some("video/mp4")), Kind::Other);
        assert_eq!(Kind::of(b"\0\0\0\x20ftypisom", Some("image/jpeg")), Kind::Video);
    }
}
