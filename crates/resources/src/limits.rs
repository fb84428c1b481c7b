//! Upper bounds by name, where what is not named is unbounded.

use std::fmt;

use smallvec::SmallVec;

use crate::{Name, Quantities, Scalar};

/// The most there may be of some names, sorted by name; a bound of nothing is a
/// bound, and names that are absent have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    bounds: SmallVec<[(Name, Scalar); 4]>,
}

impl Limits {
    /// No bounds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bound of one name; none where it has none.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<Scalar> {
        self.bounds.iter().find(|(mine, _)| mine == name).map(|(_, bound)| *bound)
    }

    /// Bounds one name.
    pub fn set(&mut self, name: &Name, bound: Scalar) {
        match self.bounds.binary_search_by(|(mine, _)| mine.cmp(name)) {
            Ok(at) => self.bounds[at].1 = bound,
            Err(at) => self.bounds.insert(at, (name.clone(), bound)),
        }
    }

    /// The names and bounds, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Scalar)> {
        self.bounds.iter().map(|(name, bound)| (name, bound))
    }

    /// Whether nothing is bounded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }

    /// Whether these amounts are within the bounds.
    #[must_use]
    pub fn contains(&self, amounts: &Quantities) -> bool {
        self.bounds.iter().all(|(name, bound)| amounts.get(name) <= *bound)
    }
}

impl<'a> FromIterator<(&'a Name, Scalar)> for Limits {
    fn from_iter<I: IntoIterator<Item = (&'a Name, Scalar)>>(iter: I) -> Self {
        let mut all = Self::new();
        for (name, bound) in iter {
            all.set(name, bound);
        }
        all
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("{}");
        }
        for (at, (name, bound)) in self.iter().enumerate() {
            let gap = if at == 0 { "" } else { "; " };
            write!(f, "{gap}{name}:{bound}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_bound_and_absence_is_none() {
        let limits: Limits =
            [(&Name::MEM, Scalar::from_units(5)), (&Name::CPUS, Scalar::ZERO)].into_iter().collect();
        let q = |text: &str| Quantities::parse(text).expect(text);
        for (amounts, within) in
            [("", true), ("mem:5", true), ("mem:5.001", false), ("cpus:0.001", false), ("disk:9", true)]
        {
            assert_eq!(limits.contains(&q(amounts)), within, "{amounts}");
        }
        assert_eq!(limits.to_string(), "cpus:0; mem:5");
        assert_eq!(Limits::new().to_string(), "{}");
    }
}
