//! The wires between nodes, as the libprocess transport and HTTP clients would see them.
//!
//! A wire is one connection, in one direction: what is said on it arrives in order or not at all. It breaks when its
//! peer's process is another one than that which took it (a reset), when nothing gets through for [`STALL`], and when
//! it cannot be made within [`CONNECT`]. Who said something on it learns of that only where it watches (a link, a
//! stream's writer). What had left by then may still arrive, also after what was said on a newer wire.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use machine::Rng;
use proto::mesos::v1::scheduler;
use types::{Pid, Uuid};

use crate::node::{MILLI, Nanos, Node, SECOND};

/// How long a connection may be tried to be made.
pub(crate) const CONNECT: Nanos = 10 * SECOND;

/// How long a peer may take nothing.
pub(crate) const STALL: Nanos = 60 * SECOND;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Messages of libprocess.
    Messages,
    /// A framework's calls.
    Calls,
    /// The events of one subscription.
    Stream(u64),
}

/// One direction of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path {
    pub(crate) from: Node,
    pub(crate) to: Node,
    pub(crate) lane: Lane,
}

/// What goes over a wire.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// A message of libprocess.
    Message { from: Pid, to: Arc<str>, name: &'static str, body: Bytes },
    /// A framework subscribes, on this stream.
    Subscribe { stream: u64, call: Box<scheduler::Call> },
    /// Any other call of a framework.
    Call { stream_id: String, call: Box<scheduler::Call> },
    /// The head of the answer to a subscription.
    Head { stream: u64, uuid: Uuid },
    /// An event on a stream.
    Event { stream: u64, event: Box<scheduler::Event> },
    /// The end of a stream, or a refusal of one.
    End { stream: u64 },
}

/// How far a wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is being made, until then.
    Connecting { until: Nanos },
    /// The process that took it is of this number.
    Open { incarnation: u64 },
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) state: State,
    /// Names this connection among those of its path.
    pub(crate) generation: u64,
    /// When the last packet arrives.
    pub(crate) last_at: Nanos,
    /// What waits for the way to be free.
    pub(crate) held: VecDeque<Packet>,
    /// Who is watched over it.
    pub(crate) linked: BTreeSet<Pid>,
    /// Whether somebody looks whether it stalls.
    pub(crate) watched: bool,
}

/// All wires, and what is in their way.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) wires: BTreeMap<Path, Wire>,
    /// Ways that are closed, one direction each, and how often.
    blocked: BTreeMap<(Node, Node), u32>,
    /// Nodes that everything takes long from and to, and how often.
    slow: BTreeMap<Node, u32>,
    /// Packets of generations up to these are lost.
    cut: BTreeMap<Path, u64>,
    pub(crate) generations: u64,
    rng: Rng,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            wires: BTreeMap::new(),
            blocked: BTreeMap::new(),
            slow: BTreeMap::new(),
            cut: BTreeMap::new(),
            generations: 0,
            rng: Rng::new(seed),
        }
    }

    /// How long a packet takes.
    pub(crate) fn delay(&mut self, from: Node, to: Node) -> Nanos {
        let common = MILLI / 10 + self.rng.below(MILLI);
        let hiccup = if self.rng.below(50) == 0 { self.rng.below(100 * MILLI) } else { 0 };
        let slow = [from, to].into_iter().any(|node| self.slow.contains_key(&node));
        let crawl = if slow { self.rng.below(4 * SECOND) } else { 0 };
        common + hiccup + crawl
    }

    /// Whether packets get from one to the other.
    pub(crate) fn reaches(&self, from: Node, to: Node) -> bool {
        !self.blocked.contains_key(&(from, to))
    }

    pub(crate) fn block(&mut self, from: Node, to: Node) {
        *self.blocked.entry((from, to)).or_default() += 1;
    }

    pub(crate) fn unblock(&mut self, from: Node, to: Node) {
        lower(&mut self.blocked, (from, to));
    }

    pub(crate) fn slow_down(&mut self, node: Node) {
        *self.slow.entry(node).or_default() += 1;
    }

    pub(crate) fn speed_up(&mut self, node: Node) {
        lower(&mut self.slow, node);
    }

    /// What was said on this connection and has not arrived never will.
    pub(crate) fn lose(&mut self, path: Path, generation: u64) {
        self.cut.insert(path, generation);
    }

    /// Whether a packet of that connection was lost on its way.
    pub(crate) fn is_lost(&self, path: Path, generation: u64) -> bool {
        self.cut.get(&path).is_some_and(|cut| generation <= *cut)
    }

    /// A new connection.
    pub(crate) fn open(&mut self, now: Nanos) -> Wire {
        self.generations += 1;
        Wire {
            state: State::Connecting { until: now + CONNECT },
            generation: self.generations,
            last_at: 0,
            held: VecDeque::new(),
            linked: BTreeSet::new(),
            watched: false,
        }
    }
}

fn lower<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
