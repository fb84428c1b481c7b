//! How much of what isolators limit a container has: its resources as whole numbers.

use std::collections::BTreeMap;

use proto::mesos::v1::{Resource, value};

/// The bytes of one unit of `mem` and `disk`.
const MEGABYTE: u64 = 1024 * 1024;

/// A limit above a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// In thousandths.
    Milli(u64),
    /// Whatever is free.
    Infinite,
}

/// What a container has of the resources that isolators know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of cpus; none where it was given none.
    pub cpus_milli: Option<u64>,
    /// Whether some of the cpus can be taken back.
    pub has_revocable_cpus: bool,
    /// Memory in whole megabytes, as bytes.
    pub memory_bytes: Option<u64>,
    /// How many cpus it may use at most.
    pub cpus_limit: Option<Limit>,
    /// How much memory it may use at most, in thousandths of a megabyte.
    pub memory_limit: Option<Limit>,
}

impl Amounts {
    /// Those of a container with these resources and limits.
    #[must_use]
    pub fn of(resources: &[Resource], limits: &BTreeMap<String, value::Scalar>) -> Self {
        let limit = |name: &str| limits.get(name).map(|scalar| Limit::of(scalar.value));
        Self {
            cpus_milli: sum_milli(resources, "cpus"),
            has_revocable_cpus: resources.iter().any(|it| it.name == "cpus" && it.revocable.is_some()),
            memory_bytes: sum_milli(resources, "mem").map(megabytes),
            cpus_limit: limit("cpus"),
            memory_limit: limit("mem"),
        }
    }

    /// How much memory it may use at most: its limit, or else what it requests. None for no bound.
    #[must_use]
    pub fn memory_bound_bytes(&self) -> Option<u64> {
        match self.memory_limit {
            Some(Limit::Infinite) => None,
            Some(Limit::Milli(milli)) => Some(megabytes(milli)),
            None => self.memory_bytes,
        }
    }
}

impl Limit {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is wanted"
    )]
    fn of(value: f64) -> Self {
        match value.is_infinite() {
            true => Self::Infinite,
            false => Self::Milli((value * 1000.0).round() as u64),
        }
    }
}

/// COMPAT(mesos): a part of a megabyte does not count.
fn megabytes(milli: u64) -> u64 {
    (milli / 1000).saturating_mul(MEGABYTE)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is wanted"
)]
pub(crate) fn sum_milli(resources: &[Resource], name: &str) -> Option<u64> {
    let scalars = resources.iter().filter(|it| it.name == name).filter_map(|it| it.scalar.as_ref());
    let milli = scalars.map(|scalar| (scalar.value * 1000.0).round() as u64);
    milli.reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, value: f64) -> Resource {
        Resource { name: name.to_owned(), scalar: Some(value::Scalar { value }), ..Resource::default() }
    }

    #[test]
    fn resources_are_summed() {
        let resources =
            [resource("cpus", 0.1), resource("mem", 32.5), resource("cpus", 0.2), resource("mem", 32.4)];
        let limits = [("cpus", 2.0), ("mem", f64::INFINITY)];
        let limits = limits.map(|(name, value)| (name.to_owned(), value::Scalar { value })).into();
        let amounts = Amounts::of(&resources, &limits);
        assert_eq!((amounts.cpus_milli, amounts.memory_bytes), (Some(300), Some(64 * MEGABYTE)));
        assert_eq!(
            (amounts.cpus_limit, amounts.memory_limit),
            (Some(Limit::Milli(2000)), Some(Limit::Infinite))
        );
        assert_eq!(amounts.memory_bound_bytes(), None);
        assert!(!amounts.has_revocable_cpus);
        assert_eq!(Amounts::of(&[], &BTreeMap::new()), Amounts::default());
    }
}
