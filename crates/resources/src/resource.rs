//! One resource: an amount, and everything that tells it apart from others.

use std::sync::Arc;

use proto::mesos::v1::resource::DiskInfo;
use proto::mesos::v1::resource::disk_info::{Source, source};
use types::Role;

use crate::reservation::same_labels;
use crate::{Name, Ranges, Reservation, ReservationKind, Scalar, Set, Value};

/// An amount of one kind of resource.
///
/// Two resources are of one kind when name, type, allocation role, reservations,
/// disk, provider, sharing and revocability are all equal. The common kind (a name
/// and perhaps an allocation role) costs no allocation; the rest is shared.
#[derive(Clone)]
pub struct Resource {
    name: Name,
    pub(crate) value: Value,
    /// The role it is allocated to, once it is offered.
    allocation: Option<Role>,
    detail: Option<Arc<Detail>>,
    /// How many copies of a shared resource this is; 1 for any other.
    pub(crate) copies: u32,
}

/// The rare part of a resource's kind.
#[derive(Clone, Default)]
pub(crate) struct Detail {
    /// The stack of reservations; the last one is in force.
    pub(crate) reservations: Vec<Reservation>,
    pub(crate) disk: Option<DiskInfo>,
    pub(crate) provider_id: Option<String>,
    pub(crate) revocable: bool,
    pub(crate) shared: bool,
}

impl Detail {
    fn is_plain(&self) -> bool {
        self.reservations.is_empty()
            && self.disk.is_none()
            && self.provider_id.is_none()
            && !self.revocable
            && !self.shared
    }
}

impl PartialEq for Detail {
    fn eq(&self, other: &Self) -> bool {
        self.reservations == other.reservations
            && same_disk(self.disk.as_ref(), other.disk.as_ref())
            && self.provider_id == other.provider_id
            && self.revocable == other.revocable
            && self.shared == other.shared
    }
}

impl Resource {
    /// A plain resource: unreserved and unallocated.
    pub fn new(name: impl Into<Name>, value: Value) -> Self {
        Self { name: name.into(), value, allocation: None, detail: None, copies: 1 }
    }

    /// A plain scalar.
    pub fn scalar(name: impl Into<Name>, scalar: Scalar) -> Self {
        Self::new(name, Value::Scalar(scalar))
    }

    /// A plain resource of ranges.
    pub fn ranges(name: impl Into<Name>, ranges: Ranges) -> Self {
        Self::new(name, Value::Ranges(ranges))
    }

