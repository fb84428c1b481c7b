//! The one task around the core: events in, step, effects out.
//!
//! ```text
//! handlers, peers, containers, timers -> bounded queue -> [ step -> effects ]* -> replies, streams, peers, disk
//! ```
//!
//! It waits for the queue, the clock and, between two effects, for the disk: what must be durable is, before anyone is
//! told. What a socket does not take at once is its writer's business.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_core::{
    Agent, Effect, Event, Level, Outgoing, Record, Reply, RequestId, Sandbox, Status, StreamId, View,
    VolumeDirectory, VolumeMount,
};
use anyhow::{Context as _, anyhow, bail};
use daemon::Files;
use daemon::clock::Clock;
use fail_point::fail_point;
use http::{Codec, StreamSender};
use machine::Machine as _;
use proto::mesos::v1::Resource;
use proto::mesos::v1::agent::Response;
use tokio::sync::{mpsc, oneshot};
use types::ContainerId;

use crate::checkpoint;
use crate::composing::Containerizer;
use crate::detector::Detector;
use crate::launching;
use crate::peers::Peers;
use crate::sandboxes;
use crate::stats::Stats;
use crate::streams::{Gone, Streams, Verdict};
use crate::volumes;

/// Inputs that wait for the core before those who send them must wait too.
pub(crate) const QUEUE_MAX: usize = 4096;

/// Inputs taken per wake-up, so that timers are looked at now and then.
const BATCH_MAX: usize = 128;

/// A step that takes longer is worth a line in the log.
const STEP_SLOW: Duration = Duration::from_millis(20);

/// How long last words may take to go out.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the rest of the shell hands to the core's task.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something happened that nobody waits for.
    Event(Event),
    /// A call that waits for its reply.
    Call {
        /// Its number, which is also in the event.
        request: RequestId,
        /// The call.
        event: Event,
        /// Where the reply goes.
        answer: oneshot::Sender<Outcome>,
    },
    /// An executor subscribes.
    Subscribe {
        /// The stream's number, which is also in the event.
        stream: StreamId,
        /// How its events are written.
        codec: Codec,
        /// Its writing half.
        sender: StreamSender,
        /// The call.
        event: Event,
        /// Where the verdict goes.
        answer: Verdict,
    },
    /// Someone wants to see the state.
    Read(oneshot::Sender<Arc<View>>),
}

/// What a call is answered with.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A status, and perhaps why.
    Reply(Reply),
    /// 200 and a message.
    Answer(Box<Response>),
}

/// The core's task.
pub(crate) struct Reactor {
    /// The core.
    pub(crate) core: Agent,
    /// What it is told of time.
    pub(crate) clock: Clock,
    /// Where its inputs come from.
    pub(crate) inputs: mpsc::Receiver<Input>,
    /// The way to the libprocess peers.
    pub(crate) peers: Peers,
    /// Who leads.
    pub(crate) detector: Detector,
    /// Runs containers.
    pub(crate) containerizer: Containerizer,
    /// Shows sandboxes.
    pub(crate) files: Files,
    /// What the shell counts.
    pub(crate) stats: Arc<Stats>,
    /// The directory of everything that is kept.
    pub(crate) work_dir: String,
}

/// What the loop keeps between its rounds.
#[derive(Default)]
struct Round {
    streams: Streams,
    pending: HashMap<RequestId, oneshot::Sender<Outcome>>,
    readers: Vec<oneshot::Sender<Arc<View>>>,
    /// Events that came out of effects, ahead of anything in the queue.
    follow_ups: VecDeque<Event>,
    /// Sandboxes that could not be made, by path, until the launch that needs them.
    broken: BTreeMap<String, String>,
    effects: Vec<Effect>,
}

impl Round {
    fn answer(&mut self, request: RequestId, outcome: Outcome) {
        if let Some(answer) = self.pending.remove(&request) {
            // Nobody waits any more if the client is gone; its reply goes with it.
            let _ = answer.send(outcome);
        }
    }
}

/// Whether the loop goes on.
enum Flow {
    Continue,
    /// The core asked to end, and may say why that is a failure.
    End(Option<String>),
}

