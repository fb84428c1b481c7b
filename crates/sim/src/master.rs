//! A master's process: the real core, driven as the shell drives it.
//!
//! Inputs wait in a queue and are absorbed together, what they set off is carried out in order, then comes what is due
//! by the clock; what frameworks are told leaves at the end of a round. A leader acts only while its lease holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use machine::{Instant, Machine as _};
use master_core::registry::{Operation, Outcome, State};
use master_core::{Config, Effect, Event, Master, Process, RequestId, StreamId, Ticket};
use proto::mesos::internal::Registry;
use proto::mesos::v1::{self, scheduler};
use types::{Pid, Uuid};

use crate::network::{Lane, Packet, Path};
use crate::node::{Clock, MILLI, Nanos, Node};
use crate::world::{Happening, World};

/// How long the registry may take to answer.
pub(crate) const REGISTRY_PATIENCE: Nanos = 20 * crate::node::SECOND;

/// Whether a master leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Standby,
    /// It leads, and reads the registry.
    Opening,
    Serving,
}

/// What waits for the core.
#[derive(Debug)]
pub(crate) enum Input {
    Event(Event),
    Subscribe {
        stream: u64,
        framework: usize,
        call: Box<scheduler::Call>,
    },
    /// The registry was read.
    Opened {
        epoch: u64,
        entries: Vec<(String, Vec<u8>)>,
    },
}

/// The thread that writes the registry.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    pub(crate) epoch: u64,
    pub(crate) state: State,
    pub(crate) queue: Vec<(Ticket, Operation)>,
    pub(crate) busy: bool,
}

/// A master's place in the world.
#[derive(Default)]
pub(crate) struct MasterHost {
    pub(crate) incarnation: u64,
    pub(crate) process: Option<MasterProcess>,
}

/// A master that runs.
pub(crate) struct MasterProcess {
    pub(crate) core: Master,
    pub(crate) info: v1::MasterInfo,
    pub(crate) clock: Clock,
    queue: VecDeque<Input>,
    follow_ups: VecDeque<Event>,
    pub(crate) wake: Option<Nanos>,
    pub(crate) standing: Standing,
    pub(crate) session: u64,
    /// Until when it may act as the leader, by its own clock.
    pub(crate) lease: Instant,
    pub(crate) keeper: Keeper,
    /// Whose the open streams are.
    pub(crate) streams: BTreeMap<StreamId, usize>,
    /// What frameworks are told at the end of the round.
    records: Vec<(StreamId, Box<scheduler::Event>)>,
    requests: BTreeSet<RequestId>,
    pub(crate) dies_after: Option<u64>,
}

/// Whether the process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    Dead,
}

impl World {
    /// A master's process begins.
    pub(crate) fn start_master(&mut self, master: usize) {
        let now = self.now;
        let node = Node::Master(master);
        if self.masters[master].process.is_some() {
            return;
        }
        self.masters[master].incarnation += 1;
        let incarnation = self.masters[master].incarnation;
        let info = master_info(master, incarnation);
        let mut config = Config::new(info.clone());
        config.seed = self.draw();
        let clock = Clock { began: now, drift_ppm: self.drift(node), wall_off_nanos: self.wall_off(node) };
        let session = self.coordination.begin_session(now);
        let process = MasterProcess {
            core: Master::new(config),
            info: info.clone(),
            clock,
            queue: VecDeque::new(),
            follow_ups: VecDeque::new(),
            wake: None,
            standing: Standing::Standby,
            session,
            lease: Instant::ZERO,
            keeper: Keeper::default(),
            streams: BTreeMap::new(),
            records: Vec::new(),
            requests: BTreeSet::new(),
            dies_after: None,
        };
        self.masters[master].process = Some(process);
        self.schedule(now + MILLI, Happening::SessionPing { master, incarnation });
    }

    /// Hands an event to a master that runs.
    pub(crate) fn tell_master(&mut self, master: usize, event: Event) {
        self.give_master(master, Input::Event(event));
    }

