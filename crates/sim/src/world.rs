//! The world: a heap of what is to happen, keyed by instant and sequence, and all that it happens to.

use std::collections::BTreeMap;

use machine::Rng;
use proto::mesos::v1;
use proto::mesos::v1::{executor, scheduler};
use types::AgentId;

use crate::agent::{AgentHost, Death};
use crate::checkers::Oracle;
use crate::container::ContainerEvent;
use crate::coordination::Coordination;
use crate::election::Commit;
use crate::framework::FrameworkHost;
use crate::journal::Journal;
use crate::master::MasterHost;
use crate::network::{Network, Packet, Path};
use crate::node::{MILLI, Nanos, Node, SECOND};
use crate::plan::{Fault, Plan};

/// Masters of a cluster.
const MASTERS: usize = 3;

/// How long all may take to agree once nothing is wrong any more: agents may be given up (75 s) and expected back
/// (10 min), and an update that was lost is sent again after at most 10 min.
const PATIENCE: Nanos = 40 * 60 * SECOND;

/// Events that a history may have. One that has more goes round in circles.
const EVENTS_MAX: u64 = 3_000_000;

/// What a broken build would do. Each is caught by a checker, which a test sees to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breakage {
    /// Executors are told that an update is taken before it is on disk.
    pub acknowledges_early: bool,
    /// The store takes commits of any epoch.
    pub commits_without_epoch: bool,
    /// Frameworks are not told that an offer is void.
    pub keeps_rescinds: bool,
    /// Acknowledgements of frameworks are not written down.
    pub forgets_acknowledgements: bool,
    /// Executors are told of each task twice.
    pub launches_twice: bool,
    /// Updates get no further than the master.
    pub keeps_updates: bool,
}

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub checker: &'static str,
    /// How.
    pub what: String,
    /// In which event.
    pub event: u64,
    /// When.
    pub at: Nanos,
}

/// What happens.
#[derive(Debug)]
pub(crate) enum Happening {
    Arrive {
        path: Path,
        generation: u64,
        incarnation: u64,
        packet: Box<Packet>,
    },
    WireCheck {
        path: Path,
        generation: u64,
    },
    WireBroken {
        path: Path,
        generation: u64,
    },
    MasterStart(usize),
    MasterWake {
        master: usize,
        incarnation: u64,
    },
    SessionPing {
        master: usize,
        incarnation: u64,
    },
    SessionsExpire,
    LeaderSeen {
        node: Node,
        incarnation: u64,
        tries: u32,
    },
    RegistryRead {
        master: usize,
        incarnation: u64,
        deadline: Nanos,
    },
    CommitArrives {
        master: usize,
        incarnation: u64,
        commit: Box<Commit>,
    },
    CommitDone {
        master: usize,
        incarnation: u64,
        commit: Box<Commit>,
        refused: Option<u64>,
    },
    AgentStart(usize),
    AgentWake {
        agent: usize,
        incarnation: u64,
    },
    Container {
        agent: usize,
        container: String,
        stream: Option<u64>,
        event: Box<ContainerEvent>,
    },
    ExecutorSubscribes {
        agent: usize,
        incarnation: u64,
        container: String,
        stream: u64,
        call: Box<executor::Call>,
    },
    ExecutorCalls {
        agent: usize,
        incarnation: u64,
        container: String,
        call: Box<executor::Call>,
    },
    FrameworkStart(usize),
    FrameworkWake {
        framework: usize,
        incarnation: u64,
    },
    FrameworkActs {
        framework: usize,
        incarnation: u64,
    },
    FrameworkCalls {
        framework: usize,
        incarnation: u64,
        call: Box<scheduler::Call>,
    },
    SubscriptionTimeout {
        framework: usize,
        stream: u64,
    },
    StreamEnds {
        framework: usize,
        stream: u64,
    },
    Fault(usize),
    Over(usize),
    Judge,
}

/// The world of one seed.
pub struct World {
    pub(crate) now: Nanos,
    sequence: u64,
    heap: BTreeMap<(Nanos, u64), Happening>,
    rng: Rng,
    /// Draws small pauses; apart from the rest, so that histories stay alike.
    pauses: Rng,
    pub(crate) numbers: u64,
    pub(crate) plan: Plan,
    pub(crate) breakage: Breakage,
    pub(crate) masters: Vec<MasterHost>,
    pub(crate) agents: Vec<AgentHost>,
    pub(crate) frameworks: Vec<FrameworkHost>,
    pub(crate) coordination: Coordination,
    pub(crate) network: Network,
    pub(crate) journal: Journal,
    pub(crate) oracle: Oracle,
    violation: Option<Violation>,
    done: bool,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// Events.
    pub events: u64,
    /// The number of the whole history.
    pub hash: u64,
    /// Tasks that ran.
    pub tasks: usize,
    /// Commits of the registry.
    pub commits: u64,
    /// Masters that led.
    pub epochs: u64,
    /// How long the history lasted.
    pub lasted: Nanos,
}

