//! Tasks: how one is recorded, how its state changes, how it is let go.
//!
//! A task belongs to its framework; its agent keeps only its id. Its resources are
//! in use until its state is terminal or unreachable, its record is kept until the
//! framework has acknowledged that state.

use std::sync::Arc;

use machine::WallTime;
use proto::mesos::internal::StatusUpdate;
use proto::mesos::v1;
use proto::mesos::v1::task_status::{Reason, Source};
use proto::mesos::v1::{TaskState, TaskStatus};
use resources::Resources;
use types::{AgentId, FrameworkId, TaskId, is_terminal};

use crate::Master;
use crate::connection::Say;
use crate::operators;
use crate::step::Step;

/// One task that is not completed.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) agent: AgentId,
    /// What readers see.
    pub(crate) proto: Arc<v1::Task>,
    /// The same as in `proto`, reckoned once.
    pub(crate) resources: Resources,
    /// Since when it is there, as far as is known.
    pub(crate) since: WallTime,
}

impl Task {
    /// The record of a task that an agent reports.
    pub(crate) fn reported(mut proto: v1::Task, resources: Resources) -> Self {
        proto.resources = resources.to_protos();
        Self {
            id: TaskId::from(&proto.task_id),
            agent: AgentId::from(&proto.agent_id),
            since: first_heard_of(&proto),
            proto: Arc::new(proto),
            resources,
        }
    }

    /// The record of a task that is about to be launched.
    pub(crate) fn staged(info: &v1::TaskInfo, framework: &FrameworkId, resources: Resources) -> Self {
        let command_user = info.command.as_ref().and_then(|command| command.user.clone());
        let executor_user = || info.executor.as_ref()?.command.as_ref()?.user.clone();
        let proto = v1::Task {
            name: info.name.clone(),
            task_id: info.task_id.clone(),
            framework_id: framework.into(),
            executor_id: info.executor.as_ref().map(|executor| executor.executor_id.clone()),
            agent_id: info.agent_id.clone(),
            state: TaskState::TaskStaging.into(),
            resources: info.resources.clone(),
            labels: info.labels.clone(),
            discovery: info.discovery.clone(),
            container: info.container.clone(),
            user: command_user.or_else(executor_user),
            health_check: info.health_check.clone(),
            kill_policy: info.kill_policy,
            limits: info.limits.clone(),
            ..v1::Task::default()
        };
        Self {
            id: TaskId::from(&info.task_id),
            agent: AgentId::from(&info.agent_id),
            since: WallTime::default(),
            proto: Arc::new(proto),
            resources,
        }
    }

    pub(crate) fn state(&self) -> TaskState {
        self.proto.state()
    }

    /// Whether it uses its resources.
    pub(crate) fn is_running(&self) -> bool {
        !is_terminal(self.state()) && self.state() != TaskState::TaskUnreachable
    }

    /// The state that its framework was last told, or else its state.
    pub(crate) fn told_state(&self) -> TaskState {
        self.proto
            .status_update_state
            .and_then(|state| TaskState::try_from(state).ok())
            .unwrap_or_else(|| self.state())
    }

    /// The latest status, in which health, checks and the container are.
    pub(crate) fn last_status(&self) -> Option<&TaskStatus> {
        self.proto.statuses.last()
    }
}

/// What the master itself says of a task. It carries no uuid, so that nobody
/// acknowledges it.
pub(crate) struct Verdict {
    pub(crate) state: TaskState,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// Since when the task's agent is unreachable, where that is the matter.
    pub(crate) unreachable_since: Option<v1::TimeInfo>,
}

impl Verdict {
    pub(crate) fn new(state: TaskState, reason: Reason, message: impl Into<String>) -> Self {
        Self { state, reason, message: message.into(), unreachable_since: None }
    }

    /// The verdict as an update about any task, known or not.
    pub(crate) fn update(
        self,
        framework: &FrameworkId,
        agent: Option<v1::AgentId>,
        task: v1::TaskId,
        step: &Step<'_>,
    ) -> StatusUpdate {
        let timestamp = step.now.wall.as_secs_f64();
        let status = TaskStatus {
            task_id: task,
            state: self.state.into(),
            message: Some(self.message),
            source: Some(Source::Master.into()),
            reason: Some(self.reason.into()),
            agent_id: agent.clone(),
            timestamp: Some(timestamp),
            unreachable_time: self.unreachable_since,
            ..TaskStatus::default()
        };
        StatusUpdate {
            framework_id: framework.into(),
            slave_id: agent,
            status,
            timestamp,
            ..StatusUpdate::default()
        }
    }

    /// The verdict as an update about a task on record, with its executor.
    pub(crate) fn update_of(self, task: &Task, step: &Step<'_>) -> StatusUpdate {
        let proto = &task.proto;
        let framework = FrameworkId::from(&proto.framework_id);
        let mut update = self.update(&framework, Some(proto.agent_id.clone()), proto.task_id.clone(), step);
        update.executor_id.clone_from(&proto.executor_id);
        update.status.executor_id.clone_from(&proto.executor_id);
        update
    }

    /// The same, with health, check and container of the task's latest status.
    pub(crate) fn report_of(self, task: &Task, step: &Step<'_>) -> StatusUpdate {
        let mut update = self.update_of(task, step);
        if let Some(last) = task.last_status() {
            update.status.healthy = last.healthy;
            update.status.check_status.clone_from(&last.check_status);
            update.status.container_status.clone_from(&last.container_status);
        }
        update
    }
}

