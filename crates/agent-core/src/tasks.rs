//! Tasks while they live: their statuses, the acknowledgements, and kills.

use std::sync::Arc;

use proto::mesos::internal::status_update_record::Type;
use proto::mesos::internal::{
    KillTaskMessage, StatusUpdate, StatusUpdateAcknowledgementMessage, StatusUpdateMessage,
    StatusUpdateRecord,
};
use proto::mesos::v1;
use proto::mesos::v1::task_status::{Reason, Source};
use status_stream::Acknowledged;
use types::{FrameworkId, Pid, TaskId, Uuid, is_terminal};

use crate::agent::{Agent, Place};
use crate::channel::Saying;
use crate::checkpoint::{Record, meta};
use crate::executor::{Executor, NotTaken};
use crate::message::Outgoing;
use crate::nested::Nested;
use crate::step::Step;
use crate::update::Word;
use crate::update::{Key, Origin, TaskUpdate};
use crate::view::{AgentPhase, ExecutorPhase};

type StreamEffect = status_stream::Effect<Key, TaskUpdate>;

impl Agent {
    /// A status from an executor or from the agent itself: entered, recorded,
    /// acknowledged and sent on.
    pub(crate) fn on_status_update(
        &mut self,
        mut update: StatusUpdate,
        origin: &Origin,
        step: &mut Step<'_>,
    ) {
        if let Err(why) = self.check_update(&update) {
            step.warn(format!("Ignoring status update of task '{}' {why}", update.status.task_id.value));
            self.counters.invalid_status_updates += 1;
            return;
        }
        update.status.uuid.clone_from(&update.uuid);
        let source = if *origin == Origin::Agent { Source::Agent } else { Source::Executor };
        update.status.source = Some(source.into());
        if update.executor_id.is_some() {
            update.status.executor_id.clone_from(&update.executor_id);
        }
        let framework_id = FrameworkId::from(&update.framework_id);
        let task = TaskId::from(&update.status.task_id);
        let Some(framework) = self.frameworks.get(&framework_id) else { return };
        self.mark_drained(&framework.info, &mut update.status);
        let Some(framework) = self.frameworks.get_mut(&framework_id) else { return };
        let Some(executor) = framework.executor_of_mut(&task) else {
            step.warn(format!("Could not find the executor for the status update of task '{task}'"));
            self.counters.valid_status_updates += 1;
            self.accept(update, None, origin, step);
            return;
        };
        let place = Place { framework: framework_id, executor: executor.id.clone() };
        if source == Source::Executor && update.status.state() == v1::TaskState::TaskStaging {
            step.warn(format!(
                "Received TASK_STAGING from executor '{}' which is not allowed. Shutting down the executor",
                place.executor
            ));
            self.shut_down_if_live(&place, step);
            return;
        }
        self.counters.valid_status_updates += 1;
        if !was_never_run(executor, &task, &update.status) {
            let ip = self.config.pid.address.ip().to_string();
            fill_container(&mut update.status, executor, &self.nested, ip);
        }
        match executor.update(&update.status, &mut self.counters) {
            Ok(()) => {}
            Err(NotTaken(why)) => {
                step.warn(format!("Failed to update state of task '{task}': {why}"));
                self.acknowledge_to(&update, origin, step);
                return;
            }
        }
        let run = executor.run.clone();
        if is_terminal(update.status.state()) {
            self.update_container(&place, step);
        }
        self.accept(update, run, origin, step);
    }

    fn check_update(&self, update: &StatusUpdate) -> Result<(), String> {
        let Some(uuid) = &update.uuid else { return Err("without 'uuid'".to_owned()) };
        if Uuid::try_from(&uuid[..]).is_err() {
            return Err("whose 'uuid' is none".to_owned());
        }
        for agent in [&update.slave_id, &update.status.agent_id] {
            let got = agent.as_ref().map_or("", |id| &id.value);
            if got != self.id.as_str() {
                return Err(format!("due to Agent ID mismatch; expected '{}', received '{got}'", self.id));
            }
        }
        match self.framework(&FrameworkId::from(&update.framework_id)) {
            None => Err(format!("for unknown framework {}", update.framework_id.value)),
            Some(framework) if framework.terminating => {
                Err(format!("for terminating framework {}", framework.id))
            }
            Some(_) => Ok(()),
        }
    }

    /// Takes an update into its stream and tells its sender so.
    fn accept(
        &mut self,
        update: StatusUpdate,
        run: Option<Arc<crate::checkpoint::RunPath>>,
        origin: &Origin,
        step: &mut Step<'_>,
    ) {
        let Some(taken) = TaskUpdate::new(update, run) else { return };
        let update = taken.update.clone();
        let mut fx = Vec::new();
        self.updates.offer(step.now.mono, taken.key(), taken, &mut fx);
        // ORDER: recorded, then acknowledged, then sent: what the executor forgets is on disk.
        let (records, sends): (Vec<_>, Vec<_>) =
            fx.into_iter().partition(|effect| matches!(effect, StreamEffect::Record { .. }));
        self.run_stream_effects(records, step);
        self.acknowledge_to(&update, origin, step);
        self.run_stream_effects(sends, step);
    }

