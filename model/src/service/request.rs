//! What is asked of the service, and when two callers ask the same.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use crate::reference::{Fragment, split_part};

/// One hasher for all requests, so that an address is hashed once, however many of its parts are asked for.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A part as a key: two parts are equal if their numbers are the same to the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum PartKey {
    Time(u64, Option<u64>),
    Page(u32),
}

impl From<Fragment> for PartKey {
    fn from(part: Fragment) -> Self {
        match part {
            Fragment::Time { start, end } => Self::Time(start.to_bits(), end.map(f64::to_bits)),
            Fragment::Page(page) => Self::Page(page),
        }
    }
}

/// A medium or a part of it, and the instruction to embed it with. Clones share the texts: a `data:` URL of megabytes is
/// there once, whatever the number of its parts.
///
/// Two are equal if they name the same part of the same address, however the part is spelled.
#[derive(Debug, Clone)]
pub(super) struct Request {
    text: Arc<str>,
    /// How much of `text` is the address.
    address: usize,
    hash: u64,
    part: Option<Fragment>,
    instruction: Option<Arc<str>>,
}

impl Request {
    pub(super) fn new(reference: &str, instruction: Option<&str>) -> Self {
        let (address, part) = split_part(reference);
        Self {
            text: reference.into(),
            address: address.len(),
            hash: HASHER.hash_one(address),
            part,
            instruction: instruction.map(Arc::from),
        }
    }

    /// The same for a part of the medium, which this names as a whole.
    pub(super) fn of_part(&self, part: Fragment) -> Self {
        Self {
            part: Some(part),
            ..self.clone()
        }
    }

    /// As the caller wrote it, or the caller of the whole.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn address(&self) -> &str {
        &self.text[..self.address]
    }

    pub(super) fn part(&self) -> Option<Fragment> {
        self.part
    }

    pub(super) fn instruction(&self) -> Option<&Arc<str>> {
        self.instruction.as_ref()
    }
}

impl PartialEq for Request {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.part.map(PartKey::from) == other.part.map(PartKey::from)
            && self.instruction == other.instruction
            && (Arc::ptr_eq(&self.text, &other.text) || self.address() == other.address())
    }
}

impl Eq for Request {}

impl Hash for Request {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
        self.part.map(PartKey::from).hash(state);
        self.instruction.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_the_same_however_it_is_spelled_and_whoever_asks() {
        let whole = Request::new("v.mp4", Some("it"));
        let part = Fragment::Time {
            start: 0.0,
            end: Some(30.0),
        };
        let (hash, spelled) = (
            |request: &Request| HASHER.hash_one(request),
            ["v.mp4#t=0,30", "v.mp4#t=0:00,0:30"],
        );
        for spelled in spelled.map(|text| Request::new(text, Some("it"))) {
            assert_eq!(spelled, whole.of_part(part));
            assert_eq!(hash(&spelled), hash(&whole.of_part(part)));
            assert_ne!(spelled, whole);
        }
        for other in ["v.mp4#t=0,31", "v.mp4#t=0", "w.mp4#t=0,30", "v.mp4#page=1"] {
            assert_ne!(Request::new(other, Some("it")), whole.of_part(part), "{other}");
        }
        assert_ne!(Request::new("v.mp4#t=0,30", None), whole.of_part(part));
    }
}