    /// A plain resource of words.
    pub fn set(name: impl Into<Name>, set: Set) -> Self {
        Self::new(name, Value::Set(set))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The amount.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The amount of a scalar; none for ranges and sets.
    #[must_use]
    pub fn as_scalar(&self) -> Option<Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(*scalar),
            Value::Ranges(_) | Value::Set(_) => None,
        }
    }

    /// The role it is allocated to.
    #[must_use]
    pub fn allocation_role(&self) -> Option<&Role> {
        self.allocation.as_ref()
    }

    /// The stack of reservations, empty when unreserved.
    #[must_use]
    pub fn reservations(&self) -> &[Reservation] {
        self.detail.as_deref().map_or(&[], |detail| &detail.reservations)
    }

    /// The role it is reserved to: that of the last reservation of the stack.
    #[must_use]
    pub fn reservation_role(&self) -> Option<&Role> {
        self.reservations().last().map(|reservation| &reservation.role)
    }

    /// Disk information, where there is any.
    #[must_use]
    pub fn disk(&self) -> Option<&DiskInfo> {
        self.detail.as_deref()?.disk.as_ref()
    }

    /// The resource provider that owns it; none for the agent itself.
    #[must_use]
    pub fn provider_id(&self) -> Option<&str> {
        self.detail.as_deref()?.provider_id.as_deref()
    }

    /// Whether there is nothing of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.copies == 0 || self.value.is_empty()
    }

    /// Whether it is reserved to any role.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        !self.reservations().is_empty()
    }

    /// Whether the reservation in force was made by an operation.
    #[must_use]
    pub fn is_dynamically_reserved(&self) -> bool {
        self.reservations().last().is_some_and(|last| last.kind == ReservationKind::Dynamic)
    }

    /// Whether the stack of reservations has more than one entry.
    #[must_use]
    pub fn has_refined_reservations(&self) -> bool {
        self.reservations().len() > 1
    }

    /// Whether a framework may be offered it in `role`: it is unreserved, or
    /// reserved to that role or to one above it.
    #[must_use]
    pub fn is_allocatable_to(&self, role: &Role) -> bool {
        self.reservation_role().is_none_or(|reserved| role.is_within(reserved))
    }

    /// Whether it may be taken back at any time (oversubscription).
    #[must_use]
    pub fn is_revocable(&self) -> bool {
        self.detail.as_deref().is_some_and(|detail| detail.revocable)
    }

    /// Whether several tasks may use it at once.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.detail.as_deref().is_some_and(|detail| detail.shared)
    }

    /// Whether it is a volume that outlives its tasks.
    #[must_use]
    pub fn is_persistent_volume(&self) -> bool {
        self.disk().is_some_and(|disk| disk.persistence.is_some())
    }

    /// How many copies of a shared resource this stands for; 1 for any other.
    #[must_use]
    pub fn copies(&self) -> u32 {
        self.copies
    }

    /// The same amount, allocated to `role` or to nobody.
    #[must_use]
    pub fn with_allocation(mut self, role: Option<Role>) -> Self {
        self.set_allocation(role);
        self
    }

    pub(crate) fn set_allocation(&mut self, role: Option<Role>) {
        self.allocation = role;
    }

    /// The same amount with this stack of reservations.
    #[must_use]
    pub fn with_reservations(self, reservations: Vec<Reservation>) -> Self {
        self.edit(|detail| detail.reservations = reservations)
    }

    /// The same amount with this disk information.
    #[must_use]
    pub fn with_disk(self, disk: Option<DiskInfo>) -> Self {
        self.edit(|detail| detail.disk = disk)
    }

    /// The same amount, revocable or not.
    #[must_use]
    pub fn with_revocable(self, revocable: bool) -> Self {
        self.edit(|detail| detail.revocable = revocable)
    }

    /// The same amount, shared or not; one copy of it.
    #[must_use]
    pub fn with_shared(self, shared: bool) -> Self {
        let mut edited = self.edit(|detail| detail.shared = shared);
        edited.copies = 1;
        edited
    }

    /// The same amount, owned by a resource provider or by the agent.
    #[must_use]
    pub fn with_provider_id(self, provider_id: Option<String>) -> Self {
        self.edit(|detail| detail.provider_id = provider_id)
    }

    /// The same kind with another amount.
    #[must_use]
    pub fn with_value(mut self, value: Value) -> Self {
        self.value = value;
        self
    }

    fn edit(mut self, change: impl FnOnce(&mut Detail)) -> Self {
        let mut detail = self.detail.take().map_or_else(Detail::default, Arc::unwrap_or_clone);
        change(&mut detail);
        self.detail = (!detail.is_plain()).then(|| Arc::new(detail));
        self
    }

    /// Whether everything but the amount is equal.
    #[must_use]
    pub fn same_kind(&self, other: &Self) -> bool {
        self.name == other.name
            && self.value.same_type(&other.value)
            && self.allocation == other.allocation
            && same_detail(self.detail.as_ref(), other.detail.as_ref())
    }

    /// Whether kind and amount are equal; for shared resources, whatever the copies.
    #[must_use]
    pub fn same_object(&self, other: &Self) -> bool {
        self.same_kind(other) && self.value == other.value
    }

    /// Whether the two make one resource when added.
    ///
    /// Persistent volumes, MOUNT and BLOCK disks and identified RAW disks are
    /// whole things: they stay apart even from their equals. Shared resources add
    /// up only with themselves, by counting.
    #[must_use]
    pub fn is_addable(&self, other: &Self) -> bool {
        if self.is_shared() {
            return self.same_object(other);
        }
        self.same_kind(other) && !self.is_indivisible()
    }

    /// Whether `other` can be taken away from this: one kind, and for whole
    /// things the very same amount.
    #[must_use]
    pub fn is_subtractable(&self, other: &Self) -> bool {
        if self.is_shared() || self.is_indivisible() {
            return self.same_object(other);
        }
        self.same_kind(other)
    }

    /// Whether this is a whole thing that can be neither split nor merged.
    #[must_use]
    pub fn is_indivisible(&self) -> bool {
        let Some(disk) = self.disk() else { return false };
        disk.persistence.is_some() || disk.source.as_ref().is_some_and(is_exclusive)
    }

    /// Whether `other` is part of this.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        if self.is_shared() && self.copies < other.copies {
            return false;
        }
        self.is_subtractable(other) && self.value.contains(&other.value)
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.copies == other.copies && self.same_object(other)
    }
}

/// Whether a disk of this source cannot be shared out in parts.
fn is_exclusive(source: &Source) -> bool {
    match source.r#type() {
        source::Type::Mount | source::Type::Block => true,
        source::Type::Raw => source.id.is_some(),
        source::Type::Path | source::Type::Unknown => false,
    }
}

fn same_detail(left: Option<&Arc<Detail>>, right: Option<&Arc<Detail>>) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => Arc::ptr_eq(left, right) || left == right,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

// COMPAT(mesos): the volume says how a task uses a disk and the principal who made
// it; neither tells two disks apart.
fn same_disk(left: Option<&DiskInfo>, right: Option<&DiskInfo>) -> bool {
    let (left, right) = match (left, right) {
        (None, None) => return true,
        (Some(left), Some(right)) => (left, right),
        (Some(_), None) | (None, Some(_)) => return false,
    };
    let persistence = |disk: &DiskInfo| disk.persistence.as_ref().map(|p| p.id.clone());
    let sources = match (&left.source, &right.source) {
        (None, None) => true,
        (Some(left), Some(right)) => same_source(left, right),
        (Some(_), None) | (None, Some(_)) => false,
    };
    sources && persistence(left) == persistence(right)
}

fn same_source(left: &Source, right: &Source) -> bool {
    left.r#type == right.r#type
        && left.path == right.path
        && left.mount == right.mount
        && left.vendor == right.vendor
        && left.id == right.id
        && left.profile == right.profile
        && same_labels(left.metadata.as_ref(), right.metadata.as_ref())
}
