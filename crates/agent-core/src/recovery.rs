//! A restarted agent picks up what it left: frameworks, executors, tasks, updates.
//!
//! ```text
//! Recovered -> executors are adopted and called back -> all came, or 2 s -> Disconnected
//! ```
//!
//! Executors that do not come back in time are killed, and their tasks are gone. An agent that cleans up asks them to
//! end, and ends with the last of them.

use std::sync::Arc;

use proto::mesos::internal::status_update_record::Type;
use proto::mesos::internal::{ReconnectExecutorMessage, StatusUpdateRecord};
use proto::mesos::slave::ContainerTermination;
use proto::mesos::v1::container_info;
use proto::mesos::v1::task_status::Reason;
use types::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId, Uuid, is_terminal};

use crate::agent::{Agent, Due, Place};
use crate::checkpoint::{ExecutorPath, Record, RunPath, meta};
use crate::drain::Drain;
use crate::effect::{Effect, RanBy};
use crate::executor::{Channel, Executor};
use crate::framework::Framework;
use crate::launch::sandbox;
use crate::message::Outgoing;
use crate::recovered::{Recovered, RecoveredExecutor, RecoveredFramework, RecoveredRun};
use crate::step::Step;
use crate::text;
use crate::update::TaskUpdate;
use crate::view::{AgentPhase, Counters, ExecutorPhase};

/// An executor that may still live, and the process that was forked for it.
struct Survivor {
    place: Place,
    forked: Option<u32>,
}

/// What waits for the end of recovery.
#[derive(Debug, Default)]
pub(crate) struct Afterwards {
    /// The boot to be noted. ORDER: one that is noted before would hide from the next agent that no container lives,
    /// should this one die meanwhile.
    boot: Option<String>,
    /// Whose directories are to be removed.
    former: Vec<AgentId>,
    /// The same of this agent's own, below its directories.
    leftovers: Vec<String>,
}

impl Agent {
    pub(crate) fn on_recovered(&mut self, mut state: Recovered, step: &mut Step<'_>) {
        if self.phase != AgentPhase::Recovering || self.reconnecting {
            step.warn("Ignoring a second recovery");
            return;
        }
        for error in &state.errors {
            step.warn(error.clone());
            self.counters.recovery_errors += 1;
        }
        for lost in &state.lost {
            step.warn(format!(
                "Failed to read '{lost}', which did not reach the disk before the machine went down"
            ));
        }
        if let Some(id) = state.agent.as_ref().and_then(|agent| agent.id.as_ref()) {
            self.take_id(AgentId::from(id));
        }
        if !self.recover_operations(&mut state, step) {
            return;
        }
        self.drain = state.drain.map(|config| Drain { config, since: None });
        let mut survivors = Vec::new();
        for framework in state.frameworks {
            self.recover_framework(framework, &mut survivors, step);
        }
        for survivor in survivors {
            if state.rebooted {
                self.on_terminated(&survivor.place, ContainerTermination::default(), step);
            } else {
                self.call_back(&survivor, step);
            }
        }
        if !state.rebooted {
            self.recover_nested(state.nested, step);
        }
        for id in self.frameworks.keys().cloned().collect::<Vec<_>>() {
            self.remove_framework_if_idle(&id, step);
        }
        self.reconnecting = true;
        self.afterwards = Afterwards { boot: state.boot, former: state.former, leftovers: state.leftovers };
        if self.config.cleans_up {
            self.clean_up(step);
            return;
        }
        self.timers.arm(step.now.mono + self.config.executor_reregistration_timeout, Due::Reconnected);
        self.finish_reconnecting_if_done(step);
    }

    /// Executors that have not come back since the restart never will.
    pub(crate) fn on_reconnect_timeout(&mut self, step: &mut Step<'_>) {
        if !self.reconnecting {
            return;
        }
        let timeout = text::duration(self.config.executor_reregistration_timeout);
        for place in self.missing() {
            let Some(framework) = self.framework(&place.framework) else { continue };
            let gone = framework.gone();
            let Some(executor) = self.executor_mut(&place) else { continue };
            executor.phase = ExecutorPhase::Terminating;
            let container = executor.container.clone();
            let message = format!("Executor did not reregister within {timeout}");
            step.info(format!("Killing un-reregistered executor '{}'", place.executor));
            self.end_with(&place, gone, Reason::ExecutorReregistrationTimeout, message);
            step.push(Effect::Destroy { container });
        }
        self.finish_reconnecting_if_done(step);
    }