impl Reactor {
    /// Runs until every sender of inputs is gone, `stop` completes, or the core ends it.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) -> anyhow::Result<()> {
        let mut round = Round::default();
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let due = self.core.poll_timeout().map(|instant| self.clock.deadline(instant));
            let sleep = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now));
            tokio::select! {
                biased;
                _ = &mut stop => return Ok(()),
                taken = self.inputs.recv_many(&mut batch, BATCH_MAX) => {
                    if taken == 0 {
                        return Ok(());
                    }
                }
                () = sleep, if due.is_some() => {}
            }
            for input in batch.drain(..) {
                if let Flow::End(failure) = self.take(&mut round, input).await? {
                    return self.farewell(failure).await;
                }
            }
            if let Flow::End(failure) = self.turn(&mut round).await? {
                return self.farewell(failure).await;
            }
            self.answer_readers(&mut round);
        }
    }

    async fn farewell(&self, failure: Option<String>) -> anyhow::Result<()> {
        // What does not go out in time is lost, as it is on a broken line.
        let _ = tokio::time::timeout(FAREWELL, self.peers.drain()).await;
        match failure {
            Some(message) => bail!(message),
            None => Ok(()),
        }
    }

    async fn take(&mut self, round: &mut Round, input: Input) -> anyhow::Result<Flow> {
        match input {
            Input::Event(event) => {
                if let Event::StreamClosed(stream) = event {
                    round.streams.remove(stream);
                }
                self.step(round, event).await
            }
            Input::Call { request, event, answer } => {
                round.pending.insert(request, answer);
                self.step(round, event).await
            }
            Input::Subscribe { stream, codec, sender, event, answer } => {
                round.streams.add(stream, codec, sender, answer);
                self.step(round, event).await
            }
            Input::Read(reader) => {
                round.readers.push(reader);
                Ok(Flow::Continue)
            }
        }
    }

    /// One event and everything that follows from it at once.
    async fn step(&mut self, round: &mut Round, event: Event) -> anyhow::Result<Flow> {
        let mut next = Some(event);
        while let Some(event) = next {
            let name = event_name(&event);
            let began = Instant::now();
            self.core.handle_event(self.clock.now(), event, &mut round.effects);
            report_slow(name, began.elapsed());
            if let Flow::End(failure) = self.carry_out(round).await? {
                return Ok(Flow::End(failure));
            }
            if name == RECOVERED {
                fail_point("recovery.agent_recovered");
            }
            next = round.follow_ups.pop_front();
        }
        Ok(Flow::Continue)
    }

    /// Does what is due by the clock.
    async fn turn(&mut self, round: &mut Round) -> anyhow::Result<Flow> {
        let now = self.clock.now();
        if self.core.poll_timeout().is_none_or(|due| due > now.mono) {
            return Ok(Flow::Continue);
        }
        let began = Instant::now();
        self.core.handle_timeout(now, &mut round.effects);
        report_slow("timeout", began.elapsed());
        if let Flow::End(failure) = self.carry_out(round).await? {
            return Ok(Flow::End(failure));
        }
        match round.follow_ups.pop_front() {
            Some(event) => self.step(round, event).await,
            None => Ok(Flow::Continue),
        }
    }

    /// Runs the effects of one step, in their order.
    async fn carry_out(&mut self, round: &mut Round) -> anyhow::Result<Flow> {
        let mut effects = std::mem::take(&mut round.effects).into_iter().peekable();
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Checkpoint(record) => {
                    let mut records = vec![record];
                    while let Some(Effect::Checkpoint(record)) =
                        effects.next_if(|effect| matches!(effect, Effect::Checkpoint(_)))
                    {
                        records.push(record);
                    }
                    self.checkpoint(records).await?;
                }
                Effect::SyncVolumes { create, remove } => self.sync_volumes(create, remove).await?,
                Effect::UpdateContainer { container, resources, limits, volumes } => {
                    self.update_container(round, container, resources, limits, volumes).await?;
                }
                Effect::CreateSandbox(sandbox) => self.create_sandbox(round, sandbox).await?,
                Effect::CreateNestedSandbox { path, user } => {
                    let making = path.clone();
                    let made = tokio::task::spawn_blocking(move || {
                        containerizer::create_nested_sandbox(Path::new(&making), user.as_deref())
                    });
                    if let Err(message) = made.await.context("Making a sandbox panicked")? {
                        round.broken.insert(path, message);
                    }
                }
                Effect::Exit { failure, message } => {
                    tracing::info!(failure, "the agent ends: {message}");
                    return Ok(Flow::End(failure.then_some(message)));
                }
                other => self.carry_out_one(round, other),
            }
        }
        Ok(Flow::Continue)
    }

    /// The effects that nobody waits for.
    fn carry_out_one(&mut self, round: &mut Round, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                let is_update = matches!(message, Outgoing::StatusUpdate(_));
                between(is_update, "update.forwarding", "update.forwarded", || {
                    self.peers.send(&to, &message)
                });
            }
            Effect::Link { pid, reconnect } => self.peers.link(&pid, reconnect),
            Effect::Redetect => round.follow_ups.push_back(self.detector.event()),
            Effect::Reply { request, reply } => round.answer(request, Outcome::Reply(reply)),
            Effect::Answer { request, answer } => round.answer(request, Outcome::Answer(answer)),
            Effect::OpenStream { stream } => {
                closed(round.streams.accept(stream), stream, &mut round.follow_ups)
            }
            Effect::RefuseStream { stream, reply } => round.streams.refuse(stream, reply),
            Effect::ExecutorEvent { stream, event } => {
                let acknowledges = event.r#type() == proto::mesos::v1::executor::event::Type::Acknowledged;
                let streams = &mut round.streams;
                let send = || streams.send(stream, &event);
                let sent = between(acknowledges, "acknowledgement.before", "acknowledgement.after", send);
                closed(sent, stream, &mut round.follow_ups);
            }
            Effect::CloseStream { stream } => round.streams.remove(stream),
            Effect::AttachSandbox(sandbox) => sandboxes::attach(&self.files, &sandbox),
            Effect::Launch(spec) => {
                let broken = round.broken.remove(&spec.directory);
                let container = spec.container.clone();
                match broken.map_or_else(|| self.containerizer.launch(*spec), Err) {
                    Ok(()) => {}
                    Err(message) => round.follow_ups.push_back(Event::ContainerFailed { container, message }),
                }
            }
            Effect::LaunchContainer(spec) => {
                let broken = round.broken.remove(&spec.directory);
                let container = spec.container.clone();
                let spec = broken.map_or_else(|| launching::container(*spec), Err);
                match spec.and_then(|spec| self.containerizer.launch_by_name(spec)) {
                    Ok(()) => {}
                    Err(message) => round.follow_ups.push_back(Event::ContainerFailed { container, message }),
                }
            }
            Effect::Signal { container, signal } => self.containerizer.signal(&container, signal),
            Effect::RemoveContainer { request, container, directory } => {
                let answer = round.pending.remove(&request);
                let containerizer = self.containerizer.clone();
                drop(tokio::task::spawn_blocking(move || {
                    let reply = match containerizer.remove(&container, Path::new(&directory)) {
                        Ok(()) => Reply::ok(),
                        Err(text) => Reply { status: Status::InternalServerError, text },
                    };
                    // Nobody waits any more if the client is gone.
                    answer.map(|answer| answer.send(Outcome::Reply(reply)))
                }));
            }
            Effect::Adopt { container, pid, directory, ran_by } => {
                self.containerizer.adopt(container, pid, directory, ran_by);
            }
            Effect::Destroy { container } => {
                if !self.containerizer.destroy(&container) {
                    tracing::debug!(%container, "a container to be destroyed is gone already");
                }
            }
            Effect::RemovePath { path } => sandboxes::remove(&self.files, &self.stats, path),
            Effect::Log { level: Level::Info, text } => tracing::info!("{text}"),
            Effect::Log { level: Level::Warning, text } => tracing::warn!("{text}"),
            Effect::Checkpoint(_)
            | Effect::SyncVolumes { .. }
            | Effect::UpdateContainer { .. }
            | Effect::CreateSandbox(_)
            | Effect::CreateNestedSandbox { .. }
            | Effect::Exit { .. } => {
                unreachable!("these are waited for")
            }
        }
    }

    /// Makes records durable, on a thread that may block.
    async fn checkpoint(&self, records: Vec<Record>) -> anyhow::Result<()> {
        let work_dir = self.work_dir.clone();
        let writing = tokio::task::spawn_blocking(move || checkpoint::write_all(&work_dir, &records));
        let written = writing.await.context("Writing a checkpoint panicked")?;
        written.map_err(|(path, error)| {
            anyhow!(error).context(format!("Failed to checkpoint '{}'", path.display()))
        })
    }

    /// Makes and deletes directories of volumes, on a thread that may block.
    async fn sync_volumes(
        &self,
        create: Vec<VolumeDirectory>,
        remove: Vec<VolumeDirectory>,
    ) -> anyhow::Result<()> {
        let containerizer = self.containerizer.clone();
        let syncing = tokio::task::spawn_blocking(move || {
            volumes::sync(&create, &remove)?;
            remove.iter().try_for_each(|gone| containerizer.release_volume_gid(Path::new(&gone.path)))
        });
        let synced = syncing.await.context("Making volumes panicked")?;
        synced.map_err(|why| anyhow!("Failed to sync checkpointed resources: {why}"))
    }

    async fn update_container(
        &self,
        round: &mut Round,
        container: ContainerId,
        resources: Vec<Resource>,
        limits: containerizer::Limits,
        volumes: Vec<VolumeMount>,
    ) -> anyhow::Result<()> {
        let volumes = launching::volumes(volumes);
        let updated = if self.containerizer.shows(&container, &volumes) {
            self.containerizer.update(&container, resources, limits, volumes)
        } else {
            let (containerizer, id) = (self.containerizer.clone(), container.clone());
            let updating =
                tokio::task::spawn_blocking(move || containerizer.update(&id, resources, limits, volumes));
            updating.await.context("Linking volumes panicked")?
        };
        if let Err(message) = updated {
            round.follow_ups.push_back(Event::ContainerUpdateFailed { container, message });
        }
        Ok(())
    }

    async fn create_sandbox(&self, round: &mut Round, sandbox: Sandbox) -> anyhow::Result<()> {
        let files = self.files.clone();
        let path = sandbox.path.clone();
        let making = tokio::task::spawn_blocking(move || {
            sandboxes::create(&sandbox).inspect(|()| sandboxes::attach(&files, &sandbox))
        });
        if let Err(message) = making.await.context("Making a sandbox panicked")? {
            round.broken.insert(path, message);
        }
        Ok(())
    }

    /// One view for all readers of this round.
    fn answer_readers(&mut self, round: &mut Round) {
        if round.readers.is_empty() {
            return;
        }
        let view = Arc::new(self.core.view());
        for reader in round.readers.drain(..) {
            // A reader that is gone needs no view.
            let _ = reader.send(Arc::clone(&view));
        }
    }
}

