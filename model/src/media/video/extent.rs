//! Whether a file is as long as the sizes say that stand in it.

use crate::fetch::Content;
use crate::kind::transport_packet;

/// The most parts of a file that are looked at: fragments of a recording that took days.
const MOST_PARTS: usize = 1 << 20;

/// Boxes of MP4 and MOV that stand beside each other in a file. What has another name is none.
const BOXES: [&[u8; 4]; 16] = [
    b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"uuid", b"sidx", b"mfra", b"styp", b"meta",
    b"pnot", b"udta", b"emsg", b"prft",
];

/// Whether a content ends before one of its parts does, as far as a format, by FFmpeg's names for it, has sizes.
pub(super) fn is_cut(content: &Content, format: &str) -> bool {
    let is = |name: &str| format.split(',').any(|format| format == name);
    let end_of: fn(&Content, u64) -> Option<u64> = match format {
        _ if is("mp4") => end_of_box,
        _ if is("matroska") => end_of_element,
        _ if is("avi") => end_of_riff,
        _ if is("mpegts") => return is_cut_in_a_packet(content),
        _ => return false,
    };
    let mut start = 0;
    for _ in 0..MOST_PARTS {
        match end_of(content, start) {
            Some(end) if end > content.length() => return true,
            Some(end) if end > start => start = end,
            _ => return false,
        }
    }
    false
}

/// Where the box that begins at a place ends, if there is one that says so.
fn end_of_box(content: &Content, start: u64) -> Option<u64> {
    let [a, b, c, d, name @ ..] = read::<8>(content, start)?;
    if !BOXES.contains(&&name) {
        return None;
    }
    match u32::from_be_bytes([a, b, c, d]) {
        1 => start.checked_add(u64::from_be_bytes(read(content, start + 8)?)),
        // To the end of the file.
        0 => None,
        size => start.checked_add(u64::from(size)),
    }
}

/// Where a chunk of AVI ends, of which a long one has several. Who was switched off while recording left none or all bits.
fn end_of_riff(content: &Content, start: u64) -> Option<u64> {
    let [name @ .., a, b, c, d] = read::<8>(content, start)?;
    match u32::from_le_bytes([a, b, c, d]) {
        0 | u32::MAX => None,
        size if name == *b"RIFF" => start.checked_add(8 + u64::from(size)),
        _ => None,
    }
}

/// Where an element of Matroska ends. The one that holds the video, and may have no size while it is written, is the second.
fn end_of_element(content: &Content, start: u64) -> Option<u64> {
    const ELEMENTS: [u32; 4] = [0x1A45_DFA3, 0x1853_8067, 0xEC, 0xBF];
    let (name, name_length) = number(content, start)?;
    let (size, size_length) = number(content, start + name_length)?;
    // Names keep the bit that tells their length, and sizes do not. One of all bits is unknown.
    let marker = 1 << (7 * size_length);
    let is_known = size != 2 * marker - 1;
    let is_element = ELEMENTS.iter().any(|&element| u64::from(element) == name);
    (is_element && is_known)
        .then(|| start.checked_add(name_length + size_length + (size & (marker - 1))))
        .flatten()
}

/// A number of EBML with the bit that tells its length, and the length.
fn number(content: &Content, start: u64) -> Option<(u64, u64)> {
    let [first] = read::<1>(content, start)?;
    let length = first.leading_zeros() as usize + 1;
    let mut bytes = [0; 8];
    let place = bytes.len().checked_sub(length)?;
    let read = content.read_at(&mut bytes[place..], start).ok()?;
    (read == length).then(|| (u64::from_be_bytes(bytes), length as u64))
}

fn is_cut_in_a_packet(content: &Content) -> bool {
    let head = content.head().unwrap_or_default();
    transport_packet(&head).is_some_and(|packet| !content.length().is_multiple_of(packet as u64))
}

fn read<const LENGTH: usize>(content: &Content, start: u64) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    let length = content.read_at(&mut bytes, start).ok()?;
    (length == LENGTH).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each beginning of a file is cut.
    fn check(format: &str, bytes: &[u8], whole: &[usize]) {
        for length in 12..=bytes.len() {
            let content = Content::Memory(bytes[..length].to_vec().into());
            assert_eq!(is_cut(&content, format), !whole.contains(&length), "{format}: {length}");
        }
    }

    #[test]
    fn boxes_say_where_they_end() {
        let mut file = b"\0\0\0\x0Cftypmp42\0\0\0\x01moof\0\0\0\0\0\0\0\x14abcd\0\0\0\x09mdatx".to_vec();
        let all = file.len();
        // Less than the head of a box says nothing.
        let heads = (12..28).chain(32..40);
        let whole: Vec<usize> = heads.chain([all]).collect();
        check("mov,mp4,m4a,3gp,3g2,mj2", &file, &whole);
        file.extend(b"trailing words, of which none is a box");
        check(
            "mov,mp4",
            &file,
            &whole.into_iter().chain(all..=file.len()).collect::<Vec<_>>(),
        );
        let endless = Content::Memory(b"\0\0\0\0mdat and so on".as_slice().into());
        assert!(!is_cut(&endless, "mp4"));
    }

    #[test]
    fn chunks_of_avi_say_where_they_end() {
        let file = b"RIFF\x06\0\0\0AVI abRIFF\x04\0\0\0AVIX".as_slice();
        let whole: Vec<usize> = (14..22).chain([file.len()]).collect();
        check("avi", file, &whole);
        for size in [0u32, u32::MAX] {
            let unfinished = [b"RIFF", &size.to_le_bytes()[..], b"AVI LIST"].concat();
            assert!(!is_cut(&Content::Memory(unfinished.into()), "avi"));
        }
    }

    #[test]
    fn elements_of_matroska_say_where_they_end() {
        let file = b"\x1A\x45\xDF\xA3\x82ab\xEC\x81x\x18\x53\x80\x67\x01\0\0\0\0\0\0\x03abc".as_slice();
        // What is cut inside the head of an element says nothing.
        let whole: Vec<usize> = (12..22).chain([file.len()]).collect();
        check("matroska,webm", file, &whole);
        let live = b"\x1A\x45\xDF\xA3\x82ab\x18\x53\x80\x67\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFFabc".as_slice();
        assert!(!is_cut(&Content::Memory(live.into()), "matroska,webm"));
        let live = b"\x1A\x45\xDF\xA3\x82ab\x18\x53\x80\x67\xFFabc".as_slice();
        assert!(!is_cut(&Content::Memory(live.into()), "matroska,webm"));
    }

    #[test]
    fn transport_streams_end_with_a_packet() {
        let stream: Vec<u8> = (0..1880).map(|place| if place % 188 == 0 { 0x47 } else { 0 }).collect();
        for (length, cut) in [(1880, false), (1879, true), (1692, false), (1693, true)] {
            let content = Content::Memory(stream[..length].to_vec().into());
            assert_eq!(is_cut(&content, "mpegts"), cut, "{length}");
            assert!(!is_cut(&content, "ogg"), "it has no sizes");
        }
    }
}
