//! The one task around the core: events in, step, effects out.
//!
//! ```text
//! handlers, peers, timers -> bounded queue -> [ step -> effects ]*, turn -> replies, streams, peers, registry
//! ```
//!
//! Nothing here waits for anyone but the queue and the clock. What a socket does not take at once is its writer's
//! business, and a writer that is full costs its peer the connection.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use coordination::Standing;
use daemon::clock::Clock;
use machine::Machine as _;
use master_core::{Effect, Event, Master, Reply, RequestId, StreamId};
use proto::mesos::internal::Registry;
use tokio::sync::{mpsc, oneshot, watch};

use crate::explain::Asked;
use crate::journal;
use crate::peers::Peers;
use crate::readers::{Reader, Snapshot};
use crate::role::{self, Role, Turn};
use crate::store::{Store, Writer};
use crate::streams::{NewStream, Over, Streams};
use crate::timing::Timings;

/// Inputs that wait for the core before those who send them must wait too.
pub(crate) const QUEUE_MAX: usize = 16_384;

/// Inputs taken per wake-up, so that timers are looked at now and then.
const BATCH_MAX: usize = 512;

/// A step that takes longer is worth a line in the log.
const STEP_SLOW: Duration = Duration::from_millis(20);

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
        answer: oneshot::Sender<Reply>,
    },
    /// A framework subscribes.
    Subscribe {
        /// The stream's number, which is also in the event.
        stream: StreamId,
        /// What the handler keeps no longer.
        new: NewStream,
        /// The call.
        event: Event,
    },
    /// An operator subscribes.
    Watch {
        /// The stream's number, which is also in the event.
        stream: StreamId,
        /// What the handler keeps no longer.
        new: NewStream,
        /// The call.
        event: Event,
    },
    /// Someone wants to see the state.
    Read(Reader),
    /// Someone wants to know why.
    Explain(Asked),
    /// Someone wants to see the registry.
    Registry(oneshot::Sender<Registry>),
    /// The registry was opened and read, or could not be.
    Opened(Box<anyhow::Result<Store>>),
}

/// The core's task.
pub(crate) struct Reactor {
    /// The core.
    pub(crate) core: Master,
    /// What it is told of time.
    pub(crate) clock: Clock,
    /// Where its inputs come from.
    pub(crate) inputs: mpsc::Receiver<Input>,
    /// The same queue's other end, for what watches the streams.
    pub(crate) own: mpsc::Sender<Input>,
    /// The way to the libprocess peers.
    pub(crate) peers: Peers,
    /// Whether this master leads.
    pub(crate) role: Role,
    /// The way to the registry, once this master leads.
    pub(crate) store: Option<Writer>,
    /// How long things take.
    pub(crate) timings: Arc<Timings>,
    /// How many answers were shared among readers.
    pub(crate) hits: Arc<AtomicU64>,
}

/// What the loop keeps between its rounds.
#[derive(Default)]
struct Round {
    streams: Streams,
    pending: HashMap<RequestId, oneshot::Sender<Reply>>,
    /// Replies that leave at the end of the round, so that a client that sent several calls is woken once.
    replies: Vec<(oneshot::Sender<Reply>, Reply)>,
    readers: Vec<Reader>,
    /// Events that came out of effects, ahead of anything in the queue.
    follow_ups: VecDeque<Event>,
    effects: Vec<Effect>,
}

impl Reactor {
    /// Runs until `stop` completes or the core must not go on.
    pub(crate) async fn run(
        mut self,
        standing: Option<watch::Receiver<Standing>>,
        stop: oneshot::Receiver<()>,
    ) -> anyhow::Result<()> {
        let outcome = self.serve(standing, stop).await;
        if outcome.is_err()
            && let Some(store) = self.store.take()
        {
            // Who must end does so at once.
            store.abandon();
        }
        outcome
    }

