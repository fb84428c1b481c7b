//! How the agent finds its master, is admitted, and notices that it no longer is.
//!
//! ```text
//! detected -> random wait -> Register/Reregister, again and again -> admitted -> pings
//!     ^_______________________ no ping for 75 s, or "not connected" ______________|
//! ```

use std::sync::Arc;
use std::time::Duration;

use machine::TimerId;
use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::agent_info::capability::Type as Capability;
use proto::mesos::v1::task_status::Reason;
use types::{AgentId, FrameworkId, Pid, TaskId};

use crate::agent::{Agent, Due};
use crate::checkpoint::{Record, downgrade};
use crate::effect::Effect;
use crate::event::Master;
use crate::executor::new_task;
use crate::framework::dropped;
use crate::message::Outgoing;
use crate::step::Step;
use crate::update::{TaskUpdate, Word};
use crate::view::{AgentPhase, ExecutorPhase};

/// No attempt waits longer than this for the next (as observed of Mesos).
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long the master may not ping, unless it says otherwise (15 s x 5).
const PING_TIMEOUT: Duration = Duration::from_secs(75);

/// What this agent can do.
const CAPABILITIES: [Capability; 8] = [
    Capability::MultiRole,
    Capability::HierarchicalRole,
    Capability::ReservationRefinement,
    Capability::ResourceProvider,
    Capability::ResizeVolume,
    Capability::AgentOperationFeedback,
    Capability::AgentDraining,
    Capability::TaskResourceLimits,
];

/// The agent's standing with its master.
#[derive(Debug)]
pub(crate) struct Registration {
    master: Option<Master>,
    /// The longest wait before the next attempt.
    backoff: Duration,
    attempt: Option<TimerId>,
    ping: Option<TimerId>,
    ping_timeout: Duration,
}

impl Default for Registration {
    fn default() -> Self {
        Self { master: None, backoff: Duration::ZERO, attempt: None, ping: None, ping_timeout: PING_TIMEOUT }
    }
}

impl Registration {
    pub(crate) fn master(&self) -> Option<&Master> {
        self.master.as_ref()
    }

    /// Whether messages from there are the master's.
    pub(crate) fn is_master(&self, from: &Pid) -> bool {
        self.master.as_ref().is_some_and(|master| master.pid == *from)
    }
}

impl Agent {
    pub(crate) fn on_master_detected(&mut self, master: Option<Master>, step: &mut Step<'_>) {
        self.forget_master();
        match &master {
            Some(master) => step.info(format!("New master detected at {}", master.pid)),
            None => step.info("Lost leading master"),
        }
        self.registration.master = master;
        self.begin_registration(step);
    }

    /// Waits a little and then registers, if there is a master and nothing speaks against it.
    pub(crate) fn begin_registration(&mut self, step: &mut Step<'_>) {
        if self.phase != AgentPhase::Disconnected || self.registration.master.is_none() {
            return;
        }
        let first = self.random(self.config.registration_backoff);
        self.registration.backoff = self.config.registration_backoff * 2;
        self.arm_attempt(first, step);
    }

    pub(crate) fn register(&mut self, step: &mut Step<'_>) {
        self.registration.attempt = None;
        let (AgentPhase::Disconnected, Some(master)) = (self.phase, &self.registration.master) else {
            return;
        };
        let pid = master.pid.clone();
        // The link comes after the first wait, so that not all agents connect to a new
        // master at once.
        step.push(Effect::Link { pid: pid.clone(), reconnect: false });
        let message = if self.info.id.is_none() {
            Outgoing::RegisterAgent(Box::new(self.registration_message()))
        } else {
            Outgoing::ReregisterAgent(Box::new(self.reregistration_message()))
        };
        step.send(&pid, message);
        let backoff = self.registration.backoff.min(RETRY_MAX);
        self.registration.backoff = backoff * 2;
        let wait = self.random(backoff);
        self.arm_attempt(wait, step);
    }

