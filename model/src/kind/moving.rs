//! Whether an image moves: a GIF or WebP of several frames, as far as it can be followed without decoding.

use std::io::{BufRead, BufReader, Read};

/// The head of a WebP image of the kind that may move: up to its flags.
const WEBP_HEAD: usize = 21;

/// Whether an image that begins with `head` may move, as is seen by its frames alone: a GIF, or a WebP that says so.
pub fn may_move(head: &[u8]) -> bool {
    is_gif(head) || is_moving_webp(head)
}

/// Whether an image moves: a GIF, or a WebP that says so, in which a second frame begins. Of what has not all come yet, whether
/// that is known already. It is read up to there, and a still image to its end.
pub fn moves(image: impl Read) -> bool {
    let mut image = BufReader::new(image);
    let mut head = Vec::with_capacity(WEBP_HEAD);
    // A GIF's head is shorter.
    let begun = image.by_ref().take(13).read_to_end(&mut head);
    if begun.is_err() {
        return false;
    }
    if is_gif(&head) {
        return gif_moves(&head, &mut image).unwrap_or(false);
    }
    let rest = image.by_ref().take((WEBP_HEAD - 13) as u64).read_to_end(&mut head);
    rest.is_ok() && is_moving_webp(&head) && webp_moves(&head, &mut image).unwrap_or(false)
}

fn is_gif(head: &[u8]) -> bool {
    head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a")
}

/// Whether a content that begins so is a WebP image that says that it moves.
pub(crate) fn is_moving_webp(head: &[u8]) -> bool {
    head.len() >= WEBP_HEAD && &head[..4] == b"RIFF" && &head[8..16] == b"WEBPVP8X" && head[20] & 2 != 0
}

/// Follows a GIF's blocks behind its head.
fn gif_moves(head: &[u8], rest: &mut impl BufRead) -> Option<bool> {
    pass(rest, palette(*head.get(10)?))?;
    let mut frames = 0;
    loop {
        match byte(rest)? {
            // An extension: its kind, and blocks.
            0x21 => pass(rest, 1)?,
            // A frame: its place, a palette, the size of codes, and blocks.
            0x2C => {
                frames += 1;
                if frames > 1 {
                    return Some(true);
                }
                pass(rest, 8)?;
                let packed = byte(rest)?;
                pass(rest, palette(packed) + 1)?;
            }
            _ => return Some(false),
        }
        loop {
            match byte(rest)? {
                0 => break,
                length => pass(rest, u64::from(length))?,
            }
        }
    }
}

/// The bytes of a palette, by the byte that tells of it.
fn palette(packed: u8) -> u64 {
    match packed & 0x80 {
        0 => 0,
        _ => 3 << ((packed & 7) + 1),
    }
}

/// Follows a WebP's chunks behind its head, which ends with the flags of the first one.
fn webp_moves(head: &[u8], rest: &mut impl BufRead) -> Option<bool> {
    /// What stands in a frame's chunk before its image.
    const FRAME_HEAD: u64 = 16;
    let length_at = |at: usize, bytes: &[u8]| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let padded = |length: u32| u64::from(length) + u64::from(length % 2);
    pass(rest, padded(length_at(16, head)?).checked_sub(1)?)?;
    let mut frames = 0;
    loop {
        let mut chunk = [0; 8];
        rest.read_exact(&mut chunk).ok()?;
        let mut length = padded(length_at(4, &chunk)?);
        if chunk.starts_with(b"ANMF") && length >= FRAME_HEAD {
            pass(rest, FRAME_HEAD)?;
            length -= FRAME_HEAD;
            frames += 1;
            if frames > 1 {
                return Some(true);
            }
        }
        pass(rest, length)?;
    }
}

fn byte(rest: &mut impl BufRead) -> Option<u8> {
    let byte = *rest.fill_buf().ok()?.first()?;
    rest.consume(1);
    Some(byte)
}

/// Passes so many bytes; `None` where there are fewer.
fn pass(rest: &mut impl BufRead, mut length: u64) -> Option<()> {
    while length > 0 {
        let there = rest.fill_buf().ok()?.len();
        if there == 0 {
            return None;
        }
        let passed = there.min(usize::try_from(length).unwrap_or(there));
        rest.consume(passed);
        length -= passed as u64;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIF: &[u8] = b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xFF\xFF\xFF";
    const CONTROL: &[u8] = b"\x21\xF9\x04\0\x0A\0\0\0";
    const FRAME: &[u8] = b"\x2C\0\0\0\0\x02\0\x02\0\0\x02\x02\x84\x51\0";

    #[test]
    fn a_gif_of_two_frames_moves() {
        let gif = |parts: &[&[u8]]| [&[GIF], parts].concat().concat();
        assert!(!moves(&gif(&[CONTROL, FRAME, b"\x3B"])[..]));
        assert!(moves(&gif(&[CONTROL, FRAME, CONTROL, FRAME, b"\x3B"])[..]));
        assert!(moves(&gif(&[FRAME, FRAME, FRAME])[..]));
        // A frame more, behind the end.
        assert!(!moves(&gif(&[FRAME, b"\x3B", FRAME])[..]));
        let two = gif(&[CONTROL, FRAME, FRAME]);
        for length in 0..two.len() {
            // It is known with the byte with which the second begins.
            let begins = two.len() - FRAME.len();
            assert_eq!(moves(&two[..length]), length > begins, "{length}");
        }
        assert!(may_move(GIF) && !may_move(b"GIF90a"));
        assert!(!moves(&b"GIF89a, as it was called, is a format"[..]));
    }

    #[test]
    fn a_webp_of_two_frames_moves() {
        let webp = |flags: u8, frames: usize| {
            let frame = b"ANMF\x13\0\0\0................xyz_".as_slice();
            let head = [b"RIFF____WEBPVP8X\x0A\0\0\0".as_slice(), &[flags], b"_________"].concat();
            [&head[..], b"ICCP\x03\0\0\0abc_", &frame.repeat(frames)].concat()
        };
        for (flags, frames, expected) in [
            (2, 2, true),
            (2, 1, false),
            (2, 0, false),
            (0, 2, false),
            (0x12, 3, true),
        ] {
            assert_eq!(moves(&webp(flags, frames)[..]), expected, "{flags}, {frames}");
            assert_eq!(may_move(&webp(flags, frames)), flags & 2 != 0);
        }
        let two = webp(2, 2);
        let known = two.len() - 4;
        for length in 0..=two.len() {
            assert_eq!(moves(&two[..length]), length >= known, "{length}");
        }
    }
}
