//! One look at one agent: who takes what is free there.

use std::borrow::Cow;

use resources::{Quantities, Resources};

use crate::agents::Agent;
use crate::arena::Key;
use crate::bits::Bits;
use crate::books::Entry;
use crate::filters::is_refused;
use crate::frameworks::{Client, incapable};
use crate::quota::{is_open, open_scalars};
use crate::work::{FEW, Pending};
use crate::{Allocation, Allocator};

impl Allocator {
    /// Lets the pending frameworks look at an agent, in the order of shares, and
    /// gives the first that may have it all it may have of what is free; then the
    /// next of what is left.
    pub(crate) fn visit(&mut self, agent: Key<Agent>, pending: Pending, out: &mut Vec<Allocation>) {
        self.visited += 1;
        let place = &self.agents.arena[agent];
        let mut free = if place.is_offered() { place.offerable() } else { Resources::new() };
        if self.is_worth_offering(&free) {
            match pending {
                Pending::None => {}
                Pending::Some(clients) => self.let_few_look(agent, clients, &mut free, out),
                Pending::All => self.let_all_look(agent, &mut free, out),
            }
        }
        if self.is_worth_offering(&free) {
            self.enter_ring(agent);
        } else {
            self.leave_ring(agent);
        }
    }

    fn let_all_look(&mut self, agent: Key<Agent>, free: &mut Resources, out: &mut Vec<Allocation>) {
        let mut refusers = std::mem::take(&mut self.refusers);
        let mut owed = !self.quotas.required.is_empty();
        while self.is_worth_offering(free) {
            refusers.clear();
            self.agents.arena[agent].refusals.collect(free, &mut refusers);
            let left = self.tree.count_without(&refusers);
            if left == 0 {
                break;
            }
            if left <= FEW && self.tree.count_without(&Bits::EMPTY) > left * FEW && !self.tree.draws_lots() {
                // Those left may come last in the order: most are not even passed by.
                let few = self.tree.clients_without(&refusers);
                self.let_few_look(agent, few, free, out);
                break;
            }
            // What one was given changes the order for what is left, and who refused that.
            if owed && self.let_owed_look(agent, free, &refusers, out) {
                continue;
            }
            owed = false;
            if !self.let_next_look(agent, free, &refusers, left, out) {
                break;
            }
        }
        self.refusers = refusers;
    }

    /// Lets those look that are not among the refusers, so many, until one takes something.
    fn let_next_look(
        &mut self,
        agent: Key<Agent>,
        free: &mut Resources,
        refusers: &Bits,
        mut left: usize,
        out: &mut Vec<Allocation>,
    ) -> bool {
        let bounded = bounded_by_quota(free);
        let mut walk = self.tree.walk();
        let mut took = false;
        while !took
            && left > 0
            && let Some(client) = self.tree.next(&mut walk, refusers, |role| {
                let full = |open| role.is_top && self.quotas.is_full(role.account, open);
                !bounded.as_ref().is_some_and(full) && is_for_role(free, role.name)
            })
        {
            left -= 1;
            took = self.look(client, agent, free, out);
        }
        self.passed += walk.passed;
        took
    }

    /// Lets those look first whose roles have guarantees that are not met, for what
    /// they must still get, until one takes something.
    fn let_owed_look(
        &mut self,
        agent: Key<Agent>,
        free: &mut Resources,
        refusers: &Bits,
        out: &mut Vec<Allocation>,
    ) -> bool {
        let open = open_scalars(free);
        self.tell_who_is_owed();
        let mut walk = self.tree.walk_over_owed();
        let mut took = false;
        while !took
            && let Some(client) = self
                .tree
                .next(&mut walk, refusers, |role| !role.is_top || self.quotas.is_owed(role.account, &open))
        {
            took = self.look(client, agent, free, out);
        }
        self.passed += walk.passed;
        took
    }

    fn let_few_look(
        &mut self,
        agent: Key<Agent>,
        mut clients: Vec<Key<Client>>,
        free: &mut Resources,
        out: &mut Vec<Allocation>,
    ) {
        clients
            .retain(|client| self.frameworks.clients.get(*client).is_some_and(|c| self.frameworks.wants(c)));
        while self.is_worth_offering(free) {
            if clients.len() > 1 {
                let all = &self.frameworks.clients;
                self.tree.sort(&mut clients, |client| all[*client].node);
                if !self.quotas.required.is_empty() {
                    let open = open_scalars(free);
                    clients.sort_by_key(|client| !self.quotas.is_owed(all[*client].account, &open));
                }
            }
            let taker = clients.iter().position(|client| self.look(*client, agent, free, out));
            // Those before the taker had their look, and can have no part of less.
            let Some(taker) = taker else { break };
            clients.drain(..=taker);
        }
    }

