//! One executor: its phase, its way to be spoken to, and its tasks.
//!
//! ```text
//! Registering -> Running -> Terminating -> Terminated
//!      \____________\__________________________^
//! task: queued -> launched -> terminated -> completed
//! ```
//!
//! A task is terminated by its first terminal status and completed by that
//! status's acknowledgement. This file changes an executor's own state only; who is
//! told of it is decided elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use machine::TimerId;
use proto::mesos::slave::ContainerTermination;
use proto::mesos::v1;
use proto::mesos::v1::task_status::Source;
use resources::Resources;
use types::{ContainerId, ExecutorId, FrameworkId, Pid, TaskId, is_terminal};

use crate::checkpoint::{ExecutorPath, FrameworkPath, RunPath};
use crate::event::StreamId;
use crate::view::{Counters, ExecutorPhase};
use crate::volumes::{VolumeMount, mounts};

/// How an executor is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Not at all: it has not come yet, or its stream broke.
    None,
    /// v1, on its open stream.
    Stream(StreamId),
    /// v0, over libprocess.
    Driver(Pid),
}

/// One executor.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) id: ExecutorId,
    pub(crate) framework: FrameworkId,
    pub(crate) info: Arc<v1::ExecutorInfo>,
    pub(crate) container: ContainerId,
    pub(crate) status: Option<Arc<v1::ContainerStatus>>,
    pub(crate) directory: Arc<str>,
    /// Where its run is recorded, if its framework checkpoints.
    pub(crate) run: Option<Arc<RunPath>>,
    pub(crate) command_task: bool,
    pub(crate) phase: ExecutorPhase,
    pub(crate) channel: Channel,
    /// Ends the wait for its registration, or for its shutdown.
    pub(crate) deadline: Option<TimerId>,
    /// Why it is being ended, where the agent decided so.
    pub(crate) ending: Option<ContainerTermination>,
    /// Its own resources, without those of its tasks.
    resources: Resources,
    queued: Vec<Arc<v1::TaskInfo>>,
    /// Which of the queued tasks came as a group, and so go out, or are killed, as one.
    groups: Vec<Vec<TaskId>>,
    launched: BTreeMap<TaskId, Arc<v1::Task>>,
    terminated: BTreeMap<TaskId, Arc<v1::Task>>,
    completed: VecDeque<Arc<v1::Task>>,
}

/// What an executor is sent at once.
#[derive(Clone, Debug)]
pub(crate) enum Bundle {
    /// A task by itself.
    Task(Arc<v1::TaskInfo>),
    /// Tasks that live and die together.
    Group(Vec<Arc<v1::TaskInfo>>),
}

/// Why a status changes no task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotTaken(pub(crate) String);

impl Executor {
    pub(crate) fn new(info: v1::ExecutorInfo, at: &RunPath, directory: String) -> Self {
        Self {
            id: at.executor.executor.clone(),
            framework: at.executor.framework.framework.clone(),
            resources: Resources::from_checked_protos(&info.resources),
            info: Arc::new(info),
            container: at.container.clone(),
            status: None,
            directory: directory.into(),
            run: None,
            command_task: false,
            phase: ExecutorPhase::Registering,
            channel: Channel::None,
            deadline: None,
            ending: None,
            queued: Vec::new(),
            groups: Vec::new(),
            launched: BTreeMap::new(),
            terminated: BTreeMap::new(),
            completed: VecDeque::new(),
        }
    }

    /// Where its runs are recorded on the agent of this id.
    pub(crate) fn path(&self, agent: &types::AgentId) -> RunPath {
        let framework = FrameworkPath { agent: agent.clone(), framework: self.framework.clone() };
        RunPath {
            executor: ExecutorPath { framework, executor: self.id.clone() },
            container: self.container.clone(),
        }
    }

    pub(crate) fn queued(&self) -> &[Arc<v1::TaskInfo>] {
        &self.queued
    }

    pub(crate) fn launched(&self) -> &BTreeMap<TaskId, Arc<v1::Task>> {
        &self.launched
    }

    pub(crate) fn terminated(&self) -> &BTreeMap<TaskId, Arc<v1::Task>> {
        &self.terminated
    }