impl World {
    /// The world of this plan, before anything happens.
    #[must_use]
    pub fn new(plan: Plan, breakage: Breakage, journal: Journal) -> Self {
        let seed = plan.seed;
        let mut world = Self {
            now: 0,
            sequence: 0,
            heap: BTreeMap::new(),
            rng: Rng::new(seed ^ 0x1111),
            pauses: Rng::new(seed ^ 0x2222),
            numbers: 0,
            masters: (0..MASTERS).map(|_| MasterHost::default()).collect(),
            agents: (0..plan.agents).map(|_| AgentHost::default()).collect(),
            frameworks: (0..)
                .zip(&plan.guests)
                .map(|(index, guest)| FrameworkHost::new(guest.clone(), seed ^ (0x3333 + index)))
                .collect(),
            coordination: Coordination::default(),
            network: Network::new(seed ^ 0x4444),
            journal,
            oracle: Oracle::default(),
            violation: None,
            done: false,
            plan,
            breakage,
        };
        for master in 0..MASTERS {
            world.schedule(MILLI * (master as u64 + 1), Happening::MasterStart(master));
        }
        for agent in 0..world.agents.len() {
            let at = world.pause(3 * SECOND);
            world.schedule(at, Happening::AgentStart(agent));
        }
        for framework in 0..world.frameworks.len() {
            let at = world.pause(4 * SECOND);
            world.schedule(at, Happening::FrameworkStart(framework));
        }
        for (index, (at, _)) in world.plan.faults.clone().into_iter().enumerate() {
            world.schedule(at, Happening::Fault(index));
        }
        let rest = world.rest();
        world.schedule(rest + 30 * SECOND, Happening::Judge);
        world
    }

    /// When nothing is wrong any more.
    fn rest(&self) -> Nanos {
        let ends = self.plan.faults.iter().map(|(at, fault)| at + lasts(fault));
        ends.max().unwrap_or(0).max(self.plan.busy)
    }

    pub(crate) fn schedule(&mut self, at: Nanos, what: Happening) {
        self.sequence += 1;
        self.heap.insert((at.max(self.now), self.sequence), what);
    }