    /// Lets one framework look, and says whether it took something.
    fn look(
        &mut self,
        client: Key<Client>,
        agent: Key<Agent>,
        free: &mut Resources,
        out: &mut Vec<Allocation>,
    ) -> bool {
        self.looked += 1;
        let took = self.take(client, agent, free, out);
        self.hold_back(client, agent, free);
        took
    }

    /// Gives a framework all it may have, and says whether that was something.
    fn take(
        &mut self,
        client: Key<Client>,
        agent: Key<Agent>,
        free: &mut Resources,
        out: &mut Vec<Allocation>,
    ) -> bool {
        let resources = match self.eligible(client, agent, free) {
            None => return false,
            Some(Cow::Borrowed(_)) => std::mem::take(free),
            Some(Cow::Owned(part)) => {
                *free -= &part;
                part
            }
        };
        if self.agents.arena[agent].has_shared {
            // Copies never run out: the next framework may have one as well.
            *free += &resources.shared();
        }
        self.book(client, agent, &resources, Entry::Picked);
        let holder = &mut self.frameworks.clients[client];
        holder.grants += 1;
        holder.granted = Some(self.stepped);
        let Client { framework, role, .. } = &self.frameworks.clients[client];
        out.push(Allocation {
            framework: self.frameworks.arena[*framework].id.clone(),
            role: role.clone(),
            agent: self.agents.arena[agent].id.clone(),
            resources: resources.allocated(role),
        });
        true
    }

    /// What a client that wants offers may have of what is free on an agent now.
    pub(crate) fn eligible<'a>(
        &self,
        client: Key<Client>,
        agent: Key<Agent>,
        free: &'a Resources,
    ) -> Option<Cow<'a, Resources>> {
        let holder = &self.frameworks.clients[client];
        let capabilities = self.frameworks.arena[holder.framework].capabilities;
        if incapable(&self.options, capabilities, holder, &self.agents.arena[agent]).is_some() {
            return None;
        }
        // Who refused the whole refused its parts: the usual case in a storm of declines.
        if is_refused(holder, agent, free) {
            return None;
        }
        let may_have = |resource: &resources::Resource| {
            resource.is_allocatable_to(&holder.role) && capabilities.handle(resource)
        };
        let resources = if free.iter().all(may_have) {
            Cow::Borrowed(free)
        } else {
            let part = free.filter(may_have);
            if is_refused(holder, agent, &part) {
                return None;
            }
            Cow::Owned(part)
        };
        let resources = match self.quotas.cut(holder.account, &resources) {
            None => resources,
            Some(part) if is_refused(holder, agent, &part) => return None,
            Some(part) => Cow::Owned(part),
        };
        if self.agents.arena[agent].has_shared && resources.iter().all(resources::Resource::is_shared) {
            return None;
        }
        let clauses = holder.min_allocatable.as_ref().unwrap_or(&self.options.min_allocatable);
        meets(&resources, clauses).then_some(resources)
    }

    /// Whether any framework at all could be offered these.
    pub(crate) fn is_worth_offering(&self, free: &Resources) -> bool {
        // Copies of shared volumes never run out, and alone they are no offer.
        free.iter().any(|resource| !resource.is_shared())
            && (self.own_minimums > 0 || meets(free, &self.options.min_allocatable))
    }
}

/// Whether resources are enough for an offer by one of the clauses.
pub(crate) fn meets(resources: &Resources, clauses: &[Quantities]) -> bool {
    !resources.is_empty() && (clauses.is_empty() || clauses.iter().any(|clause| resources.covers(clause)))
}

/// The scalars that are free, if quota may hold all back that is.
fn bounded_by_quota(free: &Resources) -> Option<Quantities> {
    free.iter().all(is_open).then(|| open_scalars(free))
}

/// Whether a role, or one below it, may have any of these.
fn is_for_role(free: &Resources, role: &str) -> bool {
    free.iter().any(|resource| {
        resource
            .reservation_role()
            .is_none_or(|reserved| is_within(role, reserved.as_str()) || is_within(reserved.as_str(), role))
    })
}

/// Whether a role is another one or below it.
pub(crate) fn is_within(role: &str, ancestor: &str) -> bool {
    role.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
