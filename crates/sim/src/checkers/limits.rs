//! Limits hold: while a role has reached its limit it is offered nothing more. What it held before the limit was set,
//! or before its agents came back after an election, it keeps.

use std::collections::{BTreeMap, BTreeSet};

use master_core::View;
use resources::{Name, Resource, Resources, Scalar};
use types::Role;

/// The offers that were there at the last look.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    offers: BTreeSet<String>,
}

impl Limits {
    pub(crate) fn leader_gone(&mut self) {
        self.offers.clear();
    }

    /// Whether new offers keep within the limits of their roles; and whether reservations are offered to their own
    /// roles only.
    pub(crate) fn check(&mut self, view: &View) -> Result<(), String> {
        let mut offers = BTreeSet::new();
        let mut fresh: BTreeMap<Role, Resources> = BTreeMap::new();
        for offer in view.frameworks.iter().flat_map(|framework| &framework.offers) {
            if let Some(bad) = offer.resources.iter().find(|resource| !is_for(resource, &offer.role)) {
                return Err(format!("{} offers {bad} to role {}", offer.id, offer.role));
            }
            if !self.offers.contains(offer.id.as_str()) {
                *fresh.entry(top(&offer.role)).or_default() += &offer.resources;
            }
            offers.insert(offer.id.as_str().to_owned());
        }
        self.offers = offers;
        for (role, offered) in fresh {
            let Some(quota) = view.quotas.get(&role) else { continue };
            for (name, limit) in quota.limits.iter() {
                let held = held(view, &role, name);
                if held > limit.milli() && open(&offered, name) > 0 {
                    let held = Scalar::from_milli(held);
                    return Err(format!(
                        "{role} is offered {offered}; with that it holds {held} {name} of {limit}"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What a role holds and is offered of a name, as far as it counts: unreserved.
fn held(view: &View, role: &Role, name: &Name) -> i64 {
    let of = |resources: &Resources| -> i64 {
        let own = resources
            .iter()
            .filter(|resource| resource.allocation_role().is_some_and(|holder| top(holder) == *role));
        own.filter(|resource| resource.name() == name && !resource.is_reserved())
            .filter_map(Resource::as_scalar)
            .map(Scalar::milli)
            .sum()
    };
    let agents = view.agents.iter();
    agents.map(|agent| of(&agent.offered) + agent.used.values().map(of).sum::<i64>()).sum()
}

fn open(resources: &Resources, name: &Name) -> i64 {
    let unreserved = resources.iter().filter(|resource| resource.name() == name && !resource.is_reserved());
    unreserved.filter_map(Resource::as_scalar).map(Scalar::milli).sum()
}

fn is_for(resource: &Resource, role: &Role) -> bool {
    resource.reservation_role().is_none_or(|owner| role.is_within(owner) || role == owner)
}

fn top(role: &Role) -> Role {
    Role::from(role.as_str().split('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing;

    #[test]
    fn sees_an_offer_beyond_a_limit() {
        let mut view = testing::busy_view();
        let offer = view.frameworks.iter().flat_map(|framework| &framework.offers).next();
        let role = top(&offer.expect("something is offered").role);
        assert_eq!(Limits::default().check(&view), Ok(()));
        let mut limits = resources::Limits::new();
        limits.set(&Name::CPUS, Scalar::ZERO);
        let quota = master_core::Quota { limits, ..master_core::Quota::default() };
        view.quotas = Arc::new(BTreeMap::from([(role, quota)]));
        let mut checker = Limits::default();
        assert!(checker.check(&view).is_err());
        // It was there before the limit.
        assert_eq!(checker.check(&view), Ok(()));
    }
}
