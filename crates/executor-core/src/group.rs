//! The default executor: task groups, each task in a container below this executor's.
//!
//! ```text
//! task:  Launching --all of its group answered--> Running --ended--> gone
//!            \_____________ refused ________________^
//! ```
//!
//! The tasks of a group share one fate: when one fails or is killed, the others are killed.

mod launch;
mod member;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use machine::{Instant, Machine, Now, Rng, TimerId, Timers};
use proto::mesos::v1::agent::call::LaunchContainer;
use proto::mesos::v1::agent::response::WaitContainer;
use proto::mesos::v1::executor::event;
use proto::mesos::v1::framework_info::capability::Type as Capability;
use proto::mesos::v1::{self, TaskState, task_status::Reason};
use types::{ContainerId, ExecutorId, TaskId};

use self::member::Member;
use crate::health::{Verdict, seconds};
use crate::status;

/// What the default executor is told at its start.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// This executor's id.
    pub executor_id: ExecutorId,
    /// The address that tasks are told (`MESOS_CONTAINER_IP`), where this executor was told one.
    pub container_ip: Option<String>,
    /// Seeds the updates' uuids and the containers' ids.
    pub seed: u64,
}

/// What happens to the default executor.
#[derive(Debug)]
pub enum GroupEvent {
    /// The agent said something.
    Api(Box<v1::executor::Event>),
    /// The stream of the agent's events broke.
    Disconnected,
    /// The answer to a [`GroupEffect::Launch`].
    Launched {
        /// Which task's.
        task: TaskId,
        /// What came of it.
        answer: LaunchAnswer,
    },
    /// The answer to a [`GroupEffect::Wait`].
    Waited {
        /// Which task's.
        task: TaskId,
        /// The number of the wait.
        attempt: u64,
        /// What came of it.
        answer: WaitAnswer,
    },
    /// A [`GroupEffect::Kill`] did not reach its container.
    NotKilled {
        /// Which task's.
        task: TaskId,
        /// The signal.
        signal: i32,
        /// Why.
        why: String,
    },
    /// A task's check has a result, or could not be made.
    Checked {
        /// Which task's.
        task: TaskId,
        /// What it found.
        result: Result<Box<v1::CheckStatusInfo>, String>,
    },
    /// A task's health check has a result: healthy, or why not.
    HealthChecked {
        /// Which task's.
        task: TaskId,
        /// What it found.
        result: Result<(), String>,
    },
    /// The agent is gone for good.
    AgentLost,
}

/// What the agent says to a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchAnswer {
    /// It runs.
    Launched,
    /// It does not, for this reason.
    Refused(String),
    /// The agent could not be asked, or is not ready: perhaps it runs.
    Unknown(String),
}

/// What the agent says of a container's end.
#[derive(Clone, Debug, PartialEq)]
pub enum WaitAnswer {
    /// It ended so.
    Ended(Box<WaitContainer>),
    /// There is no such container.
    NotFound,
    /// The agent could not be asked, or is not ready.
    Unknown(String),
}

/// What the default executor wants done.
#[derive(Debug)]
pub enum GroupEffect {
    /// Send this update until it is acknowledged.
    Update(Box<v1::TaskStatus>),
    /// Ask the agent for a container; answered by [`GroupEvent::Launched`].
    Launch {
        /// For which task.
        task: TaskId,
        /// The call.
        call: Box<LaunchContainer>,
    },
    /// Ask the agent for a container's end; answered by [`GroupEvent::Waited`]. It takes the place of an earlier one
    /// for the same task.
    Wait {
        /// Of which task.
        task: TaskId,
        /// The container.
        container: ContainerId,
        /// To be given back.
        attempt: u64,
    },
    /// Ask the agent to send a signal; a failure is answered by [`GroupEvent::NotKilled`].
    Kill {
        /// To which task.
        task: TaskId,
        /// The container.
        container: ContainerId,
        /// The signal's number.
        signal: i32,
    },
    /// Perform a task's check; answered by [`GroupEvent::Checked`].
    Check {
        /// Of which task.
        task: TaskId,
        /// Commands run in it.
        container: ContainerId,
        /// The check.
        check: Box<v1::CheckInfo>,
    },
    /// Perform a task's health check; answered by [`GroupEvent::HealthChecked`].
    HealthCheck {
        /// Of which task.
        task: TaskId,
        /// Commands run in it.
        container: ContainerId,
        /// The check.
        check: Box<v1::HealthCheck>,
    },
    /// Show a container's sandbox under the task's name: `tasks/<task>`.
    Link {
        /// The task.
        task: TaskId,
        /// The container.
        container: ContainerId,
    },
    /// A line for the executor's log.
    Log(String),
    /// Leave with this exit status.
    Exit(u8),
}