    /// A new seed for something.
    pub(crate) fn draw(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Some time below that.
    pub(crate) fn pause(&mut self, below: Nanos) -> Nanos {
        self.pauses.below(below)
    }

    /// How fast a node's clock runs.
    pub(crate) fn drift(&self, node: Node) -> i64 {
        let mut rng = Rng::new(self.plan.seed ^ u64::from(node.address().port()) ^ hash(node));
        i64::try_from(rng.below(1001)).unwrap_or(0) - 500
    }

    /// How far a node's wall clock is off.
    pub(crate) fn wall_off(&self, node: Node) -> i64 {
        let mut rng = Rng::new(self.plan.seed ^ 0x5555 ^ hash(node));
        i64::try_from(rng.below(20_000)).unwrap_or(0) * 1_000_000 - 10_000_000_000
    }

    /// Which process runs at a node, if one does.
    pub(crate) fn incarnation(&self, node: Node) -> Option<u64> {
        match node {
            Node::Master(index) => {
                let host = self.masters.get(index)?;
                host.process.as_ref().map(|_| host.incarnation)
            }
            Node::Agent(index) => {
                let host = self.agents.get(index)?;
                host.process.as_ref().map(|_| host.incarnation)
            }
            Node::Framework(index) => {
                let host = self.frameworks.get(index)?;
                host.process.as_ref().map(|_| host.incarnation)
            }
            Node::Coordination => Some(0),
        }
    }

    /// Whether a node's machine has power.
    pub(crate) fn is_up(&self, node: Node) -> bool {
        match node {
            Node::Agent(index) => self.agents.get(index).is_some_and(|host| host.up),
            Node::Master(_) | Node::Framework(_) | Node::Coordination => true,
        }
    }

    /// A rule is broken. The first one counts.
    pub(crate) fn violate(&mut self, checker: &'static str, what: String) {
        if self.violation.is_none() {
            let (event, at) = (self.journal.events, self.now);
            self.violation = Some(Violation { checker, what, event, at });
        }
    }

    /// Runs until all agree, a rule is broken, or the history has had that many events.
    pub fn run(&mut self, until: Option<u64>) -> Outcome {
        while self.violation.is_none() && !self.done && until.is_none_or(|until| self.journal.events < until)
        {
            if !self.step() {
                break;
            }
            if self.journal.events > EVENTS_MAX {
                self.violate("bounded", format!("after {EVENTS_MAX} events there are more"));
            }
        }
        self.outcome()
    }

    /// What came of it so far.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome {
            violation: self.violation.clone(),
            events: self.journal.events,
            hash: self.journal.hash(),
            tasks: self.oracle.once.count(),
            commits: self.oracle.registry.commits,
            epochs: self.coordination.epoch,
            lasted: self.now,
        }
    }

    /// One event. False when there is none left.
    pub fn step(&mut self) -> bool {
        let Some(((at, _), what)) = self.heap.pop_first() else { return false };
        self.now = at;
        let name = name_of(&what);
        if self.journal.is_read() {
            let line = format!("{what:?}");
            self.journal.event(at, name, || line.chars().take(400).collect());
        } else {
            self.journal.event(at, name, String::new);
        }
        self.happen(what);
        if self.journal.is_read() {
            let state = self.show();
            self.journal.differences(state);
        }
        true
    }

    /// The lines of the history since the last time.
    pub fn take_lines(&mut self) -> String {
        self.journal.take_lines()
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrive { path, generation, incarnation, packet } => {
                self.on_arrival(path, generation, incarnation, *packet);
            }
            Happening::WireCheck { path, generation } => self.on_wire_check(path, generation),
            Happening::WireBroken { path, generation } => self.on_wire_broken(path, generation),
            Happening::MasterStart(master) => self.start_master(master),
            Happening::MasterWake { master, incarnation } => self.on_master_wake(master, incarnation),
            Happening::SessionPing { master, incarnation } => self.on_session_ping(master, incarnation),
            Happening::SessionsExpire => self.on_sessions_expire(),
            Happening::LeaderSeen { node, incarnation, tries } => {
                self.on_leader_seen(node, incarnation, tries);
            }
            Happening::RegistryRead { master, incarnation, deadline } => {
                self.on_registry_read(master, incarnation, deadline);
            }
            Happening::CommitArrives { master, incarnation, commit } => {
                self.on_commit_arrives(master, incarnation, commit);
            }
            Happening::CommitDone { master, incarnation, commit, refused } => {
                self.on_commit_done(master, incarnation, commit, refused);
            }
            Happening::AgentStart(agent) => self.start_agent(agent),
            Happening::AgentWake { agent, incarnation } => self.on_agent_wake(agent, incarnation),
            Happening::Container { agent, container, stream, event } => {
                self.on_container(agent, &container, stream, *event);
            }
            Happening::ExecutorSubscribes { agent, incarnation, container, stream, call } => {
                self.on_executor_subscribes(agent, incarnation, &container, stream, call);
            }
            Happening::ExecutorCalls { agent, incarnation, container, call } => {
                self.on_executor_calls(agent, incarnation, &container, call);
            }
            Happening::FrameworkStart(framework) => self.start_framework(framework),
            Happening::FrameworkWake { framework, incarnation } => {
                self.on_framework_wake(framework, incarnation);
            }
            Happening::FrameworkActs { framework, incarnation } => {
                self.on_framework_acts(framework, incarnation);
            }
            Happening::FrameworkCalls { framework, incarnation, call } => {
                if self.frameworks[framework].incarnation == incarnation {
                    self.call(framework, *call);
                }
            }
            Happening::SubscriptionTimeout { framework, stream } => {
                self.on_subscription_timeout(framework, stream);
            }
            Happening::StreamEnds { framework, stream } => self.on_stream_ends(framework, stream),
            Happening::Fault(index) => self.begin_fault(index),
            Happening::Over(index) => self.end_fault(index),
            Happening::Judge => self.judge(),
        }
    }

    fn nodes(&self) -> Vec<Node> {
        let masters = (0..self.masters.len()).map(Node::Master);
        let agents = (0..self.agents.len()).map(Node::Agent);
        let frameworks = (0..self.frameworks.len()).map(Node::Framework);
        masters.chain(agents).chain(frameworks).chain([Node::Coordination]).collect()
    }

    /// Whether a node is part of this world: a shrunk one has fewer.
    fn exists(&self, node: Node) -> bool {
        match node {
            Node::Master(index) => index < self.masters.len(),
            Node::Agent(index) => index < self.agents.len(),
            Node::Framework(index) => index < self.frameworks.len(),
            Node::Coordination => true,
        }
    }

    fn begin_fault(&mut self, index: usize) {
        let Some((_, fault)) = self.plan.faults.get(index).cloned() else { return };
        let now = self.now;
        match fault {
            Fault::LeaderDies { after, down } => {
                let leader = self.serving();
                if let Some(process) = leader.and_then(|leader| self.masters[leader].process.as_mut()) {
                    process.dies_after = Some(after);
                    self.oracle.master_down = Some(down);
                }
            }
            Fault::MasterDies { master, down } => {
                self.oracle.master_down = Some(down);
                self.kill_master(master, "it was killed");
            }
            Fault::AgentDies { agent, after, down } => self.doom(agent, after, Death::Process, down),
            Fault::PowerLoss { agent, after, down } => self.doom(agent, after, Death::Machine, down),
            Fault::FrameworkDies { framework, down } => {
                if framework < self.frameworks.len() {
                    self.kill_framework(framework, down);
                }
            }
            Fault::OneWay { from, to, lasts: _ } => self.network.block(from, to),
            Fault::Isolated { node, lasts: _ } => {
                for other in self.nodes().into_iter().filter(|other| *other != node) {
                    self.network.block(node, other);
                    self.network.block(other, node);
                }
            }
            Fault::Cut { node } if self.exists(node) => self.cut(node),
            Fault::Cut { .. } => {}
            Fault::Slow { node, lasts: _ } => self.network.slow_down(node),
            Fault::Stall { lasts } => {
                self.coordination.stalled_until = self.coordination.stalled_until.max(now + lasts);
            }
            Fault::SessionLost => {
                let session = self.coordination.leader().map(|leader| leader.session);
                if session.is_some_and(|session| self.coordination.end_session(session)) {
                    self.leader_changed();
                }
            }
            Fault::ContainerDies { agent } if agent < self.agents.len() => self.kill_executor(agent),
            Fault::ExecutorCut { agent } if agent < self.agents.len() => self.cut_executor(agent),
            Fault::ContainerDies { .. } | Fault::ExecutorCut { .. } => {}
            Fault::Quota { role, cpus } => self.set_quota(role, cpus),
            Fault::Drain { agent } => {
                if let Some(agent_id) = self.id_of(agent) {
                    let drain = v1::master::call::DrainAgent {
                        agent_id: (&agent_id).into(),
                        max_grace_period: None,
                        mark_gone: None,
                    };
                    self.operate(master_core::OperatorCall::DrainAgent(drain));
                }
            }
            Fault::Reactivate { agent } => {
                if let Some(agent_id) = self.id_of(agent) {
                    let reactivate = v1::master::call::ReactivateAgent { agent_id: (&agent_id).into() };
                    self.operate(master_core::OperatorCall::ReactivateAgent(reactivate));
                }
            }
        }
        let (at, fault) = &self.plan.faults[index];
        let over = at + lasts(fault);
        if over > now {
            self.schedule(over, Happening::Over(index));
        }
    }

    fn end_fault(&mut self, index: usize) {
        let Some((_, fault)) = self.plan.faults.get(index).cloned() else { return };
        match fault {
            Fault::OneWay { from, to, lasts: _ } => self.network.unblock(from, to),
            Fault::Isolated { node, lasts: _ } => {
                for other in self.nodes().into_iter().filter(|other| *other != node) {
                    self.network.unblock(node, other);
                    self.network.unblock(other, node);
                }
            }
            Fault::Slow { node, lasts: _ } => self.network.speed_up(node),
            Fault::Stall { .. } => {
                if self.now >= self.coordination.stalled_until {
                    let now = self.now;
                    self.coordination.wake(now);
                    self.schedule(now + crate::coordination::SESSION, Happening::SessionsExpire);
                }
            }
            // It was to die after some effects, and there were not so many.
            Fault::LeaderDies { .. } => {
                for process in self.masters.iter_mut().filter_map(|host| host.process.as_mut()) {
                    process.dies_after = None;
                }
            }
            Fault::AgentDies { agent, .. } | Fault::PowerLoss { agent, .. } => {
                if let Some(process) = self.agents.get_mut(agent).and_then(|host| host.process.as_mut()) {
                    process.dies = None;
                }
            }
            Fault::MasterDies { .. }
            | Fault::FrameworkDies { .. }
            | Fault::Cut { .. }
            | Fault::SessionLost
            | Fault::ContainerDies { .. }
            | Fault::ExecutorCut { .. }
            | Fault::Quota { .. }
            | Fault::Drain { .. }
            | Fault::Reactivate { .. } => {}
        }
        self.pump_all();
    }

    fn doom(&mut self, agent: usize, after: u64, death: Death, down: Nanos) {
        let Some(process) = self.agents.get_mut(agent).and_then(|host| host.process.as_mut()) else { return };
        process.dies = Some((after, death, down));
    }

    /// The id that an agent has, as its own process knows.
    fn id_of(&self, agent: usize) -> Option<AgentId> {
        let process = self.agents.get(agent)?.process.as_ref()?;
        process.core.view().info.id.as_ref().map(AgentId::from)
    }

    fn set_quota(&mut self, role: &str, cpus: u32) {
        let role = role.split('/').next().unwrap_or_default().to_owned();
        let limit = v1::value::Scalar { value: f64::from(cpus) };
        let limits = if cpus == 0 { BTreeMap::new() } else { BTreeMap::from([("cpus".to_owned(), limit)]) };
        let config = v1::quota::QuotaConfig {
            role,
            guarantees: BTreeMap::new().into_iter().collect(),
            limits: limits.into_iter().collect(),
        };
        let update = v1::master::call::UpdateQuota { force: Some(true), quota_configs: vec![config] };
        self.operate(master_core::OperatorCall::UpdateQuota(update));
    }

    /// Whether all agree by now.
    fn judge(&mut self) {
        let wrong = self.disagreements();
        if wrong.is_empty() {
            self.done = true;
        } else if self.now > self.rest() + PATIENCE {
            let count = wrong.len();
            let first: Vec<String> = wrong.into_iter().take(8).collect();
            self.violate("agreement", format!("{count} disagreements: {}", first.join("; ")));
        } else {
            let at = self.now + 30 * SECOND;
            self.schedule(at, Happening::Judge);
        }
    }
}