    async fn serve(
        &mut self,
        mut standing: Option<watch::Receiver<Standing>>,
        mut stop: oneshot::Receiver<()>,
    ) -> anyhow::Result<()> {
        let mut round = Round::default();
        let mut batch = Vec::with_capacity(BATCH_MAX);
        if standing.is_none() {
            // A single master leads from the start.
            self.elect(&mut round)?;
        }
        loop {
            let due = self.core.poll_timeout().map(|instant| self.clock.deadline(instant));
            let sleep = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now));
            tokio::select! {
                biased;
                _ = &mut stop => return Ok(()),
                now = role::changed(standing.as_mut()) => self.stand(&mut round, now)?,
                taken = self.inputs.recv_many(&mut batch, BATCH_MAX) => {
                    if taken == 0 {
                        return Ok(());
                    }
                }
                () = sleep, if due.is_some() => {}
            }
            // ORDER: before anything is done that only a leader may do.
            self.role.check_lease()?;
            for input in batch.drain(..) {
                self.take(&mut round, input)?;
            }
            self.flush(&mut round)?;
            self.turn(&mut round)?;
            self.flush(&mut round)?;
            self.answer_readers(&mut round);
        }
    }

    /// Where this master stands in the election now.
    fn stand(&mut self, round: &mut Round, standing: Standing) -> anyhow::Result<()> {
        match self.role.stand(standing)? {
            Turn::Elected => self.elect(round),
            Turn::Same => Ok(()),
        }
    }

    /// This master leads. Its registry comes as an input.
    fn elect(&mut self, round: &mut Round) -> anyhow::Result<()> {
        tracing::info!("Elected as the leading master!");
        self.role.recover(self.own.clone());
        self.step(round, Event::Elected)
    }

    /// The registry is there: this master serves.
    fn recover(&mut self, round: &mut Round, opened: anyhow::Result<Store>) -> anyhow::Result<()> {
        let store = opened.context("Recovery failed")?;
        let registry = store.fetch();
        self.timings.state_fetch.record(self.role.recovering());
        self.store = Some(store.start(self.own.clone(), Arc::clone(&self.timings))?);
        self.step(round, Event::Recovered(Box::new(registry)))?;
        self.role.recovered();
        Ok(())
    }

    fn take(&mut self, round: &mut Round, input: Input) -> anyhow::Result<()> {
        match input {
            Input::Event(event) => {
                match &event {
                    Event::StreamClosed(stream) => round.streams.remove(*stream),
                    Event::Exited(peer) => tracing::info!(%peer, "a link broke"),
                    Event::Elected
                    | Event::Recovered(_)
                    | Event::Subscribe { .. }
                    | Event::SchedulerCall { .. }
                    | Event::Message { .. }
                    | Event::Operator { .. }
                    | Event::OperatorSubscribe { .. }
                    | Event::Whitelist(_)
                    | Event::RegistryApplied { .. } => {}
                }
                self.step(round, event)
            }
            Input::Call { request, event, answer } => {
                round.pending.insert(request, answer);
                self.step(round, event)
            }
            Input::Subscribe { stream, new, event } => {
                round.streams.add_framework(stream, new, &self.own);
                self.step(round, event)
            }
            Input::Watch { stream, new, event } => {
                round.streams.add_operator(stream, new, &self.own);
                self.step(round, event)
            }
            Input::Explain(Asked { question, answer }) => {
                let now = self.clock.now().mono;
                let began = Instant::now();
                // Whoever does not wait any more need not be told.
                let _ = answer.send((now, self.core.explain(now, &question)));
                report_slow("explain", began.elapsed());
                Ok(())
            }
            Input::Read(reader) => {
                round.readers.push(reader);
                Ok(())
            }
            Input::Registry(answer) => {
                // Nothing is told while there is none.
                if let Some(store) = &self.store {
                    store.show(answer);
                }
                Ok(())
            }
            Input::Opened(opened) => self.recover(round, *opened),
        }
    }

    /// One event and everything that follows from it at once. What it frees is offered in the round's [`Reactor::turn`],
    /// together with what the round's other events freed.
    fn step(&mut self, round: &mut Round, event: Event) -> anyhow::Result<()> {
        let mut next = Some(event);
        while let Some(event) = next {
            let name = event_name(&event);
            let began = Instant::now();
            self.core.absorb(self.clock.now(), event, &mut round.effects);
            report_slow(name, began.elapsed());
            self.carry_out(round)?;
            next = round.follow_ups.pop_front();
        }
        Ok(())
    }

    /// Does what is due by the clock.
    fn turn(&mut self, round: &mut Round) -> anyhow::Result<()> {
        let now = self.clock.now();
        let Some(due) = self.core.poll_timeout().filter(|due| *due <= now.mono) else { return Ok(()) };
        self.timings.allocation_latency.record(now.mono.since(due));
        let began = Instant::now();
        self.core.handle_timeout(now, &mut round.effects);
        let took = began.elapsed();
        self.timings.allocation_runs.increment();
        self.timings.allocation_run.record(took);
        report_slow("timeout", took);
        self.carry_out(round)?;
        match round.follow_ups.pop_front() {
            Some(event) => self.step(round, event),
            None => Ok(()),
        }
    }

    /// Runs the effects of one step, in their order.
    fn carry_out(&mut self, round: &mut Round) -> anyhow::Result<()> {
        let mut effects = std::mem::take(&mut round.effects);
        for effect in effects.drain(..) {
            journal::note(&effect);
            match effect {
                Effect::Reply { request, reply } => {
                    if let Some(answer) = round.pending.remove(&request) {
                        round.replies.push((answer, reply));
                    }
                }
                Effect::SchedulerEvent { stream, event } => {
                    round.streams.scheduler_event(stream, &event);
                }
                Effect::Close { stream } => round.streams.remove(stream),
                Effect::Send { from, to, message } => self.peers.send(from, &to, &message),
                Effect::Link { pid, reconnect } => self.peers.link(&pid, reconnect),
                Effect::Unlink { pid } => self.peers.unlink(&pid),
                Effect::Registry { ticket, operation } => {
                    // What is written to a disk is reported by its thread.
                    let store = self.store.as_mut().expect("the core changes what it has read");
                    if let Some(outcome) = store.submit(ticket, operation) {
                        round.follow_ups.push_back(Event::RegistryApplied { ticket, outcome });
                    }
                }
                Effect::OperatorSubscribed { stream, view } => {
                    closed(round.streams.subscribed(stream, view), stream, &mut round.follow_ups);
                }
                Effect::OperatorEvent { stream, event } => {
                    closed(round.streams.operator_event(stream, &event), stream, &mut round.follow_ups);
                }
                Effect::Publish(event) => {
                    let gone = round.streams.publish(&event);
                    round.follow_ups.extend(gone.into_iter().map(Event::StreamClosed));
                }
                // The journal has written it.
                Effect::Log(_) => {}
                Effect::Abort(reason) => bail!("{reason}"),
            }
        }
        round.effects = effects;
        Ok(())
    }

    /// Lets out what was said so far, and tells the core of the streams that took no more.
    fn flush(&mut self, round: &mut Round) -> anyhow::Result<()> {
        loop {
            // ORDER: replies precede what their calls set off.
            for (answer, reply) in round.replies.drain(..) {
                // Nobody waits any more if the client is gone; its reply goes with it.
                let _ = answer.send(reply);
            }
            let over = round.streams.flush();
            if over.is_empty() {
                return Ok(());
            }
            for stream in over {
                self.step(round, Event::StreamClosed(stream))?;
            }
        }
    }

    /// One view for all readers of this round.
    fn answer_readers(&mut self, round: &mut Round) {
        if round.readers.is_empty() {
            return;
        }
        let snapshot = Arc::new(Snapshot::new(self.core.view(), Arc::clone(&self.hits)));
        for reader in round.readers.drain(..) {
            // A reader that is gone needs no view.
            let _ = reader.send(Arc::clone(&snapshot));
        }
    }
}

fn closed(sent: Result<(), Over>, stream: StreamId, follow_ups: &mut VecDeque<Event>) {
    if sent == Err(Over) {
        follow_ups.push_back(Event::StreamClosed(stream));
    }
}

fn report_slow(name: &str, took: Duration) {
    if took > STEP_SLOW {
        tracing::warn!(event = name, ?took, "a step of the master took long");
    }
}

/// What a slow step is called in the log.
fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Elected => "elected",
        Event::Recovered(_) => "recovered",
        Event::Subscribe { .. } => "subscribe",
        Event::SchedulerCall { call, .. } => call.r#type().as_str_name(),
        Event::StreamClosed(_) => "stream closed",
        Event::Message { message, .. } => message.name(),
        Event::Exited(_) => "exited",
        Event::Operator { .. } => "operator call",
        Event::OperatorSubscribe { .. } => "operator subscribe",
        Event::Whitelist(_) => "whitelist",
        Event::RegistryApplied { .. } => "registry applied",
    }
}
