//! Frameworks: a real session with the master (`client-core`), and above it a mind with a temper.
//!
//! What a framework knows of its tasks outlives its process, as a framework that is worth anything keeps it.

use std::collections::BTreeMap;

use client_core::scheduler::{self as session, Session};
use machine::{Machine as _, Rng};
use proto::mesos::v1::scheduler::{Call, Event, call, event};
use proto::mesos::v1::{self, TaskState};

use crate::network::{Lane, Packet, Path};
use crate::node::{Clock, MILLI, Nanos, Node, SECOND};
use crate::plan::{Guest, Temper};
use crate::world::{Happening, World};

/// Tasks that a framework has running at a time.
const TASKS_MAX: usize = 12;

/// What a framework knows of a task.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) state: TaskState,
    pub(crate) agent: String,
}

/// A framework's place in the world.
pub(crate) struct FrameworkHost {
    pub(crate) guest: Guest,
    pub(crate) incarnation: u64,
    pub(crate) process: Option<FrameworkProcess>,
    pub(crate) id: Option<String>,
    pub(crate) tasks: BTreeMap<String, Known>,
    pub(crate) rng: Rng,
    tasks_made: u64,
    pub(crate) failed: Option<String>,
}

/// A framework that runs.
pub(crate) struct FrameworkProcess {
    session: Session,
    clock: Clock,
    leader: Option<v1::MasterInfo>,
    stream: u64,
    opened: bool,
    wake: Option<Nanos>,
    pub(crate) subscribed: bool,
    offers: BTreeMap<String, v1::Offer>,
}

impl FrameworkHost {
    pub(crate) fn new(guest: Guest, seed: u64) -> Self {
        Self {
            guest,
            incarnation: 0,
            process: None,
            id: None,
            tasks: BTreeMap::new(),
            rng: Rng::new(seed),
            tasks_made: 0,
            failed: None,
        }
    }

