//! What quota held back, so that exactly that is looked at again when a cap grows.
//!
//! When a framework may not have something because of a cap, the agent is noted
//! together with the cap, for its role and, where the guarantees of others were the
//! reason, for all. As long as no cap is above what was noted nobody need look: a
//! role that gives back just what it takes again elsewhere costs nothing here.
//!
//! When a cap is above it, the noted agents are looked at again, one by one, and
//! only as long as it is: the first to take what there is ends it, and the rest stay
//! noted.

use std::collections::BTreeSet;

use resources::{Name, Scalar};
use smallvec::SmallVec;

use crate::Allocator;
use crate::agents::Agent;
use crate::arena::Key;
use crate::filters::is_refused;
use crate::frameworks::{Client, incapable};
use crate::lot::Lot;
use crate::quota::{Account, Quotas};
use crate::work::{FEW, Pending};

/// With more agents than this, a role's are not noted one by one: thousands of roles
/// that are all at their limits would fill the memory.
const NOTED: usize = 4;

type Caps = SmallVec<[(Name, Scalar); 2]>;

/// Agents of which something was held back.
#[derive(Default)]
pub(crate) struct HeldBack {
    /// Noted since the last round began.
    noted: Notes,
    /// Of this round, to be looked at.
    round: Notes,
    /// Where the walk over all agents is.
    cursor: usize,
    /// How many places the walk goes around; more when agents were added meanwhile.
    around: usize,
}

#[derive(Default)]
struct Notes {
    agents: BTreeSet<Key<Agent>>,
    /// So many places of agents, from the cursor on, are noted as well.
    places: usize,
    /// By name, the least of the caps under which something was held back.
    caps: Caps,
}

impl Notes {
    fn is_empty(&self) -> bool {
        self.agents.is_empty() && self.places == 0
    }

    fn lower(&mut self, name: &Name, cap: Scalar) {
        lower(&mut self.caps, name, cap);
    }

    /// Whether a cap is above the one under which something was held back.
    fn has_grown(&self, cap: impl Fn(&Name) -> Option<Scalar>) -> bool {
        !self.is_empty() && self.caps.iter().any(|(name, least)| cap(name).is_none_or(|cap| cap > *least))
    }
}

fn lower(caps: &mut Caps, name: &Name, cap: Scalar) {
    match caps.iter_mut().find(|(mine, _)| mine == name) {
        Some((_, least)) => *least = cap.min(*least),
        None => caps.push((name.clone(), cap)),
    }
}

/// Roles that wait for the surplus to grow, and the least surplus under which they do.
#[derive(Default)]
pub(crate) struct Stalled {
    accounts: Vec<Key<Account>>,
    caps: Caps,
}

impl Stalled {
    fn has_grown(&self, surplus: impl Fn(&Name) -> Option<Scalar>) -> bool {
        self.caps.iter().any(|(name, least)| surplus(name).is_none_or(|surplus| surplus > *least))
    }
}

impl HeldBack {
    /// The names of which something was held back.
    fn names(&self) -> impl Iterator<Item = &Name> {
        self.noted.caps.iter().chain(&self.round.caps).map(|(name, _)| name)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.noted.is_empty() && self.round.is_empty()
    }

    fn note(&mut self, agent: Key<Agent>, name: &Name, cap: Scalar, most: usize, places: usize) {
        self.noted.lower(name, cap);
        if self.noted.places > 0 {
            // All agents are noted already.
        } else if self.noted.agents.len() < most {
            self.noted.agents.insert(agent);
        } else if !self.noted.agents.contains(&agent) {
            self.noted.agents.clear();
            self.noted.places = places;
        }
    }

