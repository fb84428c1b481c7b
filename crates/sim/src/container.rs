//! Containers and the executors in them: processes of the agent's machine that outlive the agent's own.
//!
//! An executor is a real session with its agent (`client-core`), and above it the real command executor
//! (`executor-core`) or a model of a framework's own executor, which runs many tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::{Event, LaunchSpec, RequestId, StreamId};
use bytes::Bytes;
use client_core::executor as session;
use executor_core::{CommandExecutor, Exit, Kind, Options, Signal};
use machine::{Machine as _, Now, Rng};
use proto::mesos::v1::{self, executor};
use types::{ContainerId, ExecutorId, FrameworkId, Uuid};

use crate::node::{Clock, MILLI, Nanos, Node, SECOND};
use crate::world::{Happening, World};

/// How long anything takes between an executor and its agent. All the same, so that it stays in order.
const LOOPBACK: Nanos = MILLI / 20;

/// What happens to a container.
#[derive(Debug)]
pub(crate) enum ContainerEvent {
    /// Its first process is there, or could not be made.
    Forked,
    /// Nothing of it is left.
    Gone(i32),
    /// The agent answered its subscription.
    Opened,
    Refused(String),
    Told(Box<executor::Event>),
    StreamEnded,
    CallFailed,
    /// Something is due by the executor's clock.
    Due,
    /// A task's process began, and ended.
    Began,
    TaskEnds {
        task: String,
        code: i32,
    },
    Signalled(Signal),
}

/// A container.
pub(crate) struct Container {
    id: ContainerId,
    framework: FrameworkId,
    executor: ExecutorId,
    forked_pid_path: Option<String>,
    pub(crate) checkpoint: bool,
    command_task: bool,
    pid: u32,
    /// The agent's process that waits for it.
    waited_by: Option<u64>,
    exit: Option<i32>,
    destroyed: bool,
    process: Option<ExecutorProcess>,
    started: Vec<(FrameworkId, String)>,
}

/// What an executor decides.
enum Brain {
    Command(Box<CommandExecutor>),
    Own { tasks: BTreeMap<String, v1::TaskInfo> },
}

struct ExecutorProcess {
    clock: Clock,
    session: session::Session,
    brain: Brain,
    rng: Rng,
    stream: u64,
    wake: Option<Nanos>,
    stubborn: bool,
}

impl Container {
    /// The tasks that it runs or ran.
    pub(crate) fn tasks_started(&self) -> Vec<(FrameworkId, String)> {
        self.started.clone()
    }

    /// Whether a process of it runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.process.is_some()
    }

    /// How it shows among the world's state.
    pub(crate) fn show(&self) -> String {
        let tasks: Vec<&str> = self.started.iter().map(|(_, task)| task.as_str()).collect();
        let phase = match (&self.process, self.exit) {
            (Some(_), _) => "runs",
            (None, Some(_)) => "over",
            (None, None) => "begins",
        };
        format!("{} {phase} [{}]", self.executor, tasks.join(" "))
    }
}

impl World {
    pub(crate) fn launch_container(&mut self, agent: usize, spec: &LaunchSpec) {
        let incarnation = self.agents[agent].incarnation;
        let checkpoint =
            spec.environment.iter().any(|(name, value)| name == "MESOS_CHECKPOINT" && value == "1");
        self.numbers += 1;
        let container = Container {
            id: spec.container.clone(),
            framework: spec.framework.clone(),
            executor: spec.executor.clone(),
            forked_pid_path: spec.forked_pid_path.clone(),
            checkpoint,
            command_task: spec.task.is_some(),
            pid: u32::try_from(self.numbers % 1_000_000).unwrap_or(1),
            waited_by: Some(incarnation),
            exit: None,
            destroyed: false,
            process: None,
            started: Vec::new(),
        };
        let id = spec.container.value.to_string();
        self.agents[agent].containers.insert(id.clone(), container);
        let at = self.now + 5 * MILLI + self.pause(300 * MILLI);
        self.container_later(at, agent, &id, None, ContainerEvent::Forked);
    }