/// How long something stays wrong.
fn lasts(fault: &Fault) -> Nanos {
    match fault {
        Fault::OneWay { lasts, .. }
        | Fault::Isolated { lasts, .. }
        | Fault::Slow { lasts, .. }
        | Fault::Stall { lasts } => *lasts + 1,
        Fault::LeaderDies { down, .. } | Fault::AgentDies { down, .. } | Fault::PowerLoss { down, .. } => {
            *down + 30 * SECOND
        }
        Fault::MasterDies { down, .. } | Fault::FrameworkDies { down, .. } => *down + 1,
        Fault::Cut { .. }
        | Fault::SessionLost
        | Fault::ContainerDies { .. }
        | Fault::ExecutorCut { .. }
        | Fault::Quota { .. }
        | Fault::Drain { .. }
        | Fault::Reactivate { .. } => 0,
    }
}

fn hash(node: Node) -> u64 {
    let std::net::IpAddr::V4(ip) = node.address().ip() else { return 0 };
    u64::from(u32::from(ip)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn name_of(what: &Happening) -> &'static str {
    match what {
        Happening::Arrive { .. } => "arrives",
        Happening::WireCheck { .. } => "wire check",
        Happening::WireBroken { .. } => "wire broken",
        Happening::MasterStart(_) => "master starts",
        Happening::MasterWake { .. } => "master wakes",
        Happening::SessionPing { .. } => "session ping",
        Happening::SessionsExpire => "sessions expire",
        Happening::LeaderSeen { .. } => "leader seen",
        Happening::RegistryRead { .. } => "registry read",
        Happening::CommitArrives { .. } => "commit arrives",
        Happening::CommitDone { .. } => "commit done",
        Happening::AgentStart(_) => "agent starts",
        Happening::AgentWake { .. } => "agent wakes",
        Happening::Container { .. } => "container",
        Happening::ExecutorSubscribes { .. } => "executor subscribes",
        Happening::ExecutorCalls { .. } => "executor calls",
        Happening::FrameworkStart(_) => "framework starts",
        Happening::FrameworkWake { .. } => "framework wakes",
        Happening::FrameworkActs { .. } => "framework acts",
        Happening::FrameworkCalls { .. } => "framework calls",
        Happening::SubscriptionTimeout { .. } => "subscription timeout",
        Happening::StreamEnds { .. } => "stream ends",
        Happening::Fault(_) => "fault",
        Happening::Over(_) => "fault over",
        Happening::Judge => "judge",
    }
}
