//! How executors end: asked to, killed after their time, or by themselves.

use proto::mesos::internal::ShutdownExecutorMessage;
use proto::mesos::slave::ContainerTermination;
use proto::mesos::v1;
use proto::mesos::v1::TaskState;
use proto::mesos::v1::task_status::Reason;
use types::{ContainerId, ExecutorId, FrameworkId, Pid, TaskId};

use crate::agent::{Agent, Due, Place};
use crate::channel::Saying;
use crate::checkpoint::{Record, meta};
use crate::effect::Effect;
use crate::environment;
use crate::executor::Executor;
use crate::step::Step;
use crate::text;
use crate::update::Word;
use crate::view::{AgentPhase, ExecutorPhase};

impl Agent {
    pub(crate) fn on_container_launched(
        &mut self,
        container: &ContainerId,
        status: v1::ContainerStatus,
        step: &mut Step<'_>,
    ) {
        if self.nested_launched(container, &status, step) {
            return;
        }
        let Some(place) = self.containers.get(container).cloned() else {
            step.push(Effect::Destroy { container: container.clone() });
            return;
        };
        let terminating = self.framework(&place.framework).is_none_or(|framework| framework.terminating);
        let Some(executor) = self.executor_mut(&place) else { return };
        executor.status = Some(status.into());
        if terminating || executor.phase == ExecutorPhase::Terminating {
            step.warn(format!(
                "Killing executor '{}' of framework {} because it is terminating",
                place.executor, place.framework
            ));
            step.push(Effect::Destroy { container: container.clone() });
        }
    }

    pub(crate) fn on_container_failed(
        &mut self,
        container: &ContainerId,
        message: &str,
        step: &mut Step<'_>,
    ) {
        if self.nested_failed(container, message, step) {
            return;
        }
        let Some(place) = self.containers.get(container).cloned() else { return };
        step.warn(format!(
            "Container '{container}' for executor '{}' of framework {} failed to start: {message}",
            place.executor, place.framework
        ));
        self.counters.container_launch_errors += 1;
        self.end_with(
            &place,
            TaskState::TaskFailed,
            Reason::ContainerLaunchFailed,
            format!("Failed to launch container: {message}"),
        );
        self.on_terminated(&place, ContainerTermination::default(), step);
    }

    pub(crate) fn on_container_exited(
        &mut self,
        container: &ContainerId,
        termination: ContainerTermination,
        step: &mut Step<'_>,
    ) {
        if let Some(place) = self.containers.get(container).cloned() {
            self.on_terminated(&place, termination, step);
        } else {
            self.nested_ended(container, termination, step);
        }
    }

    pub(crate) fn on_container_update_failed(
        &mut self,
        container: &ContainerId,
        message: &str,
        step: &mut Step<'_>,
    ) {
        let Some(place) = self.containers.get(container).cloned() else { return };
        step.warn(format!("Failed to update resources for container {container}, destroying it: {message}"));
        let Some(framework) = self.framework(&place.framework) else { return };
        let message = format!("Failed to update resources for container: {message}");
        self.end_with(&place, framework.gone(), Reason::ContainerUpdateFailed, message);
        step.push(Effect::Destroy { container: container.clone() });
    }

    /// An executor did not register, or did not shut down, in time.
    pub(crate) fn on_executor_deadline(&mut self, container: &ContainerId, step: &mut Step<'_>) {
        let Some(place) = self.containers.get(container).cloned() else { return };
        let timeout = self.config.executor_registration_timeout;
        let Some(executor) = self.executor_mut(&place) else { return };
        executor.deadline = None;
        match executor.phase {
            ExecutorPhase::Registering => {
                executor.phase = ExecutorPhase::Terminating;
                let message = format!("Executor did not register within {}", text::duration(timeout));
                step.info(format!("Terminating executor '{}': {message}", place.executor));
                self.end_with(&place, TaskState::TaskFailed, Reason::ExecutorRegistrationTimeout, message);
                step.push(Effect::Destroy { container: container.clone() });
            }
            ExecutorPhase::Terminating => {
                step.info(format!("Killing executor '{}' of framework {}", place.executor, place.framework));
                step.push(Effect::Destroy { container: container.clone() });
            }
            ExecutorPhase::Running | ExecutorPhase::Terminated => {}
        }
    }

    pub(crate) fn on_shutdown_executor(
        &mut self,
        from: &Pid,
        message: ShutdownExecutorMessage,
        step: &mut Step<'_>,
    ) {
        if self.is_stranger(from, "shutdown executor", step) {
            return;
        }
        let (Some(framework), Some(executor)) = (message.framework_id, message.executor_id) else { return };
        let place = Place { framework: FrameworkId::from(framework), executor: ExecutorId::from(executor) };
        let admitted = matches!(self.phase, AgentPhase::Running | AgentPhase::Leaving);
        let terminating = self.framework(&place.framework).is_none_or(|framework| framework.terminating);
        let phase = self.executor(&place).map(|executor| executor.phase);
        match phase {
            Some(ExecutorPhase::Registering | ExecutorPhase::Running) if admitted && !terminating => {
                self.shut_down(&place, step);
            }
            Some(_) | None => step.warn(format!(
                "Ignoring shutdown of executor '{}' of framework {} because it is not running here",
                place.executor, place.framework
            )),
        }
    }

