//! Sets of small numbers, one bit each: thousands of members are passed by in a few steps.

/// A set of places of an arena.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

/// Which word a place is in, and its bit there.
fn split(place: usize) -> (usize, u64) {
    (place / 64, 1 << (place % 64))
}

impl Bits {
    /// Nothing.
    pub(crate) const EMPTY: Self = Self { words: Vec::new() };

    pub(crate) fn has(&self, place: usize) -> bool {
        let (at, bit) = split(place);
        self.words.get(at).is_some_and(|word| word & bit != 0)
    }

    /// Adds a place, and says whether it was not there before.
    pub(crate) fn insert(&mut self, place: usize) -> bool {
        let (at, bit) = split(place);
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        let is_new = self.words[at] & bit == 0;
        self.words[at] |= bit;
        is_new
    }

    /// Takes a place out, and says whether it was there.
    pub(crate) fn remove(&mut self, place: usize) -> bool {
        let (at, bit) = split(place);
        let Some(word) = self.words.get_mut(at) else { return false };
        let was_there = *word & bit != 0;
        *word &= !bit;
        was_there
    }

    /// Takes all out, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.words.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Adds all of another set.
    pub(crate) fn extend(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        self.words.iter_mut().zip(&other.words).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// Adds what all of the other sets have.
    pub(crate) fn extend_with_common<'a>(&mut self, others: impl Iterator<Item = &'a Self> + Clone) {
        let Some(len) = others.clone().map(|other| other.words.len()).min() else { return };
        if self.words.len() < len {
            self.words.resize(len, 0);
        }
        for (at, mine) in self.words.iter_mut().enumerate().take(len) {
            *mine |= others.clone().fold(u64::MAX, |common, other| common & other.words[at]);
        }
    }

    /// What is here and not in another set, in ascending order.
    pub(crate) fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> {
        self.words_without(other).enumerate().flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let bit = usize::try_from(word.trailing_zeros()).expect("at most 64");
                (word != 0).then(|| {
                    word &= word - 1;
                    at * 64 + bit
                })
            })
        })
    }

    /// How many are here and not in another set.
    pub(crate) fn count_without(&self, other: &Self) -> usize {
        let ones = |word: u64| usize::try_from(word.count_ones()).expect("at most 64");
        self.words_without(other).map(ones).sum()
    }

    fn words_without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> {
        let others = other.words.iter().copied().chain(std::iter::repeat(0));
        self.words.iter().zip(others).map(|(mine, theirs)| mine & !theirs)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use machine::Rng;

    use super::*;

    #[test]
    fn as_any_other_set() {
        let mut rng = Rng::new(3);
        let mut pairs = [0; 2].map(|_| (Bits::default(), BTreeSet::new()));
        for _ in 0..5_000 {
            let place = usize::try_from(rng.below(300)).expect("small");
            let (bits, set) = &mut pairs[usize::from(rng.below(2) == 0)];
            if rng.below(3) == 0 {
                assert_eq!(bits.remove(place), set.remove(&place));
            } else {
                assert_eq!(bits.insert(place), set.insert(place));
            }
            let [(bits, set), (other_bits, other_set)] = &pairs;
            assert_eq!(bits.has(place), set.contains(&place));
            assert_eq!(bits.is_empty(), set.is_empty());
            let left: Vec<_> = set.difference(other_set).copied().collect();
            assert_eq!(bits.count_without(other_bits), left.len());
            assert_eq!(bits.without(other_bits).collect::<Vec<_>>(), left);
        }
        let [(mut bits, set), (other_bits, other_set)] = pairs;
        bits.extend(&other_bits);
        let all: Vec<_> = set.union(&other_set).copied().collect();
        assert_eq!(bits.without(&Bits::default()).collect::<Vec<_>>(), all);
        bits.clear();
        assert!(bits.is_empty());
        bits.extend_with_common([].iter());
        assert!(bits.is_empty());
        let [one, other] = [[1, 70, 200], [1, 71, 200]].map(|places| {
            let mut set = Bits::default();
            assert!(places.into_iter().all(|place| set.insert(place)));
            set
        });
        bits.insert(3);
        bits.extend_with_common([&one, &other].into_iter());
        assert_eq!(bits.without(&Bits::EMPTY).collect::<Vec<_>>(), [1, 3, 200]);
    }
}