    /// Takes an update of a task that nothing here belongs to.
    pub(crate) fn offer_update(&mut self, update: TaskUpdate, step: &mut Step<'_>) {
        let mut fx = Vec::new();
        self.updates.offer(step.now.mono, update.key(), update, &mut fx);
        self.run_stream_effects(fx, step);
    }

    pub(crate) fn resume_updates(&mut self, step: &mut Step<'_>) {
        let mut fx = Vec::new();
        self.updates.resume(step.now.mono, &mut fx);
        self.run_stream_effects(fx, step);
    }

    pub(crate) fn retry_updates(&mut self, step: &mut Step<'_>) {
        let mut fx = Vec::new();
        self.updates.handle_timeout(step.now.mono, &mut fx);
        self.run_stream_effects(fx, step);
    }

    fn run_stream_effects(&mut self, fx: Vec<StreamEffect>, step: &mut Step<'_>) {
        for effect in fx {
            match effect {
                StreamEffect::Record { key, update } => {
                    let record = StatusUpdateRecord {
                        r#type: Type::Update.into(),
                        update: Some((*update.update).clone()),
                        uuid: None,
                    };
                    write_down(&key, &update, record, step);
                }
                StreamEffect::RecordAcknowledged { key, update } => {
                    let record = StatusUpdateRecord {
                        r#type: Type::Ack.into(),
                        update: None,
                        uuid: update.update.uuid.clone(),
                    };
                    write_down(&key, &update, record, step);
                }
                StreamEffect::Forward { key, update } => self.forward(&key, &update, step),
            }
        }
    }

    /// Sends an update to the master, with what the task has become meanwhile.
    fn forward(&mut self, (framework, task): &Key, update: &TaskUpdate, step: &mut Step<'_>) {
        let Some(master) = self.registration.master() else { return };
        let to = master.pid.clone();
        let mut update = (*update.update).clone();
        let executor = self.frameworks.get_mut(framework).and_then(|known| known.executor_of_mut(task));
        let latest = executor.and_then(|executor| executor.note_forwarded(task, &update.status));
        update.latest_state = latest.map(Into::into);
        let message = StatusUpdateMessage { update, pid: Some(self.config.pid.to_string()) };
        step.send(&to, Outgoing::StatusUpdate(Box::new(message)));
    }

    /// Tells the sender of an update that the agent has it.
    fn acknowledge_to(&mut self, update: &StatusUpdate, origin: &Origin, step: &mut Step<'_>) {
        let framework = FrameworkId::from(&update.framework_id);
        let task = TaskId::from(&update.status.task_id);
        let uuid = update.uuid.clone().unwrap_or_default();
        match origin {
            Origin::Agent => {}
            Origin::Driver(pid) => {
                let message = StatusUpdateAcknowledgementMessage {
                    slave_id: (&self.id).into(),
                    framework_id: framework.into(),
                    task_id: task.into(),
                    uuid,
                };
                step.send(pid, Outgoing::StatusUpdateAcknowledgement(Box::new(message)));
            }
            Origin::Http(place) => self.tell(place, Saying::Acknowledged(task, uuid), step),
        }
    }

    /// The framework has an update: the next one may go out.
    pub(crate) fn on_acknowledgement(
        &mut self,
        from: &Pid,
        message: StatusUpdateAcknowledgementMessage,
        step: &mut Step<'_>,
    ) {
        if from.id.starts_with("master")
            && (self.phase != AgentPhase::Running || !self.registration.is_master(from))
        {
            step.warn(format!("Dropping status update acknowledgement message from {from}"));
            return;
        }
        let key = (FrameworkId::from(&message.framework_id), TaskId::from(&message.task_id));
        let Ok(uuid) = Uuid::try_from(&message.uuid[..]) else {
            step.warn(format!("Dropping a status update acknowledgement from {from} without a UUID"));
            return;
        };
        let mut fx = Vec::new();
        let outcome = self.updates.acknowledge(step.now.mono, &key, uuid, &mut fx);
        self.run_stream_effects(fx, step);
        match outcome {
            Acknowledged::Taken { ended } => self.acknowledged(&key, ended, step),
            Acknowledged::Duplicate | Acknowledged::Unexpected | Acknowledged::Unknown => {
                step.warn(format!(
                    "Failed to handle status update acknowledgement (UUID: {uuid}) for task {} of framework {}: \
                     {outcome:?}",
                    key.1, key.0
                ));
            }
        }
    }

    fn acknowledged(&mut self, (framework, task): &Key, ended: bool, step: &mut Step<'_>) {
        let completed_max = self.config.completed_tasks_max;
        let when = step.now.mono + self.config.gc_delay;
        let executor = self.frameworks.get_mut(framework).and_then(|known| known.executor_of_mut(task));
        if let Some(executor) = executor {
            if ended
                && executor.complete(task, completed_max)
                && let Some(run) = &executor.run
            {
                let path = format!("{}/tasks/{task}", run.under(&meta(&self.config.work_dir)));
                self.gc.schedule(path, when);
            }
            if executor.phase == ExecutorPhase::Terminated && !executor.has_incomplete_tasks() {
                let place = Place { framework: framework.clone(), executor: executor.id.clone() };
                self.remove_executor(&place, step);
            }
        }
        self.remove_framework_if_idle(framework, step);
    }