    /// Tasks that have not ended, as far as it knows.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&String, &Known)> {
        self.tasks.iter().filter(|(_, known)| !is_over(known.state))
    }

    fn info(&self, index: usize) -> v1::FrameworkInfo {
        use v1::framework_info::capability::Type;
        let mut kinds = vec![Type::MultiRole, Type::ReservationRefinement];
        if self.guest.partition_aware {
            kinds.push(Type::PartitionAware);
        }
        v1::FrameworkInfo {
            user: "nobody".to_owned(),
            name: format!("framework{index}"),
            id: self.id.clone().map(|value| v1::FrameworkId { value }),
            failover_timeout: Some(1e6),
            checkpoint: Some(self.guest.checkpoint),
            roles: vec![self.guest.role.to_owned()],
            capabilities: kinds
                .into_iter()
                .map(|kind| v1::framework_info::Capability { r#type: Some(kind.into()) })
                .collect(),
            ..v1::FrameworkInfo::default()
        }
    }
}

/// Whether a task of this state will never run again.
pub(crate) fn is_over(state: TaskState) -> bool {
    match state {
        TaskState::TaskFinished
        | TaskState::TaskFailed
        | TaskState::TaskKilled
        | TaskState::TaskError
        | TaskState::TaskDropped
        | TaskState::TaskGone => true,
        TaskState::TaskStaging
        | TaskState::TaskStarting
        | TaskState::TaskRunning
        | TaskState::TaskKilling
        | TaskState::TaskLost
        | TaskState::TaskUnreachable
        | TaskState::TaskGoneByOperator
        | TaskState::TaskUnknown => false,
    }
}

impl World {
    pub(crate) fn start_framework(&mut self, framework: usize) {
        let now = self.now;
        let node = Node::Framework(framework);
        if self.frameworks[framework].process.is_some() {
            return;
        }
        let clock = Clock { began: now, drift_ppm: self.drift(node), wall_off_nanos: self.wall_off(node) };
        let seed = self.draw();
        let host = &mut self.frameworks[framework];
        host.incarnation += 1;
        let incarnation = host.incarnation;
        let mut effects = Vec::new();
        let session = Session::new(host.info(framework), seed, &mut effects);
        host.process = Some(FrameworkProcess {
            session,
            clock,
            leader: None,
            stream: 0,
            opened: false,
            wake: None,
            subscribed: false,
            offers: BTreeMap::new(),
        });
        self.look_for_leader(node);
        self.schedule(now + SECOND, Happening::FrameworkActs { framework, incarnation });
        self.framework_effects(framework, effects);
    }

    pub(crate) fn kill_framework(&mut self, framework: usize, down: Nanos) {
        if self.frameworks[framework].process.take().is_none() {
            return;
        }
        self.journal.note(Node::Framework(framework), "dies", &[], String::new);
        self.drop_wires_of(Node::Framework(framework));
        let at = self.now + down;
        self.schedule(at, Happening::FrameworkStart(framework));
    }

    pub(crate) fn framework_detects(&mut self, framework: usize, leader: Option<v1::MasterInfo>) {
        let Some(process) = self.frameworks[framework].process.as_mut() else { return };
        if process.leader == leader {
            return;
        }
        process.leader.clone_from(&leader);
        if leader.is_some() {
            self.framework_event(framework, session::Event::Moved("another master leads".to_owned()));
        }
    }

    fn framework_event(&mut self, framework: usize, event: session::Event) {
        let now = self.now;
        let Some(process) = self.frameworks[framework].process.as_mut() else { return };
        let mut effects = Vec::new();
        process.session.handle_event(process.clock.now(now), event, &mut effects);
        self.framework_effects(framework, effects);
    }

    fn framework_effects(&mut self, framework: usize, effects: Vec<session::Effect>) {
        for effect in effects {
            match effect {
                session::Effect::Subscribe(call) => self.subscribe_framework(framework, call),
                session::Effect::Post { call, stream_id } => {
                    self.send_call(framework, Packet::Call { stream_id, call });
                }
                session::Effect::Deliver(event) => self.framework_hears(framework, *event),
                session::Effect::Disconnected(_) => {
                    if let Some(process) = self.frameworks[framework].process.as_mut() {
                        process.subscribed = false;
                        process.offers.clear();
                    }
                }
                session::Effect::Failed(why) => {
                    self.frameworks[framework].failed = Some(why);
                }
            }
        }
        self.arm_framework(framework);
    }

    fn arm_framework(&mut self, framework: usize) {
        let now = self.now;
        let host = &mut self.frameworks[framework];
        let incarnation = host.incarnation;
        let Some(process) = host.process.as_mut() else { return };
        let Some(due) = process.session.poll_timeout() else { return };
        let at = process.clock.reaches(due).max(now + 1);
        if process.wake.is_none_or(|wake| at < wake) {
            process.wake = Some(at);
            self.schedule(at, Happening::FrameworkWake { framework, incarnation });
        }
    }

    pub(crate) fn on_framework_wake(&mut self, framework: usize, incarnation: u64) {
        let now = self.now;
        let host = &mut self.frameworks[framework];
        if host.incarnation != incarnation {
            return;
        }
        let Some(process) = host.process.as_mut().filter(|process| process.wake == Some(now)) else { return };
        process.wake = None;
        let mut effects = Vec::new();
        process.session.handle_timeout(process.clock.now(now), &mut effects);
        self.framework_effects(framework, effects);
    }

    fn subscribe_framework(&mut self, framework: usize, call: Box<Call>) {
        self.numbers += 1;
        let stream = self.numbers;
        let now = self.now;
        let host = &mut self.frameworks[framework];
        let Some(process) = host.process.as_mut() else { return };
        let old = std::mem::replace(&mut process.stream, stream);
        process.opened = false;
        process.subscribed = false;
        if old != 0 {
            self.framework_drops_stream(framework, old);
        }
        // A server that does not answer is given up.
        self.schedule(now + 15 * SECOND, Happening::SubscriptionTimeout { framework, stream });
        self.send_call(framework, Packet::Subscribe { stream, call });
    }

    /// The master sees that a stream is not read any more, if that gets there.
    fn framework_drops_stream(&mut self, framework: usize, stream: u64) {
        let node = Node::Framework(framework);
        let paths: Vec<Path> = self
            .network
            .wires
            .keys()
            .filter(|path| path.to == node && path.lane == Lane::Stream(stream))
            .copied()
            .collect();
        for path in paths {
            if self.network.reaches(node, path.from) {
                let at = self.now + self.network.delay(node, path.from);
                let Some(wire) = self.network.wires.get(&path) else { continue };
                let generation = wire.generation;
                self.schedule(at, Happening::WireBroken { path, generation });
            }
        }
    }

    fn send_call(&mut self, framework: usize, packet: Packet) {
        let Some(process) = self.frameworks[framework].process.as_ref() else { return };
        let leader = process.leader.as_ref().and_then(|leader| leader.pid.as_deref());
        let leader =
            leader.and_then(|pid| pid.parse::<types::Pid>().ok()).and_then(|pid| Node::at(pid.address));
        let Some(to) = leader else {
            let (stream, at) = (process.stream, self.now + 10 * MILLI);
            if matches!(packet, Packet::Subscribe { .. }) {
                self.schedule(at, Happening::StreamEnds { framework, stream });
            }
            return;
        };
        self.transmit(Path { from: Node::Framework(framework), to, lane: Lane::Calls }, packet);
    }

    /// A framework's connection for calls broke: a subscription that was not answered is not there.
    pub(crate) fn on_calls_broken(&mut self, framework: usize) {
        let Some(process) = self.frameworks[framework].process.as_ref() else { return };
        if !process.opened && process.stream != 0 {
            let stream = process.stream;
            self.on_stream_ends(framework, stream);
        }
    }

    pub(crate) fn on_subscription_timeout(&mut self, framework: usize, stream: u64) {
        let process = self.frameworks[framework].process.as_ref();
        if process.is_some_and(|process| process.stream == stream && !process.opened) {
            self.on_stream_ends(framework, stream);
        }
    }

    /// Whether a framework still reads that stream.
    pub(crate) fn reads_stream(&self, framework: usize, stream: u64) -> bool {
        self.frameworks[framework].process.as_ref().is_some_and(|process| process.stream == stream)
    }

    /// A framework learns that a stream is over.
    pub(crate) fn on_stream_ends(&mut self, framework: usize, stream: u64) {
        let Some(process) = self.frameworks[framework].process.as_mut() else { return };
        if process.stream != stream {
            return;
        }
        process.stream = 0;
        self.framework_drops_stream(framework, stream);
        self.framework_event(framework, session::Event::Closed("it ended".to_owned()));
    }

    /// Something came on a stream.
    pub(crate) fn hear(&mut self, framework: usize, packet: Packet) {
        let Some(process) = self.frameworks[framework].process.as_mut() else { return };
        match packet {
            Packet::Head { stream, uuid } if stream == process.stream => {
                process.opened = true;
                self.framework_event(framework, session::Event::Opened(uuid.to_string()));
            }
            Packet::Event { stream, event } if stream == process.stream => {
                self.framework_event(framework, session::Event::Received(event));
            }
            Packet::End { stream } => self.on_stream_ends(framework, stream),
            Packet::Head { .. }
            | Packet::Event { .. }
            | Packet::Message { .. }
            | Packet::Subscribe { .. }
            | Packet::Call { .. } => {}
        }
    }

    /// The framework calls.
    pub(crate) fn call(&mut self, framework: usize, call: Call) {
        self.framework_event(framework, session::Event::Call(Box::new(call)));
    }

    fn framework_hears(&mut self, framework: usize, event: Event) {
        match event.r#type() {
            event::Type::Subscribed => {
                let id = event.subscribed.map(|subscribed| subscribed.framework_id.value);
                let host = &mut self.frameworks[framework];
                host.id = id;
                if let Some(process) = host.process.as_mut() {
                    process.subscribed = true;
                    process.offers.clear();
                }
                self.reconcile(framework);
            }
            event::Type::Offers => {
                let offers = event.offers.map(|offers| offers.offers).unwrap_or_default();
                if let Some(process) = self.frameworks[framework].process.as_mut() {
                    process.offers.extend(offers.iter().map(|offer| (offer.id.value.clone(), offer.clone())));
                }
                self.consider(framework, &offers);
            }
            event::Type::Rescind => {
                if let (Some(rescind), Some(process)) =
                    (event.rescind, self.frameworks[framework].process.as_mut())
                {
                    process.offers.remove(&rescind.offer_id.value);
                }
            }
            event::Type::Update => {
                if let Some(update) = event.update {
                    self.on_task_update(framework, update.status);
                }
            }
            event::Type::Unknown
            | event::Type::InverseOffers
            | event::Type::RescindInverseOffer
            | event::Type::UpdateOperationStatus
            | event::Type::Message
            | event::Type::Failure
            | event::Type::Error
            | event::Type::Heartbeat => {}
        }
    }

    fn on_task_update(&mut self, framework: usize, status: v1::TaskStatus) {
        let state = status.state();
        let now = self.now;
        let host = &mut self.frameworks[framework];
        let slow = host.guest.temper == Temper::Slow;
        let wait = if slow { host.rng.below(40 * SECOND) } else { 0 };
        let again = self.oracle.fate.heard(&status);
        if let Some(known) = host.tasks.get_mut(&status.task_id.value) {
            // A framework that was told that a task is over has forgotten it.
            if !is_over(known.state) {
                known.state = state;
            } else if let Err(why) = self.oracle.fate.told_after_the_end(&status, again, known.state) {
                self.violate("fate", why);
            }
        }
        let (Some(uuid), Some(agent_id)) = (status.uuid, status.agent_id) else { return };
        let acknowledge = call::Acknowledge { agent_id, task_id: status.task_id, uuid };
        let call = Call { acknowledge: Some(acknowledge), ..of(call::Type::Acknowledge) };
        if wait == 0 {
            return self.call(framework, call);
        }
        let incarnation = self.frameworks[framework].incarnation;
        let call = Box::new(call);
        self.schedule(now + wait, Happening::FrameworkCalls { framework, incarnation, call });
    }

    /// Asks after every task that has not ended.
    pub(crate) fn reconcile(&mut self, framework: usize) {
        let live = self.frameworks[framework].live();
        let tasks = live.map(|(task, known)| call::reconcile::Task {
            task_id: v1::TaskId { value: task.clone() },
            agent_id: Some(v1::AgentId { value: known.agent.clone() }),
        });
        let reconcile = call::Reconcile { tasks: tasks.collect() };
        if !reconcile.tasks.is_empty() {
            self.call(framework, Call { reconcile: Some(reconcile), ..of(call::Type::Reconcile) });
        }
    }

    /// What the framework does of itself, now and then.
    pub(crate) fn on_framework_acts(&mut self, framework: usize, incarnation: u64) {
        if self.frameworks[framework].incarnation != incarnation
            || self.frameworks[framework].process.is_none()
        {
            return;
        }
        let busy = self.now < self.plan.busy;
        let host = &mut self.frameworks[framework];
        let next = if busy { SECOND + host.rng.below(10 * SECOND) } else { 60 * SECOND };
        let (dice, pick) = (host.rng.below(20), host.rng.next_u64());
        let at = self.now + next;
        self.schedule(at, Happening::FrameworkActs { framework, incarnation });
        if !busy {
            // At rest it asks after what it waits for, and wants nothing more.
            self.reconcile(framework);
            return self.decline_all(framework, 1e6);
        }
        match dice {
            0..4 => self.kill_some_task(framework, pick),
            4 => self.reconcile(framework),
            5 | 6 => self.decline_all(framework, 1.0),
            7 => self.call(framework, of(call::Type::Revive)),
            8 if self.frameworks[framework].guest.temper == Temper::Flapping => {
                let down = self.frameworks[framework].rng.below(5 * SECOND);
                self.kill_framework(framework, down);
            }
            9 | 10 if self.frameworks[framework].guest.temper == Temper::Flapping => {
                let stream = self.frameworks[framework].process.as_ref().map_or(0, |process| process.stream);
                self.on_stream_ends(framework, stream);
            }
            11 | 12 if self.frameworks[framework].guest.temper == Temper::Hoarding => {
                let offers = self.frameworks[framework].process.as_ref().map(|process| &process.offers);
                let offers: Vec<v1::Offer> =
                    offers.into_iter().flat_map(|all| all.values().cloned()).collect();
                self.accept_all(framework, &offers);
            }
            _ => {}
        }
    }

    fn kill_some_task(&mut self, framework: usize, pick: u64) {
        let live: Vec<(String, String)> = self.frameworks[framework]
            .live()
            .map(|(task, known)| (task.clone(), known.agent.clone()))
            .collect();
        if live.is_empty() {
            return;
        }
        let index = usize::try_from(pick % live.len() as u64).unwrap_or(0);
        let (task, agent) = live[index].clone();
        let kill = call::Kill {
            task_id: v1::TaskId { value: task },
            agent_id: Some(v1::AgentId { value: agent }),
            kill_policy: None,
        };
        self.call(framework, Call { kill: Some(kill), ..of(call::Type::Kill) });
    }

    fn decline_all(&mut self, framework: usize, seconds: f64) {
        let Some(process) = self.frameworks[framework].process.as_mut() else { return };
        let offers = std::mem::take(&mut process.offers).into_values();
        let offer_ids: Vec<_> = offers.map(|offer| offer.id).collect();
        if offer_ids.is_empty() {
            return;
        }
        let filters = Some(v1::Filters { refuse_seconds: Some(seconds) });
        let decline = call::Decline { offer_ids, filters };
        self.call(framework, Call { decline: Some(decline), ..of(call::Type::Decline) });
    }

    fn consider(&mut self, framework: usize, offers: &[v1::Offer]) {
        if self.now >= self.plan.busy {
            return self.decline_all(framework, 1e6);
        }
        match self.frameworks[framework].guest.temper {
            Temper::Hoarding => {}
            Temper::Greedy | Temper::Slow | Temper::Flapping | Temper::Buggy => {
                self.accept_all(framework, offers);
            }
        }
    }

    fn accept_all(&mut self, framework: usize, offers: &[v1::Offer]) {
        for offer in offers {
            let Some(process) = self.frameworks[framework].process.as_mut() else { return };
            if process.offers.remove(&offer.id.value).is_some() {
                let call = self.frameworks[framework].accept(offer);
                self.call(framework, call);
            }
        }
    }
}

