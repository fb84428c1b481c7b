//! Agents that are going to be unavailable: which frameworks are asked to leave them.
//!
//! A framework that holds or is offered something of such an agent is asked, once at a
//! time:
//!
//! ```text
//! (holds something) -> to be asked -> asked -- (answer) --> left alone for a while -.
//!                          ^            '---- (withdrawn) ----.                     |
//!                          '----------------------------------+---------------------'
//! ```
//!
//! Nothing is looked at twice without a cause: what makes a framework to be asked is
//! that the agent becomes unavailable or active, that the framework gets something of
//! it, is activated or revives, that an ask is withdrawn, or that the time is over for
//! which its answer holds. A cluster without such agents pays nothing.

use std::collections::{BTreeMap, BTreeSet};

use machine::{Instant, TimerId, Timers};
use types::{AgentId, FrameworkId};

use crate::agents::Agent;
use crate::arena::Key;
use crate::frameworks::{Client, Framework};
use crate::{Allocator, Refusal};

/// How it stands between one framework and one agent.
#[derive(Debug)]
enum Ask {
    /// It was asked and has not answered.
    Asked,
    /// It answered, and is left alone for a while.
    Answered(TimerId),
}

/// All agents that are going to be unavailable.
#[derive(Default)]
pub(crate) struct Asks {
    agents: BTreeMap<Key<Agent>, BTreeMap<Key<Framework>, Ask>>,
    /// Who may have to be asked; looked at once.
    pending: BTreeSet<(Key<Agent>, Key<Framework>)>,
    timers: Timers<(Key<Agent>, Key<Framework>)>,
}

impl Asks {
    /// When there is something to do.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.pending.is_empty() { self.timers.next() } else { Some(Instant::ZERO) }
    }

    fn cancel(&mut self, ask: Option<Ask>) {
        if let Some(Ask::Answered(timer)) = ask {
            self.timers.cancel(timer);
        }
    }

    fn forget_agent(&mut self, agent: Key<Agent>) {
        for ask in self.agents.remove(&agent).into_iter().flat_map(BTreeMap::into_values) {
            self.cancel(Some(ask));
        }
        self.pending.retain(|(of, _)| *of != agent);
    }
}

impl Allocator {
    /// An agent is going to be unavailable, or is not any more. Said again, everybody
    /// who uses the agent is asked anew.
    pub fn set_unavailable(&mut self, id: &AgentId, unavailable: bool) {
        let Some(agent) = self.agents.key(id) else { return };
        self.asks.forget_agent(agent);
        if unavailable {
            self.asks.agents.insert(agent, BTreeMap::new());
            self.ask_users_of(agent);
        }
    }

    /// A framework answered, and is left alone for the time of its refusal, or the ask
    /// was withdrawn.
    pub fn end_ask(
        &mut self,
        now: Instant,
        framework: &FrameworkId,
        agent: &AgentId,
        refusal: Option<Refusal>,
    ) {
        let Some(agent) = self.agents.key(agent) else { return };
        let Some(framework) = self.frameworks.by_id.get(framework).copied() else { return };
        let Some(asks) = self.asks.agents.get_mut(&agent) else { return };
        let old = asks.remove(&framework);
        self.asks.cancel(old);
        let user = &self.frameworks.arena[framework];
        let refusal = refusal.filter(|_| user.added && user.active);
        let hold = refusal.map(|refusal| refusal.hold().max(self.options.decline_pause));
        match hold.filter(|hold| !hold.is_zero()) {
            Some(hold) => {
                let timer = self.asks.timers.arm(now + hold, (agent, framework));
                if let Some(asks) = self.asks.agents.get_mut(&agent) {
                    asks.insert(framework, Ask::Answered(timer));
                }
            }
            None => drop(self.asks.pending.insert((agent, framework))),
        }
    }

    /// Who is to be asked to leave which agent now. They count as asked from here on,
    /// until [`Allocator::end_ask`].
    pub fn take_asks(&mut self, now: Instant) -> Vec<(FrameworkId, AgentId)> {
        while let Some((_, (agent, framework))) = self.asks.timers.pop(now) {
            if let Some(asks) = self.asks.agents.get_mut(&agent) {
                asks.remove(&framework);
                self.asks.pending.insert((agent, framework));
            }
        }
        let mut asked = Vec::new();
        while let Some((agent, framework)) = self.asks.pending.pop_first() {
            if self.is_to_be_asked(agent, framework)
                && let Some(asks) = self.asks.agents.get_mut(&agent)
            {
                asks.insert(framework, Ask::Asked);
                let framework = self.frameworks.arena[framework].id.clone();
                asked.push((framework, self.agents.arena[agent].id.clone()));
            }
        }
        asked
    }

