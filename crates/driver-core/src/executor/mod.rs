//! The executor driver: an executor's way to the agent that started it.
//!
//! It registers once, hands on what the agent says, and keeps the updates and tasks that the agent has not acknowledged,
//! for an agent that comes back after a restart.
//!
//! ```text
//!             Registered               Exited, if the framework checkpoints
//! Registering ----------> Connected -----------------------------------------> Waiting
//!      |                      ^                                                   |  |
//!      +-- Exited --> Shut    +------------- Reregistered ------------------------+  +-- recovery timeout --> Shut
//! ```

mod effect;
mod message;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use machine::{Instant, Machine, Now, Rng};
use proto::mesos::{internal, v1};
use types::{AgentId, ExecutorId, FrameworkId, Pid, TaskId, Uuid};

pub use effect::{Callback, Effect};
pub use message::{Message, Outgoing};

/// How a driver is made; the agent tells it by the environment.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where this driver listens.
    pub own: Pid,
    /// The agent (`MESOS_SLAVE_PID`).
    pub agent: Pid,
    /// Its id (`MESOS_SLAVE_ID`).
    pub agent_id: AgentId,
    /// The framework (`MESOS_FRAMEWORK_ID`).
    pub framework_id: FrameworkId,
    /// This executor (`MESOS_EXECUTOR_ID`).
    pub executor_id: ExecutorId,
    /// Whether the executor lives in the agent's own process (`MESOS_LOCAL`) and must not be killed with it.
    pub local: bool,
    /// How long to wait for an agent that went away (`MESOS_RECOVERY_TIMEOUT`), when the framework checkpoints
    /// (`MESOS_CHECKPOINT`); none means not at all.
    pub recovery_timeout: Option<Duration>,
    /// How long an executor that was told to end may take (`MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD`).
    pub shutdown_grace_period: Duration,
    /// Seeds the ids of updates.
    pub seed: u64,
}

/// What happens to a driver.
#[derive(Clone, Debug)]
pub enum Event {
    /// It begins.
    Started,
    /// A message came.
    Received {
        /// From whom, by its own account.
        from: Pid,
        /// What it says.
        message: Message,
    },
    /// The link to a process broke.
    Exited(Pid),
    /// `sendStatusUpdate`.
    Update(Box<v1::TaskStatus>),
    /// `sendFrameworkMessage`.
    Message(Bytes),
    /// `stop`.
    Stop,
    /// `abort`.
    Abort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The agent does not know this driver yet.
    Registering,
    /// It does.
    Connected,
    /// The agent went away; past `until` it is given up.
    Waiting { until: Instant },
    /// The executor was told to end. Its updates still go out; nothing is listened to.
    Shut,
    /// Aborted: as `Shut`, but the executor was told nothing.
    Aborted,
    /// Stopped.
    Over,
}

/// An executor driver.
#[derive(Debug)]
pub struct Driver {
    config: Config,
    agent: Pid,
    rng: Rng,
    phase: Phase,
    /// Updates that the agent has not acknowledged, in the order in which they were made, and where each is.
    updates: BTreeMap<u64, internal::StatusUpdate>,
    update_of: BTreeMap<Uuid, u64>,
    next_update: u64,
    /// Tasks of which no update was acknowledged, in the order in which they came, and where each is.
    tasks: BTreeMap<u64, v1::TaskInfo>,
    task_of: BTreeMap<TaskId, u64>,
    next_task: u64,
}

