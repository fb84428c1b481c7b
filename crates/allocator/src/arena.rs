//! Dense places for long-lived things, named by small keys that never mislead.

use std::marker::PhantomData;

/// Names one place of an [`Arena`]. A key of something that is gone finds nothing,
/// even after its place was taken by another.
pub(crate) struct Key<T> {
    at: u32,
    age: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The key as one number, unique over the life of the arena.
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.age) << 32 | u64::from(self.at)
    }

    /// The place that it names: small, and used again when this is gone.
    pub(crate) fn place(self) -> usize {
        index(self.at)
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl<T> Eq for Key<T> {}

impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bits().cmp(&other.bits())
    }
}

impl<T> std::hash::Hash for Key<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.bits());
    }
}

impl<T> std::fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}.{}", self.at, self.age)
    }
}

struct Place<T> {
    age: u32,
    held: Option<T>,
}

/// Things in numbered places; freed places are used again.
pub(crate) struct Arena<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Arena<T> {
    pub(crate) fn insert(&mut self, thing: T) -> Key<T> {
        self.insert_with(|_| thing)
    }

    /// Inserts a thing that must know its own key.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key<T>) -> T) -> Key<T> {
        let at = self.free.pop().unwrap_or_else(|| {
            let at = u32::try_from(self.places.len()).expect("fewer than 2^32 things fit in memory");
            self.places.push(Place { age: 0, held: None });
            at
        });
        let place = &mut self.places[index(at)];
        place.age = place.age.wrapping_add(1);
        let key = Key { at, age: place.age, of: PhantomData };
        place.held = Some(make(key));
        key
    }

    pub(crate) fn remove(&mut self, key: Key<T>) -> Option<T> {
        let place = self.places.get_mut(index(key.at)).filter(|place| place.age == key.age)?;
        let thing = place.held.take()?;
        self.free.push(key.at);
        Some(thing)
    }

    pub(crate) fn get(&self, key: Key<T>) -> Option<&T> {
        self.places.get(index(key.at)).filter(|place| place.age == key.age)?.held.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        self.places.get_mut(index(key.at)).filter(|place| place.age == key.age)?.held.as_mut()
    }

    /// Two different things at once.
    pub(crate) fn pair_mut(&mut self, one: Key<T>, other: Key<T>) -> (&mut T, &mut T) {
        let places = self.places.get_disjoint_mut([index(one.at), index(other.at)]);
        let [first, second] = places.expect("two keys of living things name two places");
        assert!(first.age == one.age && second.age == other.age, "the keys' things live");
        let lives = "the key's owner keeps it only while the thing lives";
        (first.held.as_mut().expect(lives), second.held.as_mut().expect(lives))
    }

    /// How many places there are, taken or not.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// The key of what is in a place.
    pub(crate) fn key_at(&self, at: usize) -> Option<Key<T>> {
        let place = self.places.get(at).filter(|place| place.held.is_some())?;
        Some(Key { at: u32::try_from(at).ok()?, age: place.age, of: PhantomData })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.places.iter().zip(0_u32..).filter_map(|(place, at)| {
            let key = Key { at, age: place.age, of: PhantomData };
            place.held.as_ref().map(|thing| (key, thing))
        })
    }
}

impl<T> std::ops::Index<Key<T>> for Arena<T> {
    type Output = T;

    fn index(&self, key: Key<T>) -> &T {
        self.get(key).expect("the key's owner keeps it only while the thing lives")
    }
}

impl<T> std::ops::IndexMut<Key<T>> for Arena<T> {
    fn index_mut(&mut self, key: Key<T>) -> &mut T {
        self.get_mut(key).expect("the key's owner keeps it only while the thing lives")
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).expect("usize has at least 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_keys_find_nothing() {
        let mut arena = Arena::default();
        let first = arena.insert("first");
        assert_eq!(arena.remove(first), Some("first"));
        let second = arena.insert("second");
        assert_ne!(first, second);
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena[second], "second");
        assert_eq!(arena.iter().count(), 1);
    }
}
