//! The multiset of resources and its arithmetic.

use std::borrow::Cow;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::Arc;

use smallvec::SmallVec;
use types::Role;

use crate::{Invalid, Name, Ranges, Resource, Scalar, Set, Value};

/// A multiset of resources, merged where the algebra lets them merge.
///
/// Keeps the order in which kinds came, and on removal puts the last in the
/// gap: the order in which Mesos shows them. Equality does not look at the order.
///
/// A copy costs a counter: copies share their list until one of them changes.
#[derive(Clone, Default)]
pub struct Resources {
    /// Never empty amounts, never two that are addable; none rather than an empty list.
    items: Option<Arc<Items>>,
}

/// Four kinds and fewer, the usual, lie beside the counter.
type Items = SmallVec<[Resource; 4]>;

impl Resources {
    /// No resources.
    pub const EMPTY: Self = Self { items: None };

    /// No resources.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn items(&self) -> &[Resource] {
        self.items.as_ref().map_or(&[], |items| &items[..])
    }

    /// The list, of its own from now on.
    fn items_mut(&mut self) -> &mut Items {
        Arc::make_mut(self.items.get_or_insert_default())
    }

    /// Whether both are one list and not only equal: then one is a copy of the other.
    #[must_use]
    #[inline]
    pub fn shares_with(&self, other: &Self) -> bool {
        match (&self.items, &other.items) {
            (None, None) => true,
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Whether there is nothing.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.items.is_none()
    }

    /// How many kinds there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items().len()
    }

    /// The resources, one per kind (more for volumes and other whole things).
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.items().iter()
    }

    /// Puts one more resource in. Empty ones vanish.
    pub fn push(&mut self, resource: Resource) {
        if resource.is_empty() {
            return;
        }
        let items = self.items_mut();
        match items.iter_mut().find(|mine| mine.is_addable(&resource)) {
            Some(mine) if mine.is_shared() => mine.copies = mine.copies.saturating_add(resource.copies),
            Some(mine) => mine.value.add(&resource.value),
            None => items.push(resource),
        }
    }

    /// Takes one resource out, as much as there is of it: less than nothing does
    /// not remain.
    pub fn take(&mut self, resource: &Resource) {
        if resource.is_empty() {
            return;
        }
        let Some(at) = self.iter().position(|mine| mine.is_subtractable(resource)) else { return };
        let items = self.items_mut();
        let mine = &mut items[at];
        if mine.is_shared() {
            mine.copies = mine.copies.saturating_sub(resource.copies);
        } else {
            mine.value.subtract(&resource.value);
        }
        let negative = mine.as_scalar().is_some_and(|scalar| scalar < Scalar::ZERO);
        if negative || mine.is_empty() {
            // ORDER: the last takes the gap, as in Mesos.
            items.swap_remove(at);
            if items.is_empty() {
                self.items = None;
            }
        }
    }

    /// Whether one resource is part of these.
    #[must_use]
    pub fn contains_one(&self, resource: &Resource) -> bool {
        self.iter().any(|mine| mine.contains(resource))
    }

    /// Whether all of `other` is part of these.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        if self.shares_with(other) {
            return true;
        }
        if !other.iter().any(Resource::is_indivisible) {
            return other.iter().all(|resource| self.contains_one(resource));
        }
        // Whole things may occur twice: each takes its own away.
        let mut left = self.clone();
        other.iter().all(|resource| {
            let there = left.contains_one(resource);
            if there && resource.is_indivisible() {
                left.take(resource);
            }
            there
        })
    }

    /// These without `other`, all of which must be there.
    pub fn checked_sub(&self, other: &Self) -> Result<Self, Invalid> {
        if self.contains(other) {
            Ok(self - other)
        } else {
            Err(Invalid::new(format!("{self} does not contain {other}")))
        }
    }

    /// The sum of the scalars of this name, whatever else tells them apart; none
    /// when there is no such scalar.
    #[must_use]
    pub fn scalar(&self, name: &Name) -> Option<Scalar> {
        let mut amounts = self.iter().filter(|r| r.name() == name).filter_map(Resource::as_scalar);
        let first = amounts.next()?;
        Some(amounts.fold(first, Add::add))
    }

    /// All ranges of this name together; none when there are no such ranges.
    #[must_use]
    pub fn ranges(&self, name: &Name) -> Option<Ranges> {
        let mut all: Option<Ranges> = None;
        for resource in self.iter().filter(|r| r.name() == name) {
            if let Value::Ranges(ranges) = resource.value() {
                all = Some(all.map_or_else(|| ranges.clone(), |sum| sum.union(ranges)));
            }
        }
        all
    }

    /// All words of this name together; none when there is no such set.
    #[must_use]
    pub fn set(&self, name: &Name) -> Option<Set> {
        let mut all: Option<Set> = None;
        for resource in self.iter().filter(|r| r.name() == name) {
            if let Value::Set(set) = resource.value() {
                all = Some(all.map_or_else(|| set.clone(), |sum| sum.union(set)));
            }
        }
        all
    }

    /// Cores, summed over all kinds.
    #[must_use]
    pub fn cpus(&self) -> Option<Scalar> {
        self.scalar(&Name::CPUS)
    }

    /// MiB of memory, summed over all kinds.
    #[must_use]
    pub fn mem(&self) -> Option<Scalar> {
        self.scalar(&Name::MEM)
    }

    /// MiB of disk, summed over all kinds.
    #[must_use]
    pub fn disk(&self) -> Option<Scalar> {
        self.scalar(&Name::DISK)
    }

    /// Graphics processors, summed over all kinds.
    #[must_use]
    pub fn gpus(&self) -> Option<Scalar> {
        self.scalar(&Name::GPUS)
    }

    /// Ports, of all kinds.
    #[must_use]
    pub fn ports(&self) -> Option<Ranges> {
        self.ranges(&Name::PORTS)
    }

    /// The names that occur, sorted, each once.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        let mut names: Vec<_> = self.iter().map(|resource| resource.name().clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Marks everything as allocated to `role`.
    pub fn allocate(&mut self, role: &Role) {
        if self.is_empty() {
            return;
        }
        for resource in self.items_mut() {
            resource.set_allocation(Some(role.clone()));
        }
    }

    /// The same, allocated to `role`.
    #[must_use]
    pub fn allocated(mut self, role: &Role) -> Self {
        self.allocate(role);
        self
    }

    /// The same, allocated to nobody; parts of several roles merge.
    #[must_use]
    pub fn unallocated(&self) -> Self {
        let unallocated = |resource: Resource| resource.with_allocation(None);
        if self.iter().all(|resource| resource.allocation_role().is_none()) {
            self.clone()
        } else if self.allocation_role().is_some() {
            // What was apart within a role stays apart.
            Self::from_part(self.iter().cloned().map(unallocated))
        } else {
            self.map(unallocated)
        }
    }

    /// The same in the order in which `other` has its kinds; what that has not comes last.
    #[must_use]
    pub fn in_order_of(&self, other: &Self) -> Cow<'_, Self> {
        let mut rest = other.iter();
        if self.iter().all(|one| rest.any(|of| of.is_subtractable(one))) {
            return Cow::Borrowed(self);
        }
        let place =
            |one: &Resource| other.iter().position(|of| of.is_subtractable(one)).unwrap_or(usize::MAX);
        let mut items: Vec<_> = self.iter().cloned().collect();
        items.sort_by_cached_key(place);
        Cow::Owned(Self::from_part(items.into_iter()))
    }

    /// Everything changed one by one and merged again.
    pub fn map(&self, change: impl Fn(Resource) -> Resource) -> Self {
        self.iter().cloned().map(change).collect()
    }

    /// A part that needs no merging, since it was a part of merged resources.
    pub(crate) fn from_part(items: impl Iterator<Item = Resource>) -> Self {
        let items: Items = items.collect();
        Self { items: (!items.is_empty()).then(|| Arc::new(items)) }
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.shares_with(other) || (self.len() == other.len() && self.contains(other) && other.contains(self))
    }
}

