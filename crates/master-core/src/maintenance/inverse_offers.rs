//! Inverse offers: frameworks are asked to leave an agent.
//!
//! Each framework has at most one outstanding for an agent that is to be unavailable.
//! It ends by the framework's answer, which is kept for operators to see, by timeout,
//! or when its reason is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use machine::TimerId;
use proto::mesos::v1;
use proto::mesos::v1::allocator::{InverseOfferStatus, inverse_offer_status::Status};
use types::{AgentId, FrameworkId, OfferId};

use crate::Master;
use crate::connection::Say;
use crate::offers::End;
use crate::step::{Due, Step};

/// What frameworks answered, by agent.
pub type Answers = BTreeMap<AgentId, BTreeMap<FrameworkId, InverseOfferStatus>>;

/// Why a framework is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The agent's machine is to be taken out of service.
    Maintenance,
    /// Another framework starves.
    Revocation,
}

#[derive(Debug)]
struct InverseOffer {
    framework: FrameworkId,
    agent: AgentId,
    cause: Cause,
    timer: Option<TimerId>,
}

/// All that are outstanding, and the answers to those that are not.
#[derive(Debug, Default)]
pub(crate) struct InverseOffers {
    live: BTreeMap<OfferId, InverseOffer>,
    by_agent: BTreeSet<(AgentId, OfferId)>,
    by_framework: BTreeSet<(FrameworkId, OfferId)>,
    answers: Arc<Answers>,
}

impl InverseOffers {
    fn insert(&mut self, id: OfferId, offer: InverseOffer) {
        self.by_agent.insert((offer.agent.clone(), id.clone()));
        self.by_framework.insert((offer.framework.clone(), id.clone()));
        self.live.insert(id, offer);
    }

    fn remove(&mut self, id: &OfferId) -> Option<InverseOffer> {
        let offer = self.live.remove(id.as_str())?;
        self.by_agent.remove(&(offer.agent.clone(), id.clone()));
        self.by_framework.remove(&(offer.framework.clone(), id.clone()));
        Some(offer)
    }

    fn on(&self, agent: &AgentId) -> Vec<OfferId> {
        let all = self.by_agent.range((agent.clone(), OfferId::from(""))..);
        all.take_while(|(of, _)| of == agent).map(|(_, id)| id.clone()).collect()
    }

    fn of(&self, framework: &FrameworkId) -> Vec<OfferId> {
        let all = self.by_framework.range((framework.clone(), OfferId::from(""))..);
        all.take_while(|(of, _)| of == framework).map(|(_, id)| id.clone()).collect()
    }

    /// What frameworks answered, for readers.
    pub(crate) fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }

    fn note(&mut self, agent: &AgentId, framework: &FrameworkId, answer: InverseOfferStatus) {
        Arc::make_mut(&mut self.answers).entry(agent.clone()).or_default().insert(framework.clone(), answer);
    }

    /// The reason for asking about an agent changed or is gone.
    pub(crate) fn forget_answers(&mut self, agent: &AgentId) {
        if self.answers.contains_key(agent) {
            Arc::make_mut(&mut self.answers).remove(agent);
        }
    }

    /// A framework is gone for good.
    pub(crate) fn forget_framework(&mut self, framework: &FrameworkId) {
        if self.answers.values().any(|of_agent| of_agent.contains_key(framework)) {
            let answers = Arc::make_mut(&mut self.answers);
            answers.values_mut().for_each(|of_agent| drop(of_agent.remove(framework)));
            answers.retain(|_, of_agent| !of_agent.is_empty());
        }
    }

    /// For the check of invariants: agent and framework of each that is outstanding.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&AgentId, &FrameworkId)> {
        self.live.values().map(|offer| (&offer.agent, &offer.framework))
    }
}

impl Master {
    /// Asks frameworks to leave agents, as the allocator found; one message for each.
    pub(crate) fn offer_inversely(&mut self, asks: Vec<(FrameworkId, AgentId)>, step: &mut Step<'_>) {
        let mut by_framework: BTreeMap<FrameworkId, (Vec<v1::InverseOffer>, Vec<String>)> = BTreeMap::new();
        for (framework, agent) in asks {
            let Some(place) = self.agents.get(agent.as_str()) else { continue };
            let Some(unavailability) = place.view().unavailability else { continue };
            let pid = place.pid().to_string();
            let offer = self.make_inverse_offer(&framework, &agent, unavailability, Cause::Maintenance, step);
            let Some(offer) = offer else { continue };
            let (offers, pids) = by_framework.entry(framework).or_default();
            offers.push(offer);
            pids.push(pid);
        }
        for (id, (offers, pids)) in by_framework {
            let Some(framework) = self.frameworks.get_mut(id.as_str()) else { continue };
            framework.tell(Say::InverseOffers { offers, pids }, step.fx);
        }
    }

