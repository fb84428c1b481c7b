//! Offers: made from what the allocator gives, held by one framework each, and
//! ended by acceptance, decline, timeout or withdrawal.

use std::collections::BTreeMap;
use std::sync::Arc;

use allocator::{Allocation, Refusal};
use machine::TimerId;
use proto::mesos::v1;
use resources::Format;
use types::{AgentId, FrameworkId, OfferId};

use crate::Master;
use crate::connection::Say;
use crate::step::{Due, Step};
use crate::view::OfferView;

/// All outstanding offers.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    live: BTreeMap<OfferId, (Arc<OfferView>, Option<TimerId>)>,
    given: u64,
}

impl Offers {
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<OfferView>> {
        self.live.get(id).map(|(offer, _)| offer)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<OfferView>> {
        self.live.values().map(|(offer, _)| offer)
    }

    /// Inverse offers take theirs from here too, so that no two have the same.
    pub(crate) fn next_id(&mut self, master: &str) -> OfferId {
        let id = OfferId::from(format!("{master}-O{}", self.given));
        self.given += 1;
        id
    }
}

/// How an offer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The framework knows, or does not care any more.
    Discarded,
    /// The framework is told.
    Rescinded,
}

impl Master {
    /// Makes offers of grants, one message for each framework.
    pub(crate) fn offer(&mut self, grants: Vec<Allocation>, step: &mut Step<'_>) {
        let mut by_framework: BTreeMap<FrameworkId, (Vec<v1::Offer>, Vec<String>)> = BTreeMap::new();
        for grant in grants {
            let framework = grant.framework.clone();
            let Some((offer, pid)) = self.offer_one(grant, step) else { continue };
            let (offers, pids) = by_framework.entry(framework).or_default();
            offers.push(offer);
            pids.push(pid);
        }
        for (id, (offers, pids)) in by_framework {
            let Some(framework) = self.frameworks.get_mut(id.as_str()) else { continue };
            framework.counters_mut().offers_sent += offers.len() as u64;
            framework.waiting.served(step.now.mono);
            framework.tell(Say::Offers { offers, pids }, step.fx);
        }
    }

    /// Records one offer. Returns it as its framework may see it, and its agent's
    /// address; or gives the resources back where nobody can take them.
    fn offer_one(&mut self, grant: Allocation, step: &mut Step<'_>) -> Option<(v1::Offer, String)> {
        let Allocation { framework: framework_id, role, agent: agent_id, resources } = grant;
        let framework = self.frameworks.get_mut(framework_id.as_str());
        let agent = self.agents.get_mut(agent_id.as_str());
        let (Some(framework), Some(agent)) = (framework, agent) else {
            self.allocator.recover(step.now.mono, &framework_id, &agent_id, &resources, None);
            return None;
        };
        if !framework.is_connected() || !framework.is_active() || !agent.view().active {
            self.allocator.recover(step.now.mono, &framework_id, &agent_id, &resources, None);
            return None;
        }
        let executors = agent.view().executors.get(&framework_id);
        let offer = OfferView {
            id: self.offers.next_id(&self.config.master.id),
            framework: framework_id,
            agent: agent_id,
            role,
            executors: executors.map(|all| all.keys().cloned().collect()).unwrap_or_default(),
            template: Arc::clone(&agent.template),
            made: step.now.mono,
            resources,
        };
        framework.add_offer(offer.id.clone(), &offer.resources);
        agent.add_offer(offer.id.clone(), &offer.resources);
        let mut message = offer.to_proto();
        let capabilities = framework.capabilities;
        tailor(&mut message, capabilities.multi_role, capabilities.reservation_refinement);
        let pid = agent.pid().to_string();
        let due = self.config.offer_timeout.map(|timeout| step.after(timeout));
        let timer = due.map(|due| self.timers.arm(due, Due::OfferTimeout(offer.id.clone())));
        self.offers.live.insert(offer.id.clone(), (Arc::new(offer), timer));
        Some((message, pid))
    }

    /// Ends an offer and gives its resources back, with a filter against being
    /// offered them again for a time.
    pub(crate) fn end_offer(
        &mut self,
        id: &str,
        end: End,
        filter: Option<Refusal>,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(offer) = self.take_offer(id) else { return false };
        if end == End::Rescinded
            && let Some(framework) = self.frameworks.get_mut(offer.framework.as_str())
        {
            framework.counters_mut().offers_rescinded += 1;
            framework.tell(Say::Rescind(offer.id.clone()), step.fx);
        }
        self.allocator.recover(step.now.mono, &offer.framework, &offer.agent, &offer.resources, filter);
        true
    }

    /// Takes an offer out of the books; its resources are the caller's to give back.
    pub(crate) fn take_offer(&mut self, id: &str) -> Option<Arc<OfferView>> {
        let (offer, timer) = self.offers.live.remove(id)?;
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
        if let Some(framework) = self.frameworks.get_mut(offer.framework.as_str()) {
            framework.remove_offer(&offer.id, &offer.resources);
        }
        if let Some(agent) = self.agents.get_mut(offer.agent.as_str()) {
            agent.remove_offer(&offer.id, &offer.resources);
        }
        Some(offer)
    }

    /// Ends all offers and inverse offers of a framework.
    pub(crate) fn end_offers_of(&mut self, framework: &FrameworkId, end: End, step: &mut Step<'_>) {
        let offers = self.frameworks.get(framework.as_str()).map(|f| f.offers.clone()).unwrap_or_default();
        for id in offers {
            self.end_offer(id.as_str(), end, None, step);
        }
        self.end_inverse_offers_of(framework, end, step);
    }

    /// Withdraws all offers of an agent, and inverse offers for it.
    pub(crate) fn end_offers_on(&mut self, agent: &AgentId, step: &mut Step<'_>) {
        let offers = self.agents.get(agent.as_str()).map(|a| a.offers.clone()).unwrap_or_default();
        for id in offers {
            self.end_offer(id.as_str(), End::Rescinded, None, step);
        }
        self.end_inverse_offers_on(agent, step);
    }
}

/// Leaves out of an offer what its framework does not know of (as observed of Mesos).
fn tailor(offer: &mut v1::Offer, multi_role: bool, reservation_refinement: bool) {
    offer.resources.retain(|resource| resource.name != "ephemeral_ports");
    if !multi_role {
        // COMPAT(mesos): old frameworks compare resources field by field.
        offer.allocation_info = None;
        offer.resources.iter_mut().for_each(|resource| resource.allocation_info = None);
    }
    if !reservation_refinement {
        offer
            .resources
            .retain_mut(|resource| resources::format::convert(resource, Format::PreRefinement).is_ok());
    }
}
