//! Agents and their books: what they have, and who holds how much of it.

use std::collections::VecDeque;

use resources::{Name, Quantities, Resources, Scalar};
use types::AgentId;

use crate::AgentProfile;
use crate::arena::{Arena, Key};
use crate::lot::Lot;
use crate::missing::missing;
use crate::names::ById;
use crate::options::AgentOptions;
use crate::refusals::Refusals;
use crate::uses::Uses;
use crate::work::Pending;

// ORDER: what each visit reads comes first, in as few cache lines as it can be: a large
// cluster's agents are in no cache, and are visited in random order.
#[repr(C)]
pub(crate) struct Agent {
    /// What may be offered if it is active: what is free, and one copy of each shared
    /// volume, whoever else has copies of it. Kept up with the rest ([`Agent::take_stock`]).
    pub(crate) free: Lot,
    pub(crate) options: AgentOptions,
    /// Whether the whitelist allows it.
    pub(crate) whitelisted: bool,
    /// Whether what is free and what is held are the total together, as always but with
    /// shared volumes and after the total shrank. Then the free part changes by just
    /// what is given and comes back, and else it is worked out anew.
    pub(crate) is_regular: bool,
    pub(crate) has_gpus: bool,
    /// Whether it has shared volumes.
    pub(crate) has_shared: bool,
    /// Who holds what, by client. Never empty ones.
    pub(crate) uses: Uses,
    pub(crate) id: AgentId,
    /// Wakes up to this one have looked at it.
    pub(crate) seen: u64,
    /// Which frameworks are to look at it.
    pub(crate) pending: Pending,
    /// Its place among the agents that have something to offer.
    pub(crate) ring_at: Option<usize>,
    /// Its place among the agents that changed, while anybody is to look.
    pub(crate) dirty_at: usize,
    /// Who has a filter for it.
    pub(crate) refusals: Refusals,
    pub(crate) total: Lot,
    /// What is held of it that it does not have, for anybody; mostly nothing.
    pub(crate) missing: Resources,
    /// What constraints may look at.
    pub(crate) profile: Box<AgentProfile>,
}

/// Shapes of agents that are remembered.
const SHAPES: usize = 16;

pub(crate) struct Agents {
    pub(crate) arena: Arena<Agent>,
    pub(crate) by_id: ById<AgentId, Key<Agent>>,
    /// The newest totals: agents come in few shapes, and those of one share what is known
    /// of it.
    shapes: VecDeque<Lot>,
    /// What was left on the newest agents that came with tasks: where all run the same,
    /// as much is left. Apart, lest what comes in many shapes drive the totals out.
    rests: VecDeque<Lot>,
    /// How an agent grew last: its total before and after, and what came. Agents of one
    /// shape often grow alike.
    growth: (Lot, Lot, Lot),
}

impl Agents {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            arena: Arena::default(),
            by_id: ById::new(seed),
            shapes: VecDeque::new(),
            rests: VecDeque::new(),
            growth: Default::default(),
        }
    }

    /// A total as a lot: that of an agent of the same shape, if one came not long ago.
    pub(crate) fn shape(&mut self, total: Resources) -> Lot {
        let same =
            |shape: &&Lot| shape.resources().shares_with(&total) || shape.resources().iter().eq(&total);
        if let Some(shape) = self.shapes.iter().find(same) {
            return shape.clone();
        }
        remember(&mut self.shapes, Lot::of(total))
    }

    /// What is left on an agent: the lot of another on which as much was left, if one
    /// came not long ago.
    pub(crate) fn rest_of_shape(&mut self, rest: Lot) -> Lot {
        let same = |other: &&Lot| other.resources().iter().eq(rest.resources());
        if let Some(other) = self.rests.iter().find(same) {
            return other.clone();
        }
        remember(&mut self.rests, rest)
    }

    /// What a total has more than the one before.
    pub(crate) fn growth(&mut self, before: &Lot, after: &Lot) -> Lot {
        let (last_before, last_after, _) = &self.growth;
        if !last_before.is_same(before) || !last_after.is_same(after) {
            self.growth = (before.clone(), after.clone(), after.minus(before));
        }
        self.growth.2.clone()
    }

    pub(crate) fn key(&self, id: &AgentId) -> Option<Key<Agent>> {
        self.by_id.get(id).copied()
    }

    /// The agent in this place of the arena, if it has something to offer.
    pub(crate) fn offering_at(&self, place: usize) -> Option<Key<Agent>> {
        let key = self.arena.key_at(place)?;
        self.arena[key].ring_at.map(|_| key)
    }

    pub(crate) fn get(&self, id: &AgentId) -> Option<&Agent> {
        self.key(id).map(|key| &self.arena[key])
    }
}

