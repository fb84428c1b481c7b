//! The offers that stand in the way of a quota.

use std::collections::BTreeMap;

use allocator::Quota;
use proto::mesos::v1::quota::{QuotaConfig, QuotaRequest};
use resources::Quantities;
use types::{OfferId, Role};

use crate::Master;
use crate::offers::End;
use crate::step::Step;
use crate::validation::quota as check;

/// What of the offers of a top-level role and of those below it counts.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    /// All of it.
    all: Quantities,
    /// The part that counts as consumed while it is offered.
    unreserved: Quantities,
}

fn top_level(role: &Role) -> Role {
    role.as_str().split_once('/').map_or_else(|| role.clone(), |(top, _)| Role::from(top))
}

impl Master {
    /// What is offered, by top-level role.
    pub(crate) fn offered_by_role(&self) -> BTreeMap<Role, Offered> {
        let mut offered: BTreeMap<Role, Offered> = BTreeMap::new();
        for offer in self.offers.iter() {
            let of_role = offered.entry(top_level(&offer.role)).or_default();
            of_role.all += &Quantities::of(&offer.resources);
            let open = |resource: &resources::Resource| !resource.is_reserved() && !resource.is_revocable();
            of_role.unreserved += &Quantities::of_scalars(&offer.resources.filter(open));
        }
        offered
    }

    /// What a top-level role consumes, without what it is only offered.
    pub(crate) fn consumed_quota(&self, role: &Role, offered: &BTreeMap<Role, Offered>) -> Quantities {
        let mut consumed = self.allocator.quota_consumed(role);
        if let Some(offered) = offered.get(role) {
            consumed -= &offered.unreserved;
        }
        consumed
    }

    /// Withdraws offers of roles that are above their limits, and offers of other roles
    /// until that would do for a role's guarantees.
    ///
    // COMPAT(mesos): as if nothing were free, and counting reservations twice that are
    // offered: rather too many offers are withdrawn than too few.
    pub(crate) fn rescind_for_quota(&mut self, configs: &[QuotaConfig], step: &mut Step<'_>) {
        let mut offered = self.offered_by_role();
        for config in configs {
            let role = Role::from(config.role.as_str());
            let Quota { guarantees, limits } = check::of_config(config);
            if guarantees.is_empty() && limits.is_empty() {
                continue;
            }
            let outstanding = self.offers.len();
            let mut taken = self.consumed_quota(&role, &offered);
            if let Some(offered) = offered.get(&role) {
                taken += &offered.all;
            }
            if !limits.contains(&taken) {
                for id in self.offers_of_frameworks(|of| of.is_within(&role)) {
                    if limits.contains(&taken) {
                        break;
                    }
                    taken -= &self.rescind(&id, step);
                }
            }
            if !taken.contains(&guarantees) {
                for id in self.offers_of_agents(|of| !of.is_within(&role)) {
                    if taken.contains(&guarantees) {
                        break;
                    }
                    taken += &self.rescind(&id, step);
                }
            }
            if self.offers.len() < outstanding {
                offered = self.offered_by_role();
            }
        }
    }

    /// Withdraws all offers of one agent after the other, until they had as much as is
    /// guaranteed, and at least one for each framework of the role.
    pub(crate) fn rescind_agents(&mut self, request: &QuotaRequest, step: &mut Step<'_>) {
        let role = Role::from(request.role());
        let waiting = self.frameworks.iter().filter(|one| one.is_active() && one.roles.contains(&role));
        let waiting = waiting.count();
        let wanted = check::of_guarantee(&request.guarantee).guarantees;
        let active: Vec<_> =
            self.agents.iter().filter(|agent| agent.view().active).map(|agent| agent.id().clone()).collect();
        let (mut rescinded, mut visited) = (Quantities::new(), 0);
        for agent in active {
            if rescinded.contains(&wanted) && visited >= waiting {
                break;
            }
            let Some(offers) = self.agents.get(agent.as_str()).map(|agent| agent.offers.clone()) else {
                continue;
            };
            visited += usize::from(!offers.is_empty());
            for id in offers {
                let unreserved = self.offers.get(id.as_str()).map(|offer| offer.resources.unreserved());
                rescinded += &Quantities::of_scalars(&unreserved.unwrap_or_default());
                self.end_offer(id.as_str(), End::Rescinded, None, step);
            }
        }
    }

    fn offers_of_frameworks(&self, wanted: impl Fn(&Role) -> bool) -> Vec<OfferId> {
        let all = self.frameworks.iter().flat_map(|framework| framework.offers.iter());
        self.offers_that(all, wanted)
    }

    fn offers_of_agents(&self, wanted: impl Fn(&Role) -> bool) -> Vec<OfferId> {
        let all = self.agents.iter().flat_map(|agent| agent.offers.iter());
        self.offers_that(all, wanted)
    }

    fn offers_that<'a>(
        &self,
        all: impl Iterator<Item = &'a OfferId>,
        wanted: impl Fn(&Role) -> bool,
    ) -> Vec<OfferId> {
        let is_wanted = |id: &&OfferId| self.offers.get(id.as_str()).is_some_and(|o| wanted(&o.role));
        all.filter(is_wanted).cloned().collect()
    }

    /// Withdraws one offer, and says how much that was.
    fn rescind(&mut self, id: &OfferId, step: &mut Step<'_>) -> Quantities {
        let offered = self.offers.get(id.as_str()).map(|offer| Quantities::of(&offer.resources));
        self.end_offer(id.as_str(), End::Rescinded, None, step);
        offered.unwrap_or_default()
    }
}