    /// Once all executors are back, or given up, the agent looks for its master.
    pub(crate) fn finish_reconnecting_if_done(&mut self, step: &mut Step<'_>) {
        if self.reconnecting && self.missing().is_empty() {
            self.reconnecting = false;
            self.resume_drain(step);
            // An agent that was told to leave meanwhile goes on leaving.
            if self.phase == AgentPhase::Recovering {
                self.finish_recovery(step);
                self.phase = AgentPhase::Disconnected;
                self.begin_registration(step);
            }
        }
    }

    fn finish_recovery(&mut self, step: &mut Step<'_>) {
        step.info("Finished recovery");
        let Afterwards { boot, former, leftovers } = std::mem::take(&mut self.afterwards);
        if let Some(boot) = boot {
            step.checkpoint(Record::BootId(boot));
        }
        let own = self.id.clone();
        for agent in former.into_iter().filter(|agent| *agent != own) {
            step.info(format!("Garbage collecting old agent {agent}"));
            self.retire_both(agent.as_str(), step);
        }
        for left in leftovers {
            step.info(format!("Garbage collecting '{left}', of which nothing is known"));
            self.retire_both(&format!("{own}/{left}"), step);
        }
    }

    /// What is below that, of sandboxes and of records.
    fn retire_both(&mut self, below: &str, step: &mut Step<'_>) {
        self.retire(&format!("{}/slaves/{below}", self.config.work_dir), step);
        self.retire(&format!("{}/slaves/{below}", meta(&self.config.work_dir)), step);
    }

    /// Ends what still runs, and then the agent. The next one here is new.
    fn clean_up(&mut self, step: &mut Step<'_>) {
        self.reconnecting = false;
        self.finish_recovery(step);
        self.leave(step);
    }

    fn missing(&self) -> Vec<Place> {
        let executors = self.frameworks.values().flat_map(|framework| framework.executors.values());
        executors
            .filter(|executor| executor.phase == ExecutorPhase::Registering)
            .map(|executor| Place { framework: executor.framework.clone(), executor: executor.id.clone() })
            .collect()
    }

    fn recover_framework(
        &mut self,
        state: RecoveredFramework,
        survivors: &mut Vec<Survivor>,
        step: &mut Step<'_>,
    ) {
        let Some(id) = state.info.id.as_ref().map(FrameworkId::from) else {
            step.warn("Skipping recovery of a framework without an id");
            return;
        };
        self.frameworks.insert(id.clone(), Framework::new(id.clone(), state.info, state.pid));
        for executor in state.executors {
            self.recover_executor(&id, executor, survivors, step);
        }
    }

    fn recover_executor(
        &mut self,
        framework: &FrameworkId,
        state: RecoveredExecutor,
        survivors: &mut Vec<Survivor>,
        step: &mut Step<'_>,
    ) {
        let place =
            Place { framework: framework.clone(), executor: ExecutorId::from(&state.info.executor_id) };
        let Some(known) = self.frameworks.get(framework) else { return };
        let at = ExecutorPath { framework: known.path(&self.id), executor: place.executor.clone() };
        let (latest, older): (Vec<_>, Vec<_>) = state.runs.into_iter().partition(|run| run.latest);
        for run in older {
            let run = RunPath { executor: at.clone(), container: run.container_id() };
            self.retire(&run.under(&self.config.work_dir), step);
            self.retire(&run.under(&meta(&self.config.work_dir)), step);
        }
        let Some(run) = latest.into_iter().next() else {
            step.warn(format!(
                "Skipping recovery of executor '{}' of framework {framework} because its latest run cannot be \
                 recovered",
                place.executor
            ));
            self.retire(&at.under(&self.config.work_dir), step);
            self.retire(&at.under(&meta(&self.config.work_dir)), step);
            return;
        };
        let path = RunPath { executor: at, container: run.container_id() };
        let directory = path.under(&self.config.work_dir);
        let mut executor = Executor::new(state.info, &path, directory.clone());
        executor.command_task = state.command_task;
        executor.run = Some(Arc::new(path));
        if let (false, Some(pid)) = (run.http, &run.libprocess_pid) {
            executor.channel = Channel::Driver(pid.clone());
        }
        let (forked, completed) = (run.forked_pid, run.completed);
        self.recover_tasks(&mut executor, run, step);
        let container = executor.container.clone();
        let Some(known) = self.frameworks.get_mut(framework) else { return };
        known.executors.insert(place.executor.clone(), executor);
        step.push(Effect::AttachSandbox(sandbox(&place, directory, None)));
        if completed {
            if let Some(executor) = self.executor_mut(&place) {
                executor.phase = ExecutorPhase::Terminated;
                executor.abandon();
            }
            self.remove_executor(&place, step);
        } else {
            self.containers.insert(container, place.clone());
            survivors.push(Survivor { place, forked });
        }
    }