    fn container_later(
        &mut self,
        at: Nanos,
        agent: usize,
        container: &str,
        stream: Option<u64>,
        event: ContainerEvent,
    ) {
        let container = container.to_owned();
        self.schedule(at, Happening::Container { agent, container, stream, event: Box::new(event) });
    }

    /// The agent picks up what an earlier process of it launched.
    pub(crate) fn adopt_container(&mut self, agent: usize, container: &ContainerId, pid: Option<u32>) {
        let incarnation = self.agents[agent].incarnation;
        let known = self.agents[agent].containers.get_mut(container.value.as_ref());
        let alive = known.is_some_and(|known| {
            known.waited_by = Some(incarnation);
            known.is_alive() && pid == Some(known.pid)
        });
        self.tell_agent(agent, launched(container, pid));
        if !alive {
            self.agents[agent].containers.remove(container.value.as_ref());
            self.tell_container_exit(agent, container, None);
        }
    }

    /// All processes of a container are to end.
    pub(crate) fn destroy_container(&mut self, agent: usize, container: &ContainerId) {
        let at = self.now + MILLI + self.pause(20 * MILLI);
        let Some(known) = self.agents[agent].containers.get_mut(container.value.as_ref()) else { return };
        if known.is_alive() {
            self.container_later(at, agent, &container.value, None, ContainerEvent::Gone(9));
        } else {
            known.destroyed = true;
        }
    }

    /// The agent's process is gone: what it was launching never begins, what runs loses its connections.
    pub(crate) fn agent_left_containers(&mut self, agent: usize) {
        self.agents[agent].containers.retain(|_, container| container.is_alive());
        let streams: Vec<(String, u64)> = self.agents[agent]
            .containers
            .iter()
            .map(|(id, container)| {
                (id.clone(), container.process.as_ref().map_or(0, |process| process.stream))
            })
            .collect();
        for (id, stream) in streams {
            let (first, second) = (self.now + self.pause(MILLI), self.now + self.pause(MILLI));
            self.container_later(first, agent, &id, Some(stream), ContainerEvent::StreamEnded);
            self.container_later(second, agent, &id, Some(stream), ContainerEvent::CallFailed);
        }
    }

    /// A stream's executor hears something of its agent.
    pub(crate) fn executor_hears(&mut self, agent: usize, stream: StreamId, event: ContainerEvent) {
        let Some(process) = self.agents[agent].process.as_ref() else { return };
        let Some(container) = process.streams.get(&stream).cloned() else { return };
        let at = self.now + LOOPBACK;
        self.container_later(at, agent, &container, Some(stream.0), event);
    }

    /// Something happens to a container that is still there.
    pub(crate) fn on_container(
        &mut self,
        agent: usize,
        id: &str,
        stream: Option<u64>,
        event: ContainerEvent,
    ) {
        let Some(container) = self.agents[agent].containers.get(id) else { return };
        if let Some(stream) = stream
            && container.process.as_ref().is_none_or(|process| process.stream != stream)
        {
            return;
        }
        match event {
            ContainerEvent::Forked => return self.on_forked(agent, id),
            ContainerEvent::Gone(status) => return self.on_container_gone(agent, id, status),
            ContainerEvent::Opened => self.session_event(agent, id, session::Event::Opened),
            ContainerEvent::Refused(why) => self.stream_over(agent, id, why),
            ContainerEvent::StreamEnded => self.stream_over(agent, id, "it ended".to_owned()),
            ContainerEvent::CallFailed => self.session_event(agent, id, session::Event::CallFailed),
            ContainerEvent::Told(event) => self.session_event(agent, id, session::Event::Received(event)),
            ContainerEvent::Due => self.executor_due(agent, id),
            ContainerEvent::Began => self.brain_event(agent, id, executor_core::Event::Started),
            ContainerEvent::TaskEnds { task, code } => self.task_ends(agent, id, &task, code),
            ContainerEvent::Signalled(signal) => {
                let number = match signal {
                    Signal::Terminate => 15,
                    Signal::Kill => 9,
                };
                let exit = Exit::Signaled { signal: number, core_dumped: false };
                self.brain_event(agent, id, executor_core::Event::Ended(exit));
            }
        }
        self.arm_executor(agent, id);
    }

