//! The loop around the executor's two machines: what happens goes in, effects are carried out in order.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client_core::executor as session;
use executor_core::{CommandExecutor, Effect, Event, Options, Signal};
use http::{Api, Link, Report};
use machine::{Instant, Machine, Now, WallTime};
use prost::Message as _;
use proto::mesos::v1::executor;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::settings::Settings;
use crate::{checks, command, say};

/// How long updates that were just posted may take to leave before the process does.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs the executor to its end and returns its exit status.
pub(crate) async fn run(settings: Settings) -> u8 {
    let (mut reactor, mut reports, mut happened) = Reactor::new(settings);
    reactor.carry_out();
    loop {
        if let Some(code) = reactor.exit {
            reactor.farewell(&mut reports).await;
            return code;
        }
        let timeout = reactor.next_timeout();
        tokio::select! {
            Some(report) = reports.recv() => reactor.on_report(report),
            Some(what) = happened.recv() => reactor.on_happened(what),
            () = sleep_until(timeout) => {
                let now = reactor.now();
                reactor.session.handle_timeout(now, &mut reactor.session_effects);
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
    began: tokio::time::Instant,
    session: session::Session,
    session_effects: Vec<session::Effect>,
    executor: CommandExecutor,
    effects: Vec<Effect>,
    link: Link,
    /// Waits for the command and performs checks; what they find goes to `happened`.
    tasks: JoinSet<()>,
    happened: Sender<Happened>,
    /// The leader of the command's session, while it runs.
    command: Option<u32>,
    exit: Option<u8>,
}

impl Reactor {
    fn new(settings: Settings) -> (Self, Receiver<Report>, Receiver<Happened>) {
        let seed = RandomState::new().hash_one(std::process::id());
        let options = Options {
            executor_id: settings.executor_id.clone(),
            shutdown_grace: settings.shutdown_grace,
            seed,
        };
        let session_options = session::Options {
            framework_id: settings.framework_id.clone(),
            executor_id: settings.executor_id.clone(),
            recovery_timeout: settings.recovery_timeout,
            backoff_max: settings.backoff_max,
            seed: !seed,
        };
        let began = tokio::time::Instant::now();
        let mut session_effects = Vec::new();
        let session = session::Session::new(session_options, wall_now(began), &mut session_effects);
        let token = settings.token.map(|token| ("authorization", format!("Bearer {token}")));
        let (link, reports) = Link::new(Api {
            address: settings.agent,
            path: settings.path,
            media_type: "application/x-protobuf",
            headers: token.into_iter().collect(),
        });
        let (sender, happened) = channel(16);
        let reactor = Self {
            began,
            session,
            session_effects,
            executor: CommandExecutor::new(options),
            effects: Vec::new(),
            link,
            tasks: JoinSet::new(),
            happened: sender,
            command: None,
            exit: None,
        };
        (reactor, reports, happened)
    }

    fn now(&self) -> Now {
        wall_now(self.began)
    }

    fn next_timeout(&self) -> Option<tokio::time::Instant> {
        let next = [self.session.poll_timeout(), self.executor.poll_timeout()].into_iter().flatten().min()?;
        Some(self.began + Duration::from_nanos(next.as_nanos()))
    }

    fn on_report(&mut self, report: Report) {
        let event = match report {
            Report::Opened(stream, _) if self.link.is_current(stream) => session::Event::Opened,
            Report::Record(stream, record) if self.link.is_current(stream) => {
                match executor::Event::decode(record) {
                    Ok(event) => session::Event::Received(Box::new(event)),
                    Err(error) => self.broken(format!("the agent sent what is no event: {error}")),
                }
            }
            Report::Closed(stream, why) if self.link.is_current(stream) => {
                self.broken(format!("disconnected from the agent: {why}"))
            }
            Report::Opened(..) | Report::Record(..) | Report::Closed(..) => return,
            Report::CallFailed(why) => {
                say(&format!("a call did not reach the agent: {why}"));
                session::Event::CallFailed
            }
            // Sent again it would be refused again.
            Report::CallRefused(why) => {
                say(&format!("the agent refused a call: {why}"));
                return;
            }
        };
        let now = self.now();
        self.session.handle_event(now, event, &mut self.session_effects);
    }

    fn broken(&mut self, why: String) -> session::Event {
        say(&why);
        self.link.unsubscribe();
        session::Event::Closed(why)
    }

    fn on_happened(&mut self, what: Happened) {
        let event = match what {
            Happened::Started(leader) => {
                self.command = Some(leader);
                Event::Started
            }
            Happened::Event(event) => event,
        };
        let now = self.now();
        self.executor.handle_event(now, event, &mut self.effects);
    }

    /// Carries out the effects of both machines until neither wants more.
    fn carry_out(&mut self) {
        while !self.session_effects.is_empty() || !self.effects.is_empty() {
            let now = self.now();
            for effect in std::mem::take(&mut self.session_effects) {
                match effect {
                    session::Effect::Subscribe(call) => self.link.subscribe(call.encode_to_vec().into()),
                    session::Effect::Post(call) => {
                        if !self.link.post(call.encode_to_vec().into(), Vec::new()) {
                            say("too many calls wait for the agent; one is left to the next subscription");
                        }
                    }
                    session::Effect::Deliver(event) => {
                        self.executor.handle_event(now, Event::Api(event), &mut self.effects);
                    }
                    session::Effect::Lost(why) => {
                        say(&why);
                        self.executor.handle_event(now, Event::AgentLost, &mut self.effects);
                    }
                }
            }
            for effect in std::mem::take(&mut self.effects) {
                self.carry_out_one(now, effect);
            }
        }
    }

    fn carry_out_one(&mut self, now: Now, effect: Effect) {
        match effect {
            Effect::Update(status) => {
                let event = session::Event::Update(status);
                self.session.handle_event(now, event, &mut self.session_effects);
            }
            Effect::Start(start) => {
                let happened = self.happened.clone();
                self.tasks.spawn(async move {
                    match command::start(&start).await {
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
                    let result = checks::check(&check).await;
                    tell(&happened, Happened::Event(Event::Checked(result))).await;
                });
            }
            Effect::HealthCheck(check) => {
                let happened = self.happened.clone();
                self.tasks.spawn(async move {
                    let result = checks::health_check(&check).await;
                    tell(&happened, Happened::Event(Event::HealthChecked(result))).await;
                });
            }
            Effect::Log(line) => say(&line),
            Effect::Exit(code) => self.exit = Some(code),
        }
    }

    /// Gives the last call a moment to leave.
    async fn farewell(&mut self, reports: &mut Receiver<Report>) {
        if self.session.unacknowledged() > 0 {
            let _ = tokio::time::timeout(FAREWELL, reports.recv()).await;
        }
        self.link.unsubscribe();
        self.tasks.shutdown().await;
    }
}

/// Reports to the reactor. It is gone only when the executor is.
async fn tell(happened: &Sender<Happened>, what: Happened) {
    let _ = happened.send(what).await;
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn wall_now(began: tokio::time::Instant) -> Now {
    let mono = Instant::ZERO + began.elapsed();
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono, wall: WallTime::from_nanos(i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)) }
}