impl FrameworkHost {
    /// The answer to an offer: as many tasks as fit, up to a number.
    fn accept(&mut self, offer: &v1::Offer) -> Call {
        let role = offer.allocation_info.as_ref().map(|info| info.role().to_owned()).unwrap_or_default();
        let free = |name: &str| -> f64 {
            offer
                .resources
                .iter()
                .filter(|resource| resource.name == name && resource.reservations.is_empty())
                .filter_map(|resource| resource.scalar.as_ref())
                .map(|scalar| scalar.value)
                .sum()
        };
        let (mut cpus, mut mem) = (free("cpus"), free("mem"));
        let executor = self.guest.own_executors.then(|| self.executor(&offer.agent_id.value, &role));
        if let Some(executor) = &executor
            && !offer.executor_ids.contains(&executor.executor_id)
        {
            cpus -= 0.1;
            mem -= 32.0;
        }
        let mut tasks = Vec::new();
        let buggy = self.guest.temper == Temper::Buggy && self.rng.below(3) == 0;
        while self.live().count() < TASKS_MAX {
            let want = 0.1 + self.rng.below(10) as f64 / 10.0;
            if cpus < want || mem < 64.0 {
                break;
            }
            (cpus, mem) = (cpus - want, mem - 64.0);
            tasks.push(self.task(offer, &role, executor.clone(), want));
            if self.rng.below(2) == 0 {
                break;
            }
        }
        if buggy {
            tasks.push(self.task(offer, &role, executor, 1000.0));
        }
        let mut offer_ids = vec![offer.id.clone()];
        if buggy && self.rng.below(3) == 0 {
            offer_ids.push(v1::OfferId { value: "no such offer".to_owned() });
        }
        let launch = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
            ..v1::offer::Operation::default()
        };
        let filters = Some(v1::Filters { refuse_seconds: Some(self.rng.below(10) as f64) });
        let accept = call::Accept { offer_ids, operations: vec![launch], filters };
        Call { accept: Some(accept), ..of(call::Type::Accept) }
    }

    fn executor(&self, agent: &str, role: &str) -> v1::ExecutorInfo {
        v1::ExecutorInfo {
            executor_id: v1::ExecutorId { value: format!("x-{agent}") },
            framework_id: self.id.clone().map(|value| v1::FrameworkId { value }),
            command: Some(v1::CommandInfo { value: Some("own".to_owned()), ..v1::CommandInfo::default() }),
            resources: vec![scalar("cpus", 0.1, role), scalar("mem", 32.0, role)],
            ..v1::ExecutorInfo::default()
        }
    }

    fn task(
        &mut self,
        offer: &v1::Offer,
        role: &str,
        executor: Option<v1::ExecutorInfo>,
        cpus: f64,
    ) -> v1::TaskInfo {
        self.tasks_made += 1;
        let id = format!("t{}", self.tasks_made);
        let lasts = match self.rng.below(4) {
            0 => self.rng.below(2_000),
            1 | 2 => self.rng.below(60_000),
            _ => 36_000_000,
        };
        let code = u8::from(self.rng.below(8) == 0);
        let work = format!("sleep {lasts} {code}");
        let known = Known { state: TaskState::TaskStaging, agent: offer.agent_id.value.clone() };
        self.tasks.insert(id.clone(), known);
        let label = v1::Label { key: "work".to_owned(), value: Some(work.clone()) };
        let own = executor.is_some();
        v1::TaskInfo {
            name: id.clone(),
            task_id: v1::TaskId { value: id },
            agent_id: offer.agent_id.clone(),
            resources: vec![scalar("cpus", cpus, role), scalar("mem", 64.0, role)],
            executor,
            command: (!own).then(|| v1::CommandInfo { value: Some(work), ..v1::CommandInfo::default() }),
            labels: own.then(|| v1::Labels { labels: vec![label] }),
            ..v1::TaskInfo::default()
        }
    }
}

/// A call of this kind.
pub(crate) fn of(kind: call::Type) -> Call {
    Call { r#type: Some(kind.into()), ..Call::default() }
}

fn scalar(name: &str, value: f64, role: &str) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: Some(v1::resource::AllocationInfo { role: Some(role.to_owned()) }),
        ..v1::Resource::default()
    }
}
