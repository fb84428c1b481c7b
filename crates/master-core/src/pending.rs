//! What waits for the registry. Nobody is told of a change before it is durable.

use std::collections::BTreeMap;

use proto::mesos::internal;
use proto::mesos::v1;
use types::{AgentId, Pid};

use crate::Master;
use crate::Reply;
use crate::agents::Transition;
use crate::departure::{Leave, Why};
use crate::drain;
use crate::effect::Effect;
use crate::event::{RequestId, Ticket};
use crate::operator_calls::maintenance;
use crate::operator_calls::quota::Rescind;
use crate::registry::{Operation, Outcome};
use crate::step::Step;

/// What is done when an operation is durable.
#[derive(Debug)]
pub(crate) enum Pending {
    /// An agent's first registration goes on.
    Admit { pid: Pid, message: Box<internal::RegisterSlaveMessage> },
    /// A known agent with another description goes on.
    Update { pid: Pid, message: Box<internal::ReregisterSlaveMessage> },
    /// An agent that was lost goes on.
    Readmit { pid: Pid, message: Box<internal::ReregisterSlaveMessage> },
    /// An agent's tasks are unreachable.
    Unreachable { agent: AgentId, since: v1::TimeInfo, why: Why },
    /// An agent is removed.
    Remove { agent: AgentId, leave: Leave },
    /// Weights count.
    Weights { infos: Vec<v1::WeightInfo>, request: Option<RequestId> },
    /// Agents are forgotten.
    Prune { unreachable: Vec<AgentId>, gone: Vec<AgentId> },
    /// Quotas are in force.
    Quota { request: RequestId, configs: Vec<v1::quota::QuotaConfig>, rescind: Rescind },
    /// An agent is gone.
    Gone { agent: AgentId, at: v1::TimeInfo, request: Option<RequestId> },
    /// An agent is emptied, gets no tasks, or gets them again.
    Agent { agent: AgentId, change: drain::Change, request: RequestId },
    /// An agent is empty.
    Drained { agent: AgentId },
    /// Machines are to go down, are down, or up again.
    Machines { change: maintenance::Change, request: RequestId },
}

/// The operations under way.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    open: BTreeMap<Ticket, Pending>,
    given: u64,
}

impl Master {
    /// Asks the registry for a change.
    pub(crate) fn ask_registry(&mut self, operation: Operation, pending: Pending, step: &mut Step<'_>) {
        self.tickets.given += 1;
        let ticket = Ticket(self.tickets.given);
        self.tickets.open.insert(ticket, pending);
        step.fx.push(Effect::Registry { ticket, operation });
    }

    /// The same, for an agent about which nothing else may be asked meanwhile.
    pub(crate) fn begin(
        &mut self,
        agent: &AgentId,
        transition: Transition,
        operation: Operation,
        pending: Pending,
        step: &mut Step<'_>,
    ) {
        self.agents.transitions.insert(agent.clone(), transition);
        self.ask_registry(operation, pending, step);
    }

    pub(crate) fn on_registry_applied(&mut self, ticket: Ticket, outcome: Outcome, step: &mut Step<'_>) {
        let Some(pending) = self.tickets.open.remove(&ticket) else { return };
        let changed = match outcome {
            Outcome::Applied { changed } => changed,
            Outcome::Lost(why) => {
                let what = format!("Failed to update the registry: {why}");
                step.fx.push(Effect::Abort(what));
                return;
            }
        };
        match pending {
            Pending::Admit { pid, message } => {
                self.on_admitted(&pid, &message, changed, step);
                self.remove_if_down(&pid, step);
            }
            Pending::Update { pid, message } => {
                self.finish(message.slave.id.as_ref());
                self.on_known_agent_back(&pid, *message, step);
                self.remove_if_down(&pid, step);
            }
            Pending::Readmit { pid, message } => {
                self.finish(message.slave.id.as_ref());
                self.on_lost_agent_back(&pid, *message, step);
                self.remove_if_down(&pid, step);
            }
            Pending::Unreachable { agent, since, why } => {
                self.agents.transitions.remove(&agent);
                self.on_unreachable(&agent, since, why, step);
            }
            Pending::Remove { agent, leave } => {
                self.agents.transitions.remove(&agent);
                self.on_removed(&agent, leave, step);
            }
            Pending::Weights { infos, request } => self.on_weights_stored(&infos, request, step),
            Pending::Prune { unreachable, gone } => self.on_pruned(&unreachable, &gone),
            Pending::Quota { request, configs, rescind } => {
                self.on_quota_changed(request, &configs, &rescind, step);
            }
            Pending::Gone { agent, at, request } => {
                self.agents.transitions.remove(&agent);
                self.on_gone(&agent, at, request, step);
            }
            Pending::Agent { agent, change, request } if changed => {
                self.on_agent_changed(&agent, change, request, step);
            }
            Pending::Agent { request, .. } => {
                // It was removed before the registry came to the change.
                let reply = Reply::conflict(drain::REMOVED);
                step.fx.push(Effect::Reply { request, reply });
            }
            Pending::Drained { agent } => self.on_drained(&agent),
            Pending::Machines { change, request } => self.on_machines_changed(change, request, step),
        }
    }

    fn finish(&mut self, agent: Option<&v1::AgentId>) {
        if let Some(agent) = agent {
            self.agents.transitions.remove(agent.value.as_str());
        }
    }
}
