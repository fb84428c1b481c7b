//! The command executor's one task, from LAUNCH to the last acknowledgement. What the task is, a process beside the
//! executor or a container of the Docker daemon's, makes few differences here; they are those of [`Kind`].

use std::time::Duration;

use machine::{Instant, Machine, Now, Rng, TimerId, Timers};
use proto::mesos::v1;
use proto::mesos::v1::executor::event;
use proto::mesos::v1::{TaskState, task_status::Reason};
use types::ExecutorId;

use crate::health::{Health, Verdict, seconds};
use crate::{signal_name, status};

/// What the executor is told at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it runs.
    pub kind: Kind,
    /// This executor's id.
    pub executor_id: ExecutorId,
    /// How long the agent waits after SHUTDOWN before it destroys the container
    /// (`MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD`).
    pub shutdown_grace: Duration,
    /// Seeds the updates' uuids.
    pub seed: u64,
}

/// What an executor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The task's command, as a process.
    Command,
    /// The task's container, by the Docker daemon.
    Docker,
}

/// What is told of a container that runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// What the daemon knows of it, for frameworks that read it.
    pub inspected: bytes::Bytes,
    /// Its address, and then the network that the task asked for.
    pub network: Option<v1::NetworkInfo>,
}

/// How the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With a status.
    Exited(i32),
    /// By a signal.
    Signaled {
        /// Its number.
        signal: i32,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
    /// It cannot be told; the text says why.
    Unknown(String),
}

/// What happens to the executor.
#[derive(Debug)]
pub enum Event {
    /// The agent said something.
    Api(Box<v1::executor::Event>),
    /// The command runs.
    Started,
    /// The container runs.
    ContainerStarted(Box<Container>),
    /// The command could not be started; the text says why.
    NotStarted(String),
    /// The command ended.
    Ended(Exit),
    /// The task's check has a result, or could not be made.
    Checked(Result<Box<v1::CheckStatusInfo>, String>),
    /// The task's health check has a result: healthy, or why not.
    HealthChecked(Result<(), String>),
    /// The agent is gone for good.
    AgentLost,
}

/// What to start: the command, with the variables that overlay the executor's own environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The command; its own environment has the last word.
    pub command: v1::CommandInfo,
    /// The role that the task's resources are allocated to (`MESOS_ALLOCATION_ROLE`).
    pub allocation_role: String,
}

/// How hard to hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ask to end: SIGTERM.
    Terminate,
    /// End: SIGKILL.
    Kill,
}

/// What the executor wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send this update until it is acknowledged.
    Update(Box<v1::TaskStatus>),
    /// Start the command.
    Start(Box<Start>),
    /// Make and start the task's container.
    StartContainer(Box<v1::TaskInfo>),
    /// Signal the command's whole tree of processes and sessions.
    Signal(Signal),
    /// Perform the task's check; answered by [`Event::Checked`].
    Check(Box<v1::CheckInfo>),
    /// Perform the task's health check; answered by [`Event::HealthChecked`].
    HealthCheck(Box<v1::HealthCheck>),
    /// A line for the executor's log, which is the task's stderr.
    Log(String),
    /// Leave with this exit status.
    Exit(u8),
}

/// A kill without any policy waits this long before SIGKILL.
const KILL_GRACE_DEFAULT: Duration = Duration::from_secs(3);

/// Of the shutdown grace, kept back for reporting TASK_KILLED before the container is destroyed.
const SHUTDOWN_RESERVE: Duration = Duration::from_secs(2);

/// How long the agent may take to acknowledge the last update.
const LAST_ACKNOWLEDGEMENT_MAX: Duration = Duration::from_secs(60);

/// The same once the agent has said SHUTDOWN: its framework is being removed, and then it takes no updates.
const SHUTDOWN_ACKNOWLEDGEMENT_MAX: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Check,
    HealthCheck,
    Escalate,
    CompletionTime,
    LastAcknowledgement,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Starting,
    Running,
    Killing { escalation: TimerId, since: Instant },
    Ended { last: bytes::Bytes },
}

/// Why the task is being killed, where it shows in its last update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cause {
    #[default]
    Asked,
    Unhealthy,
    CompletionTime,
}

