//! Declined offers: what a framework refused is not offered to it for a while.
//!
//! A filter holds for one framework, role and agent, and for offers that are part
//! of what was refused: when the agent has more, the framework hears of it.

#![expect(
    clippy::disallowed_types,
    reason = "a map whose hasher has no seed has one order, and what iterates it does the same in any order"
)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use machine::{Instant, TimerId};
use resources::Quantities;
use smallvec::SmallVec;
use types::{AgentId, FrameworkId};

use crate::Allocator;
use crate::agents::Agent;
use crate::arena::Key;
use crate::frameworks::Client;
use crate::lot::Lot;

/// One refusal.
pub(crate) struct Filter {
    /// What was refused. Shared by all who refused the same.
    refused: Lot,
    timer: TimerId,
}

/// What is due when a filter's time is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expiry {
    pub(crate) client: Key<Client>,
    pub(crate) agent: Key<Agent>,
}

/// A client's filters by agent; never empty lists, and nearly always of one.
pub(crate) type FilterMap = HashMap<Key<Agent>, SmallVec<[Filter; 1]>, BuildHasherDefault<KeyHasher>>;

/// Mixes one key; keys come from us, so nobody can aim at collisions.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

/// Whether a client refused these resources of an agent, or a whole of which they
/// are part.
pub(crate) fn is_refused(client: &Client, agent: Key<Agent>, offered: &Lot) -> bool {
    let filters = client.filters.get(&agent);
    filters.is_some_and(|filters| filters.iter().any(|filter| filter.refused.contains(offered)))
}

/// When the last of the filters ends that refuse these resources of an agent.
pub(crate) fn refused_until(client: &Client, agent: Key<Agent>, offered: &Lot) -> Option<Instant> {
    let filters = client.filters.get(&agent)?.iter();
    filters.filter(|filter| filter.refused.contains(offered)).map(|filter| filter.timer.at()).max()
}

impl Filter {
    /// Whether so much and more was refused.
    pub(crate) fn covers(&self, size: &Quantities) -> bool {
        self.refused.meets(std::slice::from_ref(size))
    }
}

impl Allocator {
    /// Whether a framework refused something of an agent and the time for that is not
    /// over, in any of its roles.
    #[must_use]
    pub fn refuses(&self, framework: &FrameworkId, agent: &AgentId) -> bool {
        let (Some(framework), Some(agent)) = (self.frameworks.get(framework), self.agents.key(agent)) else {
            return false;
        };
        let mut clients = framework.clients.values().map(|client| &self.frameworks.clients[*client]);
        clients.any(|client| client.filters.contains_key(&agent))
    }

    /// An agent is another than the one that was refused, or that frameworks said they
    /// would leave: nobody's refusals and answers hold any more.
    pub fn forget_refusals(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.key(id) else { return };
        self.clear_filters_of_agent(agent);
        self.forget_answers_on(agent);
        self.look_at(agent);
    }

    pub(crate) fn add_filter(
        &mut self,
        now: Instant,
        client: Key<Client>,
        agent: Key<Agent>,
        refused: Lot,
        hold: Duration,
    ) {
        // A storm of declines refuses the same over and over; one copy serves all.
        let last = &self.last_refused;
        let is_last = last.is_same(&refused) || last.resources() == refused.resources();
        let refused = if is_last { last.clone() } else { refused };
        self.last_refused = refused.clone();
        let timer = self.timers.arm(now + hold, Expiry { client, agent });
        let holder = &mut self.frameworks.clients[client];
        let refused = self.agents.arena[agent].refusals.note(holder.node.place(), refused);
        let filter = Filter { refused, timer };
        match holder.filters.entry(agent) {
            // The place is far away in memory and nothing waits for what is only written.
            Entry::Vacant(place) => {
                place.insert(SmallVec::from_buf([filter]));
            }
            Entry::Occupied(mut others) => others.get_mut().push(filter),
        }
        holder.filter_count += 1;
    }

    /// Drops the filters that are over, and has their frameworks look again, as long as
    /// the budget allows.
    pub(crate) fn expire_filters(&mut self, now: Instant, end: u64) {
        while self.spent() < end
            && let Some((timer, Expiry { client, agent })) = self.timers.pop(now)
        {
            self.chores += 1;
            let Some(holder) = self.frameworks.clients.get_mut(client) else { continue };
            let Some(filters) = holder.filters.get_mut(&agent) else { continue };
            let Some(at) = filters.iter().position(|filter| filter.timer == timer) else { continue };
            let over = filters.swap_remove(at);
            let is_last = !filters.iter().any(|other| other.refused.is_same(&over.refused));
            self.agents.arena[agent].refusals.forget(holder.node.place(), &over.refused, is_last);
            if filters.is_empty() {
                holder.filters.remove(&agent);
            }
            holder.filter_count -= 1;
            self.look_at_for(agent, client);
        }
    }

    /// Drops the filters of a client for an agent.
    pub(crate) fn clear_filters_for(&mut self, client: Key<Client>, agent: Key<Agent>) {
        let holder = &mut self.frameworks.clients[client];
        for filter in holder.filters.remove(&agent).into_iter().flatten() {
            holder.filter_count -= 1;
            self.timers.cancel(filter.timer);
            self.agents.arena[agent].refusals.forget(holder.node.place(), &filter.refused, true);
        }
    }

    /// Drops all filters of a client.
    pub(crate) fn clear_filters(&mut self, client: Key<Client>) {
        let holder = &mut self.frameworks.clients[client];
        holder.filter_count = 0;
        for (agent, filters) in std::mem::take(&mut holder.filters) {
            for filter in filters {
                self.timers.cancel(filter.timer);
                self.agents.arena[agent].refusals.forget(holder.node.place(), &filter.refused, true);
            }
        }
    }

    /// Drops all filters for an agent. Mostly there are none, and nobody is asked.
    pub(crate) fn clear_filters_of_agent(&mut self, agent: Key<Agent>) {
        if self.agents.arena[agent].refusals.filters() == 0 {
            return;
        }
        let all = self.frameworks.clients.iter();
        let refused = all.filter(|(_, client)| client.filters.contains_key(&agent));
        let refused: Vec<_> = refused.map(|(client, _)| client).collect();
        refused.into_iter().for_each(|client| self.clear_filters_for(client, agent));
    }
}
