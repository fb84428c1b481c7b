//! One look at one agent: who takes what is free there.

use crate::agents::Agent;
use crate::arena::Key;
use crate::bits::Bits;
use crate::books::Entry;
use crate::filters::is_refused;
use crate::frameworks::{Client, incapable};
use crate::lot::Lot;
use crate::quota::is_open;
use crate::work::{FEW, Pending};
use crate::{Allocation, Allocator};

impl Allocator {
    /// Lets the pending frameworks look at an agent, in the order of shares, and
    /// gives the first that may have it all it may have of what is free; then the
    /// next of what is left.
    pub(crate) fn visit(&mut self, agent: Key<Agent>, pending: Pending, out: &mut Vec<Allocation>) {
        self.visited += 1;
        let is_open_again = self.serve_large(agent, out);
        let pending = if is_open_again { Pending::All } else { self.join_large(agent, pending) };
        match pending {
            Pending::None => {}
            Pending::Some(clients) => self.let_few_look(agent, clients, out),
            Pending::All => self.let_all_look(agent, out),
        }
        if self.is_on_offer(agent) {
            self.enter_ring(agent);
        } else {
            self.leave_ring(agent);
        }
    }

    /// Whether an agent has something that any framework at all could be offered.
    pub(crate) fn is_on_offer(&self, agent: Key<Agent>) -> bool {
        let place = &self.agents.arena[agent];
        let is_worth = |free: &Lot| {
            free.has_own() && (self.own_minimums > 0 || free.meets(&self.options.min_allocatable))
        };
        place.is_offered()
            && is_worth(&place.free)
            && (self.large.kept_for(agent).is_none() || is_worth(&self.free_for_others(agent)))
    }

    /// What of an agent may be offered, if it is worth it.
    fn on_offer(&self, agent: Key<Agent>) -> Option<Lot> {
        self.is_on_offer(agent).then(|| self.free_for_others(agent))
    }

    fn let_all_look(&mut self, agent: Key<Agent>, out: &mut Vec<Allocation>) {
        let mut refusers = std::mem::take(&mut self.refusers);
        let mut owed = !self.quotas.required.is_empty();
        while let Some(free) = self.on_offer(agent) {
            refusers.clear();
            let mut left = self.tree.active_count();
            if !self.agents.arena[agent].refusals.is_empty() {
                self.agents.arena[agent].refusals.collect(&free, &mut refusers);
                left = self.tree.count_without(&refusers);
            }
            if left == 0 {
                break;
            }
            if left <= FEW && self.tree.active_count() > left * FEW && !self.tree.draws_lots() {
                // Those left may come last in the order: most are not even passed by.
                let few = self.tree.clients_without(&refusers);
                self.let_few_look(agent, few, out);
                break;
            }
            if free.is_open() {
                self.quotas.full.collect(free.open(), &mut refusers);
            }
            // What one was given changes the order for what is left, and who refused that.
            if owed && self.let_owed_look(agent, &free, &refusers, out) {
                continue;
            }
            owed = false;
            if !self.let_next_look(agent, &free, &refusers, left, out) {
                break;
            }
        }
        self.refusers = refusers;
    }

    /// Lets those look that are not to be passed by, so many at most, until one takes
    /// something.
    fn let_next_look(
        &mut self,
        agent: Key<Agent>,
        free: &Lot,
        passed_by: &Bits,
        mut left: usize,
        out: &mut Vec<Allocation>,
    ) -> bool {
        let mut walk = self.tree.walk();
        let mut full = Vec::new();
        let mut took = false;
        while !took
            && left > 0
            && let Some(client) = self.tree.next(&mut walk, passed_by, |role| {
                if role.is_top && free.is_open() && self.quotas.is_full(role.account, free.open()) {
                    full.push((role.account, role.place));
                    return false;
                }
                is_for_role(free, role.name)
            })
        {
            left -= 1;
            self.quotas.note_full(&full, free.open());
            full.clear();
            took = self.look(client, agent, free, out);
        }
        self.quotas.note_full(&full, free.open());
        self.passed += self.tree.end(walk);
        took
    }

    /// Lets those look first whose roles have guarantees that are not met, for what
    /// they must still get, until one takes something.
    fn let_owed_look(
        &mut self,
        agent: Key<Agent>,
        free: &Lot,
        refusers: &Bits,
        out: &mut Vec<Allocation>,
    ) -> bool {
        self.tell_who_is_owed();
        let mut walk = self.tree.walk_over_owed();
        let mut took = false;
        while !took
            && let Some(client) = self.tree.next(&mut walk, refusers, |role| {
                !role.is_top || self.quotas.is_owed(role.account, free.open())
            })
        {
            took = self.look(client, agent, free, out);
        }
        self.passed += self.tree.end(walk);
        took
    }

