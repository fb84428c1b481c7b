//! Amounts by name, without what tells resources of one name apart.

use std::fmt;
use std::ops::{AddAssign, SubAssign};

use smallvec::SmallVec;

use crate::{Name, ParseError, Resource, Resources, Scalar, Value, parse};

/// How much there is of each name, sorted by name; names with nothing are absent.
///
/// Ranges and sets can be counted in ([`Quantities::of`]), which the checks of
/// overlap use, or left out ([`Quantities::of_scalars`]), which fairness uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantities {
    amounts: SmallVec<[(Name, Scalar); 4]>,
}

impl Quantities {
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
    pub fn get(&self, name: &Name) -> Scalar {
        self.amounts.iter().find(|(mine, _)| mine == name).map_or(Scalar::ZERO, |(_, amount)| *amount)
    }

    /// The names and amounts, by name.
    pub fn iter(&self) -> std::slice::Iter<'_, (Name, Scalar)> {
        self.amounts.iter()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.amounts.is_empty()
    }

    /// Adds one amount. What is then not positive vanishes.
    pub fn add(&mut self, name: &Name, amount: Scalar) {
        match self.amounts.iter().position(|(mine, _)| mine >= name) {
            Some(at) if self.amounts[at].0 == *name => {
                self.amounts[at].1 += amount;
                if self.amounts[at].1 <= Scalar::ZERO {
                    self.amounts.remove(at);
                }
            }
            _ if amount <= Scalar::ZERO => {}
            Some(at) => self.amounts.insert(at, (name.clone(), amount)),
            None => self.amounts.push((name.clone(), amount)),
        }
    }

    /// Whether there is at least as much of every name as `other` has.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|(name, amount)| self.get(name) >= *amount)
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
    fn add_assign(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            self.add(name, *amount);
        }
    }
}

impl SubAssign<&Quantities> for Quantities {
    /// What would be less than nothing vanishes.
    fn sub_assign(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            self.add(name, Scalar::ZERO - *amount);
        }
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
    fn contains() {
        assert!(q("cpus:2;mem:4").contains(&q("cpus:2")));
        assert!(!q("cpus:2").contains(&q("cpus:2;mem:1")));
        assert!(q("cpus:2").contains(&Quantities::new()));
    }
}
