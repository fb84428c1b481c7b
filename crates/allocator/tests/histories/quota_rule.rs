//! The rule of quota, summed up from scratch each time.

use std::collections::BTreeMap;

use allocator::{Allocation, Quota};
use resources::{Name, Quantities, Resource, Resources, Scalar, Value};
use types::{AgentId, Role};

use crate::missing;

/// What roles consume, and what there is for them.
pub(crate) struct QuotaSums {
    quotas: BTreeMap<Role, Quota>,
    consumed: BTreeMap<Role, Quantities>,
    required: Quantities,
    available: Quantities,
}

pub(crate) fn is_open(resource: &Resource) -> bool {
    matches!(resource.value(), Value::Scalar(_)) && !resource.is_reserved() && !resource.is_revocable()
}

pub(crate) fn open(resources: &Resources) -> Quantities {
    Quantities::of_scalars(&resources.filter(is_open))
}

fn top(role: &Role) -> Role {
    Role::from(role.as_str().split('/').next().expect("a first part"))
}

fn positive(amount: Scalar) -> Scalar {
    amount.max(Scalar::ZERO)
}

impl QuotaSums {
    pub(crate) fn new<'a>(
        quotas: &BTreeMap<Role, Quota>,
        agents: impl Iterator<Item = (&'a AgentId, bool, &'a Resources)>,
        out: &[Allocation],
    ) -> Self {
        let mut consumed: BTreeMap<Role, Quantities> = BTreeMap::new();
        for allocation in out {
            *consumed.entry(top(&allocation.role)).or_default() += &open(&allocation.resources.unallocated());
        }
        let mut available = Quantities::new();
        for (id, active, total) in agents {
            for resource in total {
                if let (Some(role), Some(amount)) = (resource.reservation_role(), resource.as_scalar()) {
                    consumed.entry(top(role)).or_default().add(resource.name(), amount);
                }
            }
            if active {
                let mut free = open(total);
                let of_agent = out.iter().filter(|allocation| allocation.agent == *id);
                let held: Resources = of_agent.map(|allocation| allocation.resources.unallocated()).sum();
                free -= &open(&held);
                for name in total.names() {
                    let left = free.get(&name);
                    let gone = missing::beyond(total, &held, &name).min(left);
                    free.add(&name, Scalar::ZERO - gone);
                }
                available += &free;
            }
        }
        let mut required = Quantities::new();
        for (role, quota) in quotas {
            let mut unmet = quota.guarantees.clone();
            unmet -= consumed.entry(role.clone()).or_default();
            required += &unmet;
        }
        Self { quotas: quotas.clone(), consumed, required, available }
    }

    pub(crate) fn consumed(&self, role: &Role) -> Quantities {
        self.consumed.get(&top(role)).cloned().unwrap_or_default()
    }

    pub(crate) fn headroom(&self) -> (&Quantities, &Quantities) {
        (&self.required, &self.available)
    }

    fn unmet(&self, role: &Role, name: &Name) -> Scalar {
        let guarantee = self.quotas.get(&top(role)).map(|quota| quota.guarantees.get(name));
        positive(guarantee.unwrap_or_default() - self.consumed(role).get(name))
    }

    fn limit(&self, role: &Role, name: &Name) -> Option<Scalar> {
        self.quotas.get(&top(role))?.limits.get(name)
    }

    /// Whether a role must still get something that is free.
    pub(crate) fn is_owed(&self, role: &Role, free: &Resources) -> bool {
        open(free).iter().any(|(name, _)| self.unmet(role, name) > Scalar::ZERO)
    }

    /// What of these may go to a role.
    pub(crate) fn cut(&self, role: &Role, may: &Resources) -> Resources {
        let mut part = Resources::new();
        for resource in may {
            let (name, amount) = (resource.name(), resource.as_scalar().unwrap_or_default());
            if !is_open(resource) {
                part.push(resource.clone());
                continue;
            }
            let guaranteed = amount.min(self.unmet(role, name));
            let mut more = amount - guaranteed;
            if let Some(limit) = self.limit(role, name) {
                more = more.min(positive(limit - self.consumed(role).get(name) - guaranteed));
            }
            if self.required.get(name) > Scalar::ZERO {
                more = more.min(positive(self.available.get(name) - self.required.get(name)));
            }
            if guaranteed + more > Scalar::ZERO {
                part.push(resource.clone().with_value(Value::Scalar(guaranteed + more)));
            }
        }
        part
    }

    /// An allocation keeps to the limit of its role, and takes nothing that is kept
    /// for the guarantees of others.
    pub(crate) fn check(&self, made: &Allocation) {
        for (name, amount) in open(&made.resources.unallocated()).iter() {
            if let Some(limit) = self.limit(&made.role, name) {
                let after = self.consumed(&made.role).get(name) + *amount;
                assert!(after <= limit, "{made:?} exceeds the limit of {limit} {name}");
            }
            let unmet = self.unmet(&made.role, name);
            if *amount > unmet {
                let others = self.required.get(name) - unmet;
                let left = self.available.get(name) - *amount;
                assert!(others.is_zero() || left >= others, "{made:?} takes {name} kept for others");
            }
        }
    }
}