/// A kill without any policy waits this long before SIGKILL.
const KILL_GRACE_DEFAULT: Duration = Duration::from_secs(3);

/// The wait before a call that did not get through is made again.
const RETRY: Duration = Duration::from_secs(1);

/// How long the agent may take to acknowledge the last updates.
const LAST_ACKNOWLEDGEMENT_MAX: Duration = Duration::from_secs(60);

/// The same once the agent has said SHUTDOWN: its framework is being removed, and then it takes no updates.
const SHUTDOWN_ACKNOWLEDGEMENT_MAX: Duration = Duration::from_millis(500);

const SIGTERM: i32 = 15;

/// The number of the signal that nothing survives.
pub const SIGKILL: i32 = 9;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Check(TaskId),
    HealthCheck(TaskId),
    Escalate(TaskId),
    CompletionTime(TaskId),
    LaunchAgain(TaskId),
    WaitAgain(TaskId),
    LastAcknowledgement,
}

/// The default executor.
#[derive(Debug)]
pub struct DefaultExecutor {
    options: GroupOptions,
    rng: Rng,
    timers: Timers<Due>,
    /// This executor's container, once the agent has told it.
    container: Option<ContainerId>,
    /// Whether the agent listens.
    subscribed: bool,
    /// Whether the framework understands TASK_KILLING.
    tells_killing: bool,
    shutting_down: bool,
    /// A task was killed for its health: what is said of the end of any task afterwards says so.
    unhealthy: bool,
    members: BTreeMap<TaskId, Member>,
    unacknowledged: BTreeSet<Bytes>,
    attempts: u64,
    leaving: Option<TimerId>,
}

impl DefaultExecutor {
    /// An executor without a task.
    #[must_use]
    pub fn new(options: GroupOptions) -> Self {
        Self {
            rng: Rng::new(options.seed),
            options,
            timers: Timers::new(),
            container: None,
            subscribed: false,
            tells_killing: false,
            shutting_down: false,
            unhealthy: false,
            members: BTreeMap::new(),
            unacknowledged: BTreeSet::new(),
            attempts: 0,
            leaving: None,
        }
    }

