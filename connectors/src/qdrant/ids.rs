//! Point ids: what the `id` column becomes in Qdrant.

use std::fmt;

use uuid::Uuid;

/// The namespace of the version 5 UUIDs that stand for texts which are neither a number nor a UUID. It never changes:
/// another namespace would give every such row a second point.
pub const TEXT_ID_NAMESPACE: Uuid = Uuid::from_u128(0x5f0e_7c64_92b1_4d3a_8e57_1c9a_64d2_0b3f);

/// A point's id, of the two kinds that Qdrant knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PointId {
    /// An unsigned 64-bit number.
    Number(u64),
    /// A UUID.
    Uuid(Uuid),
}

impl PointId {
    /// The id for a text:
    /// - the decimal digits of a `u64` without sign or leading zeros: that number;
    /// - a UUID in the hyphenated form, in either case: that UUID;
    /// - anything else: the version 5 UUID of the text in [`TEXT_ID_NAMESPACE`].
    ///
    /// The same text always gives the same id, so a row that is written again overwrites itself.
    pub fn from_text(text: &str) -> Self {
        if let Some(number) = canonical_number(text) {
            return Self::Number(number);
        }
        if text.len() == 36
            && let Ok(uuid) = Uuid::try_parse(text)
        {
            return Self::Uuid(uuid);
        }
        Self::Uuid(Uuid::new_v5(&TEXT_ID_NAMESPACE, text.as_bytes()))
    }

    /// The id for a signed number: itself from 0 up. Qdrant has no negative ids, so a negative number is taken as its
    /// decimal text.
    pub fn from_signed(number: i64) -> Self {
        u64::try_from(number).map_or_else(|_| Self::from_text(&number.to_string()), Self::Number)
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Uuid(uuid) => write!(formatter, "{uuid}"),
        }
    }
}

/// The number that `text` is the only decimal form of.
fn canonical_number(text: &str) -> Option<u64> {
    let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits_only && (text.len() == 1 || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_uuids_are_ids_as_they_are() {
        assert_eq!(PointId::from_text("0"), PointId::Number(0));
        assert_eq!(PointId::from_text("18446744073709551615"), PointId::Number(u64::MAX));
        let uuid = "936da01f-9abd-4d9d-80c7-02af85c822a8";
        assert_eq!(PointId::from_text(uuid).to_string(), uuid);
        assert_eq!(PointId::from_text(&uuid.to_uppercase()).to_string(), uuid);
    }

    #[test]
    fn texts_that_only_look_like_numbers_are_texts() {
        for text in ["007", "+7", "-7", "7.0", " 7", "", "18446744073709551616"] {
            assert!(matches!(PointId::from_text(text), PointId::Uuid(_)), "{text:?}");
        }
        assert_ne!(PointId::from_text("007"), PointId::from_text("7"));
    }

    #[test]
    fn a_text_has_one_id_for_ever() {
        assert_eq!(
            PointId::from_text("sku/12").to_string(),
            "b8fb8403-0c81-5b30-b068-28eff8e894e9"
        );
    }

    #[test]
    fn a_negative_number_is_its_text() {
        assert_eq!(PointId::from_signed(7), PointId::Number(7));
        assert_eq!(PointId::from_signed(-7), PointId::from_text("-7"));
    }
}
