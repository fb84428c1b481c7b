//! Numbers of ranges that an operator names, each given once at a time: projects of XFS, groups of volumes.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// The numbers that an agent may give, and which of them are taken.
#[derive(Clone, Debug)]
pub struct NumberPool {
    ranges: Vec<RangeInclusive<u32>>,
    taken: BTreeSet<u32>,
}

impl NumberPool {
    /// All of them are free. No number is in two ranges.
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

    /// Takes that one, which an earlier agent gave. It may be of no range: that agent may have had others.
    pub fn keep(&mut self, number: u32) {
        self.taken.insert(number);
    }

    /// Gives one back.
    pub fn give_back(&mut self, number: u32) {
        self.taken.remove(&number);
    }

    /// Whether it is of the ranges, taken or not.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        self.ranges.iter().any(|range| range.contains(&number))
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        let ranges = self.ranges.iter().filter(|range| !range.is_empty());
        ranges.map(|range| u64::from(range.end() - range.start()) + 1).sum()
    }

    /// How many of them are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        let taken = self.taken.iter().filter(|number| self.contains(**number)).count();
        self.total() - u64::try_from(taken).unwrap_or(u64::MAX)
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
        let mut pool = NumberPool::new(vec![5..=6, u32::MAX..=u32::MAX]);
        pool.keep(5);
        pool.keep(77);
        assert_eq!((pool.total(), pool.free()), (3, 2));
        assert!(pool.contains(5) && !pool.contains(77));
        assert_eq!([pool.take(), pool.take(), pool.take()], [Some(6), Some(u32::MAX), None]);
        pool.give_back(77);
        assert!(!pool.has_free());
        assert_eq!((pool.take(), pool.free()), (None, 0));
        pool.give_back(5);
        assert_eq!([pool.take(), pool.take()], [Some(5), None]);
    }

    #[test]
    fn no_range_has_no_numbers() {
        #[expect(clippy::reversed_empty_ranges, reason = "it is empty on purpose")]
        let empty = 9..=8;
        let mut pool = NumberPool::new(vec![empty]);
        assert_eq!((pool.take(), pool.total(), pool.free()), (None, 0, 0));
        assert_eq!(NumberPool::new(Vec::new()).take(), None);
    }
}
