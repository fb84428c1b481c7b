//! How agents go: a broken link, unanswered pings, leaving, an operator's word.
//!
//! A broken link only ends offers; the agent has time to come back. An agent that
//! stays away becomes unreachable in the registry first, and only then is anybody
//! told.

use std::sync::Arc;
use std::time::Duration;

use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::task_status::Reason;
use proto::mesos::v1::{OperationState, TaskState};
use types::{AgentId, FrameworkId, Pid, TaskId, is_terminal};

use crate::Master;
use crate::agents::Transition;
use crate::connection::Say;
use crate::effect::{Effect, Reply};
use crate::event::RequestId;
use crate::operators;
use crate::pending::Pending;
use crate::registration::shut_down;
use crate::registry::Operation;
use crate::step::{Due, Step};
use crate::tasks::Verdict;

/// Why an agent is marked unreachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It did not answer pings.
    Unanswered,
    /// Its link broke and it did not register again.
    NotBack,
    /// It did not register after this master was elected.
    NotRecovered,
}

/// Why an agent is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It said so.
    Unregistered,
    /// Another agent registered at its address.
    Replaced,
    /// Its machine was taken down for maintenance.
    MachineDown,
}

impl Leave {
    const fn text(self) -> &'static str {
        match self {
            Self::Unregistered => "the agent unregistered",
            Self::Replaced => "a new agent registered at the same address",
            Self::MachineDown => "Operator initiated 'Machine DOWN'",
        }
    }
}

impl Master {
    /// The link to an agent broke.
    pub(crate) fn on_agent_exited(&mut self, id: &AgentId, step: &mut Step<'_>) {
        let due = step.after(self.config.agent_reregister_timeout);
        let Some(agent) = self.agents.get_mut(id.as_str()).filter(|agent| agent.is_connected()) else {
            return;
        };
        let facts = agent.facts();
        facts.connected = false;
        facts.active = false;
        agent.reregister = Some(self.timers.arm(due, Due::AgentReregister(id.clone())));
        let frameworks = agent.frameworks();
        self.allocator.deactivate_agent(id);
        self.end_offers_on(id, step);
        for framework in frameworks {
            let checkpoints = self.frameworks.get(framework.as_str()).is_none_or(|f| f.info.checkpoint());
            if !checkpoints {
                self.remove_framework_from(&framework, id, step);
            }
        }
    }

    /// Gives up what a framework without checkpointing runs on an agent: the agent
    /// kills it when its link breaks.
    fn remove_framework_from(&mut self, framework: &FrameworkId, id: &AgentId, step: &mut Step<'_>) {
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        let message = format!("Agent {} disconnected", agent.view().info.hostname);
        let verdict = || Verdict::new(TaskState::TaskLost, Reason::AgentDisconnected, message.clone());
        self.end_tasks(framework, id, &verdict, false, step);
        self.remove_executors_on(id, Some(framework), step);
    }

    /// Ends a framework's tasks on an agent with a verdict, and tells the framework.
    fn end_tasks(
        &mut self,
        framework: &FrameworkId,
        id: &AgentId,
        verdict: &dyn Fn() -> Verdict,
        unreachable: bool,
        step: &mut Step<'_>,
    ) {
        let tasks: Vec<TaskId> = self
            .agents
            .get(id.as_str())
            .and_then(|agent| agent.tasks().get(framework))
            .map(|tasks| tasks.iter().cloned().collect())
            .unwrap_or_default();
        for task_id in tasks {
            let owner = self.frameworks.get(framework.as_str());
            let Some(task) = owner.and_then(|owner| owner.task(&task_id)) else { continue };
            // Its last word may have been heard already, and nothing else is true: only the acknowledgement is
            // missing. (Mesos says the verdict here as well.) One that waits behind other updates comes with its agent.
            let over = is_terminal(task.told_state());
            let verdict = match over {
                true => Verdict { state: task.state(), unreachable_since: None, ..verdict() },
                false => verdict(),
            };
            let update = verdict.update_of(task, step);
            self.update_task(framework, &task_id, None, update.status.clone(), step);
            self.remove_task(framework, &task_id, unreachable && !over, step);
            self.forward(framework.as_str(), update, None, step);
        }
    }

    fn remove_executors_on(&mut self, id: &AgentId, only: Option<&FrameworkId>, step: &mut Step<'_>) {
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        let executors: Vec<_> = agent
            .view()
            .executors
            .iter()
            .filter(|(framework, _)| only.is_none_or(|only| only == *framework))
            .flat_map(|(framework, all)| {
                all.keys().map(move |executor| (framework.clone(), executor.clone()))
            })
            .collect();
        for (framework, executor) in executors {
            self.remove_executor(id, &framework, &executor, step);
        }
    }