    fn is_to_be_asked(&self, agent: Key<Agent>, framework: Key<Framework>) -> bool {
        let Some(asks) = self.asks.agents.get(&agent) else { return false };
        let place = &self.agents.arena[agent];
        let Some(user) = self.frameworks.arena.get(framework) else { return false };
        let uses = || user.clients.values().any(|client| place.uses.get(client).is_some());
        place.options.active && user.added && user.active && !asks.contains_key(&framework) && uses()
    }

    /// A client got something of an agent.
    pub(crate) fn note_user(&mut self, agent: Key<Agent>, client: Key<Client>) {
        if self.asks.agents.contains_key(&agent) {
            self.asks.pending.insert((agent, self.frameworks.clients[client].framework));
        }
    }

    /// Everybody who uses an agent may have to be asked.
    pub(crate) fn ask_users_of(&mut self, agent: Key<Agent>) {
        if self.asks.agents.contains_key(&agent) {
            for client in self.agents.arena[agent].uses.keys() {
                self.asks.pending.insert((agent, self.frameworks.clients[*client].framework));
            }
        }
    }

    /// A framework is active: it may have to be asked about each agent.
    pub(crate) fn ask_framework(&mut self, framework: Key<Framework>) {
        let agents = self.asks.agents.keys();
        self.asks.pending.extend(agents.map(|agent| (*agent, framework)));
    }

    /// A framework revived: its answers hold no more, in whatever role it did.
    pub(crate) fn forget_answers(&mut self, id: &FrameworkId) {
        if let Some(framework) = self.frameworks.by_id.get(id).copied() {
            self.drop_answers(framework);
        }
    }

    /// What frameworks answered of an agent holds no more: they are asked again.
    pub(crate) fn forget_answers_on(&mut self, agent: Key<Agent>) {
        let Some(asks) = self.asks.agents.get(&agent) else { return };
        let answered = asks.iter().filter(|(_, ask)| matches!(ask, Ask::Answered(_)));
        let answered: Vec<_> = answered.map(|(framework, _)| *framework).collect();
        for framework in answered {
            let old = self.asks.agents.get_mut(&agent).and_then(|asks| asks.remove(&framework));
            self.asks.cancel(old);
            self.asks.pending.insert((agent, framework));
        }
    }

    fn drop_answers(&mut self, framework: Key<Framework>) {
        let agents: Vec<_> = self.asks.agents.keys().copied().collect();
        for agent in agents {
            let Some(asks) = self.asks.agents.get_mut(&agent) else { continue };
            if let Some(Ask::Answered(_)) = asks.get(&framework) {
                let old = asks.remove(&framework);
                self.asks.cancel(old);
                self.asks.pending.insert((agent, framework));
            }
        }
    }

    /// A framework is inactive or gone: its answers hold no more.
    pub(crate) fn drop_asks_of(&mut self, framework: Key<Framework>) {
        self.drop_answers(framework);
        if !self.frameworks.arena[framework].added {
            for asks in self.asks.agents.values_mut() {
                asks.remove(&framework);
            }
        }
    }

    /// An agent is gone.
    pub(crate) fn drop_asks_on(&mut self, agent: Key<Agent>) {
        self.asks.forget_agent(agent);
    }

    /// For tests: panics unless the books of asks agree with the rest.
    pub(crate) fn check_asks(&self) {
        let answered = self.asks.agents.values().flat_map(BTreeMap::values);
        let answered = answered.filter(|ask| matches!(ask, Ask::Answered(_))).count();
        assert_eq!(answered, self.asks.timers.len(), "each answer has its timer");
        for (agent, asks) in &self.asks.agents {
            assert!(self.agents.arena.get(*agent).is_some(), "an unavailable agent is there");
            assert!(asks.keys().all(|framework| self.frameworks.arena.get(*framework).is_some()));
        }
    }

    /// For tests: panics if somebody is to be asked and nothing will cause it.
    pub(crate) fn check_asks_settled(&self) {
        for agent in self.asks.agents.keys() {
            for (framework, user) in self.frameworks.arena.iter() {
                let forgotten = self.is_to_be_asked(*agent, framework)
                    && !self.asks.pending.contains(&(*agent, framework));
                assert!(!forgotten, "{} is not asked about {}", user.id, self.agents.arena[*agent].id);
            }
        }
    }
}