    /// Asks an executor to end, and will kill it if that takes too long.
    pub(crate) fn shut_down(&mut self, place: &Place, step: &mut Step<'_>) {
        step.info(format!("Shutting down executor '{}' of framework {}", place.executor, place.framework));
        self.tell(place, Saying::Shutdown, step);
        let Some(executor) = self.executor(place) else { return };
        let grace = environment::grace_period(&self.config, &executor.info);
        let due = Due::Executor(executor.container.clone());
        let deadline = self.timers.arm(step.now.mono + grace, due);
        let Some(executor) = self.executor_mut(place) else { return };
        executor.phase = ExecutorPhase::Terminating;
        if let Some(before) = executor.deadline.replace(deadline) {
            self.timers.cancel(before);
        }
    }

    /// Notes why an executor is being ended, for what is said of its tasks.
    pub(crate) fn end_with(&mut self, place: &Place, state: TaskState, reason: Reason, message: String) {
        if let Some(executor) = self.executor_mut(place) {
            executor.ending = Some(ContainerTermination {
                state: Some(state.into()),
                reason: Some(reason.into()),
                message: Some(message),
                ..Default::default()
            });
        }
    }

    /// An executor's container is gone: its tasks end with it.
    pub(crate) fn on_terminated(
        &mut self,
        place: &Place,
        termination: ContainerTermination,
        step: &mut Step<'_>,
    ) {
        step.info(format!(
            "Executor '{}' of framework {} {}",
            place.executor,
            place.framework,
            describe(termination.status)
        ));
        let Some(framework) = self.frameworks.get_mut(&place.framework) else { return };
        let terminating = framework.terminating;
        let Some(executor) = framework.executors.get_mut(&place.executor) else { return };
        self.counters.executors_terminated += 1;
        executor.phase = ExecutorPhase::Terminated;
        let container = executor.container.clone();
        self.containers.remove(&container);
        if let Some(deadline) = executor.deadline.take() {
            self.timers.cancel(deadline);
        }
        let command_task = executor.command_task;
        let ending = executor.ending.take().unwrap_or_default();
        if terminating {
            executor.abandon();
        } else {
            let launched = executor.launched().keys().cloned();
            let queued = executor.queued().iter().map(|task| TaskId::from(&task.task_id));
            for task in launched.chain(queued).collect::<Vec<_>>() {
                let word = last_word(task, &ending, &termination).of(&place.executor);
                self.say(&place.framework, word, step);
            }
        }
        self.forget_nested(&container, &termination, step);
        self.close_channel(place, step);
        if !command_task {
            self.send_exited(place, termination.status.unwrap_or(-1), step);
        }
        let incomplete = self.executor(place).is_some_and(Executor::has_incomplete_tasks);
        if terminating || self.phase == AgentPhase::Leaving || !incomplete {
            self.remove_executor(place, step);
        }
        self.remove_framework_if_idle(&place.framework, step);
        self.finish_reconnecting_if_done(step);
    }

    /// An executor that ended and of which nothing more is expected becomes history.
    pub(crate) fn remove_executor(&mut self, place: &Place, step: &mut Step<'_>) {
        self.close_channel(place, step);
        let completed_max = self.config.completed_executors_max;
        let Some(framework) = self.frameworks.get_mut(&place.framework) else { return };
        let Some(executor) = framework.executors.remove(&place.executor) else { return };
        let at = executor.path(&self.id);
        if executor.run.is_some() {
            step.checkpoint(Record::Sentinel(at.clone()));
        }
        framework.remember(executor, completed_max);
        let checkpoints = framework.checkpoints();
        let when = step.now.mono + self.config.gc_delay;
        let work_dir = self.config.work_dir.clone();
        self.gc.schedule(at.under(&work_dir), when);
        self.gc.schedule(at.executor.under(&work_dir), when);
        if checkpoints {
            self.gc.schedule(at.under(&meta(&work_dir)), when);
            self.gc.schedule(at.executor.under(&meta(&work_dir)), when);
        }
    }
}

/// What is said of a task whose executor ended: the agent's reason, the containerizer's,
/// or that it ended.
fn last_word(task: TaskId, ending: &ContainerTermination, termination: &ContainerTermination) -> Word {
    let state = termination.state.or(ending.state).and_then(|state| TaskState::try_from(state).ok());
    let reason = termination.reason.or(ending.reason).and_then(|reason| Reason::try_from(reason).ok());
    let messages: Vec<&str> =
        [&ending.message, &termination.message].into_iter().flatten().map(String::as_str).collect();
    let message = if messages.is_empty() { "Executor terminated".to_owned() } else { messages.join("; ") };
    let mut word = Word::new(
        task,
        state.unwrap_or(TaskState::TaskFailed),
        reason.unwrap_or(Reason::ExecutorTerminated),
        message,
    );
    word.limited.clone_from(&termination.limited_resources);
    word
}

/// A wait status in words.
fn describe(status: Option<i32>) -> String {
    match status {
        None => "has terminated with unknown status".to_owned(),
        Some(status) if status & 0x7f == 0 => format!("exited with status {}", (status >> 8) & 0xff),
        Some(status) => format!("terminated with signal {}", status & 0x7f),
    }
}