    pub(crate) fn on_registered(
        &mut self,
        from: &Pid,
        message: internal::SlaveRegisteredMessage,
        step: &mut Step<'_>,
    ) {
        if self.is_stranger(from, "registration", step) {
            return;
        }
        self.take_ping_timeout(message.connection.as_ref());
        match self.phase {
            AgentPhase::Disconnected => {
                step.info(format!(
                    "Registered with master {from}; given agent ID {}",
                    message.slave_id.value
                ));
                self.take_id(AgentId::from(&message.slave_id));
                // ORDER: the link last, so that a crash between the two leaves no agent without a description.
                step.checkpoint(Record::AgentInfo(Box::new(self.wire_info())));
                step.checkpoint(Record::LatestAgent(self.id.clone()));
                self.admitted(step);
            }
            AgentPhase::Running if self.id.as_str() != message.slave_id.value => {
                self.exit_for_wrong_id("Registered", &message.slave_id.value, step);
                return;
            }
            AgentPhase::Running => step.warn(format!("Already registered with master {from}")),
            AgentPhase::Leaving | AgentPhase::Recovering => {
                step.warn("Ignoring registration because agent is terminating");
                return;
            }
        }
        self.send_resources(step);
    }

    pub(crate) fn on_reregistered(
        &mut self,
        from: &Pid,
        message: internal::SlaveReregisteredMessage,
        step: &mut Step<'_>,
    ) {
        if self.is_stranger(from, "re-registration", step) {
            return;
        }
        if self.id.as_str() != message.slave_id.value {
            self.exit_for_wrong_id("Re-registered", &message.slave_id.value, step);
            return;
        }
        self.take_ping_timeout(message.connection.as_ref());
        match self.phase {
            AgentPhase::Disconnected => {
                step.info(format!("Re-registered with master {from}"));
                self.admitted(step);
            }
            AgentPhase::Running => step.warn(format!("Already reregistered with master {from}")),
            AgentPhase::Leaving | AgentPhase::Recovering => {
                step.warn("Ignoring re-registration because agent is terminating");
                return;
            }
        }
        self.send_resources(step);
        for reconciliation in message.reconciliations {
            self.reconcile(&reconciliation, step);
        }
    }

    pub(crate) fn on_ping(&mut self, from: &Pid, connected: bool, step: &mut Step<'_>) {
        if !connected && self.phase == AgentPhase::Running {
            step.info("Master marked the agent as disconnected but the agent considers itself registered");
            self.redetect(step);
        }
        self.arm_ping(step);
        step.send(from, Outgoing::Pong(Box::default()));
    }

    pub(crate) fn on_ping_timeout(&mut self, step: &mut Step<'_>) {
        self.registration.ping = None;
        if self.registration.master.is_some() {
            let secs = self.registration.ping_timeout.as_secs();
            step.info(format!("No pings from master received within {secs} seconds"));
            self.redetect(step);
        }
    }

    /// The master may have been restarted, or another leads.
    // COMPAT(mesos): there the agent waits until no pings have come for 75 s, which a
    // master at a fixed address that restarts in a second need not cost.
    pub(crate) fn on_exited(&mut self, address: std::net::SocketAddr, step: &mut Step<'_>) {
        if self.registration.master.as_ref().is_some_and(|master| master.pid.address == address) {
            step.warn("Master disconnected! Looking for the leading master");
            self.redetect(step);
        }
    }

    /// Whether the message is not from the master; then it says so.
    pub(crate) fn is_stranger(&self, from: &Pid, what: &str, step: &mut Step<'_>) -> bool {
        if self.registration.is_master(from) {
            return false;
        }
        let expected = self
            .registration
            .master
            .as_ref()
            .map_or_else(|| "None".to_owned(), |master| master.pid.to_string());
        step.warn(format!(
            "Ignoring {what} message from {from} because it is not the expected master: {expected}"
        ));
        true
    }

    /// This agent as peers of the internal protocol are told: it always checkpoints.
    pub(crate) fn wire_info(&self) -> v1::AgentInfo {
        v1::AgentInfo { checkpoint: Some(true), ..(*self.info).clone() }
    }