    pub(crate) fn on_agent_reregister_due(&mut self, id: &AgentId, step: &mut Step<'_>) {
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        agent.reregister = None;
        if agent.is_connected() {
            return;
        }
        self.counters().agent_unreachable_scheduled += 1;
        self.counters().agent_unreachable_completed += 1;
        self.mark_unreachable(id, Why::NotBack, step);
    }

    /// Agents that were in the registry at the election and did not come back.
    pub(crate) fn on_recovery_due(&mut self, step: &mut Step<'_>) {
        let missing: Vec<_> = self.agents.recovered.keys().cloned().collect();
        if let Some(why) = self.too_many_missing(&missing) {
            // Perhaps it is this master that cannot be reached: somebody should look.
            step.fx.push(Effect::Abort(why));
            return;
        }
        for id in missing {
            if self.agents.transitions.contains_key(&id) {
                continue;
            }
            self.counters().agent_unreachable_scheduled += 1;
            self.counters().agent_unreachable_completed += 1;
            self.mark_unreachable(&id, Why::NotRecovered, step);
        }
    }

    fn too_many_missing(&self, missing: &[AgentId]) -> Option<String> {
        const NAMED: usize = 20;
        let (expected, limit) = (self.agents.expected.max(1), u64::from(self.config.removal_permille));
        let permille = u64::try_from(missing.len() * 1000 / expected).unwrap_or(u64::MAX);
        let within =
            missing.len().saturating_mul(1000) <= expected.saturating_mul(usize::try_from(limit).ok()?);
        let named: Vec<_> = missing.iter().take(NAMED).map(AgentId::as_str).collect();
        let more = missing.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        (!within).then(|| {
            format!(
                "Post-recovery agent removal limit exceeded! After {} there were {} ({}.{}%) agents recovered from the \
                 registry that did not reregister: {}{more}. The configured removal limit is {}.{}%. Please investigate \
                 or increase this limit to proceed further",
                duration_text(self.config.agent_reregister_timeout),
                missing.len(),
                permille / 10,
                permille % 10,
                named.join(", "),
                limit / 10,
                limit % 10,
            )
        })
    }

    /// Asks the registry to mark an agent unreachable, unless it is at work on it.
    pub(crate) fn mark_unreachable(&mut self, id: &AgentId, why: Why, step: &mut Step<'_>) {
        let known = match why {
            Why::Unanswered | Why::NotBack => self.agents.get(id.as_str()).is_some(),
            Why::NotRecovered => self.agents.recovered.contains_key(id),
        };
        if !known || self.agents.transitions.contains_key(id) {
            return;
        }
        let since = step.time_info();
        let operation = Operation::MarkUnreachable { agent: id.clone(), since };
        let pending = Pending::Unreachable { agent: id.clone(), since, why };
        self.begin(id, Transition::MarkingUnreachable, operation, pending, step);
    }

    pub(crate) fn on_unreachable(
        &mut self,
        id: &AgentId,
        since: v1::TimeInfo,
        why: Why,
        step: &mut Step<'_>,
    ) {
        self.counters().agent_removals += 1;
        self.counters().agent_removals_unhealthy += 1;
        self.agents.unreachable.insert(id.clone(), since);
        let timeout = duration_text(self.config.agent_reregister_timeout);
        let message = match why {
            Why::NotRecovered => {
                self.counters().recovery_agent_removals += 1;
                self.agents.recovered.remove(id);
                return self.tell_agent_lost(id, step);
            }
            Why::Unanswered => "health check timed out".to_owned(),
            Why::NotBack => format!("agent did not reregister within {timeout} after disconnecting"),
        };
        self.abandon(id, &message, Some(since), step);
    }

