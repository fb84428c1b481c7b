//! What a seed says: how large the world is, who is in it, and what goes wrong when.
//!
//! All of it is drawn before the first event, so that a history can be shrunk: leave out a fault, a framework or an
//! agent, and the rest stays as it was.

use std::fmt;

use machine::Rng;

use crate::node::{MILLI, Nanos, Node, SECOND};

/// How a framework behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// It takes what it gets and runs as much as fits.
    Greedy,
    /// It keeps offers, and answers few.
    Hoarding,
    /// It acknowledges updates late.
    Slow,
    /// It comes and goes.
    Flapping,
    /// It sends what makes no sense among what does.
    Buggy,
}

/// One framework.
#[derive(Clone, Debug, PartialEq)]
pub struct Guest {
    /// How it behaves.
    pub temper: Temper,
    /// Its role.
    pub role: &'static str,
    /// Whether it asks agents to keep its executors across restarts.
    pub checkpoint: bool,
    /// Whether it knows what an unreachable task is.
    pub partition_aware: bool,
    /// Whether its tasks run in executors of its own, several in one.
    pub own_executors: bool,
}

/// Something that goes wrong, or that an operator does.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The leader's process dies after so many effects more.
    LeaderDies {
        /// After how many effects.
        after: u64,
        /// How long it stays away.
        down: Nanos,
    },
    /// A master's process dies.
    MasterDies {
        /// Which.
        master: usize,
        /// How long it stays away.
        down: Nanos,
    },
    /// An agent's process dies after so many effects more; what it runs lives on.
    AgentDies {
        /// Which.
        agent: usize,
        /// After how many effects.
        after: u64,
        /// How long it stays away.
        down: Nanos,
    },
    /// A machine loses its power: what it runs is gone, and what was not synced may be.
    PowerLoss {
        /// Which.
        agent: usize,
        /// After how many effects.
        after: u64,
        /// How long it stays away.
        down: Nanos,
    },
    /// A framework's process dies.
    FrameworkDies {
        /// Which.
        framework: usize,
        /// How long it stays away.
        down: Nanos,
    },
    /// Nothing gets from one to the other, for a while.
    OneWay {
        /// From where.
        from: Node,
        /// To where.
        to: Node,
        /// How long.
        lasts: Nanos,
    },
    /// Nothing gets to or from a node.
    Isolated {
        /// Which.
        node: Node,
        /// How long.
        lasts: Nanos,
    },
    /// All connections of a node break, with what is on its way.
    Cut {
        /// Which.
        node: Node,
    },
    /// Everything takes long from and to a node.
    Slow {
        /// Which.
        node: Node,
        /// How long.
        lasts: Nanos,
    },
    /// The coordination service answers nobody.
    Stall {
        /// How long.
        lasts: Nanos,
    },
    /// The service forgets the leader's session.
    SessionLost,
    /// An executor is killed from outside.
    ContainerDies {
        /// Which.
        agent: usize,
    },
    /// An executor's connection to its agent breaks.
    ExecutorCut {
        /// Which.
        agent: usize,
    },
    /// An operator limits what a role may have.
    Quota {
        /// Which.
        role: &'static str,
        /// How many; none ends the limit.
        cpus: u32,
    },
    /// An operator lets an agent's tasks go.
    Drain {
        /// Which.
        agent: usize,
    },
    /// An operator takes an agent back.
    Reactivate {
        /// Which.
        agent: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The world of one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many agents there are.
    pub agents: usize,
    /// Who asks for resources.
    pub guests: Vec<Guest>,
    /// What goes wrong, and when.
    pub faults: Vec<(Nanos, Fault)>,
    /// Until when things go wrong and frameworks launch.
    pub busy: Nanos,
}

/// The roles of the world.
pub(crate) const ROLES: [&str; 3] = ["dev", "ops", "ops/batch"];

impl Plan {
    /// What this seed says.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x73_696d);
        let agents = 2 + index(&mut rng, 5);
        let frameworks = 1 + index(&mut rng, 3);
        let guests = (0..frameworks).map(|_| guest(&mut rng)).collect();
        let busy = (40 + rng.below(160)) * SECOND;
        let count = rng.below(14);
        let mut faults: Vec<_> =
            (0..count).map(|_| (5 * SECOND + rng.below(busy), fault(&mut rng, agents, frameworks))).collect();
        faults.sort_by_key(|(at, _)| *at);
        Self { seed, agents, guests, faults, busy }
    }
}

fn index(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap_or(0)
}

fn guest(rng: &mut Rng) -> Guest {
    let temper = match rng.below(8) {
        0..4 => Temper::Greedy,
        4 => Temper::Hoarding,
        5 => Temper::Slow,
        6 => Temper::Flapping,
        _ => Temper::Buggy,
    };
    Guest {
        temper,
        role: ROLES[index(rng, ROLES.len())],
        checkpoint: rng.below(4) != 0,
        partition_aware: rng.below(4) != 0,
        own_executors: rng.below(3) == 0,
    }
}

fn short(rng: &mut Rng) -> Nanos {
    match rng.below(3) {
        0 => 200 * MILLI + rng.below(3 * SECOND),
        1 => rng.below(20 * SECOND),
        _ => rng.below(120 * SECOND),
    }
}

fn node(rng: &mut Rng, agents: usize, frameworks: usize) -> Node {
    match rng.below(8) {
        0..4 => Node::Agent(index(rng, agents)),
        4 | 5 => Node::Master(index(rng, 3)),
        6 => Node::Framework(index(rng, frameworks)),
        _ => Node::Coordination,
    }
}

fn fault(rng: &mut Rng, agents: usize, frameworks: usize) -> Fault {
    let agent = index(rng, agents);
    match rng.below(20) {
        0 | 1 => Fault::LeaderDies { after: rng.below(60), down: short(rng) },
        2 => Fault::MasterDies { master: index(rng, 3), down: short(rng) },
        3..6 => Fault::AgentDies { agent, after: rng.below(60), down: short(rng) },
        6 | 7 => Fault::PowerLoss { agent, after: rng.below(60), down: 2 * SECOND + short(rng) },
        8 => Fault::FrameworkDies { framework: index(rng, frameworks), down: short(rng) },
        9 | 10 => Fault::OneWay {
            from: node(rng, agents, frameworks),
            to: node(rng, agents, frameworks),
            lasts: short(rng),
        },
        11 => Fault::Isolated { node: node(rng, agents, frameworks), lasts: short(rng) },
        12 => Fault::Cut { node: node(rng, agents, frameworks) },
        13 => Fault::Slow { node: node(rng, agents, frameworks), lasts: short(rng) },
        14 => Fault::Stall { lasts: rng.below(20 * SECOND) },
        15 => Fault::SessionLost,
        16 => Fault::ContainerDies { agent },
        17 => Fault::ExecutorCut { agent },
        18 => Fault::Quota {
            role: ROLES[index(rng, ROLES.len())],
            cpus: u32::try_from(rng.below(8)).unwrap_or(0),
        },
        _ if rng.below(2) == 0 => Fault::Drain { agent },
        _ => Fault::Reactivate { agent },
    }
}
