//! What is left to do: agents to look at, and frameworks that woke.
//!
//! An agent that changed is *dirty*: every framework may look at it. A framework
//! whose filter expired looks at that one agent. A framework that woke (was added,
//! activated or revived) looks at every agent that has something to offer; those
//! are kept in a *ring*, and a sweep goes once around it for all wakes at once.

use std::collections::VecDeque;

use crate::Allocator;
use crate::agents::Agent;
use crate::arena::Key;
use crate::frameworks::Client;

/// Who is to look at an agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Pending {
    /// Nobody.
    #[default]
    None,
    /// A few clients, none twice.
    Some(Vec<Key<Client>>),
    /// Everybody.
    All,
}

/// With more clients than this, all are tried: the walk costs less than sorting.
pub(crate) const FEW: usize = 8;

#[derive(Default)]
pub(crate) struct Work {
    /// Agents with somebody pending, each once, in no order.
    pub(crate) dirty: Vec<Key<Agent>>,
    /// Agents that have something to offer and nobody for it, in random order.
    pub(crate) ring: Vec<Key<Agent>>,
    /// Where the sweep is in the ring.
    cursor: usize,
    /// Whether the sweep must go around again, for wakes that came after it began.
    again: bool,
    /// The newest wakes, oldest first, numbered up to `wake_count`.
    wakes: VecDeque<Key<Client>>,
    wake_count: u64,
}

impl Work {
    pub(crate) fn is_left(&self) -> bool {
        !self.dirty.is_empty() || self.again || self.cursor < self.ring.len()
    }

    fn note_dirty(&mut self, agent: Key<Agent>, place: &mut Agent) {
        place.dirty_at = self.dirty.len();
        self.dirty.push(agent);
    }

    /// The wakes that an agent has not seen, if they are few and still known.
    fn unseen(&self, seen: u64) -> Pending {
        let unseen = usize::try_from(self.wake_count - seen).unwrap_or(usize::MAX);
        match unseen {
            0 => Pending::None,
            few if few <= self.wakes.len() => {
                let mut clients: Vec<_> = self.wakes.range(self.wakes.len() - few..).copied().collect();
                clients.sort_unstable();
                clients.dedup();
                Pending::Some(clients)
            }
            _ => Pending::All,
        }
    }
}

impl Allocator {
    /// Whether there is anything to do. While nobody wants offers agents that changed
    /// are only noted.
    pub(crate) fn is_work_left(&self) -> bool {
        self.is_working() && (self.work.is_left() || self.quotas.is_work_left())
    }

    /// Whether anything is given to anybody at all.
    pub(crate) fn is_working(&self) -> bool {
        !self.paused && self.tree.is_anybody_active()
    }

    /// Every framework is to look at an agent.
    pub(crate) fn look_at(&mut self, agent: Key<Agent>) {
        let place = &mut self.agents.arena[agent];
        if place.pending == Pending::None {
            self.work.note_dirty(agent, place);
        }
        place.pending = Pending::All;
    }

    /// One framework is to look at an agent.
    pub(crate) fn look_at_for(&mut self, agent: Key<Agent>, client: Key<Client>) {
        let Some(place) = self.agents.arena.get_mut(agent) else { return };
        match &mut place.pending {
            Pending::All => {}
            Pending::Some(clients) if clients.contains(&client) => {}
            Pending::Some(clients) if clients.len() < FEW => clients.push(client),
            pending @ Pending::Some(_) => *pending = Pending::All,
            pending @ Pending::None => {
                *pending = Pending::Some(vec![client]);
                self.work.note_dirty(agent, place);
            }
        }
    }

    /// One framework is to look at every agent that has something to offer.
    pub(crate) fn wake(&mut self, client: Key<Client>) {
        let work = &mut self.work;
        work.wake_count += 1;
        work.wakes.push_back(client);
        if work.wakes.len() > FEW {
            work.wakes.pop_front();
        }
        work.again = true;
    }