    /// Ends all of an agent that is unreachable (`since`) or gone.
    fn abandon(&mut self, id: &AgentId, message: &str, since: Option<v1::TimeInfo>, step: &mut Step<'_>) {
        // COMPAT(mesos): of its operations frameworks hear before anything else.
        let (state, told) = match since {
            Some(_) => (OperationState::OperationUnreachable, "Agent was marked unreachable"),
            None => (OperationState::OperationGoneByOperator, message),
        };
        self.tell_operations_lost(id, state, told, step);
        // ORDER: the allocator forgets the agent first, so that nothing freed below is
        // offered.
        self.allocator.remove_agent(id);
        let frameworks: Vec<_> = self
            .agents
            .get(id.as_str())
            .map(|agent| agent.tasks().keys().cloned().collect())
            .unwrap_or_default();
        for framework in frameworks {
            let owner = self.frameworks.get(framework.as_str());
            let aware = owner.is_some_and(|owner| owner.capabilities.partition_aware);
            let (state, reason, unreachable) = match (aware, since) {
                // COMPAT(mesos): LOST tasks are kept among the unreachable ones, also
                // when their agent is gone.
                (false, _) => (TaskState::TaskLost, Reason::AgentRemoved, true),
                (true, Some(_)) => (TaskState::TaskUnreachable, Reason::AgentRemoved, true),
                (true, None) => (TaskState::TaskGoneByOperator, Reason::AgentRemovedByOperator, false),
            };
            let verdict = || Verdict { unreachable_since: since, ..Verdict::new(state, reason, message) };
            self.end_tasks(&framework, id, &verdict, unreachable, step);
        }
        self.drop_agent(id, step);
        self.tell_agent_lost(id, step);
    }

    /// Takes an agent that runs nothing any more out of the books.
    fn drop_agent(&mut self, id: &AgentId, step: &mut Step<'_>) {
        self.remove_executors_on(id, None, step);
        self.end_offers_on(id, step);
        self.forget_operations_on(id);
        self.inverse_offers.forget_answers(id);
        let Some(agent) = self.agents.remove(id) else { return };
        for timer in [agent.reregister, agent.observer.timer()].into_iter().flatten() {
            self.timers.cancel(timer);
        }
        step.fx.push(Effect::Unlink { pid: agent.pid().clone() });
    }

    fn tell_agent_lost(&mut self, id: &AgentId, step: &mut Step<'_>) {
        for framework in self.frameworks.iter_mut().filter(|framework| framework.is_connected()) {
            framework.tell(Say::AgentLost(id.clone()), step.fx);
        }
    }

    pub(crate) fn on_unregister_agent(&mut self, from: &Pid, id: &str, step: &mut Step<'_>) {
        self.counters().messages_unregister_agent += 1;
        let Some(agent) = self.agents.get(id).filter(|agent| agent.pid() == from) else { return };
        let id = agent.id().clone();
        self.remove_agent(&id, Leave::Unregistered, step);
    }

    /// Asks the registry to remove an agent, unless it is at work on it.
    pub(crate) fn remove_agent(&mut self, id: &AgentId, leave: Leave, step: &mut Step<'_>) {
        if self.agents.transitions.contains_key(id) {
            return;
        }
        let operation = Operation::RemoveAgent(id.clone());
        let pending = Pending::Remove { agent: id.clone(), leave };
        self.begin(id, Transition::Removing, operation, pending, step);
    }

    pub(crate) fn on_removed(&mut self, id: &AgentId, leave: Leave, step: &mut Step<'_>) {
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        let message = format!("Agent {} removed: {}", agent.view().info.hostname, leave.text());
        let frameworks: Vec<_> = agent.tasks().keys().cloned().collect();
        self.counters().agent_removals += 1;
        match leave {
            Leave::Unregistered => self.counters().agent_removals_unregistered += 1,
            Leave::Replaced => self.counters().agent_removals_registered += 1,
            Leave::MachineDown => {}
        }
        // ORDER: as in `abandon`.
        self.allocator.remove_agent(id);
        let verdict = || Verdict::new(TaskState::TaskLost, Reason::AgentRemoved, message.clone());
        for framework in frameworks {
            self.end_tasks(&framework, id, &verdict, false, step);
        }
        self.drop_agent(id, step);
        self.agents.drains.forget(id);
        self.tell_agent_lost(id, step);
        self.publish(operators::agent_removed(id), step);
    }

    /// MARK_AGENT_GONE. The reply comes when the registry has it, or at once.
    pub(crate) fn on_mark_gone(
        &mut self,
        id: AgentId,
        request: RequestId,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        if self.agents.gone.contains_key(&id) {
            return Some(Reply::ok());
        }
        let busy = match self.agents.transitions.get(&id) {
            None => None,
            Some(Transition::MarkingGone) => Some("already being transitioned to gone"),
            Some(Transition::Removing) => Some("being transitioned to removed"),
            Some(Transition::MarkingUnreachable) => Some("being transitioned to unreachable"),
            Some(Transition::Reregistering) => Some("being transitioned to reregistered"),
        };
        if let Some(busy) = busy {
            return Some(Reply::unavailable(format!("Agent '{id}' is {busy}")));
        }
        let known = self.agents.get(id.as_str()).is_some()
            || self.agents.recovered.contains_key(&id)
            || self.agents.unreachable.contains_key(&id);
        if !known {
            return Some(Reply::not_found(format!("Agent '{id}' not found")));
        }
        let at = step.time_info();
        let operation = Operation::MarkGone { agent: id.clone(), at };
        let pending = Pending::Gone { agent: id.clone(), at, request: Some(request) };
        self.begin(&id, Transition::MarkingGone, operation, pending, step);
        None
    }