    /// Takes an inverse offer into the books; the message is the caller's to send.
    pub(crate) fn make_inverse_offer(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        unavailability: v1::Unavailability,
        cause: Cause,
        step: &Step<'_>,
    ) -> Option<v1::InverseOffer> {
        self.frameworks.get(framework.as_str())?;
        let url = self.agents.get(agent.as_str())?.template.url.clone();
        let id = self.offers.next_id(&self.config.master.id);
        let due = self.config.offer_timeout.map(|timeout| step.after(timeout));
        let timer = due.map(|due| self.timers.arm(due, Due::InverseOfferTimeout(id.clone())));
        let (framework, agent) = (framework.clone(), agent.clone());
        let offer = v1::InverseOffer {
            id: (&id).into(),
            url,
            framework_id: (&framework).into(),
            agent_id: Some((&agent).into()),
            unavailability,
            resources: Vec::new(),
        };
        self.inverse_offers.insert(id, InverseOffer { framework, agent, cause, timer });
        Some(offer)
    }

    /// ACCEPT_INVERSE_OFFERS and DECLINE_INVERSE_OFFERS. What is outstanding no more is
    /// passed over.
    pub(crate) fn answer_inverse_offers(
        &mut self,
        framework: &FrameworkId,
        ids: &[v1::OfferId],
        filters: Option<v1::Filters>,
        status: Status,
        step: &mut Step<'_>,
    ) {
        let refusal = crate::calls::refusal(filters);
        for id in ids {
            let id = OfferId::from(id);
            // COMPAT(mesos): whose inverse offer it is is not asked; here it is.
            let own = self.inverse_offers.live.get(id.as_str()).is_some_and(|o| o.framework == *framework);
            if !own {
                continue;
            }
            let Some(offer) = self.take_inverse_offer(&id) else { continue };
            match offer.cause {
                // What counts is whether the resources are free when the grace is over.
                Cause::Revocation => {}
                Cause::Maintenance => {
                    let answer = InverseOfferStatus {
                        status: status.into(),
                        framework_id: framework.into(),
                        timestamp: step.time_info(),
                    };
                    self.inverse_offers.note(&offer.agent, framework, answer);
                    self.allocator.end_ask(step.now.mono, framework, &offer.agent, Some(refusal));
                }
            }
        }
    }

    fn take_inverse_offer(&mut self, id: &OfferId) -> Option<InverseOffer> {
        let offer = self.inverse_offers.remove(id)?;
        if let Some(timer) = offer.timer {
            self.timers.cancel(timer);
        }
        Some(offer)
    }

    /// Ends an inverse offer without an answer.
    pub(crate) fn end_inverse_offer(&mut self, id: &OfferId, end: End, step: &mut Step<'_>) {
        let Some(offer) = self.take_inverse_offer(id) else { return };
        if end == End::Rescinded
            && let Some(framework) = self.frameworks.get_mut(offer.framework.as_str())
        {
            framework.tell(Say::RescindInverse(id.clone()), step.fx);
        }
        match offer.cause {
            Cause::Revocation => {}
            Cause::Maintenance => {
                self.allocator.end_ask(step.now.mono, &offer.framework, &offer.agent, None);
            }
        }
    }

    /// Ends all that a framework has.
    pub(crate) fn end_inverse_offers_of(&mut self, framework: &FrameworkId, end: End, step: &mut Step<'_>) {
        for id in self.inverse_offers.of(framework) {
            self.end_inverse_offer(&id, end, step);
        }
    }

    /// Withdraws all for an agent.
    pub(crate) fn end_inverse_offers_on(&mut self, agent: &AgentId, step: &mut Step<'_>) {
        for id in self.inverse_offers.on(agent) {
            self.end_inverse_offer(&id, End::Rescinded, step);
        }
    }
}
