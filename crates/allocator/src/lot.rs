//! Resources that move together, with what is asked about them again and again.
//!
//! What is free on an agent goes to a framework as a whole, comes back as a whole and
//! goes to the next. Each time the same is to be known of it: its scalars, whether
//! quota may hold it back, how it looks when it is allocated to a role. That is worked
//! out once, and kept with it wherever it goes; agents of one shape share it.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use resources::{Quantities, Resource, Resources};
use types::Role;

use crate::quota::is_open;

/// Resources allocated to nobody. A copy costs a counter.
#[derive(Clone, Default)]
pub(crate) struct Lot(Option<Arc<Facts>>);

struct Facts {
    resources: Resources,
    scalars: Quantities,
    /// The scalars that quota may hold back.
    open: Quantities,
    /// Whether anything is reserved, revocable or shared.
    is_special: bool,
    has_shared: bool,
    /// Whether anything is not shared.
    has_own: bool,
    /// Whether anything is no scalar.
    has_lists: bool,
    /// Whether quota may hold all of it back.
    is_open: bool,
    /// The same, allocated to the role that had it first.
    marked: OnceLock<(Role, Resources)>,
}

static NO_RESOURCES: Resources = Resources::EMPTY;
static NO_AMOUNTS: Quantities = Quantities::EMPTY;

impl Lot {
    /// Nothing.
    pub(crate) const EMPTY: Self = Self(None);

    pub(crate) fn of(resources: Resources) -> Self {
        if resources.is_empty() {
            return Self::EMPTY;
        }
        let all = |what: fn(&Resource) -> bool| resources.iter().all(what);
        let any = |what: fn(&Resource) -> bool| resources.iter().any(what);
        let scalars = Quantities::of_scalars(&resources);
        let is_special = any(|one| one.is_reserved() || one.is_revocable() || one.is_shared());
        let open = if is_special {
            let open = resources.iter().filter(|one| is_open(one));
            open.filter_map(|one| Some((one.name(), one.as_scalar()?))).collect()
        } else {
            scalars.clone()
        };
        Self(Some(Arc::new(Facts {
            scalars,
            open,
            is_special,
            has_shared: any(Resource::is_shared),
            has_own: any(|one| !one.is_shared()),
            has_lists: any(|one| one.as_scalar().is_none()),
            is_open: all(is_open),
            marked: OnceLock::new(),
            resources,
        })))
    }

    pub(crate) fn resources(&self) -> &Resources {
        self.0.as_ref().map_or(&NO_RESOURCES, |facts| &facts.resources)
    }

    pub(crate) fn scalars(&self) -> &Quantities {
        self.0.as_ref().map_or(&NO_AMOUNTS, |facts| &facts.scalars)
    }

    /// The scalars that quota may hold back.
    pub(crate) fn open(&self) -> &Quantities {
        self.0.as_ref().map_or(&NO_AMOUNTS, |facts| &facts.open)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether anybody may have all of it as far as it goes by what it is.
    pub(crate) fn is_for_anybody(&self) -> bool {
        self.0.as_ref().is_none_or(|facts| !facts.is_special)
    }

    pub(crate) fn has_shared(&self) -> bool {
        self.0.as_ref().is_some_and(|facts| facts.has_shared)
    }

    /// Whether there is anything but copies of shared volumes, which never run out and
    /// alone are no offer.
    pub(crate) fn has_own(&self) -> bool {
        self.0.as_ref().is_some_and(|facts| facts.has_own)
    }

    /// Whether quota may hold all of it back.
    pub(crate) fn is_open(&self) -> bool {
        self.0.as_ref().is_none_or(|facts| facts.is_open)
    }

    /// Whether this is the same lot, not one that is equal to it.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Whether all of `other` is part of this.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        self.is_same(other) || self.resources().contains(other.resources())
    }

    /// Whether it is enough for an offer by one of the clauses.
    pub(crate) fn meets(&self, clauses: &[Quantities]) -> bool {
        let Some(facts) = &self.0 else { return false };
        let covers =
            |clause| facts.scalars.contains(clause) || (facts.has_lists && facts.resources.covers(clause));
        clauses.is_empty() || clauses.iter().any(covers)
    }

