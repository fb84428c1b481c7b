//! The loop around the command executor's machine and its session: what happens goes in, effects are carried out in
//! order.

use std::hash::{BuildHasher, RandomState};

use executor_core::{CommandExecutor, Effect, Event, Options, Signal};
use http::Report;
use machine::Machine as _;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::session::{Heard, Session, sleep_until};
use crate::settings::Settings;
use crate::{checks, command, say};

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
    /// Anything else.
    Event(Event),
}

struct Reactor {
    session: Session,
    executor: CommandExecutor,
    effects: Vec<Effect>,
    /// Waits for the command and performs checks; what they find goes to `happened`.
    tasks: JoinSet<()>,
    happened: Sender<Happened>,
    /// The leader of the command's session, while it runs.
    command: Option<u32>,
    /// Whether this executor's output is a terminal, which is for the command.
    has_terminal: bool,
    exit: Option<u8>,
}

impl Reactor {
    fn new(settings: &Settings) -> (Self, Receiver<Report>, Receiver<Happened>) {
        let seed = RandomState::new().hash_one(std::process::id());
        let options = Options {
            executor_id: settings.executor_id.clone(),
            shutdown_grace: settings.shutdown_grace,
            seed,
        };
        let (session, reports) = Session::new(settings, !seed);
        let (sender, happened) = channel(16);
        let reactor = Self {
            session,
            executor: CommandExecutor::new(options),
            effects: Vec::new(),
            tasks: JoinSet::new(),
            happened: sender,
            command: None,
            has_terminal: settings.has_terminal,
            exit: None,
        };
        (reactor, reports, happened)
    }

    fn on_happened(&mut self, what: Happened) {
        let event = match what {
            Happened::Started(leader) => {
                self.command = Some(leader);
                Event::Started
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
                    Heard::Event(event) => Event::Api(event),
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
                let happened = self.happened.clone();
                let has_terminal = self.has_terminal;
                self.tasks.spawn(async move {
                    match command::start(&start, has_terminal).await {
                        Ok(running) => {
                            tell(&happened, Happened::Started(running.pid)).await;
                            let exit = running.ended().await;
                            tell(&happened, Happened::Event(Event::Ended(exit))).await;
                        }
                        Err(error) => {
                            let why = Event::NotStarted(format!("{error:#}"));
                            tell(&happened, Happened::Event(why)).await;
                        }
                    }
                });
            }
            Effect::Signal(signal) => {
                if let Some(leader) = self.command {
                    let signal = match signal {
                        Signal::Terminate => rustix::process::Signal::TERM,
                        Signal::Kill => rustix::process::Signal::KILL,
                    };
                    containerizer::signal_session(leader, signal);
                }
            }
            Effect::Check(check) => {
                let happened = self.happened.clone();
                self.tasks.spawn(async move {
                    let result = checks::check(&check, &checks::Place::Here).await;
                    tell(&happened, Happened::Event(Event::Checked(result))).await;
                });
            }
            Effect::HealthCheck(check) => {
                let happened = self.happened.clone();
                self.tasks.spawn(async move {
                    let result = checks::health_check(&check, &checks::Place::Here).await;
                    tell(&happened, Happened::Event(Event::HealthChecked(result))).await;
                });
            }
            Effect::Log(line) => say(&line),
            Effect::Exit(code) => self.exit = Some(code),
        }
    }
}

/// Reports to the reactor. It is gone only when the executor is.
async fn tell(happened: &Sender<Happened>, what: Happened) {
    let _ = happened.send(what).await;
}
