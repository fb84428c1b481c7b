//! The machine itself: its parts, and which of them takes which event.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use machine::{Instant, Machine, Now, Rng, TimerId, Timers};
use proto::mesos::v1;
use status_stream::{Retry, Streams};
use types::{AgentId, ContainerId, ExecutorId, FrameworkId, Uuid};

use crate::config::Config;
use crate::drain::Drain;
use crate::effect::Effect;
use crate::event::{Event, StreamId};
use crate::executor::Executor;
use crate::framework::Framework;
use crate::gc::Gc;
use crate::holdings::Holdings;
use crate::message::Message;
use crate::nested::Nested;
use crate::operations::Operations;
use crate::recovery::Afterwards;
use crate::registration::Registration;
use crate::step::Step;
use crate::update::{Key, TaskUpdate};
use crate::view::{AgentPhase, Counters};

/// The agent: one deterministic state machine.
///
/// Before [`Event::Recovered`] it refuses everything with 503 or silence.
#[derive(Debug)]
pub struct Agent {
    pub(crate) config: Config,
    pub(crate) info: Arc<v1::AgentInfo>,
    /// The empty id until a master gives one.
    pub(crate) id: AgentId,
    pub(crate) phase: AgentPhase,
    /// The disk is read, executors may come back.
    pub(crate) reconnecting: bool,
    /// What is done once that is over.
    pub(crate) afterwards: Afterwards,
    pub(crate) registration: Registration,
    pub(crate) frameworks: BTreeMap<FrameworkId, Framework>,
    pub(crate) completed: VecDeque<Framework>,
    /// Which executor a container is for. Containers whose executor is gone are not here.
    pub(crate) containers: BTreeMap<ContainerId, Place>,
    /// Containers below those, and others that were asked for by name.
    pub(crate) nested: Nested,
    /// Which executor listens on a stream.
    pub(crate) streams: BTreeMap<StreamId, Listener>,
    pub(crate) updates: Streams<Key, TaskUpdate>,
    /// What the agent has.
    pub(crate) holdings: Holdings,
    pub(crate) operations: Operations,
    /// While it lets its tasks go.
    pub(crate) drain: Option<Drain>,
    pub(crate) gc: Gc,
    pub(crate) timers: Timers<Due>,
    pub(crate) rng: Rng,
    pub(crate) counters: Counters,
    /// Names the agent's resources as they are; tasks that assume others are dropped.
    pub(crate) resource_version: Bytes,
}

/// Names an executor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) framework: FrameworkId,
    pub(crate) executor: ExecutorId,
}

/// The executor at the other end of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) place: Place,
    /// When it gets its next sign of life.
    pub(crate) heartbeat: TimerId,
}

/// What is due at a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Try to register again.
    Register,
    /// No ping came for too long.
    Ping,
    /// The executor in this container has not registered, or not shut down.
    Executor(ContainerId),
    /// An executor's stream needs a sign of life.
    Heartbeat(StreamId),
    /// Executors that have not come back since the restart never will.
    Reconnected,
    /// The executor with a driver in this container is to be called back once more.
    CallBack(ContainerId),
}

