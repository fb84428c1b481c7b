//! Sorted, coalesced ranges of whole numbers, such as ports.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

/// A list under construction: as long as those of busy agents are, so that the one allocation is that of the result.
type Draft = SmallVec<[Range; 32]>;

/// The numbers from `begin` to `end`, both included. Never reversed inside [`Ranges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The first number.
    pub begin: u64,
    /// The last number.
    pub end: u64,
}

impl Range {
    /// How many numbers there are; saturates for the whole 64-bit range.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.begin).saturating_add(1)
    }

    /// A range has at least one number.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }
}

/// A set of whole numbers as sorted ranges that neither overlap nor touch.
///
/// Cloning costs a counter; every change builds a new list.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Ranges(Arc<[Range]>);

impl Ranges {
    /// The numbers of all the ranges, which may come in any order and overlap.
    /// Reversed ranges have no numbers.
    pub fn new(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut ranges: Vec<Range> = ranges.into_iter().filter(|r| r.begin <= r.end).collect();
        coalesce(&mut ranges);
        Self(ranges.into())
    }

    /// One range.
    #[must_use]
    pub fn one(begin: u64, end: u64) -> Self {
        Self::new([Range { begin, end }])
    }

    /// The ranges, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Range] {
        &self.0
    }

    /// Whether there are no numbers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers there are; saturates.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, range| sum.saturating_add(range.len()))
    }

    /// Whether `number` is one of them.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        let after = self.0.partition_point(|range| range.begin <= number);
        after.checked_sub(1).is_some_and(|at| self.0[at].end >= number)
    }

    /// Whether every number of `other` is one of these.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.0, &other.0) {
            return true;
        }
        let mut mine = self.0.iter();
        let mut current = mine.next();
        other.0.iter().all(|theirs| {
            while current.is_some_and(|range| range.end < theirs.begin) {
                current = mine.next();
            }
            current.is_some_and(|range| range.begin <= theirs.begin && theirs.end <= range.end)
        })
    }

    /// The numbers of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        // Both are sorted, so they are merged and joined in one pass.
        let mut all = Draft::new();
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let Some(next) = match (mine.peek(), theirs.peek()) {
            (Some(left), Some(right)) if right.begin < left.begin => theirs.next(),
            (Some(_), _) => mine.next(),
            (None, _) => theirs.next(),
        } {
            match all.last_mut() {
                Some(last) if last.end.checked_add(1).is_none_or(|after| next.begin <= after) => {
                    last.end = last.end.max(next.end);
                }
                Some(_) | None => all.push(*next),
            }
        }
        Self(all.as_slice().into())
    }

    /// The numbers of these that `other` has not.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        if self == other {
            return Self::default();
        }
        let mut left = Draft::new();
        let mut holes = other.0.iter().copied().peekable();
        for range in self.0.iter().copied() {
            let mut begin = Some(range.begin);
            while let (Some(from), Some(hole)) = (begin, holes.peek().copied()) {
                if hole.end < from {
                    holes.next();
                } else if hole.begin > range.end {
                    break;
                } else {
                    if hole.begin > from {
                        left.push(Range { begin: from, end: hole.begin - 1 });
                    }
                    // The hole may reach into the next range, so it stays.
                    begin = hole.end.checked_add(1).filter(|next| *next <= range.end);
                }
            }
            if let Some(begin) = begin {
                left.push(Range { begin, end: range.end });
            }
        }
        Self(left.as_slice().into())
    }
}

/// Sorts ranges and joins those that overlap or touch.
fn coalesce(ranges: &mut Vec<Range>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joins = last.end.checked_add(1).is_none_or(|after| next.begin <= after);
        if joins {
            last.end = last.end.max(next.end);
        }
        joins
    });
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (at, Range { begin, end }) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{begin}-{end}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges(pairs: &[(u64, u64)]) -> Ranges {
        Ranges::new(pairs.iter().map(|&(begin, end)| Range { begin, end }))
    }

    #[test]
    fn coalesce_joins_neighbours() {
        for (pairs, text) in [
            (&[(1, 2), (3, 4)][..], "[1-4]"),
            (&[(5, 9), (1, 3), (2, 6)], "[1-9]"),
            (&[(1, 2), (4, 5)], "[1-2, 4-5]"),
            (&[(4, 3)], "[]"),
            (&[(0, u64::MAX), (7, 7)], "[0-18446744073709551615]"),
        ] {
            assert_eq!(ranges(pairs).to_string(), text);
        }
    }

    #[test]
    fn difference_at_the_end_of_the_world() {
        let all = ranges(&[(0, u64::MAX)]);
        let left = all.difference(&ranges(&[(0, 0), (u64::MAX, u64::MAX)]));
        assert_eq!(left, ranges(&[(1, u64::MAX - 1)]));
        assert_eq!(all.count(), u64::MAX);
        assert!(all.difference(&all).is_empty());
    }

    fn small() -> impl Strategy<Value = Ranges> {
        prop::collection::vec((0_u64..60, 0_u64..8), 0..8).prop_map(|pairs| {
            Ranges::new(pairs.into_iter().map(|(begin, len)| Range { begin, end: begin + len }))
        })
    }

    fn numbers(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.as_slice().iter().flat_map(|r| r.begin..=r.end).collect()
    }

    proptest! {
        #[test]
        fn agree_with_sets_of_numbers(a in small(), b in small()) {
            let (left, right) = (numbers(&a), numbers(&b));
            prop_assert_eq!(numbers(&a.union(&b)), &left | &right);
            prop_assert_eq!(numbers(&a.difference(&b)), &left - &right);
            prop_assert_eq!(a.contains(&b), right.is_subset(&left));
            prop_assert_eq!(a.count(), left.len() as u64);
            for number in 0..70 {
                prop_assert_eq!(a.has(number), left.contains(&number));
            }
        }
    }
}
