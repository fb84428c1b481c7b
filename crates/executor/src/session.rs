//! The session with the agent over HTTP: the core of it, its connections, and the clock that both executors go by.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client_core::executor as core;
use fail_point::fail_point;
use http::{Api, Link, Report};
use machine::{Instant, Machine as _, Now, WallTime};
use prost::Message as _;
use proto::mesos::v1::{TaskStatus, executor};
use tokio::sync::mpsc::Receiver;

use crate::say;
use crate::settings::Settings;

/// How long updates that were just posted may take to leave before the process does.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the agent says, or that it is gone.
pub(crate) enum Heard {
    /// An event.
    Event(Box<executor::Event>),
    /// It will not come back.
    Lost,
}

/// The session.
pub(crate) struct Session {
    began: tokio::time::Instant,
    core: core::Session,
    effects: Vec<core::Effect>,
    link: Link,
}

impl Session {
    /// A session that connects once its effects are [taken](Self::take).
    pub(crate) fn new(settings: &Settings, seed: u64) -> (Self, Receiver<Report>) {
        let options = core::Options {
            framework_id: settings.framework_id.clone(),
            executor_id: settings.executor_id.clone(),
            recovery_timeout: settings.recovery_timeout,
            backoff_max: settings.backoff_max,
            seed,
        };
        let began = tokio::time::Instant::now();
        let mut effects = Vec::new();
        let core = core::Session::new(options, wall_now(began), &mut effects);
        let (link, reports) = Link::new(Api {
            address: settings.agent.clone(),
            path: format!("{}/executor", settings.path),
            media_type: "application/x-protobuf",
            headers: settings.headers(),
        });
        (Self { began, core, effects, link }, reports)
    }

    pub(crate) fn now(&self) -> Now {
        wall_now(self.began)
    }

    /// When something is due next, here or, by its clock, elsewhere.
    pub(crate) fn next_timeout(&self, elsewhere: Option<Instant>) -> Option<tokio::time::Instant> {
        let next = [self.core.poll_timeout(), elsewhere].into_iter().flatten().min()?;
        Some(self.began + Duration::from_nanos(next.as_nanos()))
    }

    pub(crate) fn handle_timeout(&mut self) {
        let now = self.now();
        self.core.handle_timeout(now, &mut self.effects);
    }

    /// Takes what the link reports. True where the agent cannot be heard any more.
    pub(crate) fn on_report(&mut self, report: Report) -> bool {
        let event = match report {
            Report::Opened(stream, _) if self.link.is_current(stream) => core::Event::Opened,
            Report::Record(stream, record) if self.link.is_current(stream) => {
                match executor::Event::decode(record) {
                    Ok(event) => core::Event::Received(Box::new(event)),
                    Err(error) => self.broken(format!("the agent sent what is no event: {error}")),
                }
            }
            Report::Closed(stream, why) if self.link.is_current(stream) => {
                self.broken(format!("disconnected from the agent: {why}"))
            }
            Report::Opened(..) | Report::Record(..) | Report::Closed(..) => return false,
            Report::CallFailed(why) => {
                say(&format!("a call did not reach the agent: {why}"));
                core::Event::CallFailed
            }
            // Sent again it would be refused again.
            Report::CallRefused(why) => {
                say(&format!("the agent refused a call: {why}"));
                return false;
            }
        };
        let closed = matches!(event, core::Event::Closed(_));
        let now = self.now();
        self.core.handle_event(now, event, &mut self.effects);
        closed
    }

    fn broken(&mut self, why: String) -> core::Event {
        say(&why);
        self.link.unsubscribe();
        core::Event::Closed(why)
    }

    /// Reports on a task until the agent has acknowledged it.
    pub(crate) fn update(&mut self, status: Box<TaskStatus>) {
        let now = self.now();
        self.core.handle_event(now, core::Event::Update(status), &mut self.effects);
    }

    /// Sends what is to be sent. Returns what was heard meanwhile.
    pub(crate) fn take(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                core::Effect::Subscribe(call) => {
                    fail_point("executor.subscribing");
                    self.link.subscribe(call.encode_to_vec().into());
                }
                core::Effect::Post(call) => {
                    fail_point("executor.updating");
                    if !self.link.post(call.encode_to_vec().into(), Vec::new()) {
                        say("too many calls wait for the agent; one is left to the next subscription");
                    }
                }
                core::Effect::Deliver(event) => heard.push(Heard::Event(event)),
                core::Effect::Lost(why) => {
                    say(&why);
                    heard.push(Heard::Lost);
                }
            }
        }
        heard
    }

    /// Whether there is nothing to be taken.
    pub(crate) fn is_quiet(&self) -> bool {
        self.effects.is_empty()
    }

    /// Gives the last call a moment to leave.
    pub(crate) async fn farewell(&mut self, reports: &mut Receiver<Report>) {
        if self.core.unacknowledged() > 0 {
            let _ = tokio::time::timeout(FAREWELL, reports.recv()).await;
        }
        self.link.unsubscribe();
    }
}

/// Waits until then; forever without a time.
pub(crate) async fn sleep_until(at: Option<tokio::time::Instant>) {
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