    fn on_api(&mut self, now: Now, event: v1::executor::Event, fx: &mut Vec<GroupEffect>) {
        match event.r#type() {
            event::Type::Subscribed => self.on_subscribed(event.subscribed.unwrap_or_default(), fx),
            event::Type::LaunchGroup => {
                if let Some(launch) = event.launch_group {
                    self.launch_group(now, launch.task_group, fx);
                }
            }
            event::Type::Launch => {
                fx.push(GroupEffect::Log(
                    "LAUNCH is not supported by this executor; shutting down".to_owned(),
                ));
                self.shut_down(now, fx);
            }
            event::Type::Kill => {
                if let Some(kill) = event.kill {
                    self.on_kill(now, &TaskId::from(&kill.task_id), kill.kill_policy.as_ref(), fx);
                }
            }
            event::Type::Acknowledged => {
                if let Some(acknowledged) = event.acknowledged {
                    self.unacknowledged.remove(&acknowledged.uuid);
                    self.leave_if_done(now, fx);
                }
            }
            event::Type::Shutdown => self.shut_down(now, fx),
            event::Type::Error => {
                let message = event.error.map(|error| error.message).unwrap_or_default();
                fx.push(GroupEffect::Log(format!("the agent says: {message}")));
            }
            event::Type::Unknown | event::Type::Message | event::Type::Heartbeat => {}
        }
    }

    fn on_subscribed(&mut self, subscribed: event::Subscribed, fx: &mut Vec<GroupEffect>) {
        self.subscribed = true;
        let capabilities = &subscribed.framework_info.capabilities;
        self.tells_killing = capabilities.iter().any(|it| it.r#type() == Capability::TaskKillingState);
        self.container = subscribed.container_id.as_ref().map(ContainerId::from);
        // The agent may be another one than before: what it was asked it does not remember.
        for task in self.members.keys().cloned().collect::<Vec<_>>() {
            self.resume(&task, fx);
        }
    }

    /// Asks the agent again what it was asked before.
    fn resume(&mut self, task: &TaskId, fx: &mut Vec<GroupEffect>) {
        let Some(member) = self.members.get_mut(task).filter(|_| self.subscribed) else { return };
        match &member.answer {
            None => {
                let call = Box::new(member.call.clone());
                fx.push(GroupEffect::Launch { task: task.clone(), call });
            }
            Some(_) if member.is_waited_for => {
                self.attempts += 1;
                member.attempt = self.attempts;
                let container = member.container.clone();
                fx.push(GroupEffect::Wait { task: task.clone(), container, attempt: self.attempts });
            }
            // The others of its group have not answered.
            Some(_) => {}
        }
    }

    fn launch_group(&mut self, now: Now, group: v1::TaskGroupInfo, fx: &mut Vec<GroupEffect>) {
        let Some(container) = self.container.clone().filter(|_| !self.shutting_down) else {
            fx.push(GroupEffect::Log("Ignoring a task group: this executor is shutting down".to_owned()));
            return;
        };
        let ids: Arc<[TaskId]> = group.tasks.iter().map(|task| TaskId::from(&task.task_id)).collect();
        for task in group.tasks {
            let id = TaskId::from(&task.task_id);
            let own = launch::container_id(&mut self.rng, &container);
            let call = launch::call(&own, &task, self.options.container_ip.as_deref());
            self.members.insert(id.clone(), Member::new(task, own, call, Arc::clone(&ids)));
            self.report(now, &id, TaskState::TaskStarting, fx);
            self.resume(&id, fx);
        }
    }

    fn on_launched(&mut self, now: Now, task: &TaskId, answer: LaunchAnswer, fx: &mut Vec<GroupEffect>) {
        let Some(member) = self.members.get_mut(task).filter(|member| member.answer.is_none()) else {
            return;
        };
        match answer {
            LaunchAnswer::Launched => member.answer = Some(Ok(())),
            LaunchAnswer::Refused(why) => {
                fx.push(GroupEffect::Log(format!("Failed to launch task '{task}': {why}")));
                member.answer = Some(Err(why));
            }
            LaunchAnswer::Unknown(why) => {
                fx.push(GroupEffect::Log(format!("The launch of task '{task}' has no answer: {why}")));
                self.timers.arm(now.mono + RETRY, Due::LaunchAgain(task.clone()));
                return;
            }
        }
        let group = Arc::clone(&member.group);
        let mut members = group.iter().filter_map(|task| self.members.get(task));
        if members.all(|member| member.answer.is_some()) {
            for task in group.iter() {
                self.begin(now, task, fx);
            }
        }
    }

    /// All of its group have answered: the task runs, or is found not to.
    fn begin(&mut self, now: Now, task: &TaskId, fx: &mut Vec<GroupEffect>) {
        let Some(member) = self.members.get_mut(task) else { return };
        member.is_waited_for = true;
        if member.answer == Some(Ok(())) {
            let container = member.container.clone();
            fx.push(GroupEffect::Link { task: task.clone(), container });
            let (mono, timers) = (now.mono, &mut self.timers);
            if let Some(check) = &member.task.check {
                timers.arm(mono + seconds(check.delay_seconds()), Due::Check(task.clone()));
            }
            if let Some(check) = &member.task.health_check {
                timers.arm(mono + seconds(check.delay_seconds()), Due::HealthCheck(task.clone()));
            }
            if let Some(time) = member.completion_time() {
                timers.arm(mono + time, Due::CompletionTime(task.clone()));
            }
            member.begin_health(mono);
            self.report(now, task, TaskState::TaskRunning, fx);
        }
        self.resume(task, fx);
        let pending = self.members.get_mut(task).and_then(|member| member.kill_when_launched.take());
        if let Some(grace) = pending {
            self.kill(now, task, grace, fx);
        }
    }

    fn on_waited(
        &mut self,
        now: Now,
        task: &TaskId,
        attempt: u64,
        answer: WaitAnswer,
        fx: &mut Vec<GroupEffect>,
    ) {
        let Some(member) = self.members.get(task).filter(|member| member.attempt == attempt) else { return };
        let end = match answer {
            WaitAnswer::Unknown(why) => {
                fx.push(GroupEffect::Log(format!("The end of task '{task}' is not known: {why}")));
                self.timers.arm(now.mono + RETRY, Due::WaitAgain(task.clone()));
                return;
            }
            WaitAnswer::NotFound => member.lost(),
            WaitAnswer::Ended(termination) => member.ended(&termination),
        };
        let mut status = self.fresh(now, member, end.state);
        status.reason = end.reason;
        status.message = end.message;
        status.limitation = end.limitation;
        status.healthy = self.unhealthy.then_some(false);
        let killing_group = member.killing_group;
        let group = Arc::clone(&member.group);
        fx.push(GroupEffect::Log(format!(
            "Task '{task}' ended in state {}: {}",
            end.state.as_str_name(),
            status.message()
        )));
        self.forward(status, fx);
        self.members.remove(task);
        let failed = matches!(end.state, TaskState::TaskFailed | TaskState::TaskKilled);
        if failed && !self.shutting_down && !killing_group {
            self.kill_group(now, &group, fx);
        }
        self.leave_if_done(now, fx);
    }

    /// One of the group failed, or was killed: so are the others.
    fn kill_group(&mut self, now: Now, group: &[TaskId], fx: &mut Vec<GroupEffect>) {
        for task in group {
            let Some(member) = self.members.get_mut(task) else { continue };
            member.killing_group = true;
            self.kill(now, task, KILL_GRACE_DEFAULT, fx);
        }
    }

    fn on_kill(
        &mut self,
        now: Now,
        task: &TaskId,
        policy: Option<&v1::KillPolicy>,
        fx: &mut Vec<GroupEffect>,
    ) {
        let Some(member) = self.members.get(task).filter(|_| !self.shutting_down) else {
            fx.push(GroupEffect::Log(format!("Ignoring kill for task '{task}' as it is no longer active")));
            return;
        };
        let grace = policy.and_then(member::grace_of).or_else(|| member.grace());
        self.kill(now, task, grace.unwrap_or(KILL_GRACE_DEFAULT), fx);
    }

    /// COMPAT(mesos): a second kill changes nothing, not even the time that is left.
    fn kill(&mut self, now: Now, task: &TaskId, grace: Duration, fx: &mut Vec<GroupEffect>) {
        let Some(member) = self.members.get_mut(task).filter(|member| !member.killing) else { return };
        match (&member.answer, member.is_waited_for) {
            // What was refused has nothing to be killed; its end is on its way.
            (Some(Err(_)), _) => return,
            (None | Some(Ok(())), false) => {
                let sooner = member.kill_when_launched.map_or(grace, |earlier| earlier.min(grace));
                member.kill_when_launched = Some(sooner);
                return;
            }
            (None | Some(Ok(())), true) => member.killing = true,
        }
        let container = member.container.clone();
        if self.tells_killing && !member.out_of_time {
            self.report(now, task, TaskState::TaskKilling, fx);
        }
        fx.push(GroupEffect::Log(format!(
            "Killing task '{task}' with SIGTERM; SIGKILL follows in {} ms",
            grace.as_millis()
        )));
        self.timers.arm(now.mono + grace, Due::Escalate(task.clone()));
        fx.push(GroupEffect::Kill { task: task.clone(), container, signal: SIGTERM });
    }

    fn on_not_killed(&mut self, now: Now, task: &TaskId, signal: i32, why: &str, fx: &mut Vec<GroupEffect>) {
        if self.members.contains_key(task) {
            fx.push(GroupEffect::Log(format!("Failed to send signal {signal} to task '{task}': {why}")));
            if signal == SIGKILL {
                self.timers.arm(now.mono + RETRY, Due::Escalate(task.clone()));
            }
        }
    }

    fn on_checked(
        &mut self,
        now: Now,
        task: &TaskId,
        result: Result<Box<v1::CheckStatusInfo>, String>,
        fx: &mut Vec<GroupEffect>,
    ) {
        let Some(member) = self.members.get(task) else { return };
        let Some(check) = &member.task.check else { return };
        let again = now.mono + seconds(check.interval_seconds());
        self.timers.arm(again, Due::Check(task.clone()));
        let found = match result {
            Ok(found) => *found,
            Err(why) => {
                fx.push(GroupEffect::Log(format!("The check of task '{task}' failed: {why}")));
                status::no_result_yet(check)
            }
        };
        // COMPAT(mesos): only a changed result is told, and none of a task that is being killed.
        let last = member.last.as_ref().filter(|last| last.check_status.as_ref() != Some(&found));
        let Some(last) = last.filter(|_| !member.killing) else { return };
        let mut status = status::again(now, &mut self.rng, last);
        status.reason = Some(Reason::TaskCheckStatusUpdated.into());
        status.check_status = Some(found);
        self.forward(status, fx);
    }

    fn on_health_checked(
        &mut self,
        now: Now,
        task: &TaskId,
        result: Result<(), String>,
        fx: &mut Vec<GroupEffect>,
    ) {
        let Some(member) = self.members.get_mut(task) else { return };
        let Some(check) = &member.task.health_check else { return };
        let again = now.mono + seconds(check.interval_seconds());
        self.timers.arm(again, Due::HealthCheck(task.clone()));
        if let Err(why) = &result {
            fx.push(GroupEffect::Log(format!("The health check of task '{task}' failed: {why}")));
        }
        let Some(health) = member.health.as_mut().filter(|_| !member.killing) else { return };
        let (healthy, kill) = match health.result(now.mono, result.is_ok()) {
            Verdict::Same => return,
            Verdict::Healthy => (true, false),
            Verdict::Unhealthy { kill } => (false, kill),
        };
        let Some(last) = &member.last else { return };
        let mut status = status::again(now, &mut self.rng, last);
        status.reason = Some(Reason::TaskHealthCheckStatusUpdated.into());
        status.healthy = Some(healthy);
        self.forward(status, fx);
        if kill {
            self.unhealthy = true;
            self.on_kill(now, task, None, fx);
        }
    }

    fn shut_down(&mut self, now: Now, fx: &mut Vec<GroupEffect>) {
        if self.shutting_down {
            return;
        }
        fx.push(GroupEffect::Log("Shutting down".to_owned()));
        self.shutting_down = true;
        for task in self.members.keys().cloned().collect::<Vec<_>>() {
            self.kill(now, &task, KILL_GRACE_DEFAULT, fx);
        }
        self.leave_if_done(now, fx);
    }

    /// Without a task there is nothing more to do than to have the last updates acknowledged.
    fn leave_if_done(&mut self, now: Now, fx: &mut Vec<GroupEffect>) {
        if !self.members.is_empty() {
            return;
        }
        if self.unacknowledged.is_empty() {
            fx.push(GroupEffect::Exit(0));
            return;
        }
        let shutting_down = self.shutting_down;
        let patience = if shutting_down { SHUTDOWN_ACKNOWLEDGEMENT_MAX } else { LAST_ACKNOWLEDGEMENT_MAX };
        let at = now.mono + patience;
        match self.leaving {
            Some(leaving) if leaving.at() <= at => {}
            before => {
                before.map(|before| self.timers.cancel(before));
                self.leaving = Some(self.timers.arm(at, Due::LastAcknowledgement));
            }
        }
    }

    fn on_due(&mut self, now: Now, due: Due, fx: &mut Vec<GroupEffect>) {
        match due {
            Due::Check(task) => {
                let Some(member) = self.members.get(&task).filter(|member| !member.killing) else { return };
                let Some(check) = &member.task.check else { return };
                if self.subscribed {
                    let (container, check) = (member.container.clone(), Box::new(check.clone()));
                    fx.push(GroupEffect::Check { task, container, check });
                } else {
                    let again = now.mono + seconds(check.interval_seconds()).max(RETRY);
                    self.timers.arm(again, Due::Check(task));
                }
            }
            Due::HealthCheck(task) => {
                let Some(member) = self.members.get(&task).filter(|member| !member.killing) else { return };
                let Some(check) = &member.task.health_check else { return };
                if self.subscribed {
                    let (container, check) = (member.container.clone(), Box::new(check.clone()));
                    fx.push(GroupEffect::HealthCheck { task, container, check });
                } else {
                    let again = now.mono + seconds(check.interval_seconds()).max(RETRY);
                    self.timers.arm(again, Due::HealthCheck(task));
                }
            }
            Due::Escalate(task) => {
                let Some(member) = self.members.get(&task) else { return };
                fx.push(GroupEffect::Log(format!("Task '{task}' did not end in time; sending SIGKILL")));
                let container = member.container.clone();
                fx.push(GroupEffect::Kill { task, container, signal: SIGKILL });
            }
            Due::CompletionTime(task) => {
                let Some(member) = self.members.get_mut(&task).filter(|member| !member.killing) else {
                    return;
                };
                fx.push(GroupEffect::Log(format!("Task '{task}' exceeded its maximum completion time")));
                member.out_of_time = true;
                self.kill(now, &task, Duration::ZERO, fx);
            }
            Due::LaunchAgain(task) => {
                if self.members.get(&task).is_some_and(|member| member.answer.is_none()) {
                    self.resume(&task, fx);
                }
            }
            Due::WaitAgain(task) => self.resume(&task, fx),
            Due::LastAcknowledgement if self.shutting_down => fx.push(GroupEffect::Exit(0)),
            Due::LastAcknowledgement => {
                fx.push(GroupEffect::Log(
                    "The agent did not acknowledge the last updates in time".to_owned(),
                ));
                fx.push(GroupEffect::Exit(1));
            }
        }
    }

    fn fresh(&self, now: Now, member: &Member, state: TaskState) -> v1::TaskStatus {
        // A uuid of its own is drawn when it is forwarded.
        let mut status =
            status::fresh(now, &mut self.rng.clone(), &self.options.executor_id, &member.task, state);
        status.container_status = Some(v1::ContainerStatus {
            container_id: Some((&member.container).into()),
            ..v1::ContainerStatus::default()
        });
        status
    }

    fn report(&mut self, now: Now, task: &TaskId, state: TaskState, fx: &mut Vec<GroupEffect>) {
        if let Some(member) = self.members.get(task) {
            let status = self.fresh(now, member, state);
            self.forward(status, fx);
        }
    }

    fn forward(&mut self, mut status: v1::TaskStatus, fx: &mut Vec<GroupEffect>) {
        let uuid = Bytes::from(types::Uuid::random(&mut self.rng));
        status.uuid = Some(uuid.clone());
        self.unacknowledged.insert(uuid);
        if let Some(member) = self.members.get_mut(&TaskId::from(&status.task_id)) {
            member.last = Some(status.clone());
        }
        fx.push(GroupEffect::Update(Box::new(status)));
    }
}

