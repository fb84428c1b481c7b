//! Minimum offer sizes: what is freed of an agent adds up for a task that needs much.
//!
//! A framework that needs much of one agent may wait for ever while others take each
//! small piece as it comes free. A role may have a minimum offer size
//! ([`Options::min_offers`](crate::Options)); its frameworks are offered no less of an
//! agent. When it is such a framework's turn, and what it may have of what is free is
//! too little but the agent has enough altogether, the agent is *kept* for it: what it
//! may have there is given to nobody else, whoever comes first, until there is enough.
//!
//! ```text
//!         its turn, too little is free
//!   open ------------------------------> kept for a framework
//!    ^                                        |  enough is free, and it is offered that;
//!    | as long again                          |  it was offered enough elsewhere;
//!    |                                        |  there is no use in waiting any more;
//!   resting <---------------------------------'  or `min_offer_hold` is over
//! ```
//! **Invariant:** a framework in a role has one agent kept for it at most, and an agent
//! rests between two times of being kept as long as one of them may last: nobody can
//! block much, and nobody can block anything for good.

use std::collections::BTreeMap;

use machine::{Instant, TimerId, Timers};
use resources::{Quantities, Resources};
use types::{AgentId, FrameworkId, Role};

use crate::Allocator;
use crate::agents::Agent;
use crate::arena::Key;
use crate::filters::is_refused;
use crate::frameworks::{Client, incapable};
use crate::lot::Lot;
use crate::work::{FEW, Pending};

/// What is known of minimum offer sizes. Empty unless roles have some.
#[derive(Default)]
pub(crate) struct Large {
    /// The sizes of the clients that have one.
    sizes: BTreeMap<Key<Client>, Quantities>,
    agents: BTreeMap<Key<Agent>, Phase>,
    /// Which agent is kept for whom.
    by_client: BTreeMap<Key<Client>, Key<Agent>>,
    /// Agents that are kept for clients which have changed since the last step.
    doubted: Vec<Key<Agent>>,
    timers: Timers<Key<Agent>>,
}

/// Agents that are open have none.
#[derive(Clone, Copy)]
enum Phase {
    Kept { client: Key<Client>, end: TimerId },
    Resting { end: TimerId },
}

/// An agent that is kept for a framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAgent {
    /// Which agent.
    pub agent: AgentId,
    /// For which framework.
    pub framework: FrameworkId,
    /// In which role.
    pub role: Role,
    /// At the latest until then.
    pub until: Instant,
}

impl Large {
    pub(crate) fn add_client(&mut self, client: Key<Client>, size: &Quantities) {
        self.sizes.insert(client, size.clone());
    }

    pub(crate) fn forget_client(&mut self, client: Key<Client>) {
        // The agent is looked at, and then no longer kept.
        self.sizes.remove(&client);
    }

    pub(crate) fn forget_agent(&mut self, agent: Key<Agent>) {
        match self.agents.remove(&agent) {
            None => {}
            Some(Phase::Kept { client, end }) => {
                self.by_client.remove(&client);
                self.timers.cancel(end);
            }
            Some(Phase::Resting { end }) => {
                self.timers.cancel(end);
            }
        }
    }

    /// For whom an agent is kept.
    pub(crate) fn kept_for(&self, agent: Key<Agent>) -> Option<Key<Client>> {
        match self.agents.get(&agent)? {
            Phase::Kept { client, .. } => Some(*client),
            Phase::Resting { .. } => None,
        }
    }

    /// Whether these are enough for a client to be offered them.
    pub(crate) fn is_enough(&self, client: Key<Client>, lot: &Lot) -> bool {
        self.sizes.get(&client).is_none_or(|size| lot.meets(std::slice::from_ref(size)))
    }

