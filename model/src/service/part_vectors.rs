//! The vectors of parts that were computed last: a second statement over the same video does not decode it again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::flight::Vector;
use super::request::PartKey;
use crate::fetch::Identity;

/// What an entry takes besides its vector and its instruction: keys and nodes of the two maps.
const ENTRY_BYTES: usize = 256;

/// Which vector it is: of this part of this content, with this instruction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PartVectorKey {
    pub(super) content: Identity,
    pub(super) part: PartKey,
    pub(super) instruction: Option<Arc<str>>,
}

/// A number of bytes of vectors, those that were not used for the longest time forgotten first.
#[derive(Debug)]
pub(super) struct PartVectors {
    most_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    vectors: HashMap<PartVectorKey, (Vector, u64)>,
    /// By when they were used.
    by_use: BTreeMap<u64, PartVectorKey>,
    uses: u64,
    bytes: usize,
}

impl PartVectors {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vector, if it is known.
    pub(super) fn get(&self, key: &PartVectorKey) -> Option<Vector> {
        let mut state = self.lock();
        let State {
            vectors, by_use, uses, ..
        } = &mut *state;
        let (vector, used) = vectors.get_mut(key)?;
        let key = by_use.remove(used)?;
        *uses += 1;
        *used = *uses;
        by_use.insert(*uses, key);
        Some(Arc::clone(vector))
    }

    /// Keeps a vector.
    pub(super) fn insert(&self, key: PartVectorKey, vector: Vector) {
        let bytes = bytes(&key, &vector);
        if bytes > self.most_bytes {
            return;
        }
        let mut state = self.lock();
        state.remove(&key);
        while state.bytes + bytes > self.most_bytes
            && let Some((_, oldest)) = state.by_use.pop_first()
        {
            state.remove(&oldest);
        }
        state.uses += 1;
        let uses = state.uses;
        state.bytes += bytes;
        state.by_use.insert(uses, key.clone());
        state.vectors.insert(key, (vector, uses));
    }
}

impl State {
    fn remove(&mut self, key: &PartVectorKey) {
        if let Some((vector, used)) = self.vectors.remove(key) {
            self.by_use.remove(&used);
            self.bytes -= bytes(key, &vector);
        }
    }
}

fn bytes(key: &PartVectorKey, vector: &Vector) -> usize {
    ENTRY_BYTES + size_of_val(&**vector) + key.instruction.as_ref().map_or(0, |text| text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(page: u32) -> PartVectorKey {
        PartVectorKey {
            content: Identity([7; 16]),
            part: PartKey::Page(page),
            instruction: Some("12345678".into()),
        }
    }

    fn vector(number: f32) -> Vector {
        vec![number; 2].into()
    }

    #[test]
    fn the_vectors_that_were_not_used_for_the_longest_time_go_first() {
        let vectors = PartVectors::new(3 * (ENTRY_BYTES + 16));
        for page in 1..=3 {
            vectors.insert(key(page), vector(page as f32));
        }
        assert_eq!(vectors.get(&key(1)), Some(vector(1.0)));
        vectors.insert(key(3), vector(3.5));
        vectors.insert(key(4), vector(4.0));
        assert_eq!(vectors.get(&key(2)), None);
        assert_eq!(vectors.get(&key(1)), Some(vector(1.0)));
        assert_eq!(vectors.get(&key(3)), Some(vector(3.5)));
        let other = PartVectorKey {
            instruction: None,
            ..key(1)
        };
        assert_eq!(vectors.get(&other), None);
        for page in 5..100 {
            vectors.insert(key(page), vector(0.0));
        }
        let state = vectors.lock();
        assert_eq!(
            (state.vectors.len(), state.by_use.len(), state.bytes),
            (3, 3, vectors.most_bytes)
        );
    }

    #[test]
    fn nothing_is_kept_where_nothing_may_be() {
        let vectors = PartVectors::new(0);
        vectors.insert(key(1), vector(1.0));
        assert_eq!(vectors.get(&key(1)), None);
    }
}