    fn recover_tasks(&mut self, executor: &mut Executor, run: RecoveredRun, step: &mut Step<'_>) {
        // What was counted before the restart is not counted again.
        let mut counters = Counters::default();
        for (task, records) in run.tasks {
            let id = TaskId::from(&task.task_id);
            executor.restore(task);
            let (updates, acknowledged) = history(records, executor.run.as_ref());
            for update in &updates {
                let status = &update.update.status;
                if let Err(why) = executor.update(status, &mut counters) {
                    step.warn(format!("Failed to update state of recovered task '{id}': {}", why.0));
                    continue;
                }
                if is_terminal(status.state()) {
                    let uuid = status_stream::Update::uuid(update);
                    if acknowledged.contains(&uuid) {
                        executor.complete(&id, self.config.completed_tasks_max);
                    }
                    break;
                }
            }
            if !run.completed && !updates.is_empty() {
                self.updates.restore((executor.framework.clone(), id), updates, &acknowledged);
            }
        }
    }

    /// Waits for an executor's container, and asks the executor to come back.
    fn call_back(&mut self, survivor: &Survivor, step: &mut Step<'_>) {
        let Some(executor) = self.executor(&survivor.place) else { return };
        step.push(Effect::Adopt {
            container: executor.container.clone(),
            pid: survivor.forked,
            directory: executor.directory.to_string(),
            ran_by: ran_by(executor),
        });
        if let Channel::Driver(pid) = &executor.channel {
            // The executor's side of an old connection may be half open.
            step.push(Effect::Link { pid: pid.clone(), reconnect: true });
            if self.config.cleans_up {
                return;
            }
            let message = ReconnectExecutorMessage { slave_id: (&self.id).into() };
            step.send(pid, Outgoing::ReconnectExecutor(Box::new(message)));
            if let Some(interval) = self.config.executor_reregistration_retry_interval {
                self.timers.arm(step.now.mono + interval, Due::CallBack(executor.container.clone()));
            }
        }
    }

    /// An old driver answers on its half of a connection to the agent that died, and learns only thereby that it is
    /// broken: the next call reaches it.
    pub(crate) fn on_call_back_due(&mut self, container: &ContainerId, step: &mut Step<'_>) {
        let Some(interval) = self.config.executor_reregistration_retry_interval else { return };
        let Some(executor) = self.containers.get(container).and_then(|place| self.executor(place)) else {
            return;
        };
        if self.phase != AgentPhase::Recovering || executor.phase != ExecutorPhase::Registering {
            return;
        }
        let Channel::Driver(pid) = &executor.channel else { return };
        step.info(format!("Re-sending reconnect request to executor '{}'", executor.id));
        let message = ReconnectExecutorMessage { slave_id: (&self.id).into() };
        step.send(pid, Outgoing::ReconnectExecutor(Box::new(message)));
        self.timers.arm(step.now.mono + interval, Due::CallBack(container.clone()));
    }

    fn retire(&mut self, path: &str, step: &mut Step<'_>) {
        self.gc.schedule(path.to_owned(), step.now.mono + self.config.gc_delay);
    }
}

/// Whose the container of an executor is.
fn ran_by(executor: &Executor) -> RanBy {
    let info = executor.info.container.as_ref();
    match info.is_some_and(|info| info.r#type() == container_info::Type::Docker) {
        true => RanBy::Docker { is_task: executor.command_task },
        false => RanBy::Mesos,
    }
}

/// The updates of a task in order, and the names of those that were acknowledged.
fn history(records: Vec<StatusUpdateRecord>, run: Option<&Arc<RunPath>>) -> (Vec<TaskUpdate>, Vec<Uuid>) {
    let mut updates = Vec::new();
    let mut acknowledged = Vec::new();
    for record in records {
        match record.r#type() {
            Type::Update => {
                updates.extend(record.update.and_then(|update| TaskUpdate::new(update, run.cloned())));
            }
            Type::Ack => {
                acknowledged.extend(record.uuid.and_then(|uuid| Uuid::try_from(&uuid[..]).ok()));
            }
        }
    }
    (updates, acknowledged)
}