    /// When the next agent is no longer kept, or has rested.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn check(&self) {
        let kept = self.agents.iter().filter_map(|(agent, phase)| match phase {
            Phase::Kept { client, .. } => Some((*client, *agent)),
            Phase::Resting { .. } => None,
        });
        assert_eq!(kept.collect::<BTreeMap<_, _>>(), self.by_client, "one agent is kept for a client");
        assert_eq!(self.timers.len(), self.agents.len(), "each phase has its end");
    }
}

impl Allocator {
    /// The agents that are kept for frameworks which need much of one.
    #[must_use]
    pub fn kept_agents(&self) -> Vec<KeptAgent> {
        self.large.agents.keys().filter_map(|agent| self.kept_agent(*agent)).collect()
    }

    pub(crate) fn kept_agent(&self, agent: Key<Agent>) -> Option<KeptAgent> {
        let Some(Phase::Kept { client, end }) = self.large.agents.get(&agent) else { return None };
        let holder = self.frameworks.clients.get(*client)?;
        Some(KeptAgent {
            agent: self.agents.arena[agent].id.clone(),
            framework: self.frameworks.arena[holder.framework].id.clone(),
            role: holder.role.clone(),
            until: end.at(),
        })
    }

    /// What anybody but those for whom it is kept may be offered of an agent.
    pub(crate) fn free_for_others(&self, agent: Key<Agent>) -> Lot {
        let free = &self.agents.arena[agent].free;
        match self.large.kept_for(agent) {
            None => free.clone(),
            Some(client) => free.minus(&self.kept_part(client, agent)),
        }
    }

    /// What of an agent is kept for a client while it is: all of what is free there that it
    /// may have, whatever its quota. Copies of shared volumes need not be kept.
    pub(crate) fn kept_part(&self, client: Key<Client>, agent: Key<Agent>) -> Lot {
        let part = Lot::of(self.usable(client, self.agents.arena[agent].free.resources()));
        self.cut_to_long(client, agent, &part).unwrap_or(part)
    }

    /// What of all that an agent has a client could have, whatever its quota.
    fn ever(&self, client: Key<Client>, agent: Key<Agent>) -> Lot {
        let all = Lot::of(self.usable(client, self.agents.arena[agent].total.resources()));
        self.cut_total_to_long(client, agent, all)
    }

    fn usable(&self, client: Key<Client>, of: &Resources) -> Resources {
        let Some(holder) = self.frameworks.clients.get(client) else { return Resources::new() };
        let capabilities = self.frameworks.arena[holder.framework].capabilities;
        of.filter(|one| !one.is_shared() && one.is_allocatable_to(&holder.role) && capabilities.handle(one))
    }

    /// Whether it is of use to keep an agent for a client: something is free, it is too
    /// little, and more of the same agent would be enough.
    fn is_worth_keeping(&self, client: Key<Client>, agent: Key<Agent>) -> bool {
        let Some(holder) = self.frameworks.clients.get(client) else { return false };
        let Some(size) = self.large.sizes.get(&client) else { return false };
        let place = &self.agents.arena[agent];
        let capabilities = self.frameworks.arena[holder.framework].capabilities;
        if !self.frameworks.wants(holder)
            || !place.is_offered()
            || incapable(&self.options, capabilities, holder, place).is_some()
        {
            return false;
        }
        let part = self.kept_part(client, agent);
        let mut refused = holder.filters.get(&agent).into_iter().flatten();
        !part.is_empty()
            && !self.large.is_enough(client, &part)
            && self.large.is_enough(client, &self.ever(client, agent))
            && !refused.any(|filter| filter.covers(size))
    }

