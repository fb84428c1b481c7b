//! How a framework's line breaks, and how a framework ends.

use std::time::Duration;

use proto::mesos::internal::{FrameworkErrorMessage, ShutdownFrameworkMessage};
use proto::mesos::v1::TaskState;
use proto::mesos::v1::task_status::Reason;
use types::{ExecutorId, FrameworkId};

use crate::Master;
use crate::connection::Connection;
use crate::effect::Effect;
use crate::message::Outgoing;
use crate::offers::End;
use crate::operators;
use crate::step::{Due, Step};
use crate::tasks::Verdict;

impl Master {
    /// A framework's stream ended.
    pub(crate) fn on_framework_stream_closed(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        self.framework_gone_away(id, step);
    }

    /// The link to a driver broke.
    pub(crate) fn on_framework_exited(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        if let Some(pid) = self.frameworks.get(id.as_str()).and_then(|framework| framework.pid()) {
            // The link may be broken in one direction only; a driver that hears this ends.
            let message = "Framework disconnected".to_owned();
            step.send(&pid.clone(), Outgoing::FrameworkError(FrameworkErrorMessage { message }));
        }
        self.framework_gone_away(id, step);
    }

    /// Gives a framework its failover timeout to come back.
    fn framework_gone_away(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get(id.as_str()).filter(|f| f.is_connected()) else { return };
        let timeout = failover_timeout(framework.info.failover_timeout());
        // ORDER: first the line, so that nothing is said to a stream that is closed.
        self.frameworks.disconnect(id);
        self.deactivate_framework(id, End::Rescinded, step);
        let timer = self.timers.arm(step.after(timeout), Due::Failover(id.clone()));
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        framework.failover = Some(timer);
        if let Some(heartbeat) = framework.heartbeat.take() {
            self.timers.cancel(heartbeat);
        }
    }

    /// No more offers for a framework, and those it holds end.
    pub(crate) fn deactivate_framework(&mut self, id: &FrameworkId, end: End, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        if !framework.is_active() {
            return;
        }
        framework.set_active(false);
        self.allocator.deactivate_framework(id);
        self.end_offers_of(id, end, step);
    }

    pub(crate) fn on_failover_due(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        if let Some(framework) = self.frameworks.get_mut(id.as_str())
            && !framework.is_connected()
        {
            framework.failover = None;
            self.remove_framework(id, step);
        }
    }

    /// Ends a framework: its tasks are killed, its record is kept among the completed.
    pub(crate) fn remove_framework(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        if self.frameworks.get(id.as_str()).is_none() {
            return;
        }
        self.deactivate_framework(id, End::Discarded, step);
        for agent in self.agents.iter() {
            let message = ShutdownFrameworkMessage { framework_id: id.into() };
            step.send(agent.pid(), Outgoing::ShutdownFramework(message));
        }
        self.complete_tasks_of(id, step);
        self.remove_executors_of(id, step);
        let max = self.config.completed_frameworks_max;
        let Some(framework) = self.frameworks.complete(id, step.now.wall, max) else { return };
        for timer in [framework.heartbeat, framework.failover, framework.wait_timer].into_iter().flatten() {
            self.timers.cancel(timer);
        }
        self.allocator.remove_framework(id);
        self.inverse_offers.forget_framework(id);
        match framework.connection() {
            Connection::Stream { stream, .. } => step.fx.push(Effect::Close { stream: *stream }),
            Connection::Driver(pid) => step.fx.push(Effect::Unlink { pid: pid.clone() }),
            Connection::None => {}
        }
        if self.operators.any() {
            self.publish(operators::framework_removed(&framework.info), step);
        }
    }

    fn complete_tasks_of(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        let verdict = || {
            let message = format!("Framework {id} removed");
            Verdict::new(TaskState::TaskKilled, Reason::FrameworkRemoved, message)
        };
        let Some(framework) = self.frameworks.get(id.as_str()) else { return };
        let tasks: Vec<_> = framework.tasks().map(|task| task.id.clone()).collect();
        let unreachable: Vec<_> = framework.unreachable_tasks().map(|task| task.id.clone()).collect();
        for task_id in tasks {
            let Some(task) = self.frameworks.get(id.as_str()).and_then(|f| f.task(&task_id)) else {
                continue;
            };
            let status = verdict().update_of(task, step).status;
            self.update_task(id, &task_id, None, status, step);
            self.remove_task(id, &task_id, false, step);
        }
        for task_id in unreachable {
            self.complete_unreachable(id, &task_id, verdict(), step);
        }
    }

    /// Gives an unreachable task a terminal state and remembers it as completed.
    pub(crate) fn complete_unreachable(
        &mut self,
        id: &FrameworkId,
        task: &types::TaskId,
        verdict: Verdict,
        step: &mut Step<'_>,
    ) {
        let max = self.config.completed_tasks_max;
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        let Some(mut task) = framework.take_unreachable(task) else { return };
        let status = verdict.update_of(&task, step).status;
        let proto = std::sync::Arc::make_mut(&mut task.proto);
        if !types::is_terminal(proto.state()) {
            proto.state = status.state;
            framework.counters_mut().terminal_task(status.state());
        }
        let event = operators::task_updated(proto, &status);
        proto.statuses.push(status);
        framework.complete(task.proto, max);
        self.publish(event, step);
    }

    fn remove_executors_of(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        let executors: Vec<_> = self
            .agents
            .iter()
            .filter_map(|agent| Some((agent.id().clone(), agent.view().executors.get(id)?)))
            .flat_map(|(agent, all)| all.keys().map(move |executor| (agent.clone(), executor.clone())))
            .collect();
        for (agent, executor) in executors {
            self.remove_executor(&agent, id, &executor, step);
        }
    }

    /// Takes an executor out of the books and frees its resources. Returns whether it was there.
    pub(crate) fn remove_executor(
        &mut self,
        agent_id: &types::AgentId,
        framework_id: &FrameworkId,
        id: &ExecutorId,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(agent) = self.agents.get_mut(agent_id.as_str()) else { return false };
        let Some(info) = agent.take_executor(framework_id, id) else { return false };
        let resources = resources::Resources::from_checked_protos(&info.resources);
        agent.release(framework_id, &resources);
        if let Some(framework) = self.frameworks.get_mut(framework_id.as_str()) {
            framework.release(agent_id, &resources);
        }
        self.allocator.recover(step.now.mono, framework_id, agent_id, &resources, None);
        true
    }
}

/// How long a framework may stay away. Less than nothing is nothing.
fn failover_timeout(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