    pub(crate) fn on_gone(
        &mut self,
        id: &AgentId,
        at: v1::TimeInfo,
        request: Option<RequestId>,
        step: &mut Step<'_>,
    ) {
        const MESSAGE: &str = "Agent has been marked gone";
        self.agents.gone.insert(id.clone(), at);
        self.agents.drains.forget(id);
        if let Some(agent) = self.agents.get(id.as_str()) {
            shut_down(&agent.pid().clone(), MESSAGE, step);
            self.abandon(id, MESSAGE, None, step);
        } else {
            // Of an agent that never came back this master knows no tasks.
            self.agents.recovered.remove(id);
            self.agents.unreachable.remove(id);
            self.complete_unreachable_on(id, MESSAGE, step);
        }
        if let Some(request) = request {
            step.fx.push(Effect::Reply { request, reply: Reply::ok() });
        }
    }

    fn complete_unreachable_on(&mut self, id: &AgentId, message: &str, step: &mut Step<'_>) {
        for framework_id in self.frameworks.ids() {
            let Some(framework) = self.frameworks.get(framework_id.as_str()) else { continue };
            let (state, reason) = if framework.capabilities.partition_aware {
                (TaskState::TaskGoneByOperator, Reason::AgentRemovedByOperator)
            } else {
                (TaskState::TaskLost, Reason::AgentRemoved)
            };
            for task_id in framework.unreachable_on(id) {
                let owner = self.frameworks.get(framework_id.as_str());
                let Some(task) = owner.and_then(|owner| owner.unreachable_task(&task_id)) else { continue };
                let update = Verdict::new(state, reason, message).update_of(task, step);
                self.complete_unreachable(
                    &framework_id,
                    &task_id,
                    Verdict::new(state, reason, message),
                    step,
                );
                self.forward(framework_id.as_str(), update, None, step);
            }
        }
    }

    /// Takes over what the registry said at the election.
    pub(crate) fn on_recovered(&mut self, registry: internal::Registry, step: &mut Step<'_>) {
        let state = crate::registry::State::from(registry);
        let quotas = state.quotas();
        self.maintenance = Arc::new(state.maintenance);
        for (id, slave) in state.admitted {
            self.agents.drains.recover(&id, slave.drain_info, slave.deactivated());
            self.agents.recovered.insert(id, Arc::new(slave.info));
        }
        self.agents.expected = self.agents.recovered.len();
        let weights: Vec<_> = state.weights.into_values().collect();
        self.recover_weights(&weights, step);
        for (id, slave) in &state.unreachable {
            self.agents.drains.recover(id, slave.drain_info, slave.deactivated());
        }
        self.agents.unreachable = state.unreachable.into_iter().map(|(id, s)| (id, s.timestamp)).collect();
        self.agents.gone = state.gone.into_iter().map(|(id, s)| (id, s.timestamp)).collect();
        self.recover_quotas(&quotas, step);
        self.arm_prune(step);
        if !self.agents.recovered.is_empty() {
            self.timers.arm(step.after(self.config.agent_reregister_timeout), Due::Recovery);
        }
    }

    /// A peer wants to authenticate: nothing here can.
    pub(crate) fn on_authenticate(&mut self, message: &internal::AuthenticateMessage, step: &mut Step<'_>) {
        self.counters().messages_authenticate += 1;
        let Ok(pid) = message.pid.parse::<Pid>() else { return };
        let body = internal::AuthenticationErrorMessage { error: Some("No authenticator loaded".to_owned()) };
        step.send(&pid, crate::message::Outgoing::AuthenticationError(body));
    }
}

/// A duration as Mesos prints it: in its largest unit (`10mins`, `1.5hrs`).
fn duration_text(duration: Duration) -> String {
    const UNITS: [(f64, &str); 7] = [
        (604_800.0, "weeks"),
        (86_400.0, "days"),
        (3_600.0, "hrs"),
        (60.0, "mins"),
        (1.0, "secs"),
        (1e-3, "ms"),
        (1e-6, "us"),
    ];
    let seconds = duration.as_secs_f64();
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds >= *unit).unwrap_or((1e-9, "ns"));
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_in_their_largest_unit() {
        for (seconds, text) in [(600, "10mins"), (75, "1.25mins"), (15, "15secs"), (7200, "2hrs")] {
            assert_eq!(duration_text(Duration::from_secs(seconds)), text);
        }
    }
}