impl Driver {
    /// A driver that has not begun.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            agent: config.agent.clone(),
            rng: Rng::new(config.seed),
            phase: Phase::Registering,
            config,
            updates: BTreeMap::new(),
            update_of: BTreeMap::new(),
            next_update: 0,
            tasks: BTreeMap::new(),
            task_of: BTreeMap::new(),
            next_task: 0,
        }
    }

    fn listens(&self) -> bool {
        match self.phase {
            Phase::Registering | Phase::Connected | Phase::Waiting { .. } => true,
            Phase::Shut | Phase::Aborted | Phase::Over => false,
        }
    }

    fn send(&self, message: Outgoing, fx: &mut Vec<Effect>) {
        fx.push(Effect::Send { to: self.agent.clone(), message });
    }

    fn on_started(&mut self, fx: &mut Vec<Effect>) {
        fx.push(Effect::Link(self.agent.clone()));
        let message = internal::RegisterExecutorMessage {
            framework_id: (&self.config.framework_id).into(),
            executor_id: (&self.config.executor_id).into(),
        };
        self.send(Outgoing::Register(Box::new(message)), fx);
    }

    fn on_received(&mut self, from: Pid, message: Message, fx: &mut Vec<Effect>) {
        if !self.listens() {
            return;
        }
        let connected = self.phase == Phase::Connected;
        match message {
            Message::Registered(message) => {
                self.phase = Phase::Connected;
                fx.push(Effect::Info(format!("Executor registered on agent {}", message.slave_id.value)));
                let internal::ExecutorRegisteredMessage { executor_info, framework_info, slave_info, .. } =
                    *message;
                fx.push(Effect::Callback(Callback::Registered {
                    executor: Box::new(executor_info),
                    framework: Box::new(framework_info),
                    agent: Box::new(slave_info),
                }));
            }
            Message::Reregistered(message) => {
                self.phase = Phase::Connected;
                fx.push(Effect::Info(format!("Executor reregistered on agent {}", message.slave_id.value)));
                fx.push(Effect::Callback(Callback::Reregistered(Box::new(message.slave_info))));
            }
            Message::Reconnect(_) => self.reconnect(from, fx),
            Message::RunTask(message) => self.run_task(message.task, connected, fx),
            Message::KillTask(message) => {
                fx.push(Effect::Callback(Callback::KillTask(message.task_id)));
            }
            Message::Acknowledgement(message) => {
                if connected {
                    self.on_acknowledged(&message, fx);
                }
            }
            Message::FromFramework(message) => {
                if connected {
                    fx.push(Effect::Callback(Callback::Message(message.data)));
                }
            }
            Message::Shutdown(_) => {
                fx.push(Effect::Info("Executor asked to shutdown".to_owned()));
                self.shut(fx);
            }
        }
    }

    /// The agent restarted: it is told what it may not know.
    fn reconnect(&mut self, from: Pid, fx: &mut Vec<Effect>) {
        fx.push(Effect::Info(format!("Received reconnect request from agent at {from}")));
        self.agent = from;
        fx.push(Effect::Reconnect(self.agent.clone()));
        let message = internal::ReregisterExecutorMessage {
            executor_id: (&self.config.executor_id).into(),
            framework_id: (&self.config.framework_id).into(),
            tasks: self.tasks.values().cloned().collect(),
            updates: self.updates.values().cloned().collect(),
        };
        self.send(Outgoing::Reregister(Box::new(message)), fx);
    }

    fn run_task(&mut self, task: v1::TaskInfo, connected: bool, fx: &mut Vec<Effect>) {
        let id = TaskId::from(&task.task_id);
        let why = if !connected {
            "the driver is disconnected"
        } else if self.task_of.contains_key(&id) {
            // COMPAT(mesos): there the executor dies of it.
            "there is a task of that id"
        } else {
            self.task_of.insert(id, self.next_task);
            self.tasks.insert(self.next_task, task.clone());
            self.next_task += 1;
            fx.push(Effect::Callback(Callback::LaunchTask(Box::new(task))));
            return;
        };
        fx.push(Effect::Warn(format!("Ignoring run task message for task {id} because {why}")));
    }

    fn on_acknowledged(
        &mut self,
        message: &internal::StatusUpdateAcknowledgementMessage,
        fx: &mut Vec<Effect>,
    ) {
        let known = Uuid::try_from(&message.uuid[..]).ok().and_then(|uuid| self.update_of.remove(&uuid));
        let Some(at) = known else {
            let task = &message.task_id.value;
            let warning = format!("Ignoring unknown status update acknowledgement for task {task}");
            fx.push(Effect::Warn(warning));
            return;
        };
        self.updates.remove(&at);
        if let Some(at) = self.task_of.remove(message.task_id.value.as_str()) {
            self.tasks.remove(&at);
        }
    }

    fn on_exited(&mut self, now: Now, pid: &Pid, fx: &mut Vec<Effect>) {
        // The one that was linked before the agent restarted may be told late.
        if *pid != self.agent {
            return;
        }
        match (self.phase, self.config.recovery_timeout) {
            (Phase::Connected, Some(timeout)) => {
                fx.push(Effect::Info(format!(
                    "Agent exited, but framework has checkpointing enabled. Waiting {timeout:?} to reconnect with \
                     agent {}",
                    self.config.agent_id
                )));
                self.phase = Phase::Waiting { until: now.mono + timeout };
            }
            (Phase::Connected, None) | (Phase::Registering, _) => {
                fx.push(Effect::Info("Agent exited ... shutting down".to_owned()));
                self.shut(fx);
            }
            // A reconnection broke again, while the agent is given its time.
            (Phase::Waiting { .. } | Phase::Shut | Phase::Aborted | Phase::Over, _) => {}
        }
    }

    /// The executor must end: it is told so, and killed if it takes too long.
    fn shut(&mut self, fx: &mut Vec<Effect>) {
        if !self.config.local {
            // ORDER: before the callback, which may take for ever.
            fx.push(Effect::KillAfter(self.config.shutdown_grace_period));
        }
        fx.push(Effect::Callback(Callback::Shutdown));
        self.phase = Phase::Shut;
    }

    fn update(&mut self, now: Now, mut status: v1::TaskStatus, fx: &mut Vec<Effect>) {
        let uuid = Uuid::random(&mut self.rng);
        let timestamp = now.wall.as_secs_f64();
        status.timestamp = Some(timestamp);
        status.uuid = Some(uuid.into());
        status.agent_id = Some((&self.config.agent_id).into());
        let update = internal::StatusUpdate {
            framework_id: (&self.config.framework_id).into(),
            executor_id: Some((&self.config.executor_id).into()),
            slave_id: Some((&self.config.agent_id).into()),
            status,
            timestamp,
            uuid: Some(uuid.into()),
            latest_state: None,
        };
        self.update_of.insert(uuid, self.next_update);
        self.updates.insert(self.next_update, update.clone());
        self.next_update += 1;
        let pid = Some(self.config.own.to_string());
        self.send(Outgoing::Update(Box::new(internal::StatusUpdateMessage { update, pid })), fx);
    }

    fn end(&mut self, phase: Phase, fx: &mut Vec<Effect>) {
        if self.phase != Phase::Over && self.phase != phase {
            self.phase = phase;
            fx.push(Effect::Release);
        }
    }
}

