//! The wide world: one real master core, and fifty thousand agents that are models of two hundred bytes.
//!
//! ```text
//! all register -> the leader dies, and all come back at once -> a rack loses its power -> what a region says is lost
//! ```
//!
//! Nothing is encoded here, and there are no executors: an agent answers pings, registers and registers again with
//! the tasks it was told of. What the full world shows of messages and disks it shows better; this one shows what
//! becomes of crowds.

use std::collections::BTreeMap;
use std::sync::Arc;

use machine::{Machine as _, Rng};
use master_core::registry::{Outcome, State};
use master_core::{Config, Effect, Event, Master, Message, Outgoing, Process, Ticket};
use proto::mesos::internal::{self, Registry};
use proto::mesos::v1;
use types::{AgentId, Pid};

use crate::checkers::books;
use crate::node::{Clock, MILLI, Nanos, Node, SECOND};

/// How long an agent believes to be registered without a ping.
const PING_PATIENCE: Nanos = 75 * SECOND;

/// When the leader dies, and how long nobody leads then.
const LEADER_DIES: Nanos = 60 * SECOND;
const NOBODY_LEADS: Nanos = 10 * SECOND;

/// When a rack loses its power, and for how long.
const RACK_LOST: Nanos = 150 * SECOND;
const RACK_BACK: Nanos = 350 * SECOND;

/// When what a region says is lost, and how long; it hears everything meanwhile.
const REGION_MUTE: Nanos = 400 * SECOND;
const REGION_HEARD: Nanos = 550 * SECOND;

/// When all must agree.
const END: Nanos = 1000 * SECOND;

/// Agents of a rack, and racks of a region.
const RACK: usize = 1000;
const REGION_RACKS: usize = 3;

/// How far an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Without power.
    Off,
    /// It waits until it tries to register.
    Waiting,
    /// It has been admitted.
    Registered,
}

/// An agent.
#[derive(Clone, Debug)]
struct Model {
    phase: Phase,
    id: Option<AgentId>,
    last_ping: Nanos,
    backoff: Nanos,
    tasks: u8,
}

/// What happens.
#[derive(Debug)]
enum Happening {
    /// An agent looks whether it should register.
    Due(usize),
    ToMaster(usize, Box<Event>),
    ToAgent(usize, Word),
    MasterWake,
    Committed(Vec<(Ticket, bool)>),
    LeaderDies,
    Elected,
    Power(bool),
    Judge,
}

/// What a master says to an agent, as far as it matters.
#[derive(Debug)]
enum Word {
    Admitted(AgentId),
    Ping { observer: Process },
    ShutDown,
}

/// What came of a wide run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WideOutcome {
    /// What was wrong.
    pub violations: Vec<String>,
    /// Events.
    pub events: u64,
    /// The most effects of one step.
    pub effects_max: usize,
    /// Agents that were marked unreachable.
    pub unreachable: u64,
    /// How long after the election the last agent was back, in milliseconds.
    pub back_after_ms: u64,
    /// The number of the whole history.
    pub hash: u64,
}

struct Wide {
    now: Nanos,
    sequence: u64,
    heap: BTreeMap<(Nanos, u64), Happening>,
    rng: Rng,
    agents: Vec<Model>,
    master: Option<Master>,
    clock: Clock,
    leaders: u64,
    elected_at: Nanos,
    /// The master that the models know; a newer one is another number.
    registry: State,
    queue: Vec<(Ticket, master_core::registry::Operation)>,
    committing: bool,
    wake: Option<Nanos>,
    rack: usize,
    out: WideOutcome,
}