    pub(crate) fn take_id(&mut self, id: AgentId) {
        Arc::make_mut(&mut self.info).id = Some((&id).into());
        self.id = id;
    }

    pub(crate) fn redetect(&mut self, step: &mut Step<'_>) {
        self.forget_master();
        step.push(Effect::Redetect);
    }

    /// Back to the state without a master; what was armed for it is void.
    fn forget_master(&mut self) {
        if self.phase == AgentPhase::Running {
            self.phase = AgentPhase::Disconnected;
        }
        self.updates.pause();
        self.operations.updates.pause();
        self.registration.master = None;
        for timer in [self.registration.attempt.take(), self.registration.ping.take()].into_iter().flatten() {
            self.timers.cancel(timer);
        }
    }

    fn admitted(&mut self, step: &mut Step<'_>) {
        self.phase = AgentPhase::Running;
        if let Some(timer) = self.registration.attempt.take() {
            self.timers.cancel(timer);
        }
        self.resume_updates(step);
        self.resume_operation_updates(step);
        self.arm_ping(step);
    }

    fn take_ping_timeout(&mut self, connection: Option<&internal::MasterSlaveConnection>) {
        let secs = connection.and_then(|connection| connection.total_ping_timeout_seconds);
        self.registration.ping_timeout =
            secs.and_then(|secs| Duration::try_from_secs_f64(secs.trunc()).ok()).unwrap_or(PING_TIMEOUT);
    }

    fn arm_ping(&mut self, step: &mut Step<'_>) {
        if let Some(timer) = self.registration.ping.take() {
            self.timers.cancel(timer);
        }
        let at = step.now.mono + self.registration.ping_timeout;
        self.registration.ping = Some(self.timers.arm(at, Due::Ping));
    }

    fn arm_attempt(&mut self, wait: Duration, step: &mut Step<'_>) {
        if let Some(timer) = self.registration.attempt.take() {
            self.timers.cancel(timer);
        }
        self.registration.attempt = Some(self.timers.arm(step.now.mono + wait, Due::Register));
    }