/// The command executor.
#[derive(Debug)]
pub struct CommandExecutor {
    options: Options,
    rng: Rng,
    timers: Timers<Due>,
    phase: Phase,
    cause: Cause,
    /// Whether the framework understands TASK_KILLING.
    tells_killing: bool,
    task: Option<Box<v1::TaskInfo>>,
    last: Option<v1::TaskStatus>,
    health: Option<Health>,
    /// A kill that came while the command was being started.
    kill_when_started: Option<Duration>,
    /// Nobody is left to report to.
    agent_lost: bool,
    /// The agent said SHUTDOWN.
    shutting_down: bool,
}

impl CommandExecutor {
    /// An executor without a task.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            rng: Rng::new(options.seed),
            options,
            timers: Timers::new(),
            phase: Phase::Idle,
            cause: Cause::Asked,
            tells_killing: false,
            task: None,
            last: None,
            health: None,
            kill_when_started: None,
            agent_lost: false,
            shutting_down: false,
        }
    }

    fn task(&self) -> &v1::TaskInfo {
        self.task.as_deref().expect("only an idle executor has no task")
    }

    fn forward(&mut self, status: v1::TaskStatus, fx: &mut Vec<Effect>) {
        // What the daemon knows of a container is told once; it is long.
        self.last = Some(v1::TaskStatus { data: None, ..status.clone() });
        fx.push(Effect::Update(Box::new(status)));
    }

    fn report(&mut self, now: Now, state: TaskState, fx: &mut Vec<Effect>) {
        let task = self.task.as_deref().expect("only an idle executor has no task");
        let status = status::fresh(now, &mut self.rng, &self.options.executor_id, task, state);
        self.forward(status, fx);
    }

    fn on_api(&mut self, now: Now, event: v1::executor::Event, fx: &mut Vec<Effect>) {
        match event.r#type() {
            event::Type::Subscribed => {
                self.tells_killing = event
                    .subscribed
                    .iter()
                    .flat_map(|s| &s.framework_info.capabilities)
                    .any(|c| c.r#type() == v1::framework_info::capability::Type::TaskKillingState);
            }
            event::Type::Launch => {
                if let Some(launch) = event.launch {
                    self.on_launch(now, launch.task, fx);
                }
            }
            event::Type::Kill => {
                let policy = event.kill.and_then(|kill| kill.kill_policy);
                let grace = policy.as_ref().and_then(grace_of).or_else(|| {
                    self.task.as_ref().and_then(|task| task.kill_policy.as_ref()).and_then(grace_of)
                });
                self.on_kill(now, grace.unwrap_or(self.kill_grace_default()), fx);
            }
            event::Type::Shutdown => {
                let grace = self.options.shutdown_grace.saturating_sub(SHUTDOWN_RESERVE);
                self.shut_down(now, grace, fx);
            }
            event::Type::Acknowledged => {
                if let (Phase::Ended { last }, Some(acknowledged)) = (&self.phase, &event.acknowledged)
                    && *last == acknowledged.uuid
                {
                    fx.push(Effect::Exit(0));
                }
            }
            event::Type::LaunchGroup => {
                fx.push(Effect::Log("a command executor takes no task group; shutting down".to_owned()));
                self.shut_down(now, Duration::ZERO, fx);
            }
            event::Type::Error => {
                let message = event.error.map(|error| error.message).unwrap_or_default();
                fx.push(Effect::Log(format!("the agent says: {message}")));
            }
            event::Type::Unknown | event::Type::Message | event::Type::Heartbeat => {}
        }
    }

    fn on_launch(&mut self, now: Now, task: v1::TaskInfo, fx: &mut Vec<Effect>) {
        if self.phase != Phase::Idle {
            let id = &self.options.executor_id;
            let mut status = status::fresh(now, &mut self.rng, id, &task, TaskState::TaskFailed);
            let kind = match self.options.kind {
                Kind::Command => "command",
                Kind::Docker => "docker",
            };
            status.message = Some(format!("Attempted to run multiple tasks using a \"{kind}\" executor"));
            fx.push(Effect::Update(Box::new(status)));
            return;
        }
        self.task = Some(Box::new(task));
        self.phase = Phase::Starting;
        self.report(now, TaskState::TaskStarting, fx);
        let task = self.task();
        fx.push(Effect::Log(format!("Starting task {}", task.task_id.value)));
        if self.options.kind == Kind::Docker {
            fx.push(Effect::StartContainer(Box::new(task.clone())));
            return;
        }
        // Without a shell it may be left to an image to say what is run.
        let says = |command: &v1::CommandInfo| command.value.is_some() || !command.shell();
        let Some(command) = task.command.clone().filter(says) else {
            self.end(now, TaskState::TaskFailed, None, "The task's command has no value".to_owned(), fx);
            return;
        };
        let allocation_role = task
            .resources
            .first()
            .and_then(|resource| resource.allocation_info.as_ref())
            .map(|info| info.role().to_owned())
            .unwrap_or_default();
        fx.push(Effect::Start(Box::new(Start { command, allocation_role })));
    }

    fn on_started(&mut self, now: Now, container: Option<Container>, fx: &mut Vec<Effect>) {
        if self.phase != Phase::Starting {
            return;
        }
        self.phase = Phase::Running;
        let task = self.task.as_deref().expect("a started task");
        let id = &self.options.executor_id;
        let mut status = status::fresh(now, &mut self.rng, id, task, TaskState::TaskRunning);
        if let Some(container) = container {
            status.data = Some(container.inspected);
            status.container_status = container
                .network
                .map(|network| v1::ContainerStatus { network_infos: vec![network], ..Default::default() });
        }
        self.forward(status, fx);
        let task = self.task.as_deref().expect("a started task");
        if let Some(check) = &task.check {
            self.timers.arm(now.mono + seconds(check.delay_seconds()), Due::Check);
        }
        if let Some(check) = &task.health_check {
            self.health = Some(Health::new(check, now.mono));
            self.timers.arm(now.mono + seconds(check.delay_seconds()), Due::HealthCheck);
        }
        if let Some(nanos) = task.max_completion_time.as_ref().map(|time| time.nanoseconds)
            && let Ok(nanos) = u64::try_from(nanos)
            && nanos > 0
        {
            self.timers.arm(now.mono + Duration::from_nanos(nanos), Due::CompletionTime);
        }
        if let Some(grace) = self.kill_when_started.take() {
            self.on_kill(now, grace, fx);
        }
    }

    fn on_kill(&mut self, now: Now, grace: Duration, fx: &mut Vec<Effect>) {
        match self.phase {
            Phase::Idle | Phase::Ended { .. } => {}
            Phase::Starting => {
                let sooner = self.kill_when_started.map_or(grace, |earlier| earlier.min(grace));
                self.kill_when_started = Some(sooner);
            }
            Phase::Running => {
                if self.cause != Cause::CompletionTime && self.tells_killing {
                    self.report(now, TaskState::TaskKilling, fx);
                }
                fx.push(Effect::Log(format!(
                    "Sending SIGTERM to the task; SIGKILL follows in {} ms",
                    grace.as_millis()
                )));
                fx.push(Effect::Signal(Signal::Terminate));
                let escalation = self.timers.arm(now.mono + grace, Due::Escalate);
                self.phase = Phase::Killing { escalation, since: now.mono };
            }
            Phase::Killing { escalation, since } => {
                // COMPAT(mesos): a later kill may shorten the grace period, never lengthen it.
                let at = (since + grace).max(now.mono);
                if at < escalation.at() {
                    self.timers.cancel(escalation);
                    let escalation = self.timers.arm(at, Due::Escalate);
                    self.phase = Phase::Killing { escalation, since };
                }
            }
        }
    }

    fn shut_down(&mut self, now: Now, grace: Duration, fx: &mut Vec<Effect>) {
        self.shutting_down = true;
        match self.phase {
            Phase::Idle => fx.push(Effect::Exit(0)),
            Phase::Starting | Phase::Running | Phase::Killing { .. } => self.on_kill(now, grace, fx),
            Phase::Ended { .. } => {
                self.timers.arm(now.mono + SHUTDOWN_ACKNOWLEDGEMENT_MAX, Due::LastAcknowledgement);
            }
        }
    }

    fn on_ended(&mut self, now: Now, exit: &Exit, fx: &mut Vec<Effect>) {
        let killed = match self.phase {
            Phase::Running => false,
            Phase::Killing { .. } => true,
            Phase::Idle | Phase::Starting | Phase::Ended { .. } => return,
        };
        let (state, reason) = match (exit, killed, self.cause) {
            (Exit::Unknown(_), _, _) => (TaskState::TaskFailed, None),
            (_, true, Cause::CompletionTime) => {
                (TaskState::TaskFailed, Some(Reason::MaxCompletionTimeReached))
            }
            (_, true, Cause::Asked | Cause::Unhealthy) => (TaskState::TaskKilled, None),
            (Exit::Exited(0), false, _) => (TaskState::TaskFinished, None),
            (Exit::Exited(_) | Exit::Signaled { .. }, false, _) => (TaskState::TaskFailed, None),
        };
        let message = self.message(exit);
        fx.push(Effect::Log(message.clone()));
        self.end(now, state, reason, message, fx);
    }

    /// COMPAT(mesos): the words.
    fn message(&self, exit: &Exit) -> String {
        let what = match self.options.kind {
            Kind::Command => "Command",
            Kind::Docker => "Container",
        };
        match (exit, self.options.kind) {
            (Exit::Exited(status), _) => format!("{what} exited with status {status}"),
            (Exit::Signaled { signal, core_dumped }, _) => {
                let dumped = if *core_dumped { " (core dumped)" } else { "" };
                format!("{what} terminated with signal {}{dumped}", signal_name(*signal))
            }
            (Exit::Unknown(why), Kind::Command) => format!("Failed to get exit status for Command: {why}"),
            (Exit::Unknown(why), Kind::Docker) => format!("Failed to get exit status of container: {why}"),
        }
    }

    /// COMPAT(mesos): a container has the agent's grace period, not that of commands.
    fn kill_grace_default(&self) -> Duration {
        match self.options.kind {
            Kind::Command => KILL_GRACE_DEFAULT,
            Kind::Docker => self.options.shutdown_grace,
        }
    }

    fn end(
        &mut self,
        now: Now,
        state: TaskState,
        reason: Option<Reason>,
        message: String,
        fx: &mut Vec<Effect>,
    ) {
        let killed_unhealthy = self.cause == Cause::Unhealthy && state == TaskState::TaskKilled;
        self.timers = Timers::new();
        let patience =
            if self.shutting_down { SHUTDOWN_ACKNOWLEDGEMENT_MAX } else { LAST_ACKNOWLEDGEMENT_MAX };
        self.timers.arm(now.mono + patience, Due::LastAcknowledgement);
        let task = self.task.as_deref().expect("only an idle executor has no task");
        let mut status = status::fresh(now, &mut self.rng, &self.options.executor_id, task, state);
        status.reason = reason.map(Into::into);
        status.message = Some(message);
        status.healthy = killed_unhealthy.then_some(false);
        self.phase = Phase::Ended { last: status.uuid.clone().expect("a fresh update has a uuid") };
        self.forward(status, fx);
        if self.agent_lost {
            fx.push(Effect::Exit(1));
        }
    }

    fn on_checked(
        &mut self,
        now: Now,
        result: Result<Box<v1::CheckStatusInfo>, String>,
        fx: &mut Vec<Effect>,
    ) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(check) = self.task().check.as_ref() else { return };
        let interval = seconds(check.interval_seconds());
        let kind = check.r#type;
        self.timers.arm(now.mono + interval, Due::Check);
        let check_status = match result {
            Ok(status) => *status,
            Err(why) => {
                fx.push(Effect::Log(format!("The check failed: {why}")));
                let last = self.last.as_ref().and_then(|last| last.check_status);
                // A check that could not be made says nothing: an empty status of its kind.
                let mut empty = last.unwrap_or_default();
                empty.r#type = kind;
                empty.command = empty.command.map(|_| v1::check_status_info::Command::default());
                empty.http = empty.http.map(|_| v1::check_status_info::Http::default());
                empty.tcp = empty.tcp.map(|_| v1::check_status_info::Tcp::default());
                empty
            }
        };
        // COMPAT(mesos): only a changed result is told.
        let Some(last) = self.last.as_ref().filter(|last| last.check_status.as_ref() != Some(&check_status))
        else {
            return;
        };
        let mut status = status::again(now, &mut self.rng, last);
        status.reason = Some(Reason::TaskCheckStatusUpdated.into());
        status.check_status = Some(check_status);
        self.forward(status, fx);
    }

    fn on_health_checked(&mut self, now: Now, result: Result<(), String>, fx: &mut Vec<Effect>) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(check) = self.task().health_check.as_ref() else { return };
        let interval = seconds(check.interval_seconds());
        self.timers.arm(now.mono + interval, Due::HealthCheck);
        if let Err(why) = &result {
            fx.push(Effect::Log(format!("The health check failed: {why}")));
        }
        let Some(health) = &mut self.health else { return };
        let (healthy, kill) = match health.result(now.mono, result.is_ok()) {
            Verdict::Same => return,
            Verdict::Healthy => (true, false),
            Verdict::Unhealthy { kill } => (false, kill),
        };
        let last = self.last.as_ref().expect("a running task was reported");
        let mut status = status::again(now, &mut self.rng, last);
        status.reason = Some(Reason::TaskHealthCheckStatusUpdated.into());
        status.healthy = Some(healthy);
        self.forward(status, fx);
        if kill {
            self.cause = Cause::Unhealthy;
            let grace = self.task().kill_policy.as_ref().and_then(grace_of);
            self.on_kill(now, grace.unwrap_or(self.kill_grace_default()), fx);
        }
    }

    fn on_due(&mut self, now: Now, due: Due, fx: &mut Vec<Effect>) {
        match due {
            Due::Check => {
                if let (Phase::Running, Some(check)) = (&self.phase, &self.task().check) {
                    fx.push(Effect::Check(Box::new(check.clone())));
                }
            }
            Due::HealthCheck => {
                if let (Phase::Running, Some(check)) = (&self.phase, &self.task().health_check) {
                    fx.push(Effect::HealthCheck(Box::new(check.clone())));
                }
            }
            Due::Escalate => {
                if let Phase::Killing { .. } = self.phase {
                    fx.push(Effect::Log("The task did not end in time; sending SIGKILL".to_owned()));
                    fx.push(Effect::Signal(Signal::Kill));
                }
            }
            Due::CompletionTime => {
                if self.phase == Phase::Running {
                    fx.push(Effect::Log("The task exceeded its maximum completion time".to_owned()));
                    self.cause = Cause::CompletionTime;
                    self.on_kill(now, Duration::ZERO, fx);
                }
            }
            Due::LastAcknowledgement if self.shutting_down => fx.push(Effect::Exit(0)),
            Due::LastAcknowledgement => {
                fx.push(Effect::Log("The agent did not acknowledge the last update in time".to_owned()));
                fx.push(Effect::Exit(1));
            }
        }
    }

    fn on_agent_lost(&mut self, now: Now, fx: &mut Vec<Effect>) {
        self.agent_lost = true;
        match self.phase {
            Phase::Idle | Phase::Ended { .. } => fx.push(Effect::Exit(1)),
            Phase::Starting | Phase::Running | Phase::Killing { .. } => {
                self.on_kill(now, Duration::ZERO, fx);
            }
        }
    }
}