/// Runs the wide world of a seed, with so many agents.
#[must_use]
pub fn wide(seed: u64, agents: usize) -> WideOutcome {
    let mut rng = Rng::new(seed ^ 0x7769_6465);
    let racks = (agents / RACK).max(1);
    let rack = usize::try_from(rng.below(racks as u64)).unwrap_or(0);
    let model = |rng: &mut Rng| Model {
        phase: Phase::Waiting,
        id: None,
        last_ping: 0,
        backoff: SECOND,
        tasks: u8::try_from(rng.below(4)).unwrap_or(0),
    };
    let mut world = Wide {
        now: 0,
        sequence: 0,
        heap: BTreeMap::new(),
        agents: (0..agents).map(|_| model(&mut rng)).collect(),
        master: None,
        clock: Clock { began: 0, drift_ppm: 0, wall_off_nanos: 0 },
        leaders: 0,
        elected_at: 0,
        registry: State::default(),
        queue: Vec::new(),
        committing: false,
        wake: None,
        rack,
        rng,
        out: WideOutcome::default(),
    };
    world.schedule(MILLI, Happening::Elected);
    for agent in 0..agents {
        let at = world.rng.below(5 * SECOND);
        world.schedule(at, Happening::Due(agent));
    }
    world.schedule(LEADER_DIES, Happening::LeaderDies);
    world.schedule(LEADER_DIES + NOBODY_LEADS, Happening::Elected);
    world.schedule(RACK_LOST, Happening::Power(false));
    world.schedule(RACK_BACK, Happening::Power(true));
    world.schedule(LEADER_DIES + NOBODY_LEADS + 40 * SECOND, Happening::Judge);
    world.schedule(END, Happening::Judge);
    while let Some(((at, sequence), what)) = world.heap.pop_first() {
        world.now = at;
        world.out.events += 1;
        let mixed = (world.out.hash ^ at ^ sequence).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        world.out.hash = mixed ^ (mixed >> 29);
        world.happen(what);
        if world.now > END {
            break;
        }
    }
    world.out
}

impl Wide {
    fn schedule(&mut self, at: Nanos, what: Happening) {
        self.sequence += 1;
        self.heap.insert((at, self.sequence), what);
    }

    fn in_rack(&self, agent: usize, racks: usize) -> bool {
        (self.rack * RACK..(self.rack + racks) * RACK).contains(&agent)
    }

