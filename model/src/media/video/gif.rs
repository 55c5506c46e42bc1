//! Whether a GIF moves. FFmpeg decodes those that do.

/// Whether a content is a GIF of several frames: as far as its blocks can be followed, without decoding.
pub(super) fn has_several_frames(bytes: &[u8]) -> bool {
    frames(bytes).is_some_and(|frames| frames > 1)
}

/// How many frames begin in a GIF, counted up to two; `None` if it is none.
fn frames(bytes: &[u8]) -> Option<u32> {
    let mut rest = bytes
        .strip_prefix(b"GIF87a")
        .or_else(|| bytes.strip_prefix(b"GIF89a"))?;
    let screen = take(&mut rest, 7)?;
    take(&mut rest, palette(screen[4]))?;
    let mut frames = 0;
    while frames < 2 {
        let followed = match rest.split_off_first() {
            // An extension: its kind, and blocks.
            Some(0x21) => take(&mut rest, 1).and_then(|_| blocks(&mut rest)),
            // A frame: its place, a palette, the size of codes, and blocks.
            Some(0x2C) => {
                frames += 1;
                take(&mut rest, 9)
                    .and_then(|place| take(&mut rest, palette(place[8]) + 1))
                    .and_then(|_| blocks(&mut rest))
            }
            _ => None,
        };
        if followed.is_none() {
            break;
        }
    }
    Some(frames)
}

/// The bytes of a palette, by the byte that tells of it.
fn palette(packed: u8) -> usize {
    match packed & 0x80 {
        0 => 0,
        _ => 3 << ((packed & 7) + 1),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    rest.split_off(..length)
}

/// Passes blocks up to the empty one that ends them.
fn blocks(rest: &mut &[u8]) -> Option<()> {
    loop {
        match rest.split_off_first()? {
            0 => return Some(()),
            length => take(rest, usize::from(*length))?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_without_decoding() {
        let header = b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xFF\xFF\xFF".as_slice();
        let control = b"\x21\xF9\x04\0\x0A\0\0\0".as_slice();
        let frame = b"\x2C\0\0\0\0\x02\0\x02\0\0\x02\x02\x84\x51\0".as_slice();
        let gif = |parts: &[&[u8]]| [&[header], parts].concat().concat();
        assert_eq!(frames(&gif(&[control, frame, b"\x3B"])), Some(1));
        assert_eq!(frames(&gif(&[control, frame, control, frame, b"\x3B"])), Some(2));
        assert_eq!(frames(&gif(&[frame, frame, frame])), Some(2));
        // Cut off inside the second frame, inside the first, and in the header.
        let two = gif(&[frame, frame]);
        assert_eq!(frames(&two[..two.len() - 4]), Some(2));
        assert_eq!(frames(&two[..header.len() + 3]), Some(1));
        assert_eq!(frames(&two[..10]), None);
        assert_eq!(frames(b"GIF90a"), None);
    }
}