    fn stream_over(&mut self, agent: usize, id: &str, why: String) {
        if let Some(process) = self.executor_process(agent, id) {
            process.stream = 0;
        }
        self.session_event(agent, id, session::Event::Closed(why));
    }

    fn executor_process(&mut self, agent: usize, id: &str) -> Option<&mut ExecutorProcess> {
        self.agents[agent].containers.get_mut(id)?.process.as_mut()
    }

    fn on_forked(&mut self, agent: usize, id: &str) {
        let now = self.now;
        let seed = self.draw();
        let (fails, stubborn) = (self.pause(40) == 0, self.pause(10) == 0);
        let clock = Clock { began: now, drift_ppm: self.drift(Node::Agent(agent)), wall_off_nanos: 0 };
        let host = &mut self.agents[agent];
        let Some(container) = host.containers.get_mut(id) else { return };
        if fails || container.destroyed {
            let container = container.id.clone();
            host.containers.remove(id);
            let message = "the simulation would not have it".to_owned();
            return self.tell_agent(agent, Event::ContainerFailed { container, message });
        }
        if let Some(path) = &container.forked_pid_path {
            host.disk.write_file(path, container.pid.to_string().as_bytes());
        }
        let brain = if container.command_task {
            Brain::Command(Box::new(CommandExecutor::new(Options {
                kind: Kind::Command,
                executor_id: container.executor.clone(),
                shutdown_grace: Duration::from_secs(5),
                seed,
            })))
        } else {
            Brain::Own { tasks: BTreeMap::new() }
        };
        let options = session::Options {
            framework_id: container.framework.clone(),
            executor_id: container.executor.clone(),
            recovery_timeout: container.checkpoint.then_some(Duration::from_secs(15 * 60)),
            backoff_max: Duration::from_secs(2),
            seed: !seed,
        };
        let mut effects = Vec::new();
        let session = session::Session::new(options, clock.now(now), &mut effects);
        let rng = Rng::new(seed ^ 0x6578_6563);
        container.process =
            Some(ExecutorProcess { clock, session, brain, rng, stream: 0, wake: None, stubborn });
        let told = launched(&container.id, Some(container.pid));
        self.tell_agent(agent, told);
        self.session_effects(agent, id, effects);
        self.arm_executor(agent, id);
    }

    /// Nothing of a container is left. Whoever waits for it learns how it ended.
    pub(crate) fn on_container_gone(&mut self, agent: usize, id: &str, status: i32) {
        let host = &mut self.agents[agent];
        let incarnation = host.incarnation;
        let Some(container) = host.containers.get_mut(id) else { return };
        let Some(process) = container.process.take() else { return };
        container.exit = Some(status);
        let name = container.id.clone();
        let waited = container.waited_by == Some(incarnation) && host.process.is_some();
        let started = container.tasks_started();
        self.oracle.once.container_gone(&started);
        if waited {
            self.agents[agent].containers.remove(id);
            if process.stream != 0 {
                self.agent_loses_stream(agent, process.stream);
            }
            self.tell_container_exit(agent, &name, Some(status));
        }
    }

    fn agent_loses_stream(&mut self, agent: usize, stream: u64) {
        let known = self.agents[agent].process.as_ref();
        if known.is_some_and(|process| process.streams.contains_key(&StreamId(stream))) {
            self.tell_agent(agent, Event::StreamClosed(StreamId(stream)));
        }
    }

    fn session_event(&mut self, agent: usize, id: &str, event: session::Event) {
        let now = self.now;
        let Some(process) = self.executor_process(agent, id) else { return };
        let mut effects = Vec::new();
        process.session.handle_event(process.clock.now(now), event, &mut effects);
        self.session_effects(agent, id, effects);
    }