impl Master {
    /// Records a task with its framework and its agent, and charges both.
    pub(crate) fn add_task(&mut self, framework: &FrameworkId, mut task: Task, step: &mut Step<'_>) {
        if task.since == WallTime::default() {
            task.since = step.now.wall;
        }
        if self.operators.any() {
            self.publish(operators::task_added(&task.proto), step);
        }
        let running = task.is_running();
        if let Some(agent) = self.agents.get_mut(task.agent.as_str()) {
            agent.add_task(framework, &task.id);
            if running {
                agent.charge(framework, &task.resources);
            }
        }
        if let Some(owner) = self.frameworks.get_mut(framework.as_str()) {
            if running {
                owner.charge(&task.agent, &task.resources);
            }
            owner.add_task(task);
        }
    }

    /// Passes an update on to its framework, if it is connected. Returns whether.
    pub(crate) fn forward(
        &mut self,
        framework: &str,
        update: StatusUpdate,
        acknowledgee: Option<types::Pid>,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(owner) = self.frameworks.get_mut(framework).filter(|owner| owner.is_connected()) else {
            return false;
        };
        if let Some(uuid) = &update.uuid
            && let Some(task) = owner.task_mut(&TaskId::from(&update.status.task_id))
            && update.slave_id.as_ref() == Some(&task.proto.agent_id)
        {
            // The acknowledgement of this very update will end the task's record.
            let proto = Arc::make_mut(&mut task.proto);
            proto.status_update_state = Some(update.status.state);
            proto.status_update_uuid = Some(uuid.clone());
        }
        owner.tell(Say::Update { update: Box::new(update), acknowledgee }, step.fx);
        true
    }

    /// Takes an update into a task's record. Once that makes it terminal or
    /// unreachable, its resources are free.
    pub(crate) fn update_task(
        &mut self,
        framework: &FrameworkId,
        id: &TaskId,
        latest: Option<TaskState>,
        mut status: TaskStatus,
        step: &mut Step<'_>,
    ) {
        let Some(owner) = self.frameworks.get_mut(framework.as_str()) else { return };
        let Some(task) = owner.task_mut(id) else { return };
        let (was, was_running) = (task.state(), task.is_running());
        let state = latest.unwrap_or_else(|| status.state());
        let proto = Arc::make_mut(&mut task.proto);
        // A state that freed the resources is left for a terminal one only.
        let moves = was_running || (!is_terminal(was) && is_terminal(state));
        if moves {
            proto.state = state.into();
        }
        let notable = note_status(proto, &mut status);
        let event = (notable && self.operators.any()).then(|| operators::task_updated(proto, &status));
        let ended = was_running && !task.is_running();
        if moves && is_terminal(state) {
            owner.counters_mut().terminal_task(state);
        }
        if ended {
            self.free(framework, id, step);
            self.counters().task_state(
                status.state(),
                status.source(),
                status.reason.map(|_| status.reason()),
            );
        }
        if let Some(event) = event {
            self.publish(event, step);
        }
    }

    /// Gives a task's resources back. Done once, when it stops running.
    fn free(&mut self, framework: &FrameworkId, id: &TaskId, step: &Step<'_>) {
        let Some(owner) = self.frameworks.get_mut(framework.as_str()) else { return };
        let Some(task) = owner.task(id) else { return };
        let (agent, resources) = (task.agent.clone(), task.resources.clone());
        owner.release(&agent, &resources);
        if let Some(place) = self.agents.get_mut(agent.as_str()) {
            place.release(framework, &resources);
        }
        self.allocator.recover(step.now.mono, framework, &agent, &resources, None);
    }

    /// Ends a task's record: it is remembered as completed, or as unreachable.
    pub(crate) fn remove_task(
        &mut self,
        framework: &FrameworkId,
        id: &TaskId,
        unreachable: bool,
        step: &Step<'_>,
    ) {
        let running = |task: &Task| task.is_running();
        if self.frameworks.get(framework.as_str()).and_then(|f| f.task(id)).is_some_and(running) {
            // An agent may have said that a later state is not terminal, and its
            // framework acknowledges the terminal one.
            self.free(framework, id, step);
        }
        let (completed_max, unreachable_max) =
            (self.config.completed_tasks_max, self.config.unreachable_tasks_max);
        let Some(owner) = self.frameworks.get_mut(framework.as_str()) else { return };
        let Some(task) = owner.take_task(id) else { return };
        if let Some(agent) = self.agents.get_mut(task.agent.as_str()) {
            agent.remove_task(framework, id);
            self.agents.drains.perhaps_empty(&task.agent);
            self.revocations.forget_task(framework, id);
        }
        if unreachable {
            owner.add_unreachable(task, unreachable_max);
        } else {
            owner.complete(task.proto, completed_max);
        }
    }
}

/// When the first status came that is kept of a task.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and seconds are few")]
fn first_heard_of(task: &v1::Task) -> WallTime {
    let seconds = task.statuses.first().and_then(|status| status.timestamp).unwrap_or_default();
    WallTime::from_nanos((seconds * 1e9) as i64)
}

/// Statuses that are kept of one task. A task that comes to an end has a handful.
const STATUSES_MAX: usize = 100;

/// Adds a status to a task's list, where only the last of several of one state is
/// kept. Returns whether watchers should hear of it.
fn note_status(task: &mut v1::Task, status: &mut TaskStatus) -> bool {
    // Frameworks put megabytes there; who wants them got them with the update.
    status.data = None;
    let checked = status.reason.is_some()
        && matches!(status.reason(), Reason::TaskCheckStatusUpdated | Reason::TaskHealthCheckStatusUpdated);
    let repeated = task.statuses.last().is_some_and(|last| last.state == status.state);
    if repeated {
        task.statuses.pop();
    } else if task.statuses.len() >= STATUSES_MAX {
        task.statuses.remove(0);
    }
    task.statuses.push(status.clone());
    checked || !repeated
}
