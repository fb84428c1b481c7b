//! Agents that are emptied by an operator, or get no new tasks.
//!
//! ```text
//! active -- DRAIN_AGENT --> draining -- (nothing left) --> drained -- REACTIVATE_AGENT --> active
//!    |                                    '-- (mark_gone) --> gone                           ^
//!    '------ DEACTIVATE_AGENT --> deactivated -----------------------------------------------'
//! ```
//!
//! The agent kills its tasks when it is told to drain. It is told again whenever it
//! registers. It is empty when the last update of every task and
//! operation is acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use proto::mesos::internal::DrainSlaveMessage;
use proto::mesos::v1;
use types::AgentId;

use crate::Master;
use crate::agents::{Agent, Transition};
use crate::effect::{Effect, Reply};
use crate::event::RequestId;
use crate::message::Outgoing;
use crate::pending::Pending;
use crate::registry::Operation;
use crate::step::Step;

/// Which agents are emptied or switched off, registered or not.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    /// Those that are emptied, or were.
    pub(crate) info: BTreeMap<AgentId, v1::DrainInfo>,
    /// Those that get no tasks. All of the others are among them.
    pub(crate) deactivated: BTreeSet<AgentId>,
    /// Those that may be empty now.
    perhaps_empty: BTreeSet<AgentId>,
}

impl Drains {
    /// Something that ran on a draining agent ended.
    pub(crate) fn perhaps_empty(&mut self, agent: &AgentId) {
        if self.info.contains_key(agent) {
            self.perhaps_empty.insert(agent.clone());
        }
    }

    /// What the registry says of an agent.
    pub(crate) fn recover(&mut self, agent: &AgentId, info: Option<v1::DrainInfo>, deactivated: bool) {
        if let Some(info) = info {
            self.info.insert(agent.clone(), info);
        }
        if deactivated {
            self.deactivated.insert(agent.clone());
        }
    }

    /// An agent is gone for good.
    pub(crate) fn forget(&mut self, agent: &AgentId) {
        self.info.remove(agent);
        self.deactivated.remove(agent);
    }

    /// Whether an agent is being emptied.
    pub(crate) fn is_draining(&self, agent: &AgentId) -> bool {
        self.info.get(agent).is_some_and(|info| info.state() == v1::DrainState::Draining)
    }
}

/// The answer where an agent left before a change of it was done.
pub(crate) const REMOVED: &str = "Agent removed while processing the call";

/// A change of an agent that waits for the registry.
#[derive(Debug)]
pub(crate) enum Change {
    Drain(v1::DrainConfig),
    Deactivate,
    Reactivate,
}

impl Master {
    /// Asks the registry for a change of an agent that is admitted or unreachable.
    pub(crate) fn change_agent(
        &mut self,
        agent: AgentId,
        change: Change,
        request: RequestId,
        step: &mut Step<'_>,
    ) {
        let operation = match &change {
            Change::Drain(config) => Operation::DrainAgent { agent: agent.clone(), config: *config },
            Change::Deactivate => Operation::DeactivateAgent(agent.clone()),
            Change::Reactivate => Operation::ReactivateAgent(agent.clone()),
        };
        self.ask_registry(operation, Pending::Agent { agent, change, request }, step);
    }

    pub(crate) fn on_agent_changed(
        &mut self,
        id: &AgentId,
        change: Change,
        request: RequestId,
        step: &mut Step<'_>,
    ) {
        let reply = match change {
            Change::Drain(config) => {
                let info = v1::DrainInfo { state: v1::DrainState::Draining.into(), config };
                self.agents.drains.info.insert(id.clone(), info);
                self.switch_off(id, step);
                if let Some(agent) = self.agents.get_mut(id.as_str()) {
                    let facts = agent.facts();
                    facts.drain_info = Some(info);
                    facts.drain_started = Some(step.now.wall);
                }
                self.tell_to_drain(id, step);
                self.agents.drains.perhaps_empty(id);
                Reply::ok()
            }
            Change::Deactivate => {
                self.switch_off(id, step);
                Reply::ok()
            }
            Change::Reactivate => self.switch_on(id),
        };
        step.fx.push(Effect::Reply { request, reply });
    }

    fn switch_off(&mut self, id: &AgentId, step: &mut Step<'_>) {
        self.agents.drains.deactivated.insert(id.clone());
        // It may have been marked unreachable in the meantime.
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        let facts = agent.facts();
        facts.active = false;
        facts.deactivated = true;
        self.allocator.deactivate_agent(id);
        self.end_offers_on(id, step);
    }

    fn switch_on(&mut self, id: &AgentId) -> Reply {
        self.agents.drains.forget(id);
        let Some(agent) = self.agents.get_mut(id.as_str()) else {
            // COMPAT(mesos): the answer to a call for an agent that is not registered,
            // though it took effect.
            return Reply::conflict(REMOVED);
        };
        let facts = agent.facts();
        facts.deactivated = false;
        facts.active = facts.connected;
        facts.drain_info = None;
        facts.drain_started = None;
        if facts.active {
            self.allocator.activate_agent(id);
        }
        Reply::ok()
    }

    fn tell_to_drain(&self, id: &AgentId, step: &mut Step<'_>) {
        let Some(info) = self.agents.drains.info.get(id) else { return };
        let Some(agent) = self.agents.get(id.as_str()).filter(|agent| agent.is_connected()) else { return };
        step.send(agent.pid(), Outgoing::Drain(DrainSlaveMessage { config: info.config }));
    }

    /// An agent that registered again is told again, whether it is empty or not.
    pub(crate) fn resume_drain(&mut self, id: &AgentId, step: &mut Step<'_>) {
        self.tell_to_drain(id, step);
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        // Agents with resource providers report pending operations with the first
        // UpdateSlaveMessage.
        if !agent.capabilities.resource_provider {
            self.agents.drains.perhaps_empty(id);
        }
    }

    /// Looks at the draining agents on which something ended in this step.
    pub(crate) fn settle_drains(&mut self, step: &mut Step<'_>) {
        while let Some(id) = self.agents.drains.perhaps_empty.pop_first() {
            let runs_nothing = |agent: &Agent| agent.tasks().is_empty() && agent.view().operations.is_empty();
            let empty = self.agents.get(id.as_str()).is_some_and(runs_nothing);
            if !empty || !self.agents.drains.is_draining(&id) {
                continue;
            }
            let mark_gone = self.agents.drains.info.get(&id).is_some_and(|info| info.config.mark_gone());
            if !mark_gone {
                let operation = Operation::MarkAgentDrained(id.clone());
                self.ask_registry(operation, Pending::Drained { agent: id }, step);
            } else if !self.agents.transitions.contains_key(&id) {
                // What else is under way ends with the agent gone, or back and looked at.
                let at = step.time_info();
                let operation = Operation::MarkGone { agent: id.clone(), at };
                let pending = Pending::Gone { agent: id.clone(), at, request: None };
                self.begin(&id, Transition::MarkingGone, operation, pending, step);
            }
        }
    }

    pub(crate) fn on_drained(&mut self, id: &AgentId) {
        // It may have left, or been reactivated and drained again.
        let Some(info) = self.agents.drains.info.get_mut(id) else { return };
        info.state = v1::DrainState::Drained.into();
        let info = *info;
        if let Some(agent) = self.agents.get_mut(id.as_str()) {
            agent.facts().drain_info = Some(info);
        }
    }
}
