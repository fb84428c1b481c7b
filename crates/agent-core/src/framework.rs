//! One framework on this agent: its description, its driver's address, its executors.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use proto::mesos::v1;
use proto::mesos::v1::framework_info::capability::Type as Capability;
use types::{AgentId, ExecutorId, FrameworkId, Pid, TaskId};

use crate::checkpoint::FrameworkPath;
use crate::checkpoint::Record;
use crate::executor::Executor;
use crate::step::Step;

/// One framework.
#[derive(Debug)]
pub(crate) struct Framework {
    pub(crate) id: FrameworkId,
    pub(crate) info: Arc<v1::FrameworkInfo>,
    pub(crate) pid: Option<Pid>,
    /// Its executors are being shut down and nobody listens any more.
    pub(crate) terminating: bool,
    pub(crate) executors: BTreeMap<ExecutorId, Executor>,
    pub(crate) completed: VecDeque<Executor>,
}

impl Framework {
    pub(crate) fn new(id: FrameworkId, info: v1::FrameworkInfo, pid: Option<Pid>) -> Self {
        Self {
            id,
            info: Arc::new(info),
            pid,
            terminating: false,
            executors: BTreeMap::new(),
            completed: VecDeque::new(),
        }
    }

    pub(crate) fn checkpoints(&self) -> bool {
        self.info.checkpoint()
    }

    pub(crate) fn path(&self, agent: &AgentId) -> FrameworkPath {
        FrameworkPath { agent: agent.clone(), framework: self.id.clone() }
    }

    /// Writes down who it is, if it wants that.
    pub(crate) fn checkpoint(&self, agent: &AgentId, step: &mut Step<'_>) {
        if self.checkpoints() {
            let at = self.path(agent);
            step.checkpoint(Record::FrameworkInfo(at.clone(), Box::new((*self.info).clone())));
            step.checkpoint(Record::FrameworkPid(at, self.pid.clone()));
        }
    }

    /// The executor that has the task, be it queued, launched or terminated. Looks first at the
    /// one of the same name, which a command task's is.
    pub(crate) fn executor_of(&self, task: &TaskId) -> Option<&Executor> {
        let own = self.executors.get(task.as_str()).filter(|executor| executor.has_task(task));
        own.or_else(|| self.executors.values().find(|executor| executor.has_task(task)))
    }

    /// The same, to be changed.
    pub(crate) fn executor_of_mut(&mut self, task: &TaskId) -> Option<&mut Executor> {
        let id = self.executor_of(task)?.id.clone();
        self.executors.get_mut(&id)
    }

    /// Keeps an executor that ended, for people to look at.
    pub(crate) fn remember(&mut self, executor: Executor, completed_max: usize) {
        self.completed.push_back(executor);
        while self.completed.len() > completed_max {
            self.completed.pop_front();
        }
    }

    /// The state of a task that never began: frameworks that do not know partitions
    /// know TASK_LOST only.
    pub(crate) fn dropped(&self) -> v1::TaskState {
        dropped(&self.info)
    }

    /// The state of a task whose container is gone for a reason that is not its own.
    pub(crate) fn gone(&self) -> v1::TaskState {
        if knows_partitions(&self.info) { v1::TaskState::TaskGone } else { v1::TaskState::TaskLost }
    }
}

/// TASK_DROPPED, or TASK_LOST for frameworks that do not know partitions.
pub(crate) fn dropped(framework: &v1::FrameworkInfo) -> v1::TaskState {
    if knows_partitions(framework) { v1::TaskState::TaskDropped } else { v1::TaskState::TaskLost }
}

pub(crate) fn knows_partitions(framework: &v1::FrameworkInfo) -> bool {
    framework.capabilities.iter().any(|capability| capability.r#type() == Capability::PartitionAware)
}
