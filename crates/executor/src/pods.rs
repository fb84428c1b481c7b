//! The loop around the default executor's machine: what happens goes in, effects are carried out in order.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use executor_core::{DefaultExecutor, GroupEffect as Effect, GroupEvent as Event, GroupOptions};
use http::Report;
use machine::Machine as _;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{AbortHandle, JoinSet};
use types::{ContainerId, TaskId};

use crate::agent::Agent;
use crate::session::{Heard, Session, sleep_until};
use crate::settings::Settings;
use crate::{chance, checks, say};

/// Runs the executor to its end and returns its exit status.
pub(crate) async fn run(settings: Settings) -> u8 {
    let (mut reactor, mut reports, mut happened) = Reactor::new(&settings);
    reactor.carry_out();
    loop {
        if let Some(code) = reactor.exit {
            reactor.session.farewell(&mut reports).await;
            reactor.tasks.shutdown().await;
            return code;
        }
        let timeout = reactor.session.next_timeout(reactor.executor.poll_timeout());
        tokio::select! {
            Some(report) = reports.recv() => {
                if reactor.session.on_report(report) {
                    reactor.handle(Event::Disconnected);
                }
            }
            Some(event) = happened.recv() => reactor.handle(event),
            // What ended has told what it found.
            Some(_) = reactor.tasks.join_next() => {}
            () = sleep_until(timeout) => {
                reactor.session.handle_timeout();
                let now = reactor.session.now();
                reactor.executor.handle_timeout(now, &mut reactor.effects);
            }
        }
        reactor.carry_out();
    }
}

struct Reactor {
    session: Session,
    executor: DefaultExecutor,
    effects: Vec<Effect>,
    agent: Agent,
    sandbox: String,
    /// Calls to the agent and checks; what they find goes to `happened`.
    tasks: JoinSet<()>,
    happened: Sender<Event>,
    /// The wait for each task's end.
    waits: HashMap<TaskId, AbortHandle>,
    exit: Option<u8>,
}

impl Reactor {
    fn new(settings: &Settings) -> (Self, Receiver<Report>, Receiver<Event>) {
        let seed = chance::seed();
        let options = GroupOptions {
            executor_id: settings.executor_id.clone(),
            container_ip: settings.container_ip.clone(),
            seed,
        };
        let (session, reports) = Session::new(settings, !seed);
        let (sender, happened) = channel(64);
        let reactor = Self {
            session,
            executor: DefaultExecutor::new(options),
            effects: Vec::new(),
            agent: Agent::new(settings),
            sandbox: settings.sandbox.clone(),
            tasks: JoinSet::new(),
            happened: sender,
            waits: HashMap::new(),
            exit: None,
        };
        (reactor, reports, happened)
    }

    fn handle(&mut self, event: Event) {
        let now = self.session.now();
        self.executor.handle_event(now, event, &mut self.effects);
    }

    /// Carries out the effects of both machines until neither wants more.
    fn carry_out(&mut self) {
        while !self.session.is_quiet() || !self.effects.is_empty() {
            for heard in self.session.take() {
                self.handle(match heard {
                    Heard::Event(event) => Event::Api(event),
                    Heard::Lost => Event::AgentLost,
                });
            }
            for effect in std::mem::take(&mut self.effects) {
                self.carry_out_one(effect);
            }
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Update(status) => self.session.update(status),
            Effect::Launch { task, call } => {
                let agent = self.agent.clone();
                self.spawn(async move {
                    let answer = agent.launch(*call).await;
                    Some(Event::Launched { task, answer })
                });
            }
            Effect::Wait { task, container, attempt } => {
                let agent = self.agent.clone();
                let waiting = task.clone();
                let wait = self.spawn(async move {
                    let answer = agent.wait(&container).await;
                    Some(Event::Waited { task: waiting, attempt, answer })
                });
                if let Some(before) = self.waits.insert(task, wait) {
                    before.abort();
                }
            }
            Effect::Kill { task, container, signal } => {
                let agent = self.agent.clone();
                self.spawn(async move {
                    let why = agent.kill(&container, signal).await.err()?;
                    Some(Event::NotKilled { task, signal, why })
                });
            }
            Effect::Check { task, container, check } => {
                let place = self.place(container);
                self.spawn(async move {
                    let result = checks::check(&check, &place).await;
                    Some(Event::Checked { task, result })
                });
            }
            Effect::HealthCheck { task, container, check } => {
                let place = self.place(container);
                self.spawn(async move {
                    let result = checks::health_check(&check, &place).await;
                    Some(Event::HealthChecked { task, result })
                });
            }
            Effect::Link { task, container } => {
                if let Err(error) = link(Path::new(&self.sandbox), &task, &container) {
                    say(&format!("cannot show the sandbox of task '{task}' under its name: {error}"));
                }
            }
            Effect::Log(line) => say(&line),
            Effect::Exit(code) => self.exit = Some(self.exit.unwrap_or(code)),
        }
    }

    fn place(&self, container: ContainerId) -> checks::Place {
        checks::Place::Container(self.agent.clone(), container)
    }

    /// Does something beside the loop, and tells it what came of it.
    fn spawn(&mut self, work: impl Future<Output = Option<Event>> + Send + 'static) -> AbortHandle {
        let happened = self.happened.clone();
        self.tasks.spawn(async move {
            if let Some(event) = work.await {
                // The loop is gone only when the executor is.
                let _ = happened.send(event).await;
            }
        })
    }
}

/// COMPAT(mesos): `tasks/<task>` leads to `containers/<container>`, where people look for a task's files.
fn link(sandbox: &Path, task: &TaskId, container: &ContainerId) -> io::Result<()> {
    let tasks = sandbox.join("tasks");
    match std::fs::create_dir(&tasks) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    symlink(sandbox.join("containers").join(&*container.value), tasks.join(task.as_str()))
}
