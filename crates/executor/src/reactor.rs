//! The loop around the command executor's machine and its session: what happens goes in, effects are carried out in
//! order.

use std::sync::Arc;

use executor_core::{CommandExecutor, Effect, Event, Kind, Options, Signal};
use fail_point::fail_point;
use http::Report;
use machine::Machine as _;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::checks::Place;
use crate::session::{Heard, Session, sleep_until};
use crate::settings::Settings;
use crate::{chance, checks, command, docker, say};

/// What the executor's task is.
pub(crate) enum Work {
    /// A process of its own, of which the agent tells this.
    Command(Arc<Arguments>),
    /// A container of the Docker daemon's, made so.
    Container(Box<docker::Making>),
}

/// Runs the executor to its end and returns its exit status.
pub(crate) async fn run(settings: Settings, work: Work) -> u8 {
    let (mut reactor, mut reports, mut happened) = Reactor::new(&settings, work);
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
                reactor.session.on_report(report);
            }
            Some(what) = happened.recv() => reactor.on_happened(what),
            () = sleep_until(timeout) => {
                reactor.session.handle_timeout();
                let now = reactor.session.now();
                reactor.executor.handle_timeout(now, &mut reactor.effects);
            }
        }
        reactor.carry_out();
    }
}

/// What the tasks of the reactor find.
enum Happened {
    /// The command runs, as the leader of this session.
    Started(u32),
    /// The container runs: its first process, what it wants to be asked with to end, and what the framework is told.
    ContainerStarted(Target, Box<executor_core::Container>),
    /// Anything else.
    Event(Event),
}

/// What is signalled, and looked into by checks.
#[derive(Clone)]
enum Target {
    /// The leader of the command's session.
    Session(u32),
    /// A container.
    Container {
        container: docker::Container,
        /// Its first process.
        pid: Option<u32>,
        /// Whether its network is the machine's.
        host_network: bool,
        stop_signal: Option<String>,
    },
}

impl Work {
    /// Whether the task's files are its own.
    fn has_root(&self) -> bool {
        match self {
            Self::Command(arguments) => arguments.rootfs.is_some(),
            Self::Container(_) => false,
        }
    }
}

/// Where commands that check a task run.
fn place(has_root: bool, task: u32) -> Place {
    match has_root {
        true => Place::InRootOf(task),
        false => Place::Here,
    }
}

struct Reactor {
    work: Work,
    session: Session,
    executor: CommandExecutor,
    effects: Vec<Effect>,
    /// Waits for the command and performs checks; what they find goes to `happened`.
    tasks: JoinSet<()>,
    happened: Sender<Happened>,
    /// Whether this executor's output is a terminal, which is for the command.
    has_terminal: bool,
    /// What runs, once it does.
    target: Option<Target>,
    exit: Option<u8>,
}

impl Reactor {
    fn new(settings: &Settings, work: Work) -> (Self, Receiver<Report>, Receiver<Happened>) {
        let seed = chance::seed();
        let options = Options {
            kind: match work {
                Work::Command(_) => Kind::Command,
                Work::Container(_) => Kind::Docker,
            },
            executor_id: settings.executor_id.clone(),
            shutdown_grace: settings.shutdown_grace,
            seed,
        };
        let (session, reports) = Session::new(settings, !seed);
        let (sender, happened) = channel(16);
        let reactor = Self {
            work,
            session,
            executor: CommandExecutor::new(options),
            effects: Vec::new(),
            tasks: JoinSet::new(),
            happened: sender,
            has_terminal: settings.has_terminal,
            target: None,
            exit: None,
        };
        (reactor, reports, happened)
    }

    fn on_happened(&mut self, what: Happened) {
        let event = match what {
            Happened::Started(leader) => {
                self.target = Some(Target::Session(leader));
                Event::Started
            }
            Happened::ContainerStarted(target, told) => {
                self.target = Some(target);
                Event::ContainerStarted(told)
            }
            Happened::Event(event) => event,
        };
        let now = self.session.now();
        self.executor.handle_event(now, event, &mut self.effects);
    }

    /// Carries out the effects of both machines until neither wants more.
    fn carry_out(&mut self) {
        while !self.session.is_quiet() || !self.effects.is_empty() {
            let now = self.session.now();
            for heard in self.session.take() {
                let event = match heard {
                    Heard::Event(mut event) => {
                        if let Work::Command(arguments) = &self.work {
                            arguments.command(&mut event);
                        }
                        Event::Api(event)
                    }
                    Heard::Lost => Event::AgentLost,
                };
                self.executor.handle_event(now, event, &mut self.effects);
            }
            for effect in std::mem::take(&mut self.effects) {
                self.carry_out_one(effect);
            }
        }
    }