    /// This without `other`: as much of that as is there.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        if self.is_same(other) { Self::EMPTY } else { Self::of(self.resources() - other.resources()) }
    }

    /// Both together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (_, true) => self.clone(),
            (true, _) => other.clone(),
            (false, false) => Self::of(self.resources() + other.resources()),
        }
    }

    /// The same, listed in the order in which another lot lists its resources.
    pub(crate) fn in_order_of(self, other: &Self) -> Self {
        match self.resources().in_order_of(other.resources()) {
            Cow::Borrowed(_) => self,
            Cow::Owned(ordered) => Self::of(ordered),
        }
    }

    /// The scalars that come or go beside `others` of the same holder: of a shared
    /// volume only the first copy counts, and the last.
    pub(crate) fn first_copies(&self, others: &Self) -> Cow<'_, Quantities> {
        if !self.has_shared() {
            return Cow::Borrowed(self.scalars());
        }
        let is_first = |one: &Resource| !others.resources().iter().any(|other| other.is_addable(one));
        let counts = |one: &Resource| !one.is_shared() || is_first(one);
        Cow::Owned(Quantities::of_scalars(&self.resources().filter(counts)))
    }

    /// The lot and its resources as they are when they are allocated to a role. The
    /// lot is this one where nobody had it in another role.
    pub(crate) fn for_role(&self, role: &Role) -> (Self, Resources) {
        let Some(facts) = &self.0 else { return Default::default() };
        let mark = |resources: &Resources| (role.clone(), resources.clone().allocated(role));
        let (owner, marked) = facts.marked.get_or_init(|| mark(&facts.resources));
        if owner == role {
            return (self.clone(), marked.clone());
        }
        let mark = mark(&facts.resources);
        let marked = mark.1.clone();
        let facts = Facts {
            resources: facts.resources.clone(),
            scalars: facts.scalars.clone(),
            open: facts.open.clone(),
            marked: OnceLock::from(mark),
            ..**facts
        };
        (Self(Some(Arc::new(facts))), marked)
    }

    /// Whether these are the resources that were made of it for a role.
    pub(crate) fn is_marked_as(&self, resources: &Resources) -> bool {
        let marked = self.0.as_ref().and_then(|facts| facts.marked.get());
        marked.is_some_and(|(_, marked)| marked.shares_with(resources))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(text: &str) -> Lot {
        Lot::of(Resources::parse(text, "*").expect(text))
    }

    #[test]
    fn what_it_is_by_what_is_in_it() {
        let plain = lot("cpus:1;mem:5");
        assert!(plain.is_for_anybody() && plain.is_open() && plain.has_own() && !plain.has_shared());
        let mixed = lot("cpus:1;cpus(eng):2;ports:[1-3]");
        assert!(!mixed.is_for_anybody() && !mixed.is_open());
        assert_eq!(mixed.scalars().to_string(), "cpus:3");
        assert_eq!(mixed.open().to_string(), "cpus:1");
        assert!(Lot::EMPTY.is_empty() && lot("").is_empty() && Lot::EMPTY.is_open() && !Lot::EMPTY.has_own());
    }

    #[test]
    fn enough_counts_ranges_and_sets() {
        let clauses = |text: &str| vec![Quantities::parse(text).expect(text)];
        assert!(lot("cpus:1").meets(&clauses("cpus:0.01")) && lot("cpus:1").meets(&[]));
        assert!(!lot("cpus:1").meets(&clauses("cpus:0.01;ports:2")));
        assert!(lot("cpus:1;ports:[1-2]").meets(&clauses("cpus:0.01;ports:2")));
        assert!(!Lot::EMPTY.meets(&[]));
    }

    #[test]
    fn each_role_has_its_mark_and_the_first_keeps_the_lot() {
        let (one, other) = (Role::from("one"), Role::from("other"));
        let all = lot("cpus:1");
        let (ones, marked) = all.for_role(&one);
        assert!(ones.is_same(&all) && all.is_marked_as(&marked));
        assert_eq!(marked.allocation_role(), Some(&one));
        let (others, again) = all.for_role(&other);
        assert!(!others.is_same(&all) && !all.is_marked_as(&again) && others.is_marked_as(&again));
        assert_eq!(others.resources(), all.resources());
        assert!(others.for_role(&other).0.is_same(&others));
    }

    #[test]
    fn sums_in_an_order() {
        let total = lot("cpus:4;mem:8;disk:9");
        let rest = total.minus(&lot("cpus:4;mem:1"));
        let whole = rest.plus(&lot("cpus:4;mem:1")).in_order_of(&total);
        assert_eq!(whole.resources().to_string(), total.resources().to_string());
        assert!(total.minus(&total.clone()).is_empty());
        assert!(Lot::EMPTY.plus(&total).is_same(&total) && total.plus(&Lot::EMPTY).is_same(&total));
    }
}