impl FromIterator<Resource> for Resources {
    fn from_iter<I: IntoIterator<Item = Resource>>(iter: I) -> Self {
        let mut all = Self::new();
        all.extend(iter);
        all
    }
}

impl Extend<Resource> for Resources {
    fn extend<I: IntoIterator<Item = Resource>>(&mut self, iter: I) {
        for resource in iter {
            self.push(resource);
        }
    }
}

impl From<Resource> for Resources {
    fn from(resource: Resource) -> Self {
        Self::from_iter([resource])
    }
}

impl IntoIterator for Resources {
    type Item = Resource;
    type IntoIter = smallvec::IntoIter<[Resource; 4]>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.map(Arc::unwrap_or_clone).unwrap_or_default().into_iter()
    }
}

impl<'a> IntoIterator for &'a Resources {
    type Item = &'a Resource;
    type IntoIter = std::slice::Iter<'a, Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl AddAssign<&Resources> for Resources {
    fn add_assign(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        for resource in other {
            self.push(resource.clone());
        }
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
        } else {
            self.extend(other);
        }
    }
}

impl Add<&Resources> for &Resources {
    type Output = Resources;

    fn add(self, other: &Resources) -> Resources {
        let mut sum = self.clone();
        sum += other;
        sum
    }
}

impl Add for Resources {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl SubAssign<&Resources> for Resources {
    fn sub_assign(&mut self, other: &Self) {
        // Whatever there is, is all there.
        if self.shares_with(other) {
            self.items = None;
            return;
        }
        for resource in other {
            self.take(resource);
        }
    }
}

impl Sub<&Resources> for &Resources {
    type Output = Resources;

    fn sub(self, other: &Resources) -> Resources {
        let mut rest = self.clone();
        rest -= other;
        rest
    }
}

impl std::iter::Sum for Resources {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::new(), Add::add)
    }
}