    fn random(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.below(nanos))
    }

    fn exit_for_wrong_id(&mut self, did: &str, got: &str, step: &mut Step<'_>) {
        let message = format!("{did} but got wrong id: {got} (expected: {}). Committing suicide", self.id);
        step.push(Effect::Exit { failure: true, message });
    }

    fn registration_message(&self) -> internal::RegisterSlaveMessage {
        let mut agent = self.wire_info();
        downgrade(&mut agent.resources);
        internal::RegisterSlaveMessage {
            slave: agent,
            version: Some(self.config.version.clone()),
            checkpointed_resources: self.checkpointed_resources(),
            agent_capabilities: capabilities(),
            resource_version_uuid: Some(self.resource_version()),
        }
    }

    /// Everything that lives here, for a master that may know nothing of it.
    fn reregistration_message(&self) -> internal::ReregisterSlaveMessage {
        let mut agent = self.wire_info();
        downgrade(&mut agent.resources);
        let mut message = internal::ReregisterSlaveMessage {
            slave: agent,
            version: Some(self.config.version.clone()),
            checkpointed_resources: self.checkpointed_resources(),
            agent_capabilities: capabilities(),
            resource_version_uuid: Some(self.resource_version()),
            ..Default::default()
        };
        for framework in self.frameworks.values() {
            message.frameworks.push((*framework.info).clone());
            for executor in framework.executors.values() {
                let known = executor.launched().values().chain(executor.terminated().values());
                message.tasks.extend(known.map(|task| (**task).clone()));
                let queued = executor.queued().iter();
                message
                    .tasks
                    .extend(queued.map(|task| new_task(task, &framework.id, v1::TaskState::TaskStaging)));
                // The master knows nothing of executors that agents make themselves.
                if !executor.command_task && executor.phase != ExecutorPhase::Terminated {
                    message.executor_infos.push((*executor.info).clone());
                }
            }
        }
        for framework in &self.completed {
            let tasks = framework
                .completed
                .iter()
                .flat_map(|executor| executor.terminated().values().chain(executor.completed()));
            message.completed_frameworks.push(internal::archive::Framework {
                framework_info: (*framework.info).clone(),
                pid: framework.pid.as_ref().map(ToString::to_string),
                tasks: tasks.map(|task| (**task).clone()).collect(),
            });
        }
        for task in &mut message.tasks {
            downgrade(&mut task.resources);
            self.tell_what_is_told(task);
        }
        for executor in &mut message.executor_infos {
            downgrade(&mut executor.resources);
        }
        message
    }

    /// Adds to a task which of its statuses is the next for its framework: a master that knows nothing of it must not
    /// say more than that. (Mesos adds what it has forwarded, which after a restart is nothing.)
    fn tell_what_is_told(&self, task: &mut v1::Task) {
        let key = (FrameworkId::from(&task.framework_id), TaskId::from(&task.task_id));
        if let Some(head) = self.updates.head(&key) {
            task.status_update_state = Some(head.update.status.state);
            task.status_update_uuid.clone_from(&head.update.uuid);
        }
    }

    /// Reservations and volumes, in the form that masters of every age read.
    fn checkpointed_resources(&self) -> Vec<v1::Resource> {
        let mut resources = self.holdings.checkpointed.to_protos();
        downgrade(&mut resources);
        resources
    }

    fn resource_version(&self) -> v1::Uuid {
        v1::Uuid { value: self.resource_version.clone() }
    }

    /// Tells the master what a registration has no room for: operations, and that there is nothing more.
    fn send_resources(&mut self, step: &mut Step<'_>) {
        let Some(master) = &self.registration.master else { return };
        let operations = self.operations.known.values().map(|operation| (**operation).clone()).collect();
        let message = internal::UpdateSlaveMessage {
            slave_id: (&self.id).into(),
            update_oversubscribed_resources: Some(false),
            operations: Some(internal::update_slave_message::Operations { operations }),
            resource_version_uuid: Some(self.resource_version()),
            resource_providers: Some(internal::update_slave_message::ResourceProviders::default()),
            ..Default::default()
        };
        step.send(&master.pid, Outgoing::UpdateAgent(Box::new(message)));
    }

    /// How a task ended whose end was acknowledged, as far as it is remembered.
    fn end_of(&self, framework: &FrameworkId, task: &TaskId) -> Option<v1::TaskState> {
        let gone = self.completed.iter().filter(|known| known.id == *framework);
        let known = self.framework(framework).into_iter().chain(gone);
        let executors = known.flat_map(|known| known.executors.values().chain(&known.completed));
        let mut tasks = executors.flat_map(|executor| executor.completed());
        tasks.find(|known| known.task_id.value == task.as_str()).map(|known| known.state())
    }

    /// Tells the end of each task that the master thinks is here and is not.
    fn reconcile(&mut self, message: &internal::ReconcileTasksMessage, step: &mut Step<'_>) {
        let id = FrameworkId::from(&message.framework_id);
        // A master that does not describe the framework is too old for partitions.
        let state = message.framework.as_ref().map_or(v1::TaskState::TaskLost, dropped);
        for status in &message.statuses {
            let task = TaskId::from(&status.task_id);
            if self.framework(&id).is_some_and(|framework| framework.executor_of(&task).is_some()) {
                continue;
            }
            // The framework has heard how it ended, though this master has not heard of that.
            let (state, words) = match self.end_of(&id, &task) {
                Some(state) => (state, "Reconciliation: task is over"),
                None => (state, "Reconciliation: task unknown to the agent"),
            };
            let update = Word::new(task, state, Reason::Reconciliation, words).update(
                step.now,
                &mut self.rng,
                &self.id,
                &id,
            );
            if let Some(update) = TaskUpdate::new(update, None) {
                self.offer_update(update, step);
            }
        }
    }
}

fn capabilities() -> Vec<v1::agent_info::Capability> {
    let capability = |kind: Capability| v1::agent_info::Capability { r#type: Some(kind.into()) };
    CAPABILITIES.into_iter().map(capability).collect()
}