    /// The next agent to look at, and who is to look; none also when the budget is spent
    /// before one is found.
    pub(crate) fn next_agent(&mut self, end: u64) -> Option<(Key<Agent>, Pending)> {
        if !self.work.dirty.is_empty() {
            let bound = u64::try_from(self.work.dirty.len()).expect("usize fits u64");
            let pick = usize::try_from(self.rng.below(bound)).expect("below a usize");
            let (agent, pending) = self.take_dirty(pick);
            return Some((agent, self.join_others(agent, pending)));
        }
        // ORDER: whoever looks at what changed may take it, and then the surplus is as it was:
        // thousands of roles need not hear of it.
        self.quotas.resume_stalled();
        if let Some((agent, pending)) = self.next_held_back(end) {
            return Some((agent, self.join_others(agent, pending)));
        }
        if !self.quotas.eased.is_empty() {
            return None;
        }
        if self.work.cursor >= self.work.ring.len() {
            if !self.work.again {
                return None;
            }
            self.work.again = false;
            self.work.cursor = 0;
        }
        let agent = *self.work.ring.get(self.work.cursor)?;
        self.work.cursor += 1;
        let place = &mut self.agents.arena[agent];
        let pending = self.work.unseen(place.seen);
        place.seen = self.work.wake_count;
        Some((agent, pending))
    }

    /// Adds to those who are to look at an agent those who woke since the last look,
    /// and those from whom something was held back.
    fn join_others(&mut self, agent: Key<Agent>, pending: Pending) -> Pending {
        let place = &mut self.agents.arena[agent];
        let pending = merge(pending, self.work.unseen(place.seen));
        place.seen = self.work.wake_count;
        if matches!(pending, Pending::Some(_)) {
            // Who waits for the surplus may come before these.
            self.quotas.resume_stalled();
        }
        self.join_held_back(agent, pending)
    }

    /// Puts an agent among those that have something to offer, at a random place.
    pub(crate) fn enter_ring(&mut self, agent: Key<Agent>) {
        if self.agents.arena[agent].ring_at.is_some() {
            return;
        }
        let end = self.work.ring.len();
        self.work.ring.push(agent);
        self.agents.arena[agent].ring_at = Some(end);
        if self.work.cursor == end {
            // The sweep is over, and has seen this one as well.
            self.work.cursor += 1;
        }
        let bound = u64::try_from(end).expect("usize fits u64") + 1;
        let pick = usize::try_from(self.rng.below(bound)).expect("below a usize");
        self.swap_in_ring(pick, end);
    }

    /// Takes an agent out of the ring, keeping apart what the sweep has seen and
    /// what it has not.
    pub(crate) fn leave_ring(&mut self, agent: Key<Agent>) {
        let Some(mut at) = self.agents.arena[agent].ring_at.take() else { return };
        if at < self.work.cursor {
            self.work.cursor -= 1;
            let cursor = self.work.cursor;
            self.swap_in_ring(at, cursor);
            at = cursor;
        }
        let last = self.work.ring.len() - 1;
        self.swap_in_ring(at, last);
        self.work.ring.pop();
        self.agents.arena[agent].ring_at = None;
    }

    fn swap_in_ring(&mut self, a: usize, b: usize) {
        self.work.ring.swap(a, b);
        for at in [a, b] {
            let agent = self.work.ring[at];
            self.agents.arena[agent].ring_at = Some(at);
        }
    }

    /// Takes one agent out of those that changed, and tells who is to look at it.
    fn take_dirty(&mut self, at: usize) -> (Key<Agent>, Pending) {
        let agent = self.work.dirty.swap_remove(at);
        if let Some(moved) = self.work.dirty.get(at) {
            self.agents.arena[*moved].dirty_at = at;
        }
        (agent, std::mem::take(&mut self.agents.arena[agent].pending))
    }

    pub(crate) fn drop_from_dirty(&mut self, agent: Key<Agent>) {
        let place = &self.agents.arena[agent];
        if place.pending != Pending::None {
            self.take_dirty(place.dirty_at);
        }
    }
}

fn merge(left: Pending, right: Pending) -> Pending {
    match (left, right) {
        (Pending::All, _) | (_, Pending::All) => Pending::All,
        (Pending::None, other) | (other, Pending::None) => other,
        (Pending::Some(mut all), Pending::Some(more)) => {
            all.extend(more);
            all.sort_unstable();
            all.dedup();
            Pending::Some(all)
        }
    }
}
