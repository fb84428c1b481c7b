//! Agents and their books: what they have, and who holds how much of it.

use std::collections::VecDeque;

use resources::{Name, Quantities, Resource, Resources, Scalar};
use types::AgentId;

use crate::AgentProfile;
use crate::arena::{Arena, Key};
use crate::names::ById;
use crate::options::AgentOptions;
use crate::refusals::Refusals;
use crate::uses::Uses;
use crate::work::Pending;

pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) options: AgentOptions,
    /// What constraints may look at.
    pub(crate) profile: AgentProfile,
    /// Whether the whitelist allows it.
    pub(crate) whitelisted: bool,
    pub(crate) total: Resources,
    pub(crate) has_gpus: bool,
    /// Whether it has shared volumes.
    pub(crate) has_shared: bool,
    /// Everything held or offered, allocated to nobody.
    pub(crate) allocated: Resources,
    /// The unreserved, non-revocable scalars of the total.
    pub(crate) open_total: Quantities,
    /// Those of them that are held or offered.
    pub(crate) open_used: Quantities,
    /// What is held of it that it does not have, for anybody; mostly nothing.
    pub(crate) missing: Resources,
    /// Who holds what, by client; resources allocated to nobody. Never empty ones.
    pub(crate) uses: Uses,
    /// Who has a filter for it.
    pub(crate) refusals: Refusals,
    /// Which frameworks are to look at it.
    pub(crate) pending: Pending,
    /// Its place among the agents that changed, while anybody is to look.
    pub(crate) dirty_at: usize,
    /// Wakes up to this one have looked at it.
    pub(crate) seen: u64,
    /// Its place among the agents that have something to offer.
    pub(crate) ring_at: Option<usize>,
}

/// Shapes of agents that are remembered.
const SHAPES: usize = 16;

pub(crate) struct Agents {
    pub(crate) arena: Arena<Agent>,
    pub(crate) by_id: ById<AgentId, Key<Agent>>,
    /// The newest totals: agents come in few shapes, and those of one share the list.
    shapes: VecDeque<Resources>,
}

impl Agents {
    pub(crate) fn new(seed: u64) -> Self {
        Self { arena: Arena::default(), by_id: ById::new(seed), shapes: VecDeque::new() }
    }

    /// The same total as that of an agent of the same shape, shared with it.
    pub(crate) fn shape(&mut self, total: Resources) -> Resources {
        if let Some(shape) = self.shapes.iter().find(|shape| shape.iter().eq(&total)) {
            return shape.clone();
        }
        self.shapes.push_front(total.clone());
        self.shapes.truncate(SHAPES);
        total
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

impl Agent {
    pub(crate) fn new(id: AgentId, options: AgentOptions) -> Self {
        Self {
            id,
            options,
            profile: AgentProfile::default(),
            whitelisted: true,
            total: Resources::new(),
            has_gpus: false,
            has_shared: false,
            allocated: Resources::new(),
            open_total: Quantities::new(),
            open_used: Quantities::new(),
            missing: Resources::new(),
            uses: Uses::default(),
            refusals: Refusals::default(),
            pending: Pending::None,
            dirty_at: 0,
            seen: 0,
            ring_at: None,
        }
    }

    /// Replaces the total, and says how the scalars were and are.
    pub(crate) fn replace_total(&mut self, total: Resources) -> (Quantities, Quantities) {
        let old = Quantities::of_scalars(&self.total);
        let new = Quantities::of_scalars(&total);
        self.has_gpus = new.get(&Name::GPUS) > Scalar::ZERO;
        self.has_shared = total.iter().any(Resource::is_shared);
        self.total = total;
        (old, new)
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
        let mut free = self.open_total.clone();
        free -= &self.open_used;
        free -= &Quantities::of_scalars(&self.missing);
        free
    }

    /// Whether no more is held than there is, as always but after a total shrank. Then
    /// what is given or comes back is just what the free part changes by.
    pub(crate) fn is_open_within(&self) -> bool {
        self.missing.is_empty() && self.open_total.contains(&self.open_used)
    }

    /// What may be offered: what is free, and one copy of each shared volume, whoever
    /// else has copies of it.
    pub(crate) fn offerable(&self) -> Resources {
        if !self.has_shared {
            return self.available();
        }
        &self.available().non_shared() + &self.total.shared()
    }

    /// What is free: in the total, and neither held nor offered, under whatever name.
    pub(crate) fn available(&self) -> Resources {
        let free = self.unbooked();
        if self.missing.is_empty() { free } else { self.spare(free) }
    }

    /// What is in the total, and on nobody's account.
    pub(crate) fn unbooked(&self) -> Resources {
        &self.total - &self.allocated
    }
}