/// Does something between two fail points, where it is what they are about.
fn between<T>(counts: bool, before: &str, after: &str, act: impl FnOnce() -> T) -> T {
    if counts {
        fail_point(before);
    }
    let done = act();
    if counts {
        fail_point(after);
    }
    done
}

fn closed(sent: Result<(), Gone>, stream: StreamId, follow_ups: &mut VecDeque<Event>) {
    if sent == Err(Gone) {
        follow_ups.push_back(Event::StreamClosed(stream));
    }
}

fn report_slow(name: &str, took: Duration) {
    if took > STEP_SLOW {
        tracing::warn!(event = name, ?took, "a step of the agent took long");
    }
}

/// The name of the first step of an agent that has a past.
const RECOVERED: &str = "recovered";

/// What a slow step is called in the log.
fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Recovered(_) => RECOVERED,
        Event::MasterDetected(_) => "master detected",
        Event::Message { message, .. } => message.name(),
        Event::ExecutorSubscribe { .. } => "executor subscribe",
        Event::ExecutorCall { call, .. } => call.r#type().as_str_name(),
        Event::ContainerCall { call, .. } => call.r#type().as_str_name(),
        Event::StreamClosed(_) => "stream closed",
        Event::Exited(_) => "exited",
        Event::ContainerLaunched { .. } => "container launched",
        Event::ContainerFailed { .. } => "container failed",
        Event::ContainerExited { .. } => "container exited",
        Event::ContainerUpdateFailed { .. } => "container update failed",
        Event::DiskUsage { .. } => "disk usage",
        Event::Leave { .. } => "leave",
    }
}