impl Machine for CommandExecutor {
    type Event = Event;
    type Effect = Effect;

    fn handle_event(&mut self, now: Now, event: Event, fx: &mut Vec<Effect>) {
        match event {
            Event::Api(event) => self.on_api(now, *event, fx),
            Event::Started => self.on_started(now, None, fx),
            Event::ContainerStarted(container) => self.on_started(now, Some(*container), fx),
            Event::NotStarted(why) => {
                if self.phase == Phase::Starting {
                    self.end(now, TaskState::TaskFailed, None, why, fx);
                }
            }
            Event::Ended(exit) => self.on_ended(now, &exit, fx),
            Event::Checked(result) => self.on_checked(now, result, fx),
            Event::HealthChecked(result) => self.on_health_checked(now, result, fx),
            Event::AgentLost => self.on_agent_lost(now, fx),
        }
    }

    fn handle_timeout(&mut self, now: Now, fx: &mut Vec<Effect>) {
        while let Some((_, due)) = self.timers.pop(now.mono) {
            self.on_due(now, due, fx);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }
}

/// A policy's grace period; the master refuses negative ones.
fn grace_of(policy: &v1::KillPolicy) -> Option<Duration> {
    let nanos = policy.grace_period.as_ref()?.nanoseconds;
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

#[cfg(test)]
mod tests;
