//! Status updates as the streams carry them, and how they are made.

use std::sync::Arc;

use bytes::Bytes;
use machine::{Now, Rng};
use proto::mesos::internal::StatusUpdate;
use proto::mesos::v1;
use proto::mesos::v1::task_status::{Reason, Source};
use types::{AgentId, ExecutorId, FrameworkId, Pid, TaskId, Uuid, is_terminal};

use crate::agent::Place;
use crate::checkpoint::RunPath;

/// The stream of one task of one framework.
pub(crate) type Key = (FrameworkId, TaskId);

/// Where an update comes from, and so where its acknowledgement goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The agent itself.
    Agent,
    /// A v1 executor: this one.
    Http(Place),
    /// A v0 executor's driver.
    Driver(Pid),
}

/// An update on its way to the master.
#[derive(Clone, Debug)]
pub(crate) struct TaskUpdate {
    pub(crate) update: Arc<StatusUpdate>,
    uuid: Uuid,
    /// Where it is recorded, if its framework checkpoints.
    pub(crate) run: Option<Arc<RunPath>>,
}

impl TaskUpdate {
    /// None where the update's name is not a UUID.
    pub(crate) fn new(update: StatusUpdate, run: Option<Arc<RunPath>>) -> Option<Self> {
        let uuid = Uuid::try_from(update.uuid.as_deref()?).ok()?;
        Some(Self { update: Arc::new(update), uuid, run })
    }

    pub(crate) fn key(&self) -> Key {
        (FrameworkId::from(&self.update.framework_id), TaskId::from(&self.update.status.task_id))
    }
}

impl status_stream::Update for TaskUpdate {
    fn uuid(&self) -> Uuid {
        self.uuid
    }

    fn is_terminal(&self) -> bool {
        is_terminal(self.update.status.state())
    }
}

/// What the agent itself has to say of a task.
pub(crate) struct Word {
    pub(crate) task: TaskId,
    pub(crate) state: v1::TaskState,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) executor: Option<ExecutorId>,
    pub(crate) limited: Vec<v1::Resource>,
}

impl Word {
    pub(crate) fn new(
        task: TaskId,
        state: v1::TaskState,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { task, state, reason, message: message.into(), executor: None, limited: Vec::new() }
    }

    pub(crate) fn of(mut self, executor: &ExecutorId) -> Self {
        self.executor = Some(executor.clone());
        self
    }

    /// The update that says it.
    pub(crate) fn update(
        self,
        now: Now,
        rng: &mut Rng,
        agent: &AgentId,
        framework: &FrameworkId,
    ) -> StatusUpdate {
        let uuid = Bytes::from(Uuid::random(rng));
        let timestamp = now.wall.as_secs_f64();
        let limitation =
            (!self.limited.is_empty()).then_some(v1::TaskResourceLimitation { resources: self.limited });
        StatusUpdate {
            framework_id: framework.into(),
            executor_id: self.executor.as_ref().map(Into::into),
            slave_id: Some(agent.into()),
            status: v1::TaskStatus {
                task_id: (&self.task).into(),
                agent_id: Some(agent.into()),
                state: self.state.into(),
                source: Some(Source::Agent.into()),
                reason: Some(self.reason.into()),
                message: Some(self.message),
                timestamp: Some(timestamp),
                uuid: Some(uuid.clone()),
                limitation,
                ..Default::default()
            },
            timestamp,
            uuid: Some(uuid),
            latest_state: None,
        }
    }
}

/// The update of a status that a v1 executor sent.
pub(crate) fn from_status(
    now: Now,
    agent: &AgentId,
    framework: &FrameworkId,
    mut status: v1::TaskStatus,
) -> StatusUpdate {
    status.agent_id.get_or_insert_with(|| agent.into());
    let timestamp = *status.timestamp.get_or_insert_with(|| now.wall.as_secs_f64());
    StatusUpdate {
        framework_id: framework.into(),
        executor_id: status.executor_id.clone(),
        slave_id: Some(agent.into()),
        timestamp,
        uuid: status.uuid.clone(),
        status,
        latest_state: None,
    }
}
