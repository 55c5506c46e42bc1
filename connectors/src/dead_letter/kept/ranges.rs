//! Offsets that are done, as ranges.

use std::collections::BTreeMap;

/// What an encoded text starts with.
const MARK: &str = "sightstream/1";

/// Disjoint ranges of offsets, each with its end, which is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<i64, i64>);

impl Ranges {
    /// Whether `offset` is in one of them.
    pub fn contains(&self, offset: i64) -> bool {
        self.0
            .range(..=offset)
            .next_back()
            .is_some_and(|(_, end)| offset < *end)
    }

    /// Adds the offsets from `start` up to `end`.
    pub fn insert(&mut self, mut start: i64, mut end: i64) {
        if start >= end {
            return;
        }
        while let Some((&other, &other_end)) = self.0.range(..=end).next_back()
            && other_end >= start
        {
            self.0.remove(&other);
            start = start.min(other);
            end = end.max(other_end);
        }
        self.0.insert(start, end);
    }

    /// The first offset from `from` on that is in none of them.
    pub fn first_gap(&self, from: i64) -> i64 {
        let range = self.0.range(..=from).next_back();
        range.map_or(from, |(_, end)| from.max(*end))
    }

    /// The ranges behind `from`, as a text: of each the distance to the one before, and its length.
    pub fn encode(&self, from: i64) -> String {
        let mut text = MARK.to_string();
        let mut before = from;
        for (&start, &end) in self.0.range(from..) {
            text.push_str(&format!(" {:x}.{:x}", start - before, end - start));
            before = end;
        }
        text
    }

    /// The ranges that [`Ranges::encode`] has written; `None` for any other text.
    pub fn decode(from: i64, text: &str) -> Option<Self> {
        let mut ranges = Self::default();
        let mut before = from;
        for range in text.strip_prefix(MARK)?.split_ascii_whitespace() {
            let (distance, length) = range.split_once('.')?;
            let start = before.checked_add(i64::from_str_radix(distance, 16).ok()?)?;
            let end = start.checked_add(i64::from_str_radix(length, 16).ok()?)?;
            if start < before {
                return None;
            }
            ranges.insert(start, end);
            before = end;
        }
        Some(ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(all: &[(i64, i64)]) -> Ranges {
        let mut ranges = Ranges::default();
        all.iter().for_each(|&(start, end)| ranges.insert(start, end));
        ranges
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let all = ranges(&[(5, 6), (0, 2), (9, 9), (2, 3), (8, 12), (6, 9), (20, 21)]);
        assert_eq!(all, ranges(&[(0, 3), (5, 12), (20, 21)]));
        let inside: Vec<i64> = (-1..22).filter(|&offset| all.contains(offset)).collect();
        assert_eq!(inside, [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 20]);
        assert_eq!(
            [-1, 0, 3, 5, 20, 21].map(|from| all.first_gap(from)),
            [-1, 3, 3, 12, 21, 21]
        );
    }

    #[test]
    fn a_text_keeps_the_ranges_behind_an_offset() {
        let all = ranges(&[(0, 3), (5, 12), (1000, 5000)]);
        let text = all.encode(3);
        assert_eq!(text, "sightstream/1 2.7 3dc.fa0");
        assert_eq!(Ranges::decode(3, &text), Some(ranges(&[(5, 12), (1000, 5000)])));
        assert_eq!(Ranges::decode(7, &Ranges::default().encode(7)), Some(Ranges::default()));
        for other in [
            "",
            "x",
            "sightstream/1 1",
            "sightstream/1 1.g",
            "sightstream/1 -1.1",
            "sightstream/1 1.7fffffffffffffff",
        ] {
            assert_eq!(Ranges::decode(3, other), None, "{other}");
        }
    }
}
