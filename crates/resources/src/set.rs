//! Sets of words, in the order in which they were given.

use std::fmt;
use std::sync::Arc;

/// A set of words.
///
/// Keeps the order in which the words came, since Mesos shows them so; equality
/// does not look at the order. Sets are a handful of words, so all is linear.
#[derive(Clone, Default)]
pub struct Set(Arc<[Arc<str>]>);

impl Set {
    /// The set of these words; repeated ones count once.
    pub fn new<W: Into<Arc<str>>>(words: impl IntoIterator<Item = W>) -> Self {
        let mut set: Vec<Arc<str>> = Vec::new();
        for word in words {
            let word = word.into();
            if !set.contains(&word) {
                set.push(word);
            }
        }
        Self(set.into())
    }

    /// The words, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// How many words there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every word of `other` is one of these.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.len() <= self.len() && other.0.iter().all(|word| self.0.contains(word))
    }

    /// The words of both, these first.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let fresh = other.0.iter().filter(|word| !self.0.contains(word));
        Self(self.0.iter().chain(fresh).cloned().collect())
    }

    /// The words of these that `other` has not.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.iter().filter(|word| !other.0.contains(word)).cloned().collect())
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.contains(other)
    }
}

impl Eq for Set {}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, word) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{word}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations() {
        let (ab, bc) = (Set::new(["a", "b", "a"]), Set::new(["b", "c"]));
        assert_eq!(ab.to_string(), "{a, b}");
        assert_eq!(ab, Set::new(["b", "a"]));
        assert_eq!(ab.union(&bc).to_string(), "{a, b, c}");
        assert_eq!(ab.difference(&bc).to_string(), "{a}");
        assert!(ab.contains(&Set::new(["b"])) && !ab.contains(&bc));
    }
}