    pub(crate) fn give_master(&mut self, master: usize, input: Input) {
        let at = self.now + self.pause(MILLI / 2);
        let Some(process) = self.masters[master].process.as_mut() else { return };
        process.queue.push_back(input);
        self.wake_master_at(master, at);
    }

    fn wake_master_at(&mut self, master: usize, at: Nanos) {
        let host = &mut self.masters[master];
        let incarnation = host.incarnation;
        let Some(process) = host.process.as_mut() else { return };
        if process.wake.is_none_or(|wake| at < wake) {
            process.wake = Some(at);
            self.schedule(at, Happening::MasterWake { master, incarnation });
        }
    }

    /// One round of the core's task.
    pub(crate) fn on_master_wake(&mut self, master: usize, incarnation: u64) {
        let now = self.now;
        let host = &mut self.masters[master];
        let Some(process) = host.process.as_mut().filter(|process| process.wake == Some(now)) else { return };
        if host.incarnation != incarnation {
            return;
        }
        process.wake = None;
        if process.standing != Standing::Standby && process.clock.now(now).mono >= process.lease {
            // ORDER: before anything is done that only a leader may do.
            return self.kill_master(master, "its lease is over");
        }
        if self.master_round(master) == Flow::Dead {
            return;
        }
        self.after_master(master);
        let Some(process) = self.masters[master].process.as_ref() else { return };
        if let Some(due) = process.core.poll_timeout() {
            let at = process.clock.reaches(due).max(now + 1);
            self.wake_master_at(master, at);
        }
    }

    fn master_round(&mut self, master: usize) -> Flow {
        let Some(process) = self.masters[master].process.as_mut() else { return Flow::Dead };
        for input in std::mem::take(&mut process.queue) {
            let flow = match input {
                Input::Event(event) => self.step_master(master, event),
                Input::Subscribe { stream, framework, call } => {
                    self.take_subscription(master, framework, stream, call)
                }
                Input::Opened { epoch, entries } => self.take_registry(master, epoch, &entries),
            };
            if flow == Flow::Dead {
                return Flow::Dead;
            }
        }
        self.flush(master, None);
        let now = self.now;
        let Some(process) = self.masters[master].process.as_mut() else { return Flow::Dead };
        let time = process.clock.now(now);
        if process.core.poll_timeout().is_some_and(|due| due <= time.mono) {
            let mut effects = Vec::new();
            process.core.handle_timeout(time, &mut effects);
            if self.carry_out_master(master, effects) == Flow::Dead
                || self.follow_up_master(master) == Flow::Dead
            {
                return Flow::Dead;
            }
        }
        self.flush(master, None);
        Flow::Continue
    }

    fn step_master(&mut self, master: usize, event: Event) -> Flow {
        if let Event::StreamClosed(stream) = &event {
            let stream = *stream;
            let Some(process) = self.masters[master].process.as_mut() else { return Flow::Dead };
            process.records.retain(|(of, _)| *of != stream);
            process.streams.remove(&stream);
            self.oracle.offers.stream_over(stream);
        }
        self.observe_master_event(&event);
        let now = self.now;
        let Some(process) = self.masters[master].process.as_mut() else { return Flow::Dead };
        let mut effects = Vec::new();
        process.core.absorb(process.clock.now(now), event, &mut effects);
        if self.carry_out_master(master, effects) == Flow::Dead {
            return Flow::Dead;
        }
        self.follow_up_master(master)
    }

    fn follow_up_master(&mut self, master: usize) -> Flow {
        let Some(process) = self.masters[master].process.as_mut() else { return Flow::Dead };
        match process.follow_ups.pop_front() {
            Some(event) => self.step_master(master, event),
            None => Flow::Continue,
        }
    }

