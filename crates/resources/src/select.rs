//! Parts of resources, and moves between reserved and unreserved.

use smallvec::SmallVec;
use types::Role;

use crate::{Invalid, Name, Reservation, Resource, Resources, Value, validate};

impl Resources {
    /// The resources that `keep` wants.
    pub fn filter(&self, keep: impl Fn(&Resource) -> bool) -> Self {
        match self.iter().filter(|resource| keep(resource)).count() {
            0 => Self::new(),
            all if all == self.len() => self.clone(),
            _ => Self::from_part(self.iter().filter(|resource| keep(resource)).cloned()),
        }
    }

    /// Those of one name.
    #[must_use]
    pub fn named(&self, name: &Name) -> Self {
        self.filter(|resource| resource.name() == name)
    }

    /// The scalars.
    #[must_use]
    pub fn scalars(&self) -> Self {
        self.filter(|resource| matches!(resource.value(), Value::Scalar(_)))
    }

    /// Those reserved to nobody.
    #[must_use]
    pub fn unreserved(&self) -> Self {
        self.filter(|resource| !resource.is_reserved())
    }

    /// Those reserved to any role.
    #[must_use]
    pub fn reserved(&self) -> Self {
        self.filter(Resource::is_reserved)
    }

    /// Those reserved to exactly this role.
    #[must_use]
    pub fn reserved_to(&self, role: &Role) -> Self {
        self.filter(|resource| resource.reservation_role() == Some(role))
    }

    /// Those reserved to this role or to one below it.
    #[must_use]
    pub fn reserved_within(&self, role: &Role) -> Self {
        self.filter(|resource| resource.reservation_role().is_some_and(|r| r.is_within(role)))
    }

    /// Those that may be offered in `role`: unreserved, or reserved to it or to a
    /// role above it.
    #[must_use]
    pub fn allocatable_to(&self, role: &Role) -> Self {
        self.filter(|resource| resource.is_allocatable_to(role))
    }

    /// Those allocated to exactly this role.
    #[must_use]
    pub fn allocated_to(&self, role: &Role) -> Self {
        self.filter(|resource| resource.allocation_role() == Some(role))
    }

    /// Those allocated to this role or to one below it.
    #[must_use]
    pub fn allocated_within(&self, role: &Role) -> Self {
        self.filter(|resource| resource.allocation_role().is_some_and(|r| r.is_within(role)))
    }

    /// Those that may be taken back at any time.
    #[must_use]
    pub fn revocable(&self) -> Self {
        self.filter(Resource::is_revocable)
    }

    /// Those that are kept until given back.
    #[must_use]
    pub fn non_revocable(&self) -> Self {
        self.filter(|resource| !resource.is_revocable())
    }

    /// Those that several tasks may use at once.
    #[must_use]
    pub fn shared(&self) -> Self {
        self.filter(Resource::is_shared)
    }

    /// Those that one task uses alone.
    #[must_use]
    pub fn non_shared(&self) -> Self {
        self.filter(|resource| !resource.is_shared())
    }

    /// The volumes that outlive their tasks.
    #[must_use]
    pub fn persistent_volumes(&self) -> Self {
        self.filter(Resource::is_persistent_volume)
    }

    /// The roles that have reservations here, sorted, each once.
    #[must_use]
    pub fn reservation_roles(&self) -> Vec<Role> {
        sorted(self.iter().filter_map(Resource::reservation_role))
    }

    /// The roles that have allocations here, sorted, each once.
    #[must_use]
    pub fn allocation_roles(&self) -> Vec<Role> {
        sorted(self.iter().filter_map(Resource::allocation_role))
    }

    /// The role that all of it is allocated to, if it is one and the same.
    #[must_use]
    pub fn allocation_role(&self) -> Option<&Role> {
        let role = self.iter().next()?.allocation_role()?;
        self.iter().all(|resource| resource.allocation_role() == Some(role)).then_some(role)
    }

    /// What is allocated to each role, sorted by role, each part now allocated to
    /// nobody. What was not allocated is left out.
    #[must_use]
    pub fn by_allocation(&self) -> SmallVec<[(Role, Self); 1]> {
        if let Some(role) = self.allocation_role() {
            return SmallVec::from_buf([(role.clone(), self.unallocated())]);
        }
        let part = |role: Role| (role.clone(), self.allocated_to(&role).unallocated());
        self.allocation_roles().into_iter().map(part).collect()
    }

    /// The same amounts with no reservations.
    #[must_use]
    pub fn to_unreserved(&self) -> Self {
        self.map(|resource| resource.with_reservations(Vec::new()))
    }

    /// The same amounts with one more reservation on each stack. Fails when the
    /// new entry does not refine the last.
    pub fn push_reservation(&self, reservation: &Reservation) -> Result<Self, Invalid> {
        let mut pushed = Self::new();
        for resource in self {
            let mut stack = resource.reservations().to_vec();
            stack.push(reservation.clone());
            let resource = resource.clone().with_reservations(stack);
            validate::resource(&resource.to_proto())?;
            pushed.push(resource);
        }
        Ok(pushed)
    }

    /// The same amounts with the last reservation taken off each stack. None when
    /// one of them has no reservation.
    #[must_use]
    pub fn pop_reservation(&self) -> Option<Self> {
        self.iter()
            .map(|resource| {
                let (_, below) = resource.reservations().split_last()?;
                Some(resource.clone().with_reservations(below.to_vec()))
            })
            .collect()
    }
}

fn sorted<'a>(roles: impl Iterator<Item = &'a Role>) -> Vec<Role> {
    let mut roles: Vec<Role> = roles.cloned().collect();
    roles.sort_unstable();
    roles.dedup();
    roles
}
