//! Amounts by name, without what tells resources of one name apart.

use std::fmt;
use std::ops::{AddAssign, SubAssign};

use crate::name::KNOWN;
use crate::{Name, ParseError, Resource, Resources, Scalar, Value, parse};

/// How much there is of each name, sorted by name; names with nothing are absent.
///
/// Ranges and sets can be counted in ([`Quantities::of`]), which the checks of
/// overlap use, or left out ([`Quantities::of_scalars`]), which fairness uses.
///
/// The names that everybody uses have places of their own: the allocator adds and
/// compares these all the time, and so touches one cache line and no list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities {
    /// Of the known names, by their places; never less than nothing.
    known: [Scalar; KNOWN.len()],
    /// Of other names, sorted by name, each more than nothing.
    others: Vec<(Name, Scalar)>,
}

impl Quantities {
    /// Nothing.
    pub const EMPTY: Self = Self { known: [Scalar::ZERO; KNOWN.len()], others: Vec::new() };

    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The scalars of `resources`.
    #[must_use]
    pub fn of_scalars(resources: &Resources) -> Self {
        resources.iter().filter_map(|resource| Some((resource.name(), resource.as_scalar()?))).collect()
    }

    /// All of `resources`, with ranges and sets counted.
    #[must_use]
    pub fn of(resources: &Resources) -> Self {
        resources.iter().map(|resource| (resource.name(), count(resource))).collect()
    }

    /// Reads `cpus:2;mem:1024` (observed rules of `ResourceQuantities::fromString`).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::quantities(text)
    }

    /// The amount of one name, nothing if it is absent.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &Name) -> Scalar {
        match name.place() {
            Some(place) => self.known[place],
            None => self.find(name).map_or(Scalar::ZERO, |at| self.others[at].1),
        }
    }

    fn find(&self, name: &Name) -> Result<usize, usize> {
        self.others.binary_search_by(|(other, _)| other.cmp(name))
    }

    /// The names and amounts, by name.
    #[must_use]
    #[inline]
    pub fn iter(&self) -> Amounts<'_> {
        Amounts { of: self, place: 0, other: 0 }
    }

    /// Where a name is: a number that says the same as the name as long as no name
    /// comes or goes; none where it is absent.
    #[must_use]
    #[inline]
    pub fn position(&self, name: &Name) -> Option<usize> {
        match name.place() {
            Some(place) => (self.known[place] > Scalar::ZERO).then_some(place),
            None => self.find(name).ok().map(|at| KNOWN.len() + at),
        }
    }

    /// The name that is at a [position](Self::position), and its amount.
    #[must_use]
    #[inline]
    pub fn at(&self, position: usize) -> Option<(&Name, Scalar)> {
        match self.known.get(position) {
            Some(amount) => (*amount > Scalar::ZERO).then_some((&KNOWN[position], *amount)),
            None => self.others.get(position - KNOWN.len()).map(|(name, amount)| (name, *amount)),
        }
    }

    /// Whether there is nothing.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.known.iter().all(|amount| amount.is_zero()) && self.others.is_empty()
    }

    /// Adds one amount. What is then not positive vanishes.
    pub fn add(&mut self, name: &Name, amount: Scalar) {
        if let Some(place) = name.place() {
            self.known[place] = (self.known[place] + amount).max(Scalar::ZERO);
            return;
        }
        match self.find(name) {
            Ok(at) => {
                self.others[at].1 += amount;
                if self.others[at].1 <= Scalar::ZERO {
                    self.others.remove(at);
                }
            }
            Err(at) if amount > Scalar::ZERO => self.others.insert(at, (name.clone(), amount)),
            Err(_) => {}
        }
    }

    /// Whether there is at least as much of every name as `other` has.
    #[must_use]
    #[inline]
    pub fn contains(&self, other: &Self) -> bool {
        self.known.iter().zip(&other.known).all(|(mine, theirs)| mine >= theirs)
            && other.others.iter().all(|(name, amount)| self.get(name) >= *amount)
    }
}

/// The names and amounts of [`Quantities`], by name.
#[derive(Clone, Debug)]
pub struct Amounts<'a> {
    of: &'a Quantities,
    /// How many of the known names were seen.
    place: usize,
    /// How many of the others.
    other: usize,
}