    fn carry_out_one(&mut self, effect: Effect) {
        match effect {
            Effect::Update(status) => self.session.update(status),
            Effect::Start(start) => {
                let Work::Command(arguments) = &self.work else {
                    return say("the executor of a container starts no commands");
                };
                let (happened, arguments) = (self.happened.clone(), Arc::clone(arguments));
                let has_terminal = self.has_terminal;
                self.tasks.spawn(async move {
                    match command::start(&start, &arguments, has_terminal).await {
                        Ok(running) => {
                            fail_point("executor.started");
                            tell(&happened, Happened::Started(running.pid)).await;
                            let exit = running.ended().await;
                            fail_point("executor.ended");
                            tell(&happened, Happened::Event(Event::Ended(exit))).await;
                        }
                        Err(error) => {
                            let why = Event::NotStarted(format!("{error:#}"));
                            tell(&happened, Happened::Event(why)).await;
                        }
                    }
                });
            }
            Effect::StartContainer(task) => {
                let Work::Container(making) = &self.work else {
                    return say("a command executor makes no containers");
                };
                let (making, happened) = (making.clone(), self.happened.clone());
                self.tasks.spawn(async move {
                    match making.start(&task).await {
                        Ok(running) => {
                            let target = Target::of(making.container(), &running);
                            let told = Box::new(running.told(&task));
                            tell(&happened, Happened::ContainerStarted(target, told)).await;
                            let exit = running.ended().await;
                            tell(&happened, Happened::Event(Event::Ended(exit))).await;
                        }
                        Err(why) => tell(&happened, Happened::Event(Event::NotStarted(why))).await,
                    }
                });
            }
            Effect::Signal(signal) => self.signal(signal),
            Effect::Check(check) => {
                let (happened, target) = (self.happened.clone(), self.target.clone());
                let has_root = self.work.has_root();
                self.tasks.spawn(async move {
                    let result = match target {
                        Some(Target::Container { container, pid, host_network, .. }) => {
                            docker::check(*check, container, pid.filter(|_| !host_network)).await
                        }
                        Some(Target::Session(task)) => checks::check(&check, &place(has_root, task)).await,
                        None => checks::check(&check, &Place::Here).await,
                    };
                    tell(&happened, Happened::Event(Event::Checked(result))).await;
                });
            }
            Effect::HealthCheck(check) => {
                let (happened, target) = (self.happened.clone(), self.target.clone());
                let has_root = self.work.has_root();
                self.tasks.spawn(async move {
                    let result = match target {
                        Some(Target::Container { container, pid, host_network, .. }) => {
                            docker::health_check(*check, container, pid.filter(|_| !host_network)).await
                        }
                        Some(Target::Session(task)) => {
                            checks::health_check(&check, &place(has_root, task)).await
                        }
                        None => checks::health_check(&check, &Place::Here).await,
                    };
                    tell(&happened, Happened::Event(Event::HealthChecked(result))).await;
                });
            }
            Effect::Log(line) => say(&line),
            Effect::Exit(code) => self.exit = Some(code),
        }
    }
}

impl Reactor {
    fn signal(&mut self, signal: Signal) {
        match self.target.clone() {
            Some(Target::Session(leader)) => {
                let signal = match signal {
                    Signal::Terminate => rustix::process::Signal::TERM,
                    Signal::Kill => rustix::process::Signal::KILL,
                };
                containerizer::signal_session(leader, signal);
            }
            Some(Target::Container { container, pid, stop_signal, .. }) => drop(match signal {
                Signal::Terminate => self.tasks.spawn(async move { container.ask_to_end(stop_signal).await }),
                Signal::Kill => self.tasks.spawn(async move { container.kill(pid).await }),
            }),
            None => {}
        }
    }
}

impl Target {
    fn of(container: &docker::Container, running: &docker::Running) -> Self {
        Self::Container {
            container: container.clone(),
            pid: running.inspected.pid,
            host_network: running.inspected.host_network,
            stop_signal: running.inspected.stop_signal.clone(),
        }
    }
}

/// Reports to the reactor. It is gone only when the executor is.
async fn tell(happened: &Sender<Happened>, what: Happened) {
    let _ = happened.send(what).await;
}