    /// Notes all agents, as if nothing at all had been had of these names.
    pub(crate) fn note_all<'a>(&mut self, names: impl Iterator<Item = &'a Name>, places: usize) {
        for name in names {
            self.noted.lower(name, Scalar::ZERO);
            self.noted.places = places;
        }
    }

    /// Forgets an agent that is gone.
    pub(crate) fn forget(&mut self, agent: Key<Agent>) {
        self.noted.agents.remove(&agent);
        self.round.agents.remove(&agent);
    }

    /// Whether nothing at all could be had of a name when the last agents were noted,
    /// and so many were that all are.
    pub(crate) fn is_all_noted(&self, name: &Name) -> bool {
        let nothing = |(of, cap): &(Name, Scalar)| of == name && *cap <= Scalar::ZERO;
        self.noted.places > 0 && self.noted.caps.iter().any(nothing)
    }

    /// Whether something of an agent may have been held back.
    fn notes(&self, agent: Key<Agent>) -> bool {
        let notes = |notes: &Notes| notes.places > 0 || notes.agents.contains(&agent);
        notes(&self.noted) || notes(&self.round)
    }

    pub(crate) fn has_grown(&self, cap: impl Fn(&Name) -> Option<Scalar>) -> bool {
        self.round.has_grown(&cap) || self.noted.has_grown(&cap)
    }

    /// The next agent to look at, while a cap is above what was noted. `at` finds the
    /// agents of which something is free, by their places.
    fn next(
        &mut self,
        cap: impl Fn(&Name) -> Option<Scalar>,
        places: usize,
        at: impl Fn(usize) -> Option<Key<Agent>>,
    ) -> Option<Key<Agent>> {
        loop {
            if self.round.is_empty() {
                if !self.noted.has_grown(&cap) {
                    return None;
                }
                self.round = std::mem::take(&mut self.noted);
                self.around = self.round.places;
            }
            if self.round.places > 0 && self.around < places {
                // The walk passes by the new places before it is back where it began.
                self.round.places += places - self.around;
                self.around = places;
            }
            if !self.round.has_grown(&cap) {
                self.put_off(places);
                continue;
            }
            if let Some(agent) = self.round.agents.pop_first() {
                return Some(agent);
            }
            self.round.places -= 1;
            self.cursor = if self.cursor + 1 < places { self.cursor + 1 } else { 0 };
            if let Some(agent) = at(self.cursor) {
                return Some(agent);
            }
        }
    }

    /// Ends the round; what is left of it stays noted.
    fn put_off(&mut self, places: usize) {
        let round = std::mem::take(&mut self.round);
        for (name, cap) in &round.caps {
            self.noted.lower(name, *cap);
        }
        if round.places > 0 {
            // All places, since those behind the cursor may have been noted again.
            self.noted.places = places;
        }
        self.noted.agents.extend(round.agents);
    }
}

impl Quotas {
    /// Whether anybody may now have what was held back from them.
    pub(crate) fn is_work_left(&self) -> bool {
        !self.eased.is_empty()
            || self.held.has_grown(|name| self.surplus(name))
            || self.stalled.has_grown(|name| self.surplus(name))
    }

    /// A role that may have no more under the guarantees of others, though its own
    /// limit would allow it, waits for the surplus to grow.
    fn stall(&mut self, key: Key<Account>) {
        let Some(account) = self.accounts.get(key) else { return };
        if account.held.is_empty() {
            return;
        }
        let bound = account.held.names().filter_map(|name| {
            let surplus = self.surplus(name)?;
            let by_limit = account.room(name).is_some_and(|room| room <= surplus + account.unmet.get(name));
            (!by_limit).then(|| (name.clone(), surplus))
        });
        let bound: Caps = bound.collect();
        if bound.is_empty() {
            return;
        }
        bound.iter().for_each(|(name, surplus)| lower(&mut self.stalled.caps, name, *surplus));
        let account = &mut self.accounts[key];
        if !account.stalled {
            account.stalled = true;
            self.stalled.accounts.push(key);
        }
    }

    /// Lets the roles look again that waited for the surplus to grow, if it did.
    pub(crate) fn resume_stalled(&mut self) {
        if !self.stalled.has_grown(|name| self.surplus(name)) {
            return;
        }
        for key in std::mem::take(&mut self.stalled).accounts {
            if let Some(account) = self.accounts.get_mut(key) {
                account.stalled = false;
                self.ease(key);
            }
        }
    }
}

