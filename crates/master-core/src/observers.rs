//! Pings: whether agents answer.
//!
//! Each registered agent has an observer, a process of its own on the wire. It
//! pings at registration and then once per interval; an interval without a pong
//! counts, enough of them in a row make the agent unreachable.

use machine::TimerId;
use proto::mesos::internal::PingSlaveMessage;
use types::AgentId;

use crate::Master;
use crate::departure::Why;
use crate::effect::{Effect, Process};
use crate::message::Outgoing;
use crate::step::{Due, Step};

/// The observer of one agent.
#[derive(Debug)]
pub(crate) struct Observer {
    /// The N of `slave-observer(N)`.
    pub(crate) number: u64,
    /// Intervals in a row without an answer.
    missed: u32,
    answered: bool,
    timer: Option<TimerId>,
}

impl Observer {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, missed: 0, answered: false, timer: None }
    }

    pub(crate) fn timer(&self) -> Option<TimerId> {
        self.timer
    }
}

impl Master {
    /// Pings an agent and waits for the answer.
    pub(crate) fn ping(&mut self, id: &AgentId, step: &mut Step<'_>) {
        let due = step.after(self.config.agent_ping_interval);
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        let message = Outgoing::Ping(PingSlaveMessage { connected: agent.is_connected() });
        let from = Process::Observer(agent.observer.number);
        step.fx.push(Effect::Send { from, to: agent.pid().clone(), message });
        agent.observer.answered = false;
        agent.observer.timer = Some(self.timers.arm(due, Due::Ping(id.clone())));
    }

    /// An answer, which must come from the agent's address to its own observer.
    pub(crate) fn on_pong(&mut self, from: &types::Pid, to: &str) {
        let Some(id) = self.agents.at_pid(from).cloned() else { return };
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        if to == Process::Observer(agent.observer.number).to_string() {
            agent.observer.answered = true;
            agent.observer.missed = 0;
        }
    }

    pub(crate) fn on_ping_due(&mut self, id: &AgentId, step: &mut Step<'_>) {
        let max = self.config.agent_pings_max;
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        let observer = &mut agent.observer;
        observer.timer = None;
        if !observer.answered {
            observer.missed = observer.missed.saturating_add(1);
        }
        let lost = observer.missed >= max;
        // ORDER: the ping goes on while the registry is asked, since the registry
        // may take long and the agent may be back before.
        self.ping(id, step);
        if lost {
            self.counters().agent_unreachable_scheduled += 1;
            self.counters().agent_unreachable_completed += 1;
            self.mark_unreachable(id, Why::Unanswered, step);
        }
    }
}