    pub(crate) fn completed(&self) -> &VecDeque<Arc<v1::Task>> {
        &self.completed
    }

    pub(crate) fn is_queued(&self, task: &TaskId) -> bool {
        self.queued.iter().any(|queued| queued.task_id.value == task.as_str())
    }

    /// Whether the task is queued, launched, or terminated and not acknowledged.
    pub(crate) fn has_task(&self, task: &TaskId) -> bool {
        self.launched.contains_key(task) || self.terminated.contains_key(task) || self.is_queued(task)
    }

    /// Whether anything must still happen to one of its tasks.
    pub(crate) fn has_incomplete_tasks(&self) -> bool {
        !self.queued.is_empty() || !self.launched.is_empty() || !self.terminated.is_empty()
    }

    /// Whether a task ever reached it. Without one, and with none to come, it has no purpose.
    pub(crate) fn ever_sent_task(&self) -> bool {
        let spoke = |task: &Arc<v1::Task>| {
            task.statuses.iter().any(|status| status.source == Some(Source::Executor.into()))
        };
        !self.launched.is_empty() || self.terminated.values().any(spoke) || self.completed.iter().any(spoke)
    }

    /// All it may use now: its own resources and those of its queued and launched tasks.
    pub(crate) fn allocated(&self) -> Vec<v1::Resource> {
        let mut all = self.resources.clone();
        for task in &self.queued {
            all += Resources::from_checked_protos(&task.resources);
        }
        for task in self.launched.values() {
            all += Resources::from_checked_protos(&task.resources);
        }
        all.to_protos()
    }

    /// What of it is to be seen in the sandbox: its own volumes and those of its queued and launched tasks. Fails where
    /// `more` cannot be seen beside them.
    pub(crate) fn volumes(&self, work_dir: &str, more: &[v1::Resource]) -> Result<Vec<VolumeMount>, String> {
        let queued = self.queued.iter().flat_map(|task| &task.resources);
        let launched = self.launched.values().flat_map(|task| &task.resources);
        mounts(work_dir, self.info.resources.iter().chain(launched).chain(queued).chain(more))
    }

    /// A task waits until the executor registers.
    pub(crate) fn queue(&mut self, task: Arc<v1::TaskInfo>) {
        self.queued.push(task);
    }

    /// These tasks, which are queued, are a group.
    pub(crate) fn queue_group(&mut self, tasks: Vec<TaskId>) {
        self.groups.push(tasks);
    }

    /// The tasks that share a queued task's fate: those of its group, itself among them.
    pub(crate) fn queued_with(&self, task: &TaskId) -> Vec<TaskId> {
        let group = self.groups.iter().find(|group| group.contains(task));
        group.cloned().unwrap_or_else(|| vec![task.clone()])
    }

    /// All queued tasks are launched; each bundle is to be sent. COMPAT(mesos): groups come last.
    pub(crate) fn launch_queued(&mut self) -> Vec<Bundle> {
        let mut tasks = std::mem::take(&mut self.queued);
        for task in &tasks {
            let launched = new_task(task, &self.framework, v1::TaskState::TaskStaging);
            self.launched.insert(TaskId::from(&task.task_id), Arc::new(launched));
        }
        let mut groups = Vec::new();
        for group in std::mem::take(&mut self.groups) {
            let (own, others) =
                tasks.into_iter().partition(|task| group.contains(&TaskId::from(&task.task_id)));
            tasks = others;
            groups.push(Bundle::Group(own));
        }
        tasks.into_iter().map(Bundle::Task).chain(groups).collect()
    }

    /// Puts back a launched task that was found on disk.
    pub(crate) fn restore(&mut self, task: v1::Task) {
        self.launched.insert(TaskId::from(&task.task_id), Arc::new(task));
    }

