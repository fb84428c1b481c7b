//! The naive rule of who is asked to leave which agent: every active framework that
//! has something of an unavailable agent, unless it was asked already, or answered
//! and its time is not over.

use std::collections::{BTreeMap, BTreeSet};

use allocator::Refusal;
use machine::Instant;
use types::{AgentId, FrameworkId};

use crate::world::World;

/// What a small master knows of asks.
#[derive(Default)]
pub(crate) struct Asks {
    unavailable: BTreeSet<AgentId>,
    /// Asked and not answered, or answered and left alone until then.
    state: BTreeMap<(FrameworkId, AgentId), Option<Instant>>,
}

impl World {
    pub(crate) fn set_unavailable(&mut self, id: &str, unavailable: bool) {
        let id = AgentId::from(id);
        if !self.knows_agent(&id) {
            return;
        }
        self.withdraw_all(|_, agent| *agent == id);
        self.asks.state.retain(|(_, agent), _| *agent != id);
        self.allocator.set_unavailable(&id, unavailable);
        if unavailable {
            self.asks.unavailable.insert(id);
        } else {
            self.asks.unavailable.remove(&id);
        }
    }

    /// A framework answers, if it was asked.
    pub(crate) fn answer(&mut self, framework: &str, agent: &str, refuse: Option<f64>) {
        let key = (FrameworkId::from(framework), AgentId::from(agent));
        let Some(state @ None) = self.asks.state.get_mut(&key) else { return };
        let refusal = refuse.map(Refusal::from_seconds);
        match refusal {
            Some(refusal) => *state = Some(self.now + refusal.hold().max(self.options.decline_pause)),
            None => drop(self.asks.state.remove(&key)),
        }
        self.allocator.end_ask(self.now, &key.0, &key.1, refusal);
    }

    pub(crate) fn asked(&self) -> Vec<(FrameworkId, AgentId)> {
        self.asks.state.iter().filter(|(_, until)| until.is_none()).map(|(key, _)| key.clone()).collect()
    }

    /// The master withdraws what is asked before it tells more.
    pub(crate) fn withdraw_all(&mut self, which: impl Fn(&FrameworkId, &AgentId) -> bool) {
        for (framework, agent) in self.asked() {
            if which(&framework, &agent) {
                self.answer(framework.as_str(), agent.as_str(), None);
            }
        }
    }

    pub(crate) fn forget_answers(&mut self, which: impl Fn(&FrameworkId, &AgentId) -> bool) {
        self.asks.state.retain(|(framework, agent), _| !which(framework, agent));
    }

    pub(crate) fn forget_asks_on(&mut self, id: &str) {
        self.asks.unavailable.remove(&AgentId::from(id));
        self.asks.state.retain(|(_, agent), _| agent.as_str() != id);
    }

    /// A revive in any role ends all answers.
    pub(crate) fn forget_answers_of(&mut self, id: &str) {
        self.asks.state.retain(|(framework, _), until| framework.as_str() != id || until.is_none());
    }

    pub(crate) fn settle_asks(&mut self) -> Vec<(FrameworkId, AgentId)> {
        let now = self.now;
        self.asks.state.retain(|_, until| until.is_none_or(|until| until > now));
        let made = self.allocator.take_asks(now);
        let mut due = BTreeSet::new();
        for agent in self.asks.unavailable.iter().filter(|agent| self.is_active(agent)) {
            for user in self.out.iter().filter(|out| out.agent == *agent) {
                let key = (user.framework.clone(), agent.clone());
                if self.is_framework_active(&user.framework) && !self.asks.state.contains_key(&key) {
                    due.insert(key);
                }
            }
        }
        assert_eq!(made.iter().cloned().collect::<BTreeSet<_>>(), due, "who is to be asked is asked");
        assert_eq!(made.len(), due.len(), "and once");
        self.asks.state.extend(made.iter().map(|key| (key.clone(), None)));
        made
    }
}