impl<'a> Iterator for Amounts<'a> {
    type Item = (&'a Name, &'a Scalar);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Quantities { known, others } = self.of;
        while known.get(self.place).is_some_and(|amount| amount.is_zero()) {
            self.place += 1;
        }
        let known = known.get(self.place).map(|amount| (&KNOWN[self.place], amount));
        let other = others.get(self.other).map(|(name, amount)| (name, amount));
        match (known, other) {
            (Some(known), Some(other)) if other.0 < known.0 => {
                self.other += 1;
                Some(other)
            }
            (Some(known), _) => {
                self.place += 1;
                Some(known)
            }
            (None, other) => {
                self.other += 1;
                other
            }
        }
    }
}

impl<'a> IntoIterator for &'a Quantities {
    type Item = (&'a Name, &'a Scalar);
    type IntoIter = Amounts<'a>;

    fn into_iter(self) -> Amounts<'a> {
        self.iter()
    }
}

fn count(resource: &Resource) -> Scalar {
    let whole = |count: u64| Scalar::from_units(i64::try_from(count).unwrap_or(i64::MAX));
    match resource.value() {
        Value::Scalar(scalar) => *scalar,
        Value::Ranges(ranges) => whole(ranges.count()),
        Value::Set(set) => whole(u64::try_from(set.len()).unwrap_or(u64::MAX)),
    }
}

impl Resources {
    /// How much there is of one name, with ranges and sets counted.
    #[must_use]
    pub fn quantity(&self, name: &Name) -> Scalar {
        let amounts = self.iter().filter(|resource| resource.name() == name).map(count);
        amounts.fold(Scalar::ZERO, std::ops::Add::add)
    }

    /// Whether there is at least as much of every name as `quantities` has,
    /// whatever else tells resources apart.
    #[must_use]
    pub fn covers(&self, quantities: &Quantities) -> bool {
        quantities.iter().all(|(name, amount)| self.quantity(name) >= *amount)
    }
}

impl<'a> FromIterator<(&'a Name, Scalar)> for Quantities {
    fn from_iter<I: IntoIterator<Item = (&'a Name, Scalar)>>(iter: I) -> Self {
        let mut all = Self::new();
        for (name, amount) in iter {
            all.add(name, amount);
        }
        all
    }
}

impl AddAssign<&Quantities> for Quantities {
    #[inline]
    fn add_assign(&mut self, other: &Self) {
        self.known.iter_mut().zip(&other.known).for_each(|(mine, theirs)| *mine += *theirs);
        other.others.iter().for_each(|(name, amount)| self.add(name, *amount));
    }
}

impl SubAssign<&Quantities> for Quantities {
    /// What would be less than nothing vanishes.
    #[inline]
    fn sub_assign(&mut self, other: &Self) {
        let known = self.known.iter_mut().zip(&other.known);
        known.for_each(|(mine, theirs)| *mine = (*mine - *theirs).max(Scalar::ZERO));
        other.others.iter().for_each(|(name, amount)| self.add(name, Scalar::ZERO - *amount));
    }
}

impl fmt::Display for Quantities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("{}");
        }
        for (at, (name, amount)) in self.iter().enumerate() {
            let gap = if at == 0 { "" } else { "; " };
            write!(f, "{gap}{name}:{amount}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantities {
        Quantities::parse(text).expect(text)
    }

    #[test]
    fn arithmetic_drops_what_is_gone() {
        let mut sum = q("mem:10;cpus:1");
        sum += &q("cpus:0.5;disk:3");
        assert_eq!(sum.to_string(), "cpus:1.5; disk:3; mem:10");
        sum -= &q("cpus:2;disk:1;gpus:7");
        assert_eq!(sum.to_string(), "disk:2; mem:10");
    }

    #[test]
    fn known_and_other_names_come_by_name() {
        let all = q("mem:1;zinc:2;apples:3;ports:4;cpus:5;lemons:6");
        let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["apples", "cpus", "lemons", "mem", "ports", "zinc"]);
        for (name, amount) in &all {
            let position = all.position(name).expect("it is there");
            assert_eq!(all.at(position), Some((name, *amount)));
        }
        assert_eq!((all.position(&Name::GPUS), all.position(&Name::from("figs"))), (None, None));
        assert_eq!((all.at(2), all.at(99)), (None, None));
    }

    #[test]
    fn contains() {
        assert!(q("cpus:2;mem:4").contains(&q("cpus:2")));
        assert!(!q("cpus:2").contains(&q("cpus:2;mem:1")));
        assert!(q("cpus:2").contains(&Quantities::new()));
    }
}
