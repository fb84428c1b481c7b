//! `mesos execute`: runs one task or task group, shows its output and exits with its status.

mod container;
mod flags;
mod networks;
mod plan;
mod scheduler;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use client_core::scheduler as session;
use http::{Api, Link, Report};
use machine::{Instant, Machine, Now, WallTime};
use prost::Message as _;
use proto::json::{self, Names};
use proto::mesos::v1::scheduler::{Call, Event, call};
use proto::mesos::v1::{Offer, TaskStatus};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Receiver;
use tokio::time;

use self::flags::ExecuteFlags;
use self::plan::Plan;
use self::scheduler::{Scheduler, Step, exit_code};
use crate::api::Operator;
use crate::daemons;
use crate::leader::Leader;
use crate::local::LocalCluster;
use crate::sandbox::SandboxFile;
use crate::say;

/// How often the task's output is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// How long the last call, which ends the framework, may take.
const TEARDOWN_MAX: Duration = Duration::from_secs(5);

/// Runs the command with these arguments.
pub(crate) fn main(program: &str, arguments: Vec<String>) -> anyhow::Result<ExitCode> {
    let mut flags = ExecuteFlags::default();
    if let Some(code) = daemons::load(program, arguments, &mut [&mut flags])? {
        return Ok(code);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(execute(&flags))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::from(code))
}

async fn execute(flags: &ExecuteFlags) -> anyhow::Result<u8> {
    let plan = Plan::new(flags, &containerizer::users::current())?;
    let (cluster, master) = match (&flags.master, flags.local) {
        (Some(_), true) => bail!("--local brings its own master: leave --master out"),
        (Some(master), false) => (None, master.clone()),
        (None, true) => {
            let cluster = LocalCluster::for_one_task().await?;
            let address = cluster.master().to_string();
            (Some(cluster), address)
        }
        (None, false) => bail!("which cluster? Set --master=HOST:PORT, or --local for one of its own"),
    };
    let json = flags.content_type == "json";
    let leader = Leader::find(&master).await?;
    let code = Execution::new(plan, leader, json, flags).run().await;
    if let Some(cluster) = cluster {
        cluster.shutdown().await;
    }
    code
}

/// One run of `mesos execute`: the loop around the session and the scheduler.
struct Execution {
    began: time::Instant,
    session: session::Session,
    session_effects: Vec<session::Effect>,
    scheduler: Scheduler,
    leader: Leader,
    link: Link,
    reports: Receiver<Report>,
    json: bool,
    kill_after: Option<Duration>,
    kill_at: Option<time::Instant>,
    follow: bool,
    outputs: Vec<Output>,
    over: Option<Box<TaskStatus>>,
    failed: Option<String>,
}

/// The task's output on its way to the terminal.
struct Output {
    agent: Operator,
    stdout: SandboxFile,
    stderr: SandboxFile,
}

impl Execution {
    fn new(plan: Plan, leader: Leader, json: bool, flags: &ExecuteFlags) -> Self {
        let began = time::Instant::now();
        let mut session_effects = Vec::new();
        let seed = RandomState::new().hash_one(std::process::id());
        let session = session::Session::new(plan.framework.clone(), seed, &mut session_effects);
        let (link, reports) = Link::new(Api {
            address: leader.address().to_owned(),
            path: "/api/v1/scheduler".to_owned(),
            media_type: if json { "application/json" } else { "application/x-protobuf" },
            headers: Vec::new(),
        });
        Self {
            began,
            session,
            session_effects,
            scheduler: Scheduler::new(plan),
            leader,
            link,
            reports,
            json,
            kill_after: flags.kill_after.map(::flags::Duration::to_std),
            kill_at: None,
            follow: flags.follow,
            outputs: Vec::new(),
            over: None,
            failed: None,
        }
    }

    async fn run(mut self) -> anyhow::Result<u8> {
        self.carry_out();
        let mut follow = time::interval(FOLLOW_INTERVAL);
        follow.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        loop {
            if let Some(why) = self.failed.take() {
                bail!("the master refused: {why}");
            }
            if let Some(status) = self.over.take() {
                self.show_output().await;
                self.tear_down().await;
                return Ok(exit_code(&status));
            }
            let timeout = self.session.poll_timeout().map(|at| self.began + (at - Instant::ZERO));
            tokio::select! {
                Some(report) = self.reports.recv() => self.on_report(report),
                address = self.leader.changed() => self.on_leader(address),
                () = sleep_until(timeout) => {
                    let now = self.now();
                    self.session.handle_timeout(now, &mut self.session_effects);
                }
                () = sleep_until(self.kill_at) => self.on_kill_time(),
                _ = follow.tick(), if !self.outputs.is_empty() => self.show_output().await,
                interrupted = tokio::signal::ctrl_c() => {
                    interrupted.context("cannot wait for an interrupt")?;
                    say("Interrupted: the task is killed with its framework");
                    self.tear_down().await;
                    return Ok(130);
                }
                _ = terminate.recv() => {
                    say("Told to end: the task is killed with its framework");
                    self.tear_down().await;
                    return Ok(143);
                }
            }
            self.carry_out();
        }
    }

    fn now(&self) -> Now {
        let mono = Instant::ZERO + self.began.elapsed();
        Now { mono, wall: WallTime::default() }
    }