    /// Enters a status into its task, and moves the task on if the status is terminal.
    pub(crate) fn update(
        &mut self,
        status: &v1::TaskStatus,
        counters: &mut Counters,
    ) -> Result<(), NotTaken> {
        let id = TaskId::from(&status.task_id);
        let terminal = is_terminal(status.state());
        let mut task = if let Some(at) = self.queued.iter().position(|task| task.task_id == status.task_id) {
            if !terminal {
                return Err(NotTaken("Cannot send non-terminal update for queued task".to_owned()));
            }
            let task = self.queued.remove(at);
            self.leave_group(&id);
            Arc::new(new_task(&task, &self.framework, status.state()))
        } else if let Some(task) = self.launched.remove(&id) {
            task
        } else if let Some(task) = self.terminated.get(&id) {
            let state = task.state().as_str_name();
            return Err(NotTaken(format!("Task is already terminated with state {state}")));
        } else {
            return Err(NotTaken("Task is unknown".to_owned()));
        };
        let changed = Arc::make_mut(&mut task);
        // Only the latest of equal states in a row is kept.
        if changed.statuses.last().is_some_and(|last| last.state == status.state) {
            changed.statuses.pop();
        }
        changed.statuses.push(status.clone());
        changed.state = status.state;
        if terminal {
            count(status.state(), counters);
            self.terminated.insert(id, task);
        } else {
            self.launched.insert(id, task);
        }
        Ok(())
    }

    /// A task that ends before it was sent is no part of its group any more.
    fn leave_group(&mut self, task: &TaskId) {
        self.groups.iter_mut().for_each(|group| group.retain(|other| other != task));
        self.groups.retain(|group| !group.is_empty());
    }

    /// Notes which status of a task is being forwarded. The answer is the task's latest state.
    pub(crate) fn note_forwarded(&mut self, task: &TaskId, status: &v1::TaskStatus) -> Option<v1::TaskState> {
        let task = match self.launched.get_mut(task) {
            Some(task) => task,
            None => self.terminated.get_mut(task)?,
        };
        let changed = Arc::make_mut(task);
        changed.status_update_state = Some(status.state);
        changed.status_update_uuid.clone_from(&status.uuid);
        Some(task.state())
    }

    /// The last word on a terminated task was acknowledged. False if it was not terminated.
    pub(crate) fn complete(&mut self, task: &TaskId, completed_max: usize) -> bool {
        let Some(task) = self.terminated.remove(task) else { return false };
        self.completed.push_back(task);
        while self.completed.len() > completed_max {
            self.completed.pop_front();
        }
        true
    }

    /// Nobody will acknowledge anything any more: what was launched is terminated as it is.
    pub(crate) fn abandon(&mut self) {
        self.queued.clear();
        self.groups.clear();
        self.terminated.append(&mut self.launched);
    }
}

/// The record of a task, as it begins.
pub(crate) fn new_task(task: &v1::TaskInfo, framework: &FrameworkId, state: v1::TaskState) -> v1::Task {
    let own = task.command.as_ref().and_then(|command| command.user.as_ref());
    let executor = task.executor.as_ref();
    let executors = || executor?.command.as_ref()?.user.as_ref();
    v1::Task {
        name: task.name.clone(),
        task_id: task.task_id.clone(),
        framework_id: framework.into(),
        executor_id: executor.map(|executor| executor.executor_id.clone()),
        agent_id: task.agent_id.clone(),
        state: state.into(),
        resources: task.resources.clone(),
        labels: task.labels.clone(),
        discovery: task.discovery.clone(),
        container: task.container.clone(),
        user: own.or_else(executors).cloned(),
        health_check: task.health_check.clone(),
        kill_policy: task.kill_policy,
        limits: task.limits.clone(),
        ..Default::default()
    }
}

fn count(state: v1::TaskState, counters: &mut Counters) {
    use v1::TaskState as S;
    match state {
        S::TaskFinished => counters.tasks_finished += 1,
        S::TaskFailed => counters.tasks_failed += 1,
        S::TaskKilled => counters.tasks_killed += 1,
        S::TaskLost => counters.tasks_lost += 1,
        S::TaskGone => counters.tasks_gone += 1,
        S::TaskError
        | S::TaskDropped
        | S::TaskGoneByOperator
        | S::TaskStaging
        | S::TaskStarting
        | S::TaskRunning
        | S::TaskKilling
        | S::TaskUnreachable
        | S::TaskUnknown => {}
    }
}
