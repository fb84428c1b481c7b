//! What agents report of tasks and executors.

use proto::mesos::internal;
use proto::mesos::v1;
use types::{AgentId, ExecutorId, FrameworkId, Pid, TaskId, Uuid};

use crate::Master;
use crate::connection::Say;
use crate::step::Step;

impl Master {
    /// A task's state. It is passed on first, then taken into the task's record.
    pub(crate) fn on_status_update(
        &mut self,
        from: &Pid,
        message: internal::StatusUpdateMessage,
        step: &mut Step<'_>,
    ) {
        self.counters().messages_status_update += 1;
        let mut update = message.update;
        let agent = update.slave_id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
        let uuid = update.uuid.as_deref().map(Uuid::try_from);
        if self.agents.get(agent).is_none() || !matches!(uuid, Some(Ok(_))) {
            self.counters().invalid_status_updates += 1;
            return;
        }
        let acknowledgee = message.pid.and_then(|pid| pid.parse().ok()).unwrap_or_else(|| from.clone());
        let framework = FrameworkId::from(&update.framework_id);
        let task_id = TaskId::from(&update.status.task_id);
        let on_agent = self
            .frameworks
            .get(framework.as_str())
            .and_then(|owner| owner.task(&task_id))
            .is_some_and(|task| task.agent.as_str() == agent);
        self.revocations.explain(&framework, &task_id, &mut update.status);
        let latest = update.latest_state.and_then(|state| v1::TaskState::try_from(state).ok());
        // ORDER: forwarding first notes which update awaits its acknowledgement.
        let recorded = on_agent.then(|| update.status.clone());
        let forwarded = self.forward(framework.as_str(), update, Some(acknowledgee), step);
        if let Some(status) = recorded {
            self.update_task(&framework, &task_id, latest, status, step);
        }
        if forwarded && on_agent {
            self.counters().valid_status_updates += 1;
        } else {
            self.counters().invalid_status_updates += 1;
        }
    }

    /// An executor ended. Its tasks' updates come by themselves.
    pub(crate) fn on_exited_executor(
        &mut self,
        message: internal::ExitedExecutorMessage,
        step: &mut Step<'_>,
    ) {
        self.counters().messages_exited_executor += 1;
        let agent = AgentId::from(message.slave_id);
        let framework = FrameworkId::from(message.framework_id);
        let executor = ExecutorId::from(message.executor_id);
        if !self.remove_executor(&agent, &framework, &executor, step) {
            return;
        }
        let owner = self.frameworks.get_mut(framework.as_str()).filter(|owner| owner.is_connected());
        if let Some(owner) = owner {
            owner.tell(Say::ExecutorExited { agent, executor, status: message.status }, step.fx);
        }
    }

    /// An executor's message for its framework.
    pub(crate) fn on_executor_message(
        &mut self,
        message: internal::ExecutorToFrameworkMessage,
        step: &mut Step<'_>,
    ) {
        self.counters().messages_executor_to_framework += 1;
        let known = self.agents.get(&message.slave_id.value).is_some();
        let owner = self.frameworks.get_mut(&message.framework_id.value);
        match owner.filter(|owner| known && owner.is_connected()) {
            Some(owner) => {
                owner.tell(Say::Message(Box::new(message)), step.fx);
                self.counters().valid_executor_to_framework_messages += 1;
            }
            None => self.counters().invalid_executor_to_framework_messages += 1,
        }
    }
}