    /// Runs the effects of one step, in their order.
    fn carry_out_master(&mut self, master: usize, effects: Vec<Effect>) -> Flow {
        let node = Node::Master(master);
        for effect in effects {
            if self.master_dies_here(master) {
                self.kill_master(master, "it was killed");
                return Flow::Dead;
            }
            self.note_master(master, &effect);
            let Some(process) = self.masters[master].process.as_mut() else { return Flow::Dead };
            match effect {
                Effect::Reply { request, reply } => {
                    if !process.requests.remove(&request) {
                        self.violate("replies", format!("{node} answers {request:?} again: {reply:?}"));
                    }
                }
                Effect::SchedulerEvent { stream, event } => {
                    let kept = self.breakage.keeps_rescinds && event.rescind.is_some()
                        || self.breakage.keeps_updates && event.update.is_some();
                    if kept {
                        continue;
                    }
                    process.records.push((stream, event));
                }
                Effect::Close { stream } => {
                    self.flush(master, Some(stream));
                    let Some(process) = self.masters[master].process.as_mut() else { return Flow::Dead };
                    if let Some(framework) = process.streams.remove(&stream) {
                        let path =
                            Path { from: node, to: Node::Framework(framework), lane: Lane::Stream(stream.0) };
                        self.transmit(path, Packet::End { stream: stream.0 });
                    }
                    self.oracle.offers.stream_over(stream);
                }
                Effect::Send { from, to, message } => self.send_of_master(master, from, &to, &message),
                Effect::Link { pid, reconnect } => self.link(node, &pid, reconnect),
                Effect::Unlink { pid } => self.unlink(node, &pid),
                Effect::Registry { ticket, operation } => {
                    process.keeper.queue.push((ticket, operation));
                    self.begin_commit(master);
                }
                Effect::OperatorSubscribed { .. }
                | Effect::OperatorEvent { .. }
                | Effect::Publish(_)
                | Effect::Log(_) => {}
                Effect::Abort(why) => {
                    self.oracle.aborted(&why);
                    self.kill_master(master, &why);
                    return Flow::Dead;
                }
            }
        }
        Flow::Continue
    }