    /// Whether what an agent says is lost now.
    fn is_mute(&self, agent: usize) -> bool {
        (REGION_MUTE..REGION_HEARD).contains(&self.now) && self.in_rack(agent, REGION_RACKS)
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Due(agent) => self.on_due(agent),
            Happening::ToMaster(agent, event) => {
                if self.agents[agent].phase != Phase::Off {
                    self.step(*event);
                }
            }
            Happening::ToAgent(agent, word) => self.on_word(agent, word),
            Happening::MasterWake => self.on_master_wake(),
            Happening::Committed(outcomes) => {
                self.committing = false;
                for (ticket, changed) in outcomes {
                    let outcome = Outcome::Applied { changed };
                    self.step(Event::RegistryApplied { ticket, outcome });
                }
                self.commit();
            }
            Happening::LeaderDies => {
                self.master = None;
                self.queue.clear();
                let agents = 0..self.agents.len();
                for agent in
                    agents.filter(|agent| self.agents[*agent].phase == Phase::Registered).collect::<Vec<_>>()
                {
                    self.agents[agent].phase = Phase::Waiting;
                }
            }
            Happening::Elected => self.elect(),
            Happening::Power(on) => self.power(on),
            Happening::Judge => self.judge(),
        }
    }

    fn elect(&mut self) {
        self.leaders += 1;
        self.elected_at = self.now;
        let address = Node::Master(0).address();
        let info = v1::MasterInfo {
            id: format!("w{}", self.leaders),
            port: 5050,
            pid: Some(Pid::new("master", address).to_string()),
            ..v1::MasterInfo::default()
        };
        let mut config = Config::new(info);
        config.seed = self.rng.next_u64();
        self.clock = Clock { began: self.now, drift_ppm: 0, wall_off_nanos: 0 };
        self.master = Some(Master::new(config));
        self.committing = false;
        self.wake = None;
        self.step(Event::Elected);
        let registry = Registry::from(&self.registry);
        self.step(Event::Recovered(Box::new(registry)));
        // Everybody sees the new leader at about the same time, and waits a little.
        for agent in 0..self.agents.len() {
            if self.agents[agent].phase == Phase::Waiting {
                self.agents[agent].backoff = SECOND;
                let at = self.now + self.rng.below(SECOND);
                self.schedule(at, Happening::Due(agent));
            }
        }
    }

    fn power(&mut self, on: bool) {
        for agent in (0..self.agents.len()).filter(|agent| self.in_rack(*agent, 1)).collect::<Vec<_>>() {
            let model = &mut self.agents[agent];
            if on {
                model.phase = Phase::Waiting;
                let at = self.now + self.rng.below(20 * SECOND);
                self.schedule(at, Happening::Due(agent));
            } else {
                (model.phase, model.tasks) = (Phase::Off, 0);
            }
        }
    }

    fn on_due(&mut self, agent: usize) {
        let now = self.now;
        let model = &mut self.agents[agent];
        match model.phase {
            Phase::Off => {}
            Phase::Registered if now >= model.last_ping + PING_PATIENCE => {
                model.phase = Phase::Waiting;
                model.backoff = SECOND;
                self.on_due(agent);
            }
            Phase::Registered => {
                let at = model.last_ping + PING_PATIENCE;
                self.schedule(at, Happening::Due(agent));
            }
            Phase::Waiting => {
                model.backoff = (model.backoff * 2).min(60 * SECOND);
                let backoff = model.backoff;
                let at = now + MILLI + self.rng.below(backoff);
                self.schedule(at, Happening::Due(agent));
                let message = self.registration(agent);
                self.say(agent, "master", message);
            }
        }
    }

    /// What an agent says arrives, unless nobody hears it.
    fn say(&mut self, agent: usize, to: &str, message: Message) {
        if self.master.is_none() || self.is_mute(agent) {
            return;
        }
        let from = Pid::new("slave(1)", Node::Agent(agent).address());
        let event = Event::Message { from, to: Arc::from(to), message };
        let at = self.now + MILLI / 10 + self.rng.below(2 * MILLI);
        self.schedule(at, Happening::ToMaster(agent, Box::new(event)));
    }

    fn registration(&self, agent: usize) -> Message {
        let model = &self.agents[agent];
        let mut slave = v1::AgentInfo {
            hostname: format!("agent{agent}"),
            port: Some(5051),
            resources: vec![scalar("cpus", 8.0, None), scalar("mem", 8192.0, None)],
            checkpoint: Some(true),
            ..v1::AgentInfo::default()
        };
        let Some(id) = &model.id else {
            return Message::RegisterAgent(Box::new(internal::RegisterSlaveMessage {
                slave,
                version: Some("1.12.0".to_owned()),
                agent_capabilities: capabilities(),
                ..internal::RegisterSlaveMessage::default()
            }));
        };
        slave.id = Some(id.into());
        let framework_id = v1::FrameworkId { value: "wide-0000".to_owned() };
        let task = |number: u8| v1::Task {
            name: "t".to_owned(),
            task_id: v1::TaskId { value: format!("t{agent}-{number}") },
            framework_id: framework_id.clone(),
            agent_id: id.into(),
            state: v1::TaskState::TaskRunning.into(),
            resources: vec![scalar("cpus", 0.5, Some("dev"))],
            ..v1::Task::default()
        };
        Message::ReregisterAgent(Box::new(internal::ReregisterSlaveMessage {
            slave,
            version: Some("1.12.0".to_owned()),
            agent_capabilities: capabilities(),
            frameworks: vec![framework(framework_id.clone())],
            tasks: (0..model.tasks).map(task).collect(),
            ..internal::ReregisterSlaveMessage::default()
        }))
    }

    fn on_word(&mut self, agent: usize, word: Word) {
        let now = self.now;
        let model = &mut self.agents[agent];
        if model.phase == Phase::Off {
            return;
        }
        match word {
            Word::Admitted(id) => {
                if model.id.as_ref().is_some_and(|own| *own != id) {
                    self.out.violations.push(format!("agent {agent} is {:?} and was called {id}", model.id));
                }
                let was = std::mem::replace(&mut model.phase, Phase::Registered);
                (model.id, model.last_ping) = (Some(id), now);
                if was == Phase::Waiting {
                    self.out.back_after_ms = (now - self.elected_at) / MILLI;
                }
            }
            Word::Ping { observer } => {
                model.last_ping = now;
                self.say(agent, &observer.to_string(), Message::Pong(Box::default()));
            }
            Word::ShutDown => self.out.violations.push(format!("agent {agent} was told to end")),
        }
    }

    fn step(&mut self, event: Event) {
        let now = self.clock.now(self.now);
        let Some(master) = self.master.as_mut() else { return };
        let mut effects = Vec::new();
        master.absorb(now, event, &mut effects);
        self.carry_out(effects);
    }

    fn on_master_wake(&mut self) {
        if self.wake != Some(self.now) {
            return;
        }
        self.wake = None;
        let now = self.clock.now(self.now);
        let Some(master) = self.master.as_mut() else { return };
        let mut effects = Vec::new();
        master.handle_timeout(now, &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        self.out.effects_max = self.out.effects_max.max(effects.len());
        for effect in effects {
            match effect {
                Effect::Send { from, to, message } => self.send(from, &to, message),
                Effect::Registry { ticket, operation } => self.queue.push((ticket, operation)),
                Effect::Abort(why) => self.out.violations.push(format!("the master gives up: {why}")),
                Effect::Reply { .. }
                | Effect::SchedulerEvent { .. }
                | Effect::Close { .. }
                | Effect::Link { .. }
                | Effect::Unlink { .. }
                | Effect::OperatorSubscribed { .. }
                | Effect::OperatorEvent { .. }
                | Effect::Publish(_)
                | Effect::Log(_) => {}
            }
        }
        self.commit();
        let Some(due) = self.master.as_ref().and_then(Master::poll_timeout) else { return };
        let at = self.clock.reaches(due).max(self.now + 1);
        if self.wake.is_none_or(|wake| at < wake) {
            self.wake = Some(at);
            self.schedule(at, Happening::MasterWake);
        }
    }

    fn send(&mut self, from: Process, to: &Pid, message: Outgoing) {
        let Some(Node::Agent(agent)) = Node::at(to.address) else { return };
        let word = if let Outgoing::AgentRegistered(message) = &message {
            Word::Admitted(AgentId::from(&message.slave_id))
        } else if let Outgoing::AgentReregistered(message) = &message {
            Word::Admitted(AgentId::from(&message.slave_id))
        } else if let Outgoing::Ping(_) = &message {
            Word::Ping { observer: from }
        } else if let Outgoing::Shutdown(_) = &message {
            Word::ShutDown
        } else {
            return;
        };
        let at = self.now + MILLI / 10 + self.rng.below(2 * MILLI);
        self.schedule(at, Happening::ToAgent(agent, word));
    }

    /// Everything that waits goes into one commit.
    fn commit(&mut self) {
        if self.committing || self.queue.is_empty() {
            return;
        }
        self.committing = true;
        let mut outcomes = Vec::new();
        for (ticket, operation) in std::mem::take(&mut self.queue) {
            if matches!(operation, master_core::registry::Operation::MarkUnreachable { .. }) {
                self.out.unreachable += 1;
            }
            outcomes.push((ticket, self.registry.apply(&operation)));
        }
        let at = self.now + 10 * MILLI;
        self.schedule(at, Happening::Committed(outcomes));
    }

    /// All are there and agree.
    fn judge(&mut self) {
        let Some(master) = self.master.as_ref() else {
            return self.out.violations.push("nobody leads".to_owned());
        };
        master.assert_invariants();
        let view = master.view();
        let connected = view.agents.iter().filter(|agent| agent.connected).count();
        let tasks: usize = view.frameworks.iter().map(|framework| framework.tasks.len()).sum();
        let expected: usize = self.agents.iter().map(|model| usize::from(model.tasks)).sum();
        let facts = [
            ("agents are there", connected, self.agents.len()),
            ("agents are in the registry", self.registry.admitted.len(), self.agents.len()),
            ("agents are unreachable", view.unreachable_agents, 0),
            ("agents are awaited", view.recovered_agents.len(), 0),
        ];
        for (what, found, expected) in facts {
            if found != expected {
                self.out
                    .violations
                    .push(format!("at {} s {found} {what}, not {expected}", self.now / SECOND));
            }
        }
        if tasks != expected {
            self.out.violations.push(format!("at {} s {tasks} tasks, not {expected}", self.now / SECOND));
        }
        self.out.violations.extend(books::check(&view).err());
    }
}

fn scalar(name: &str, value: f64, role: Option<&str>) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: role.map(|role| v1::resource::AllocationInfo { role: Some(role.to_owned()) }),
        ..v1::Resource::default()
    }
}

fn capabilities() -> Vec<v1::agent_info::Capability> {
    use v1::agent_info::capability::Type;
    let kinds =
        [Type::MultiRole, Type::HierarchicalRole, Type::ReservationRefinement, Type::ResourceProvider];
    kinds.into_iter().map(|kind| v1::agent_info::Capability { r#type: Some(kind.into()) }).collect()
}

fn framework(id: v1::FrameworkId) -> v1::FrameworkInfo {
    use v1::framework_info::capability::Type;
    let kinds = [Type::MultiRole, Type::ReservationRefinement, Type::PartitionAware];
    v1::FrameworkInfo {
        user: "nobody".to_owned(),
        name: "wide".to_owned(),
        id: Some(id),
        checkpoint: Some(true),
        failover_timeout: Some(1e6),
        roles: vec!["dev".to_owned()],
        capabilities: kinds
            .into_iter()
            .map(|kind| v1::framework_info::Capability { r#type: Some(kind.into()) })
            .collect(),
        ..v1::FrameworkInfo::default()
    }
}
