//! What readers of `/state`, `/containers` and the v1 reads may see.
//!
//! A view shares its parts with the core, so taking one costs a counter per task.
//! Rendering happens elsewhere.

use std::sync::Arc;

use proto::mesos::v1;
use resources::Resources;
use types::{ContainerId, ExecutorId, FrameworkId, Pid};

use crate::drain::Drain;
use crate::event::Master;
use crate::nested::root_of;

/// The agent as it was at the end of one step.
#[derive(Clone, Debug)]
pub struct View {
    /// This agent, with its id once it has one.
    pub info: Arc<v1::AgentInfo>,
    /// How it stands with the master.
    pub phase: AgentPhase,
    /// The master it belongs to, if one is known.
    pub master: Option<Master>,
    /// What it has: its resources with the reservations and volumes that operations made.
    pub total: Arc<Resources>,
    /// Operations that are not acknowledged yet, by UUID.
    pub operations: Vec<Arc<v1::Operation>>,
    /// While it lets its tasks go.
    pub drain: Option<Drain>,
    /// Frameworks with executors or updates here, by id.
    pub frameworks: Vec<FrameworkView>,
    /// Frameworks that have nothing here any more, oldest first.
    pub completed_frameworks: Vec<FrameworkView>,
    /// Containers below those of executors, and those that stand alone, by id.
    pub nested: Vec<NestedView>,
    /// Counts since the start.
    pub counters: Counters,
}

/// A container that was asked for by name, and that has not ended.
#[derive(Clone, Debug)]
pub struct NestedView {
    /// Its id.
    pub container: ContainerId,
    /// The executor that it is below of, if it is.
    pub executor: Option<(FrameworkId, ExecutorId)>,
}

/// How the agent stands with the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentPhase {
    /// The disk is not read yet, or executors are expected back.
    Recovering,
    /// No master has admitted it.
    Disconnected,
    /// Admitted.
    Running,
    /// It shuts its executors down and leaves.
    Leaving,
}

/// A framework on this agent.
#[derive(Clone, Debug)]
pub struct FrameworkView {
    /// Its id.
    pub id: FrameworkId,
    /// Its description.
    pub info: Arc<v1::FrameworkInfo>,
    /// Its driver's address, if it has one.
    pub pid: Option<Pid>,
    /// Its executors, by id.
    pub executors: Vec<ExecutorView>,
    /// Its executors that ended, oldest first.
    pub completed_executors: Vec<ExecutorView>,
}

/// An executor on this agent.
#[derive(Clone, Debug)]
pub struct ExecutorView {
    /// Its id.
    pub id: ExecutorId,
    /// Its description; for a command task, one that was made for it.
    pub info: Arc<v1::ExecutorInfo>,
    /// The container it runs in.
    pub container: ContainerId,
    /// What is known of the container, once it was launched.
    pub status: Option<Arc<v1::ContainerStatus>>,
    /// Its sandbox, an absolute path.
    pub directory: Arc<str>,
    /// How far it is.
    pub phase: ExecutorPhase,
    /// Whether it was made for one command task: then tasks print an empty executor id.
    pub command_task: bool,
    /// All it may use now: its own resources and those of its tasks, summed.
    pub resources: Vec<v1::Resource>,
    /// Tasks that wait for it to register, in order of arrival.
    pub queued: Vec<Arc<v1::TaskInfo>>,
    /// Tasks it was given, by id.
    pub launched: Vec<Arc<v1::Task>>,
    /// Tasks that ended and whose last update is not acknowledged yet, by id.
    pub terminated: Vec<Arc<v1::Task>>,
    /// Tasks that ended for good, oldest first.
    pub completed: Vec<Arc<v1::Task>>,
}

/// How far an executor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorPhase {
    /// Launched, not yet heard of (or, after a restart of the agent, not yet again).
    Registering,
    /// It takes tasks.
    Running,
    /// It was told to end, or its container is being destroyed.
    Terminating,
    /// Its container is gone; its last updates are not acknowledged yet.
    Terminated,
}

/// What is counted since the start (the metrics of `slave/`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tasks that ended, by how.
    pub tasks_finished: u64,
    /// Tasks that ended, by how.
    pub tasks_failed: u64,
    /// Tasks that ended, by how.
    pub tasks_killed: u64,
    /// Tasks that ended, by how.
    pub tasks_lost: u64,
    /// Tasks that ended, by how.
    pub tasks_gone: u64,
    /// Executors that ended.
    pub executors_terminated: u64,
    /// Containers that could not be launched.
    pub container_launch_errors: u64,
    /// Updates that were taken.
    pub valid_status_updates: u64,
    /// Updates that were dropped.
    pub invalid_status_updates: u64,
    /// Framework messages that were passed on.
    pub valid_framework_messages: u64,
    /// Framework messages that were dropped.
    pub invalid_framework_messages: u64,
    /// Records on disk that could not be read.
    pub recovery_errors: u64,
}

impl View {
    /// Whether the container, or the outermost one around it, is an executor's or stands alone.
    #[must_use]
    pub fn has_root_of(&self, container: &ContainerId) -> bool {
        let root = root_of(container);
        let executors = self.frameworks.iter().flat_map(|framework| &framework.executors);
        executors.map(|executor| &executor.container).any(|own| own == root)
            || self.nested.iter().any(|nested| nested.container == *root)
    }

    /// Whether a master has admitted this agent (the metric `slave/registered`).
    #[must_use]
    pub fn registered(&self) -> bool {
        self.phase == AgentPhase::Running
    }
}