impl Agent {
    /// A new agent with these settings.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut rng = Rng::new(config.seed);
        let resource_version = Bytes::from(Uuid::random(&mut rng));
        let info = v1::AgentInfo { id: None, checkpoint: None, ..config.info.clone() };
        Self {
            info: Arc::new(info),
            id: AgentId::new(""),
            phase: AgentPhase::Recovering,
            reconnecting: false,
            afterwards: Afterwards::default(),
            registration: Registration::default(),
            frameworks: BTreeMap::new(),
            completed: VecDeque::new(),
            containers: BTreeMap::new(),
            nested: Nested::default(),
            streams: BTreeMap::new(),
            updates: Streams::new(Retry::default()),
            holdings: Holdings::new(&config.info.resources),
            operations: Operations::default(),
            drain: None,
            gc: Gc::default(),
            timers: Timers::new(),
            rng,
            counters: Counters::default(),
            resource_version,
            config,
        }
    }

    pub(crate) fn framework(&self, id: &FrameworkId) -> Option<&Framework> {
        self.frameworks.get(id)
    }

    pub(crate) fn executor(&self, place: &Place) -> Option<&Executor> {
        self.frameworks.get(&place.framework)?.executors.get(&place.executor)
    }

    pub(crate) fn executor_mut(&mut self, place: &Place) -> Option<&mut Executor> {
        self.frameworks.get_mut(&place.framework)?.executors.get_mut(&place.executor)
    }

    fn on_event(&mut self, event: Event, step: &mut Step<'_>) {
        match event {
            Event::Recovered(state) => self.on_recovered(*state, step),
            Event::MasterDetected(master) => self.on_master_detected(master.map(|master| *master), step),
            Event::Message { from, message } => self.on_message(from, message, step),
            Event::ExecutorSubscribe { stream, call } => self.on_executor_subscribe(stream, *call, step),
            Event::ExecutorCall { request, call } => self.on_executor_call(request, *call, step),
            Event::ContainerCall { request, call } => self.on_container_call(request, *call, step),
            Event::StreamClosed(stream) => self.on_stream_closed(stream),
            Event::Exited(address) => self.on_exited(address, step),
            Event::ContainerLaunched { container, status } => {
                self.on_container_launched(&container, *status, step);
            }
            Event::ContainerFailed { container, message } => {
                self.on_container_failed(&container, &message, step);
            }
            Event::ContainerExited { container, termination } => {
                self.on_container_exited(&container, *termination, step);
            }
            Event::ContainerUpdateFailed { container, message } => {
                self.on_container_update_failed(&container, &message, step);
            }
            Event::DiskUsage { permille } => self.on_disk_usage(permille, step),
            Event::Leave { message } => self.on_leave(&message, step),
        }
    }

    fn on_message(&mut self, from: types::Pid, message: Message, step: &mut Step<'_>) {
        match message {
            Message::AgentRegistered(message) => self.on_registered(&from, *message, step),
            Message::AgentReregistered(message) => self.on_reregistered(&from, *message, step),
            Message::Ping(message) => self.on_ping(&from, message.connected, step),
            Message::RunTask(message) => self.on_run_task(&from, *message, step),
            Message::RunTaskGroup(message) => self.on_run_task_group(&from, *message, step),
            Message::KillTask(message) => self.on_kill_task(&from, *message, step),
            Message::ShutdownExecutor(message) => self.on_shutdown_executor(&from, *message, step),
            Message::ShutdownFramework(message) => {
                self.on_shutdown_framework(&from, &FrameworkId::from(&message.framework_id), step);
            }
            Message::UpdateFramework(message) => self.on_update_framework(&from, *message, step),
            Message::StatusUpdateAcknowledgement(message) => {
                self.on_acknowledgement(&from, *message, step);
            }
            Message::FrameworkToExecutor(message) => self.on_framework_message(*message, step),
            Message::Shutdown(message) => self.on_shutdown(&from, message.message(), step),
            Message::RegisterExecutor(message) => self.on_register_executor(from, *message, step),
            Message::ReregisterExecutor(message) => self.on_reregister_executor(from, *message, step),
            Message::StatusUpdate(message) => self.on_driver_update(*message, step),
            Message::ExecutorToFramework(message) => self.on_driver_message(*message, step),
            Message::ApplyOperation(message) => self.on_apply_operation(&from, *message, step),
            Message::ReconcileOperations(message) => self.on_reconcile_operations(&from, *message, step),
            Message::CheckpointResources(message) => self.on_checkpoint_resources(&from, &message, step),
            Message::AcknowledgeOperationStatus(message) => {
                self.on_operation_acknowledgement(&from, &message, step);
            }
            Message::Drain(message) => self.on_drain(&from, *message, step),
        }
    }

    fn on_due(&mut self, due: Due, step: &mut Step<'_>) {
        match due {
            Due::Register => self.register(step),
            Due::Ping => self.on_ping_timeout(step),
            Due::Executor(container) => self.on_executor_deadline(&container, step),
            Due::Heartbeat(stream) => self.on_heartbeat_due(stream, step),
            Due::Reconnected => self.on_reconnect_timeout(step),
            Due::CallBack(container) => self.on_call_back_due(&container, step),
        }
    }
}

impl Machine for Agent {
    type Event = Event;
    type Effect = Effect;

    fn handle_event(&mut self, now: Now, event: Event, fx: &mut Vec<Effect>) {
        self.on_event(event, &mut Step::new(now, fx));
    }

    fn handle_timeout(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let step = &mut Step::new(now, fx);
        while let Some((_, due)) = self.timers.pop(now.mono) {
            self.on_due(due, step);
        }
        self.retry_updates(step);
        self.retry_operation_updates(step);
        self.gc.prune(now.mono, step);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let updates = [self.updates.poll_timeout(), self.operations.updates.poll_timeout()];
        [self.timers.next(), self.gc.next()].into_iter().chain(updates).flatten().min()
    }
}