impl Machine for Driver {
    type Event = Event;
    type Effect = Effect;

    fn handle_event(&mut self, now: Now, event: Event, fx: &mut Vec<Effect>) {
        match event {
            Event::Started => self.on_started(fx),
            Event::Received { from, message } => self.on_received(from, message, fx),
            Event::Exited(pid) => self.on_exited(now, &pid, fx),
            Event::Update(status) => {
                if !matches!(self.phase, Phase::Aborted | Phase::Over) {
                    self.update(now, *status, fx);
                }
            }
            Event::Message(data) => {
                if !matches!(self.phase, Phase::Aborted | Phase::Over) {
                    let message = internal::ExecutorToFrameworkMessage {
                        slave_id: (&self.config.agent_id).into(),
                        framework_id: (&self.config.framework_id).into(),
                        executor_id: (&self.config.executor_id).into(),
                        data,
                    };
                    self.send(Outgoing::ToFramework(Box::new(message)), fx);
                }
            }
            Event::Stop => self.end(Phase::Over, fx),
            Event::Abort => self.end(Phase::Aborted, fx),
        }
    }

    fn handle_timeout(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if self.poll_timeout().is_some_and(|until| now.mono >= until) {
            fx.push(Effect::Info("Recovery timeout exceeded; Shutting down".to_owned()));
            self.shut(fx);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { until } => Some(until),
            Phase::Registering | Phase::Connected | Phase::Shut | Phase::Aborted | Phase::Over => None,
        }
    }
}