    /// Keeps an agent for a client that has just looked at it, whose turn it was and for
    /// whom too little is free; says whether it does.
    pub(crate) fn keep_for_large(&mut self, client: Key<Client>, agent: Key<Agent>) -> bool {
        if !self.large.sizes.contains_key(&client)
            || self.large.agents.contains_key(&agent)
            || self.large.by_client.contains_key(&client)
            || self.options.min_offer_hold.is_zero()
            || !self.is_worth_keeping(client, agent)
        {
            return false;
        }
        // Nor does it wait for what quota will not let it have, or what it refused.
        let holder = &self.frameworks.clients[client];
        let ever = self.ever(client, agent);
        let ever = self.quotas.cut(holder.account, &ever).unwrap_or(ever);
        let part = self.kept_part(client, agent);
        let is_shut = self.quotas.cut(holder.account, &part).is_some_and(|part| part.is_empty());
        if is_shut || is_refused(holder, agent, &part) || !self.large.is_enough(client, &ever) {
            return false;
        }
        let end = self.large.timers.arm(self.stepped + self.options.min_offer_hold, agent);
        self.large.agents.insert(agent, Phase::Kept { client, end });
        self.large.by_client.insert(client, agent);
        true
    }

    /// Before others look at an agent: who has it kept gets it if it is enough now. Says
    /// whether it is no longer kept for anybody.
    pub(crate) fn serve_large(&mut self, agent: Key<Agent>, out: &mut Vec<crate::Allocation>) -> bool {
        let Some(client) = self.large.kept_for(agent) else { return false };
        if self.is_worth_keeping(client, agent) {
            return false;
        }
        self.let_rest(agent);
        let wants = self.frameworks.clients.get(client).is_some_and(|holder| self.frameworks.wants(holder));
        if wants && self.agents.arena[agent].is_offered() {
            let free = self.agents.arena[agent].free.clone();
            self.look(client, agent, &free, out);
        }
        true
    }

    /// A client was given enough: nothing else is kept for it.
    pub(crate) fn end_keeping_for(&mut self, client: Key<Client>) {
        if let Some(agent) = self.large.by_client.get(&client).copied() {
            self.let_rest(agent);
            self.look_at(agent);
        }
    }

    /// What a client wants changed, and with it perhaps what is kept for it.
    pub(crate) fn recheck_keeping_for(&mut self, client: Key<Client>) {
        if let Some(agent) = self.large.by_client.get(&client).copied() {
            self.large.doubted.push(agent);
            self.look_at(agent);
        }
    }

    /// Ends the phases whose time is over, and keeps nothing for those who want nothing:
    /// where nobody does, no agent is looked at.
    pub(crate) fn expire_keeping(&mut self, now: Instant) {
        for agent in std::mem::take(&mut self.large.doubted) {
            let holder = |client| self.frameworks.clients.get(client);
            let wants = |client| holder(client).is_some_and(|holder| self.frameworks.wants(holder));
            if self.large.kept_for(agent).is_some_and(|client| !wants(client)) {
                self.let_rest(agent);
                self.look_at(agent);
            }
        }
        while let Some((_, agent)) = self.large.timers.pop(now) {
            if self.large.kept_for(agent).is_some() {
                self.let_rest(agent);
                self.look_at(agent);
            } else {
                self.large.agents.remove(&agent);
            }
        }
    }

    fn let_rest(&mut self, agent: Key<Agent>) {
        self.large.forget_agent(agent);
        let end = self.large.timers.arm(self.stepped + self.options.min_offer_hold, agent);
        self.large.agents.insert(agent, Phase::Resting { end });
    }

    /// Adds to the few who are to look at an agent those who may have it kept, since it
    /// may be their turn.
    pub(crate) fn join_large(&self, agent: Key<Agent>, pending: Pending) -> Pending {
        if self.large.sizes.is_empty() || self.large.agents.contains_key(&agent) {
            return pending;
        }
        let Pending::Some(mut clients) = pending else { return pending };
        let wants = |client: &Key<Client>| self.frameworks.wants(&self.frameworks.clients[*client]);
        clients.extend(self.large.sizes.keys().copied().filter(wants).take(FEW + 1));
        clients.sort_unstable();
        clients.dedup();
        if clients.len() > FEW { Pending::All } else { Pending::Some(clients) }
    }
}