    fn let_few_look(&mut self, agent: Key<Agent>, mut clients: Vec<Key<Client>>, out: &mut Vec<Allocation>) {
        clients
            .retain(|client| self.frameworks.clients.get(*client).is_some_and(|c| self.frameworks.wants(c)));
        while !clients.is_empty()
            && let Some(free) = self.on_offer(agent)
        {
            if clients.len() > 1 {
                let all = &self.frameworks.clients;
                self.tree.sort(&mut clients, |client| all[*client].node);
                if !self.quotas.required.is_empty() {
                    clients.sort_by_key(|client| !self.quotas.is_owed(all[*client].account, free.open()));
                }
            }
            let taker = clients.iter().position(|client| self.look(*client, agent, &free, out));
            let Some(taker) = taker else { break };
            if is_cut_one_way(&free) {
                // Those before the taker had their look, and can have no part of less.
                clients.drain(..=taker);
            } else {
                clients.remove(taker);
            }
        }
    }

    /// Lets one framework look at what is free, and says whether less is free for others then.
    pub(crate) fn look(
        &mut self,
        client: Key<Client>,
        agent: Key<Agent>,
        free: &Lot,
        out: &mut Vec<Allocation>,
    ) -> bool {
        self.looked += 1;
        let part = self.eligible(client, agent, free);
        if let Some(part) = &part {
            self.give(client, agent, part, out);
        }
        if self.quotas.binds(self.frameworks.clients[client].account) {
            let left = self.agents.arena[agent].free.clone();
            self.hold_back(client, agent, &left);
        }
        part.is_some() || self.keep_for_large(client, agent)
    }

    /// Gives a framework a part of what is free.
    fn give(&mut self, client: Key<Client>, agent: Key<Agent>, part: &Lot, out: &mut Vec<Allocation>) {
        let (lot, resources) = part.for_role(&self.frameworks.clients[client].role);
        self.book(client, agent, &lot, Entry::Picked);
        self.end_keeping_for(client);
        let holder = &mut self.frameworks.clients[client];
        holder.grants += 1;
        holder.granted = Some(self.stepped);
        out.push(Allocation {
            framework: self.frameworks.arena[holder.framework].id.clone(),
            role: holder.role.clone(),
            agent: self.agents.arena[agent].id.clone(),
            resources,
        });
    }

    /// What a client that wants offers may have of what is free on an agent now.
    pub(crate) fn eligible(&self, client: Key<Client>, agent: Key<Agent>, free: &Lot) -> Option<Lot> {
        let holder = &self.frameworks.clients[client];
        let capabilities = self.frameworks.arena[holder.framework].capabilities;
        if incapable(&self.options, capabilities, holder, &self.agents.arena[agent]).is_some() {
            return None;
        }
        let may_refuse = self.agents.arena[agent].refusals.may_be_of(holder.node.place());
        let is_refused = |offered: &Lot| may_refuse && is_refused(holder, agent, offered);
        // Who refused the whole refused its parts: the usual case in a storm of declines.
        if is_refused(free) {
            return None;
        }
        let mut part = free.clone();
        if !free.is_for_anybody() {
            let may_have = |resource: &resources::Resource| {
                resource.is_allocatable_to(&holder.role) && capabilities.handle(resource)
            };
            if !free.resources().iter().all(may_have) {
                part = Lot::of(free.resources().filter(may_have));
                if is_refused(&part) {
                    return None;
                }
            }
        }
        if let Some(cut) = self.quotas.cut(holder.account, &part) {
            if is_refused(&cut) {
                return None;
            }
            part = cut;
        }
        if let Some(cut) = self.cut_to_long(client, agent, &part) {
            if is_refused(&cut) {
                return None;
            }
            part = cut;
        }
        let clauses = holder.min_allocatable.as_ref().unwrap_or(&self.options.min_allocatable);
        let is_enough = part.has_own() && part.meets(clauses) && self.large.is_enough(client, &part);
        is_enough.then_some(part)
    }
}

/// Whether a cut of less is always part of the same cut of all. It is not where quota
/// lets somebody have one disk or another: who refused the first may have the second when
/// the first is gone.
fn is_cut_one_way(free: &Lot) -> bool {
    let open = || free.resources().iter().filter(|one| is_open(one));
    open().all(|one| !one.is_indivisible() && open().filter(|other| other.name() == one.name()).count() == 1)
}

/// Whether a role, or one below it, may have any of these.
fn is_for_role(free: &Lot, role: &str) -> bool {
    free.is_for_anybody()
        || free.resources().iter().any(|resource| {
            resource.reservation_role().is_none_or(|reserved| {
                is_within(role, reserved.as_str()) || is_within(reserved.as_str(), role)
            })
        })
}

/// Whether a role is another one or below it.
pub(crate) fn is_within(role: &str, ancestor: &str) -> bool {
    role.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
