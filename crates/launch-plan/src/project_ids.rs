//! `disk/xfs`: the numbers of projects, by which XFS knows whose a sandbox is.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// The numbers that an agent may give, and which of them are taken.
#[derive(Clone, Debug)]
pub struct ProjectIds {
    ranges: Vec<RangeInclusive<u32>>,
    taken: BTreeSet<u32>,
}

impl ProjectIds {
    /// All of them are free.
    #[must_use]
    pub const fn new(ranges: Vec<RangeInclusive<u32>>) -> Self {
        Self { ranges, taken: BTreeSet::new() }
    }

    /// Takes one that is free, the lowest of the first range that has one.
    pub fn take(&mut self) -> Option<u32> {
        let free = self.ranges.iter().find_map(|range| lowest(range, &self.taken))?;
        self.taken.insert(free);
        Some(free)
    }

    /// Whether there is one to take.
    #[must_use]
    pub fn has_free(&self) -> bool {
        self.ranges.iter().any(|range| lowest(range, &self.taken).is_some())
    }

    /// Takes that one, of a sandbox that an earlier agent gave it.
    pub fn keep(&mut self, id: u32) {
        self.taken.insert(id);
    }

    /// Gives one back.
    pub fn give_back(&mut self, id: u32) {
        self.taken.remove(&id);
    }
}

fn lowest(range: &RangeInclusive<u32>, taken: &BTreeSet<u32>) -> Option<u32> {
    if range.is_empty() {
        return None;
    }
    let mut free = *range.start();
    for id in taken.range(range.clone()) {
        if *id != free {
            break;
        }
        free = free.checked_add(1).filter(|next| range.contains(next))?;
    }
    Some(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_once_until_they_are_given_back() {
        let mut ids = ProjectIds::new(vec![5..=6, u32::MAX..=u32::MAX]);
        ids.keep(5);
        ids.keep(77);
        assert_eq!([ids.take(), ids.take(), ids.take()], [Some(6), Some(u32::MAX), None]);
        ids.give_back(77);
        assert!(!ids.has_free());
        assert_eq!(ids.take(), None);
        ids.give_back(5);
        assert_eq!([ids.take(), ids.take()], [Some(5), None]);
    }

    #[test]
    fn no_range_has_no_numbers() {
        #[expect(clippy::reversed_empty_ranges, reason = "it is empty on purpose")]
        let empty = 9..=8;
        assert_eq!(ProjectIds::new(vec![empty]).take(), None);
        assert_eq!(ProjectIds::new(Vec::new()).take(), None);
    }
}