fn remember(shapes: &mut VecDeque<Lot>, lot: Lot) -> Lot {
    shapes.push_front(lot.clone());
    shapes.truncate(SHAPES);
    lot
}

impl Agent {
    pub(crate) fn new(id: AgentId, options: AgentOptions) -> Self {
        Self {
            id,
            options,
            free: Lot::EMPTY,
            is_regular: true,
            uses: Uses::default(),
            whitelisted: true,
            has_gpus: false,
            has_shared: false,
            pending: Pending::None,
            dirty_at: 0,
            seen: 0,
            ring_at: None,
            refusals: Refusals::default(),
            total: Lot::EMPTY,
            missing: Resources::new(),
            profile: Box::default(),
        }
    }

    /// Replaces the total. What is free is to be worked out anew.
    pub(crate) fn replace_total(&mut self, total: Lot) {
        self.has_gpus = total.scalars().get(&Name::GPUS) > Scalar::ZERO;
        self.has_shared = total.has_shared();
        self.total = total;
    }

    /// Whether anything of it may be offered at all.
    pub(crate) fn is_offered(&self) -> bool {
        self.options.active && self.whitelisted
    }

    /// Its part of what is available to roles with guarantees.
    pub(crate) fn open_free(&self) -> Quantities {
        if !self.is_offered() {
            return Quantities::new();
        }
        if self.is_regular {
            return self.free.open().clone();
        }
        let mut free = self.total.open().clone();
        self.uses.values().for_each(|held| free -= held.open());
        free -= &Quantities::of_scalars(&self.missing);
        free
    }

    /// Everything held or offered, allocated to nobody.
    pub(crate) fn held(&self) -> Resources {
        let mut all = self.uses.values();
        let first = all.next().map(|held| held.resources().clone()).unwrap_or_default();
        all.fold(first, |sum, held| &sum + held.resources())
    }

    /// Works out anew what is free.
    pub(crate) fn take_stock(&mut self) {
        let held = self.held();
        self.missing = missing(self.total.resources(), &held);
        self.is_regular =
            !self.has_shared && self.missing.is_empty() && self.total.resources().contains(&held);
        self.free = if held.is_empty() && self.is_regular {
            self.total.clone()
        } else {
            Lot::of(self.offerable(&held))
        };
    }

    fn offerable(&self, held: &Resources) -> Resources {
        let available = self.spare(self.total.resources() - held);
        if self.has_shared { &available.non_shared() + &self.total.resources().shared() } else { available }
    }

    /// What is free: in the total, and neither held nor offered, under whatever name.
    pub(crate) fn available(&self) -> Resources {
        if self.is_regular { self.free.resources().clone() } else { self.spare(self.unbooked()) }
    }

    /// What is in the total, and on nobody's account.
    pub(crate) fn unbooked(&self) -> Resources {
        if self.is_regular { self.free.resources().clone() } else { self.total.resources() - &self.held() }
    }

    /// For tests: panics unless what is free is what it would be if it were worked out now.
    pub(crate) fn check_stock(&self) {
        let held = self.held();
        assert_eq!(self.offerable(&held), *self.free.resources(), "{}: what is free", self.id);
        assert_eq!(missing(self.total.resources(), &held), self.missing, "{}: what is missing", self.id);
        let whole = &held + self.free.resources();
        assert!(!self.is_regular || whole == *self.total.resources(), "{}: {whole}", self.id);
        assert!(!self.is_regular || !self.has_shared);
    }
}