    fn session_effects(&mut self, agent: usize, id: &str, effects: Vec<session::Effect>) {
        for effect in effects {
            match effect {
                session::Effect::Subscribe(call) => self.executor_subscribes(agent, id, call),
                session::Effect::Post(call) => self.executor_posts(agent, id, call),
                session::Effect::Deliver(event) => self.deliver(agent, id, event),
                session::Effect::Lost(_) => self.lost(agent, id),
            }
        }
    }

    fn executor_subscribes(&mut self, agent: usize, id: &str, call: Box<executor::Call>) {
        self.numbers += 1;
        let stream = self.numbers;
        let Some(process) = self.executor_process(agent, id) else { return };
        let old = std::mem::replace(&mut process.stream, stream);
        if old != 0 {
            self.agent_loses_stream(agent, old);
        }
        let at = self.now + LOOPBACK;
        let incarnation = self.agents[agent].incarnation;
        let container = id.to_owned();
        self.schedule(at, Happening::ExecutorSubscribes { agent, incarnation, container, stream, call });
    }

    pub(crate) fn on_executor_subscribes(
        &mut self,
        agent: usize,
        incarnation: u64,
        id: &str,
        stream: u64,
        call: Box<executor::Call>,
    ) {
        let at = self.now + LOOPBACK;
        let host = &mut self.agents[agent];
        match host.process.as_mut().filter(|_| host.incarnation == incarnation) {
            Some(process) => {
                process.streams.insert(StreamId(stream), id.to_owned());
                self.tell_agent(agent, Event::ExecutorSubscribe { stream: StreamId(stream), call });
            }
            None => {
                let why = ContainerEvent::Refused("connection refused".to_owned());
                self.container_later(at, agent, id, Some(stream), why);
            }
        }
    }

    fn executor_posts(&mut self, agent: usize, id: &str, call: Box<executor::Call>) {
        let at = self.now + LOOPBACK;
        let incarnation = self.agents[agent].incarnation;
        let container = id.to_owned();
        self.schedule(at, Happening::ExecutorCalls { agent, incarnation, container, call });
    }

    pub(crate) fn on_executor_calls(
        &mut self,
        agent: usize,
        incarnation: u64,
        id: &str,
        call: Box<executor::Call>,
    ) {
        self.numbers += 1;
        let request = RequestId(self.numbers);
        // An answer is lost now and then.
        let unanswered = self.pause(200) == 0;
        let at = self.now + LOOPBACK;
        let host = &mut self.agents[agent];
        let taken = host.process.as_mut().filter(|_| host.incarnation == incarnation);
        if let Some(process) = taken {
            process.requests.insert(request);
            self.tell_agent(agent, Event::ExecutorCall { request, call });
            if !unanswered {
                return;
            }
        }
        self.container_later(at, agent, id, None, ContainerEvent::CallFailed);
    }

    fn deliver(&mut self, agent: usize, id: &str, event: Box<executor::Event>) {
        let Some(process) = self.executor_process(agent, id) else { return };
        match &process.brain {
            Brain::Command(_) => self.brain_event(agent, id, executor_core::Event::Api(event)),
            Brain::Own { .. } => self.own_executor_hears(agent, id, *event),
        }
    }

    fn lost(&mut self, agent: usize, id: &str) {
        let at = self.now + MILLI;
        let Some(process) = self.executor_process(agent, id) else { return };
        match &process.brain {
            Brain::Command(_) => self.brain_event(agent, id, executor_core::Event::AgentLost),
            Brain::Own { .. } => self.container_later(at, agent, id, None, ContainerEvent::Gone(1)),
        }
    }

    fn brain_event(&mut self, agent: usize, id: &str, event: executor_core::Event) {
        let now = self.now;
        let Some(process) = self.executor_process(agent, id) else { return };
        let Brain::Command(brain) = &mut process.brain else { return };
        let mut effects = Vec::new();
        brain.handle_event(process.clock.now(now), event, &mut effects);
        self.brain_effects(agent, id, effects);
    }

