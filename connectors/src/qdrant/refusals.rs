//! Whether it is points that a Qdrant refuses, or all writing.

/// So many points in a row that are refused for one reason are not at fault themselves: what is wrong with a point was
/// looked for before, and the server names what it finds.
const MANY: usize = 16;

/// The points that were refused since one was taken.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    collection: String,
    reason: String,
    count: usize,
}

impl Refusals {
    /// Takes note of a write to `collection`. Gives how many points in a row were refused, and why, if that is no matter
    /// of the points (a quota, a limit, a mode of the collection).
    pub(super) fn note(
        &mut self,
        collection: &str,
        accepted: usize,
        refused: &[(usize, String)],
    ) -> Option<(usize, &str)> {
        let Some((_, reason)) = refused.first().filter(|_| accepted == 0) else {
            self.count = 0;
            return None;
        };
        if self.collection != collection || self.reason != *reason {
            *self = Self {
                collection: collection.to_string(),
                reason: reason.clone(),
                count: 0,
            };
        }
        if refused.iter().any(|(_, other)| other != reason) {
            self.count = 0;
            return None;
        }
        self.count += refused.len();
        (self.count >= MANY).then_some((self.count, &self.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(count: usize, reason: &str) -> Vec<(usize, String)> {
        (0..count).map(|index| (index, reason.to_string())).collect()
    }

    #[test]
    fn many_points_in_a_row_that_are_refused_for_one_reason_are_not_at_fault() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.note("a", 0, &refused(15, "quota")), None);
        assert_eq!(refusals.note("a", 0, &refused(1, "quota")), Some((16, "quota")));
        assert_eq!(refusals.note("a", 0, &refused(15, "other")), None, "another reason");
        assert_eq!(refusals.note("b", 0, &refused(15, "other")), None, "another collection");
        assert_eq!(refusals.note("b", 1, &refused(100, "other")), None, "one was taken");
        assert_eq!(refusals.note("b", 0, &refused(15, "other")), None);
        let named: Vec<_> = (0..100).map(|index| (index, format!("point {index} is bad"))).collect();
        assert_eq!(refusals.note("b", 0, &named), None, "each has a reason of its own");
        assert_eq!(refusals.note("b", 0, &[]), None, "nothing was written");
    }
}