    pub(crate) fn on_kill_task(&mut self, from: &Pid, message: KillTaskMessage, step: &mut Step<'_>) {
        if self.is_stranger(from, "kill task", step) {
            return;
        }
        let id = FrameworkId::from(&message.framework_id);
        let task = TaskId::from(&message.task_id);
        step.info(format!("Asked to kill task {task} of framework {id}"));
        if matches!(self.phase, AgentPhase::Recovering | AgentPhase::Leaving) {
            step.warn(format!("Cannot kill task {task} because the agent is {:?}", self.phase));
            return;
        }
        let Some(framework) = self.frameworks.get(&id) else {
            step.warn(format!("Ignoring kill task {task} because no framework {id} is running"));
            return;
        };
        if framework.terminating {
            step.warn(format!("Ignoring kill task {task} because the framework {id} is terminating"));
            return;
        }
        let Some(executor) = framework.executor_of(&task) else {
            let word =
                Word::new(task, framework.dropped(), Reason::ExecutorTerminated, "Cannot find executor");
            self.say(&id, word, step);
            return;
        };
        let place = Place { framework: id, executor: executor.id.clone() };
        let queued = executor.is_queued(&task);
        match executor.phase {
            ExecutorPhase::Registering | ExecutorPhase::Running if queued => {
                self.kill_queued(&place, task, step);
            }
            // After a restart of the agent launched tasks wait for their executor as well.
            ExecutorPhase::Registering => step.warn(format!(
                "Ignoring kill task {task} because the executor '{}' has not come back yet",
                place.executor
            )),
            ExecutorPhase::Running => self.tell(&place, Saying::Kill(task, message.kill_policy), step),
            ExecutorPhase::Terminating | ExecutorPhase::Terminated => step.warn(format!(
                "Ignoring kill task {task} because the executor '{}' is {:?}",
                place.executor, executor.phase
            )),
        }
    }

    /// A task that its executor never saw is killed by a word, and its group with it.
    pub(crate) fn kill_queued(&mut self, place: &Place, task: TaskId, step: &mut Step<'_>) {
        let Some(executor) = self.executor(place) else { return };
        for task in executor.queued_with(&task) {
            let word = Word::new(
                task,
                v1::TaskState::TaskKilled,
                Reason::TaskKilledDuringLaunch,
                "Killed before delivery to the executor",
            );
            self.say(&place.framework, word.of(&place.executor), step);
        }
        let Some(executor) = self.executor(place) else { return };
        let running = executor.phase == ExecutorPhase::Running;
        if running && !executor.ever_sent_task() && executor.queued().is_empty() {
            self.shut_down(place, step);
        }
    }

    fn shut_down_if_live(&mut self, place: &Place, step: &mut Step<'_>) {
        match self.executor(place).map(|executor| executor.phase) {
            Some(ExecutorPhase::Registering | ExecutorPhase::Running) => self.shut_down(place, step),
            Some(ExecutorPhase::Terminating | ExecutorPhase::Terminated) | None => {}
        }
    }
}

fn write_down(key: &Key, update: &TaskUpdate, record: StatusUpdateRecord, step: &mut Step<'_>) {
    if let Some(run) = &update.run {
        step.checkpoint(Record::TaskUpdate((**run).clone(), key.1.clone(), Box::new(record)));
    }
}

/// Whether a status of the agent's ends a task that its container knows nothing of.
fn was_never_run(executor: &Executor, task: &TaskId, status: &v1::TaskStatus) -> bool {
    use v1::TaskState as S;
    let lost = matches!(status.state(), S::TaskDropped | S::TaskLost);
    executor.is_queued(task) || (lost && status.source == Some(Source::Agent.into()))
}

/// Adds what is known of the container, which has the agent's address if it has none of its own.
fn fill_container(status: &mut v1::TaskStatus, executor: &Executor, nested: &Nested, ip: String) {
    // A container that is gone tells nothing.
    if executor.phase == ExecutorPhase::Terminated {
        return;
    }
    let known = executor.status.as_deref();
    let filled = status.container_status.get_or_insert_default();
    filled.container_id.get_or_insert_with(|| (&executor.container).into());
    // One in the executor's may be in networks of its own.
    let own = filled.container_id.as_ref().and_then(|container| nested.networks(container));
    if let Some(networks) = own.or(known.map(|known| known.network_infos.as_slice())) {
        filled.network_infos.extend_from_slice(networks);
    }
    if let Some(known) = known {
        if known.cgroup_info.is_some() {
            filled.cgroup_info.clone_from(&known.cgroup_info);
        }
        if known.executor_pid.is_some() {
            filled.executor_pid = known.executor_pid;
        }
    }
    if filled.network_infos.is_empty() {
        let address = v1::network_info::IpAddress { ip_address: Some(ip), ..Default::default() };
        filled.network_infos.push(v1::NetworkInfo { ip_addresses: vec![address], ..Default::default() });
    }
}