    fn brain_effects(&mut self, agent: usize, id: &str, effects: Vec<executor_core::Effect>) {
        let now = self.now;
        for effect in effects {
            match effect {
                executor_core::Effect::Update(status) => {
                    self.session_event(agent, id, session::Event::Update(status));
                }
                executor_core::Effect::Start(start) => {
                    let Some(container) = self.agents[agent].containers.get(id) else { return };
                    let task = container.executor.as_str().to_owned();
                    self.task_starts(agent, id, &task);
                    let (lasts, code) = work(start.command.value.as_deref().unwrap_or_default());
                    let at = now + 2 * MILLI;
                    self.container_later(at, agent, id, None, ContainerEvent::Began);
                    self.container_later(
                        at + lasts,
                        agent,
                        id,
                        None,
                        ContainerEvent::TaskEnds { task, code },
                    );
                }
                executor_core::Effect::Signal(signal) => {
                    let pause = 5 * MILLI + self.pause(500 * MILLI);
                    let Some(process) = self.executor_process(agent, id) else { return };
                    if signal == Signal::Kill || !process.stubborn {
                        self.container_later(now + pause, agent, id, None, ContainerEvent::Signalled(signal));
                    }
                }
                executor_core::Effect::Exit(code) => {
                    let at = now + 5 * MILLI;
                    let gone = ContainerEvent::Gone(i32::from(code) << 8);
                    self.container_later(at, agent, id, None, gone);
                }
                executor_core::Effect::StartContainer(_)
                | executor_core::Effect::Check(_)
                | executor_core::Effect::HealthCheck(_)
                | executor_core::Effect::Log(_) => {}
            }
        }
    }

    /// A task's own work begins, here and nowhere else.
    fn task_starts(&mut self, agent: usize, id: &str, task: &str) {
        let Some(container) = self.agents[agent].containers.get_mut(id) else { return };
        let key = (container.framework.clone(), task.to_owned());
        container.started.push(key.clone());
        let place = format!("container {id} of agent {agent}");
        if let Err(why) = self.oracle.once.started(&key, &place) {
            self.violate("once", why);
        }
    }

    fn task_ends(&mut self, agent: usize, id: &str, task: &str, code: i32) {
        let now = self.now;
        let Some(process) = self.executor_process(agent, id) else { return };
        match &mut process.brain {
            Brain::Command(_) => {
                self.brain_event(agent, id, executor_core::Event::Ended(Exit::Exited(code)));
            }
            Brain::Own { tasks } => {
                let Some(info) = tasks.remove(task) else { return };
                let state = if code == 0 { v1::TaskState::TaskFinished } else { v1::TaskState::TaskFailed };
                let time = process.clock.now(now);
                let status = status(time, &mut process.rng, &info, state);
                self.session_event(agent, id, session::Event::Update(status));
            }
        }
    }

