//! What is known by an id: a map that finds it in one step, however many there are.

#![expect(
    clippy::disallowed_types,
    reason = "a map whose hasher has the seed of the allocator has one order; none is iterated"
)]

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

/// Things by id. Others may choose ids, but not know the seed, so nobody can aim
/// at collisions.
pub(crate) struct ById<K, V>(HashMap<K, V, Seed>);

impl<K: Eq + Hash, V> ById<K, V> {
    pub(crate) fn new(seed: u64) -> Self {
        Self(HashMap::with_hasher(Seed(seed)))
    }

    pub(crate) fn get(&self, id: &K) -> Option<&V> {
        self.0.get(id)
    }

    pub(crate) fn insert(&mut self, id: K, thing: V) {
        self.0.insert(id, thing);
    }

    pub(crate) fn remove(&mut self, id: &K) {
        self.0.remove(id);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Clone, Copy)]
struct Seed(u64);

impl BuildHasher for Seed {
    type Hasher = TextHasher;

    fn build_hasher(&self) -> TextHasher {
        TextHasher(self.0 ^ FACTOR)
    }
}

/// Mixes text, eight bytes at a time.
struct TextHasher(u64);

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl TextHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR ^ self.0.rotate_left(29) | 1);
        let (high, low) = (product >> 64, product & u128::from(u64::MAX));
        self.0 = u64::try_from(high ^ low).expect("both are halves of 128 bits");
    }
}

impl Hasher for TextHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.mix(u64::from_le_bytes(last) ^ length << 56);
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_differ_little_are_far_apart() {
        for seed in [0, 1, u64::MAX] {
            let hash = |at: usize| Seed(seed).hash_one(format!("6f1c5a0e-52b1-4f6b-8f0e-8a4c4e0d7c11-S{at}"));
            let all: std::collections::BTreeSet<_> = (0..20_000).map(hash).collect();
            assert_eq!(all.len(), 20_000);
            // The map takes the low bits for the place and the high ones for a tag.
            let low: std::collections::BTreeSet<_> = all.iter().map(|hash| hash & 0x7fff).collect();
            let high: std::collections::BTreeSet<_> = all.iter().map(|hash| hash >> 57).collect();
            assert!(low.len() > 14_000 && high.len() == 128, "{} and {}", low.len(), high.len());
        }
    }

    #[test]
    fn what_is_gone_is_not_found() {
        let mut map = ById::new(7);
        map.insert("a".to_owned(), 1);
        map.insert("b".to_owned(), 2);
        map.remove(&"a".to_owned());
        assert_eq!((map.get(&"a".to_owned()), map.get(&"b".to_owned()), map.len()), (None, Some(&2), 1));
    }
}