impl Allocator {
    /// Notes what quota holds back from a client that has just looked at an agent of
    /// which `free` is left.
    pub(crate) fn hold_back(&mut self, client: Key<Client>, agent: Key<Agent>, free: &Lot) {
        let holder = &self.frameworks.clients[client];
        let account = holder.account;
        if !self.quotas.binds(account) || free.is_empty() {
            return;
        }
        let capabilities = self.frameworks.arena[holder.framework].capabilities;
        let place = &self.agents.arena[agent];
        if incapable(&self.options, capabilities, holder, place).is_some() || is_refused(holder, agent, free)
        {
            return;
        }
        let places = self.agents.arena.places();
        for (name, amount) in free.open() {
            let of = &self.quotas.accounts[account];
            let unmet = of.unmet.get(name);
            let (room, surplus) = (of.room(name), self.quotas.surplus(name));
            let Some(cap) = self.quotas.cap(of, name).filter(|cap| cap < amount) else { continue };
            // At its limit a role waits for that first, and then for the surplus (`stall`).
            if let Some(surplus) = surplus.filter(|surplus| room.is_none_or(|room| *surplus + unmet < room)) {
                self.quotas.held.note(agent, name, surplus, usize::MAX, places);
            }
            if !self.quotas.accounts[account].quota.is_default() {
                self.quotas.accounts[account].held.note(agent, name, cap, NOTED, places);
            }
        }
    }

    /// The next agent of which something was held back that may be had now. Roles for
    /// which there is none are listed no more, as many as the budget allows.
    pub(crate) fn next_held_back(&mut self, end: u64) -> Option<(Key<Agent>, Pending)> {
        // ORDER: what anybody may have now before what one role may.
        if let Some(agent) = self.next_of_all() {
            return Some((agent, Pending::All));
        }
        while self.spent() < end
            && let Some(account) = self.quotas.eased.last().copied()
        {
            if let Some(found) = self.next_of_account(account) {
                return Some(found);
            }
            self.quotas.eased.pop();
            self.chores += 1;
            if let Some(done) = self.quotas.accounts.get_mut(account) {
                done.listed = false;
            }
            self.quotas.stall(account);
        }
        None
    }

    fn next_of_all(&mut self) -> Option<Key<Agent>> {
        let mut held = std::mem::take(&mut self.quotas.held);
        let places = self.agents.arena.places();
        let found = held.next(|name| self.quotas.surplus(name), places, |at| self.agents.offering_at(at));
        self.quotas.held = held;
        found
    }

    /// Adds to those who are to look at an agent those from whom something of it was
    /// held back that they may have now: else it would go to another before them.
    pub(crate) fn join_held_back(&self, agent: Key<Agent>, pending: Pending) -> Pending {
        let Pending::Some(mut clients) = pending else { return pending };
        if self.quotas.held.notes(agent) && self.quotas.held.has_grown(|name| self.quotas.surplus(name)) {
            return Pending::All;
        }
        for account in self.quotas.eased.iter().filter_map(|account| self.quotas.accounts.get(*account)) {
            if account.held.notes(agent) && account.held.has_grown(|name| self.quotas.cap(account, name)) {
                clients.extend(account.clients.iter().filter(|client| self.wants(**client)).take(FEW + 1));
                if clients.len() > FEW {
                    return Pending::All;
                }
            }
        }
        clients.sort_unstable();
        clients.dedup();
        Pending::Some(clients)
    }

    fn next_of_account(&mut self, key: Key<Account>) -> Option<(Key<Agent>, Pending)> {
        if self.quotas.accounts.get(key).is_some() {
            self.quotas.strike_full(key);
        }
        let account = self.quotas.accounts.get_mut(key)?;
        let mut held = std::mem::take(&mut account.held);
        let account = &self.quotas.accounts[key];
        let places = self.agents.arena.places();
        let found = loop {
            let cap = |name: &Name| self.quotas.cap(account, name);
            let Some(agent) = held.next(cap, places, |at| self.agents.offering_at(at)) else { break None };
            // Agents that are gone are noted still.
            if self.agents.arena.get(agent).is_none() {
                continue;
            }
            let wanting = account.clients.iter().copied().filter(|client| self.wants(*client));
            let wanting: Vec<_> = wanting.take(FEW + 1).collect();
            if wanting.is_empty() {
                // Whoever wants something later looks at all agents then.
                held = HeldBack::default();
                break None;
            }
            break Some((agent, if wanting.len() > FEW { Pending::All } else { Pending::Some(wanting) }));
        };
        self.quotas.accounts[key].held = held;
        found
    }