impl Machine for DefaultExecutor {
    type Event = GroupEvent;
    type Effect = GroupEffect;

    fn handle_event(&mut self, now: Now, event: GroupEvent, fx: &mut Vec<GroupEffect>) {
        match event {
            GroupEvent::Api(event) => self.on_api(now, *event, fx),
            GroupEvent::Disconnected => {
                self.subscribed = false;
                // Answers of the old agent are not to be mistaken for those of the next.
                self.members.values_mut().for_each(|member| member.attempt = 0);
            }
            GroupEvent::Launched { task, answer } => self.on_launched(now, &task, answer, fx),
            GroupEvent::Waited { task, attempt, answer } => self.on_waited(now, &task, attempt, answer, fx),
            GroupEvent::NotKilled { task, signal, why } => self.on_not_killed(now, &task, signal, &why, fx),
            GroupEvent::Checked { task, result } => self.on_checked(now, &task, result, fx),
            GroupEvent::HealthChecked { task, result } => self.on_health_checked(now, &task, result, fx),
            // Containers can be ended by an agent only: the next one finds them without this executor.
            GroupEvent::AgentLost => fx.push(GroupEffect::Exit(1)),
        }
    }

    fn handle_timeout(&mut self, now: Now, fx: &mut Vec<GroupEffect>) {
        while let Some((_, due)) = self.timers.pop(now.mono) {
            self.on_due(now, due, fx);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }
}