    fn on_report(&mut self, report: Report) {
        let event = match report {
            Report::Opened(stream, headers) if self.link.is_current(stream) => {
                let id = headers.get("mesos-stream-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
                session::Event::Opened(id.to_owned())
            }
            Report::Record(stream, record) if self.link.is_current(stream) => match self.decode(record) {
                Ok(event) => session::Event::Received(Box::new(event)),
                Err(error) => self.broken(format!("the master sent what is no event: {error:#}")),
            },
            Report::Closed(stream, why) if self.link.is_current(stream) => {
                self.broken(format!("Not connected to the master: {why}"))
            }
            Report::Opened(..) | Report::Record(..) | Report::Closed(..) => return,
            Report::CallFailed(why) => self.broken(format!("A call did not reach the master: {why}")),
            Report::CallRefused(why) => {
                self.failed = Some(why);
                return;
            }
        };
        let now = self.now();
        self.session.handle_event(now, event, &mut self.session_effects);
    }

    /// Another master leads.
    fn on_leader(&mut self, address: String) {
        let why = format!("The master at {address} leads now");
        say(&why);
        self.link.turn_to(address);
        let now = self.now();
        self.session.handle_event(now, session::Event::Moved(why), &mut self.session_effects);
    }

    fn broken(&mut self, why: String) -> session::Event {
        say(&why);
        self.link.unsubscribe();
        session::Event::Closed(why)
    }

    fn on_kill_time(&mut self) {
        self.kill_at = None;
        say("Killing the task: --kill_after is over");
        for kill in self.scheduler.kill() {
            self.call(Box::new(kill));
        }
    }

    fn call(&mut self, call: Box<Call>) {
        let now = self.now();
        self.session.handle_event(now, session::Event::Call(call), &mut self.session_effects);
    }

    fn carry_out(&mut self) {
        while !self.session_effects.is_empty() {
            for effect in std::mem::take(&mut self.session_effects) {
                match effect {
                    session::Effect::Subscribe(call) => self.link.subscribe(self.encode(&call)),
                    session::Effect::Post { call, stream_id } => {
                        let headers = vec![("mesos-stream-id", stream_id)];
                        if !self.link.post(self.encode(&call), headers) {
                            self.failed = Some("too many calls wait for the master".to_owned());
                        }
                    }
                    session::Effect::Deliver(event) => self.deliver(*event),
                    session::Effect::Disconnected(_) => {}
                    session::Effect::Failed(why) => self.failed = Some(why),
                }
            }
        }
    }

    fn deliver(&mut self, event: Event) {
        let mut steps = Vec::new();
        self.scheduler.handle(event, &mut steps);
        for step in steps {
            match step {
                Step::Call(call) => self.call(call),
                Step::Say(line) => say(&line),
                Step::Launched(offer) => self.on_launched(&offer),
                Step::Over(status) => self.over = Some(status),
            }
        }
    }

    fn on_launched(&mut self, offer: &Offer) {
        self.kill_at = self.kill_after.map(|after| time::Instant::now() + after);
        let framework = self.session.framework_id().map(|id| id.to_string()).unwrap_or_default();
        let Some(address) = agent_address(offer).filter(|_| self.follow) else { return };
        let (executor, places) = self.scheduler.outputs();
        let output = |place: String| Output {
            agent: Operator::new(&address),
            stdout: SandboxFile::new(&framework, executor, &format!("{place}stdout")),
            stderr: SandboxFile::new(&framework, executor, &format!("{place}stderr")),
        };
        self.outputs = places.into_iter().map(output).collect();
    }

    /// Copies the task's new output. Trouble is told once and ends the copying, not the task.
    async fn show_output(&mut self) {
        let outputs = &mut self.outputs;
        let copied = async {
            for output in outputs {
                output.stdout.copy_new(&mut output.agent, &mut io::stdout()).await?;
                output.stderr.copy_new(&mut output.agent, &mut io::stderr()).await?;
            }
            anyhow::Ok(())
        };
        if let Err(error) = copied.await {
            say(&format!("The task's output cannot be shown: {error:#}"));
            self.outputs.clear();
        }
    }

    /// Ends the framework, so that the master keeps nothing of it running.
    async fn tear_down(&mut self) {
        let teardown = Call { r#type: Some(call::Type::Teardown.into()), ..Default::default() };
        self.call(Box::new(teardown));
        self.carry_out();
        // The master closes the stream when the framework is gone.
        let closed = async {
            while let Some(report) = self.reports.recv().await {
                if matches!(report, Report::Closed(..) | Report::CallFailed(_) | Report::CallRefused(_)) {
                    break;
                }
            }
        };
        let _ = time::timeout(TEARDOWN_MAX, closed).await;
    }

    fn encode(&self, call: &Call) -> Bytes {
        if self.json { json::to_vec(call, Names::V1).into() } else { call.encode_to_vec().into() }
    }

    fn decode(&self, record: Bytes) -> anyhow::Result<Event> {
        if self.json { Ok(json::from_slice(&record)?) } else { Ok(Event::decode(record)?) }
    }
}

/// Where the agent of an offer listens.
fn agent_address(offer: &Offer) -> Option<String> {
    let address = &offer.url.as_ref()?.address;
    Some(format!("{}:{}", address.ip.as_deref().or(address.hostname.as_deref())?, address.port))
}

async fn sleep_until(at: Option<time::Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