    fn wants(&self, client: Key<Client>) -> bool {
        self.frameworks.wants(&self.frameworks.clients[client])
    }
}

#[cfg(test)]
mod tests {
    use machine::Instant;
    use resources::{Quantities, Resources};
    use types::Role;

    use super::*;
    use crate::{AgentOptions, Allocation, FrameworkOptions, Options, Progress, Quota};

    fn role(at: usize) -> Role {
        Role::from(format!("role-{at:05}"))
    }

    fn cpus(amount: usize) -> Resources {
        Resources::parse(&format!("cpus:{amount}"), "*").expect("parses")
    }

    fn settle(allocator: &mut Allocator) -> Vec<Allocation> {
        let mut out = Vec::new();
        while allocator.step(Instant::ZERO, 1000, &mut out) == Progress::More {}
        out
    }

    fn amounts(cpus: usize) -> Quantities {
        Quantities::parse(&format!("cpus:{cpus}")).expect("parses")
    }

    /// Roles that are all below their limits, and have nothing more because all that is
    /// free is just what another role is guaranteed.
    fn stalled(roles: usize) -> Allocator {
        let mut allocator = Allocator::new(Options::default());
        for at in 0..roles {
            let limits = amounts(1).iter().map(|(name, amount)| (name, *amount)).collect();
            allocator.set_quota(&role(at), Quota { limits, ..Quota::default() });
            let options = FrameworkOptions { roles: vec![role(at)], ..FrameworkOptions::default() };
            allocator.add_framework(&role(at).as_str().into(), &options, true);
        }
        let x = "x".into();
        allocator.add_agent(&x, AgentOptions::default(), cpus(roles + 4), &[]);
        let ends = [("hog".into(), cpus(1).allocated(&"hog".into()))];
        allocator.add_agent(&"y".into(), AgentOptions::default(), cpus(1), &ends);
        let given = settle(&mut allocator);
        assert_eq!(given.len(), roles);
        let guarantees = amounts(roles + 4);
        allocator.set_quota(&"kept".into(), Quota { guarantees, ..Quota::default() });
        for Allocation { framework, agent, resources, .. } in &given {
            allocator.recover(Instant::ZERO, framework, agent, resources, None);
        }
        assert!(settle(&mut allocator).is_empty());
        assert_eq!(allocator.quotas.stalled.accounts.len(), roles);
        allocator
    }

    #[test]
    fn the_end_of_a_task_costs_the_same_however_many_roles_are_stalled() {
        let cost = |roles| {
            let mut allocator = stalled(roles);
            let (work, chores) = (allocator.visited + allocator.looked, allocator.chores);
            let ends = cpus(1).allocated(&"hog".into());
            allocator.recover(Instant::ZERO, &"hog".into(), &"y".into(), &ends, None);
            assert_eq!(settle(&mut allocator).len(), 1, "the first of them takes it");
            assert_eq!(allocator.quotas.stalled.accounts.len(), roles, "the others wait still");
            (allocator.visited + allocator.looked - work, allocator.chores - chores)
        };
        assert_eq!(cost(30), (2, 0));
        assert_eq!(cost(300), (2, 0));
        assert_eq!(cost(3000), (2, 0));
    }

    #[test]
    fn roles_that_look_again_for_nothing_are_within_the_budget() {
        let mut allocator = stalled(300);
        let all: Vec<_> = allocator.quotas.stalled.accounts.clone();
        all.into_iter().for_each(|account| allocator.quotas.ease(account));
        let mut left = Vec::new();
        while allocator.step(Instant::ZERO, 10, &mut Vec::new()) == Progress::More {
            left.push(allocator.quotas.eased.len());
        }
        assert_eq!(left, [224, 144, 64], "eight to a look");
        allocator.assert_invariants();
    }
}