    /// What a framework's own executor does.
    fn own_executor_hears(&mut self, agent: usize, id: &str, event: executor::Event) {
        let now = self.now;
        match event.r#type() {
            executor::event::Type::Launch => {
                let Some(task) = event.launch.map(|launch| launch.task) else { return };
                self.task_starts(agent, id, &task.task_id.value);
                let command = task.labels.as_ref().and_then(|labels| labels.labels.first());
                let (lasts, code) = work(command.map(|label| label.value()).unwrap_or_default());
                let ends = ContainerEvent::TaskEnds { task: task.task_id.value.clone(), code };
                self.container_later(now + lasts, agent, id, None, ends);
                let Some(process) = self.executor_process(agent, id) else { return };
                let time = process.clock.now(now);
                let running = status(time, &mut process.rng, &task, v1::TaskState::TaskRunning);
                if let Brain::Own { tasks } = &mut process.brain {
                    tasks.insert(task.task_id.value.clone(), task);
                }
                self.session_event(agent, id, session::Event::Update(running));
            }
            executor::event::Type::Kill => {
                let Some(kill) = event.kill else { return };
                let Some(process) = self.executor_process(agent, id) else { return };
                let Brain::Own { tasks } = &mut process.brain else { return };
                let Some(info) = tasks.remove(&kill.task_id.value) else { return };
                let time = process.clock.now(now);
                let killed = status(time, &mut process.rng, &info, v1::TaskState::TaskKilled);
                self.session_event(agent, id, session::Event::Update(killed));
            }
            executor::event::Type::Shutdown => {
                let at = now + self.pause(SECOND);
                self.container_later(at, agent, id, None, ContainerEvent::Gone(0));
            }
            executor::event::Type::Unknown
            | executor::event::Type::Subscribed
            | executor::event::Type::LaunchGroup
            | executor::event::Type::Acknowledged
            | executor::event::Type::Message
            | executor::event::Type::Error
            | executor::event::Type::Heartbeat => {}
        }
    }

    fn executor_due(&mut self, agent: usize, id: &str) {
        let now = self.now;
        let Some(process) = self.executor_process(agent, id) else { return };
        if process.wake != Some(now) {
            return;
        }
        process.wake = None;
        let time = process.clock.now(now);
        let mut effects = Vec::new();
        process.session.handle_timeout(time, &mut effects);
        let mut brain_effects = Vec::new();
        if let Brain::Command(brain) = &mut process.brain {
            brain.handle_timeout(time, &mut brain_effects);
        }
        self.session_effects(agent, id, effects);
        self.brain_effects(agent, id, brain_effects);
    }

    fn arm_executor(&mut self, agent: usize, id: &str) {
        let now = self.now;
        let Some(process) = self.executor_process(agent, id) else { return };
        let brain = match &process.brain {
            Brain::Command(brain) => brain.poll_timeout(),
            Brain::Own { .. } => None,
        };
        let Some(due) = [process.session.poll_timeout(), brain].into_iter().flatten().min() else { return };
        let at = process.clock.reaches(due).max(now + 1);
        if process.wake.is_none_or(|wake| at < wake) {
            process.wake = Some(at);
            self.container_later(at, agent, id, None, ContainerEvent::Due);
        }
    }

    /// The connection of some executor to its agent breaks.
    pub(crate) fn cut_executor(&mut self, agent: usize) {
        let alive = self.agents[agent].containers.iter().filter(|(_, container)| container.is_alive());
        let Some((id, stream)) = alive
            .map(|(id, container)| {
                (id.clone(), container.process.as_ref().map_or(0, |process| process.stream))
            })
            .next()
        else {
            return;
        };
        let at = self.now + self.pause(MILLI);
        self.container_later(at, agent, &id, Some(stream), ContainerEvent::StreamEnded);
        self.agent_loses_stream(agent, stream);
    }

    /// Some executor is killed from outside.
    pub(crate) fn kill_executor(&mut self, agent: usize) {
        let alive = self.agents[agent].containers.iter().find(|(_, container)| container.is_alive());
        let Some(id) = alive.map(|(id, _)| id.clone()) else { return };
        self.on_container_gone(agent, &id, 9);
    }
}

fn launched(container: &ContainerId, pid: Option<u32>) -> Event {
    let status = v1::ContainerStatus { executor_pid: pid, ..v1::ContainerStatus::default() };
    Event::ContainerLaunched { container: container.clone(), status: Box::new(status) }
}

fn status(now: Now, rng: &mut Rng, task: &v1::TaskInfo, state: v1::TaskState) -> Box<v1::TaskStatus> {
    Box::new(v1::TaskStatus {
        task_id: task.task_id.clone(),
        state: state.into(),
        source: Some(v1::task_status::Source::Executor.into()),
        executor_id: task.executor.as_ref().map(|executor| executor.executor_id.clone()),
        timestamp: Some(now.wall.as_secs_f64()),
        uuid: Some(Bytes::from(Uuid::random(rng))),
        ..v1::TaskStatus::default()
    })
}

/// What a task does: how many milliseconds it takes, and its exit status.
fn work(text: &str) -> (Nanos, i32) {
    let mut words = text.split_whitespace().skip(1);
    let lasts = words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(1000);
    let code = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    (lasts * MILLI, code)
}