    fn master_dies_here(&mut self, master: usize) -> bool {
        let Some(process) = self.masters[master].process.as_mut() else { return true };
        match &mut process.dies_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn send_of_master(&mut self, master: usize, from: Process, to: &Pid, message: &master_core::Outgoing) {
        let node = Node::Master(master);
        let Some(peer) = Node::at(to.address) else { return };
        let from = Pid::new(from.to_string(), node.address());
        let packet =
            Packet::Message { from, to: to.id.clone(), name: message.name(), body: message.encode() };
        self.transmit(Path { from: node, to: peer, lane: Lane::Messages }, packet);
    }

    /// Lets out what was said on streams: on this one, or on all.
    fn flush(&mut self, master: usize, only: Option<StreamId>) {
        let Some(process) = self.masters[master].process.as_mut() else { return };
        let (out, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut process.records)
            .into_iter()
            .partition(|(stream, _)| only.is_none_or(|only| only == *stream));
        process.records = stay;
        for (stream, event) in out {
            let Some(process) = self.masters[master].process.as_ref() else { return };
            let Some(framework) = process.streams.get(&stream).copied() else { continue };
            self.observe_told(master, framework, stream, &event);
            let path = Path {
                from: Node::Master(master),
                to: Node::Framework(framework),
                lane: Lane::Stream(stream.0),
            };
            self.transmit(path, Packet::Event { stream: stream.0, event });
        }
    }

    /// A master's process is over; another one takes its place after a while.
    pub(crate) fn kill_master(&mut self, master: usize, why: &str) {
        let down = match self.masters[master].process.take() {
            Some(process) => {
                if process.standing != Standing::Standby {
                    self.oracle.leader_gone(master);
                }
                self.oracle
                    .master_down
                    .take()
                    .unwrap_or(crate::node::SECOND + self.pause(4 * crate::node::SECOND))
            }
            None => return,
        };
        self.journal.note(Node::Master(master), "dies", &[], || why.to_owned());
        self.drop_wires_of(Node::Master(master));
        let at = self.now + down;
        self.schedule(at, Happening::MasterStart(master));
    }

    /// A framework's SUBSCRIBE arrived; the gate lets it in where this master leads and has its registry.
    pub(crate) fn on_subscribe(
        &mut self,
        master: usize,
        framework: usize,
        stream: u64,
        call: Box<scheduler::Call>,
    ) {
        self.give_master(master, Input::Subscribe { stream, framework, call });
    }

    fn take_subscription(
        &mut self,
        master: usize,
        framework: usize,
        stream: u64,
        call: Box<scheduler::Call>,
    ) -> Flow {
        let path =
            Path { from: Node::Master(master), to: Node::Framework(framework), lane: Lane::Stream(stream) };
        let Some(process) = self.masters[master].process.as_mut() else { return Flow::Dead };
        if process.standing != Standing::Serving {
            self.transmit(path, Packet::End { stream });
            return Flow::Continue;
        }
        process.streams.insert(StreamId(stream), framework);
        let uuid = stream_uuid(stream);
        self.transmit(path, Packet::Head { stream, uuid });
        self.step_master(master, Event::Subscribe { stream: StreamId(stream), uuid, principal: None, call })
    }

    /// A framework's call arrived.
    pub(crate) fn on_call(&mut self, master: usize, stream_id: String, call: Box<scheduler::Call>) {
        self.numbers += 1;
        let request = RequestId(self.numbers);
        let Some(process) = self.masters[master].process.as_mut() else { return };
        if process.standing != Standing::Serving {
            return;
        }
        process.requests.insert(request);
        let event = Event::SchedulerCall { request, stream_id: Some(stream_id), principal: None, call };
        self.tell_master(master, event);
    }

    /// An operator calls whoever leads.
    pub(crate) fn operate(&mut self, call: master_core::OperatorCall) {
        let Some(master) = self.serving() else { return };
        self.numbers += 1;
        let request = RequestId(self.numbers);
        if let Some(process) = self.masters[master].process.as_mut() {
            process.requests.insert(request);
        }
        self.tell_master(master, Event::Operator { request, principal: None, call });
    }

    /// The master that serves as the leader, if one does. Of two that think so, the newer.
    pub(crate) fn serving(&self) -> Option<usize> {
        let serving = self.masters.iter().enumerate().filter_map(|(index, host)| {
            let process = host.process.as_ref()?;
            (process.standing == Standing::Serving).then_some((process.keeper.epoch, index))
        });
        serving.max().map(|(_, index)| index)
    }

    fn take_registry(&mut self, master: usize, epoch: u64, entries: &[(String, Vec<u8>)]) -> Flow {
        let pairs = entries.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        let read = State::from_entries(pairs);
        let Some(process) = self.masters[master].process.as_mut() else { return Flow::Dead };
        let registry = match read {
            Ok(registry) => registry,
            Err(why) => {
                self.violate("registry", format!("master {master} cannot read the registry: {why}"));
                return Flow::Continue;
            }
        };
        let state = State::from(registry);
        let registry = Registry::from(&state);
        process.keeper = Keeper { epoch, state, ..Keeper::default() };
        process.standing = Standing::Serving;
        self.step_master(master, Event::Recovered(Box::new(registry)))
    }

    /// How a registry operation ended.
    pub(crate) fn registry_applied(&mut self, master: usize, ticket: Ticket, outcome: Outcome) {
        self.tell_master(master, Event::RegistryApplied { ticket, outcome });
    }
}

/// The `Mesos-Stream-Id` of a stream.
pub(crate) fn stream_uuid(stream: u64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&stream.to_be_bytes());
    Uuid::from_bytes(bytes)
}

fn master_info(master: usize, incarnation: u64) -> v1::MasterInfo {
    let address = Node::Master(master).address();
    v1::MasterInfo {
        id: format!("m{master}i{incarnation}"),
        port: u32::from(address.port()),
        pid: Some(Pid::new("master", address).to_string()),
        hostname: Some(format!("master{master}")),
        address: Some(v1::Address {
            hostname: Some(format!("master{master}")),
            ip: Some(address.ip().to_string()),
            port: i32::from(address.port()),
        }),
        ..v1::MasterInfo::default()
    }
}
