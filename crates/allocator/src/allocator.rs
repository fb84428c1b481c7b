//! The allocator's state and what may be told to it.

use std::collections::BTreeMap;

use machine::{Instant, Rng, Timers};
use resources::{Quantities, Resources};
use smallvec::SmallVec;
use types::{AgentId, FrameworkId, Role};

use crate::agents::{Agent, Agents};
use crate::arena::Key;
use crate::asks::Asks;
use crate::bits::Bits;
use crate::books::Entry;
use crate::filters::Expiry;
use crate::frameworks::{Client, Frameworks};
use crate::large::Large;
use crate::lot::Lot;
use crate::quota::Quotas;
use crate::share::Totals;
use crate::tree::Tree;
use crate::whitelist::Whitelist;
use crate::work::Work;
use crate::{AgentOptions, Allocation, FrameworkOptions, Options, Progress, Refusal, Share, Weight};

/// Decides who is offered what. The crate's documentation tells how.
///
/// Every call is total: what names an unknown agent or framework does nothing,
/// since either may be gone by the time the master reports. Calls only note what
/// changed; [`Allocator::step`] decides.
pub struct Allocator {
    pub(crate) options: Options,
    pub(crate) rng: Rng,
    pub(crate) frameworks: Frameworks,
    pub(crate) agents: Agents,
    pub(crate) tree: Tree,
    pub(crate) work: Work,
    pub(crate) whitelist: Whitelist,
    pub(crate) quotas: Quotas,
    /// Which agents are kept for frameworks that need much of one.
    pub(crate) large: Large,
    /// Whether nothing is given for now.
    pub(crate) paused: bool,
    /// With how many agents a pause ends.
    pub(crate) awaited: Option<usize>,
    pub(crate) timers: Timers<Expiry>,
    /// Who is asked to leave agents that are going to be unavailable.
    pub(crate) asks: Asks,
    pub(crate) last_refused: Lot,
    /// How many clients have a minimum of their own.
    pub(crate) own_minimums: usize,
    /// Agents visited, and looks of frameworks at agents, since the beginning: the
    /// work done, for metrics and for tests of how it grows.
    pub(crate) visited: u64,
    pub(crate) looked: u64,
    /// Frameworks passed by because they refused what there is.
    pub(crate) passed: u64,
    /// Filters that were over, and roles whose caps may have grown and had not.
    pub(crate) chores: u64,
    /// Memory for the set of those, of the visit under way.
    pub(crate) refusers: Bits,
    /// When it last worked.
    pub(crate) stepped: Instant,
}

impl Allocator {
    /// An allocator with no agents and no frameworks.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let weights: BTreeMap<_, _> = options.weights.iter().cloned().collect();
        Self {
            rng: Rng::new(options.rng_seed),
            frameworks: Frameworks::new(options.rng_seed),
            agents: Agents::new(options.rng_seed),
            tree: Tree::new(
                Totals::new(options.fairness_excluded.clone()),
                weights,
                options.policy.clone(),
                options.rng_seed,
            ),
            work: Work::default(),
            whitelist: None,
            quotas: Quotas::default(),
            large: Large::default(),
            paused: false,
            awaited: None,
            timers: Timers::new(),
            asks: Asks::default(),
            last_refused: Lot::EMPTY,
            own_minimums: 0,
            visited: 0,
            looked: 0,
            passed: 0,
            chores: 0,
            refusers: Bits::default(),
            stepped: Instant::ZERO,
            options,
        }
    }

    /// A framework subscribed for the first time, or again after it was removed.
    /// What agents already reported it to hold counts at once.
    pub fn add_framework(&mut self, id: &FrameworkId, options: &FrameworkOptions, active: bool) {
        let key = self.frameworks.entry(id);
        self.frameworks.arena[key].added = true;
        self.frameworks.arena[key].active = active;
        self.update_framework(id, options);
        self.ask_framework(key);
    }

    /// A framework's roles, suppressed roles, capabilities or minimums changed.
    pub fn update_framework(&mut self, id: &FrameworkId, options: &FrameworkOptions) {
        let Some(key) = self.frameworks.by_id.get(id).copied() else { return };
        let changed = self.frameworks.arena[key].capabilities != options.capabilities;
        self.frameworks.arena[key].capabilities = options.capabilities;
        for role in &options.roles {
            let client = self.client_entry(id, role);
            self.frameworks.clients[client].subscribed = true;
            self.frameworks.clients[client].suppressed = options.suppressed.contains(role);
            let minimum = options.min_allocatable.iter().find(|(of, _)| of == role);
            let minimum = minimum.map(|(_, clauses)| clauses.clone());
            let eased = self.set_minimum(client, minimum);
            let constraints = options.constraints.get(role).cloned();
            let other = self.frameworks.clients[client].constraints != constraints;
            self.frameworks.clients[client].constraints = constraints;
            self.settle(client, changed || eased || other);
        }
        let clients: Vec<_> = self.frameworks.arena[key].clients.clone().into_iter().collect();
        for (_, client) in clients.iter().filter(|(role, _)| !options.roles.contains(role)) {
            self.unsubscribe(*client);
        }
    }

    /// A framework is gone for good. What it still holds stays on the books until
    /// it is recovered.
    pub fn remove_framework(&mut self, id: &FrameworkId) {
        let Some(key) = self.frameworks.by_id.get(id).copied() else { return };
        self.frameworks.arena[key].added = false;
        self.frameworks.arena[key].active = false;
        self.drop_asks_of(key);
        let clients: Vec<_> = self.frameworks.arena[key].clients.values().copied().collect();
        for client in clients {
            self.unsubscribe(client);
        }
        // Dropping the last client may have dropped the framework with it.
        if self.frameworks.arena.get(key).is_some() {
            self.forget_framework_if_gone(key);
        }
    }

    /// A framework is connected: it may be offered resources.
    pub fn activate_framework(&mut self, id: &FrameworkId) {
        self.set_active(id, true);
    }

    /// A framework is disconnected: it keeps what it holds, is offered nothing, and
    /// its filters end.
    pub fn deactivate_framework(&mut self, id: &FrameworkId) {
        self.set_active(id, false);
        for client in self.clients_in(id, &[]) {
            self.clear_filters(client);
        }
        if let Some(key) = self.frameworks.by_id.get(id).copied() {
            self.drop_asks_of(key);
        }
    }

    /// A framework wants no offers in these roles; none means all of its roles.
    pub fn suppress(&mut self, id: &FrameworkId, roles: &[Role]) {
        for client in self.clients_in(id, roles) {
            self.frameworks.clients[client].suppressed = true;
            self.settle(client, false);
        }
    }

    /// A framework wants offers in these roles (none means all of its roles), also
    /// those that it declined.
    pub fn revive(&mut self, id: &FrameworkId, roles: &[Role]) {
        for client in self.clients_in(id, roles) {
            self.clear_filters(client);
            self.frameworks.clients[client].suppressed = false;
            self.settle(client, true);
        }
        self.forget_answers(id);
    }

    /// An agent registered. `used` is what tasks and executors hold on it, each
    /// marked with the role it is allocated to; their frameworks need not be known.
    /// An agent that is there already is replaced.
    pub fn add_agent(
        &mut self,
        id: &AgentId,
        options: AgentOptions,
        total: Resources,
        used: &[(FrameworkId, Resources)],
    ) {
        self.remove_agent(id);
        let total = self.agents.shape(total);
        let agent = self.agents.arena.insert(Agent::new(id.clone(), options));
        self.agents.by_id.insert(id.clone(), agent);
        self.set_total(agent, total);
        for (framework, resources) in used {
            self.book_by_role(framework, agent, resources);
        }
        if !used.is_empty() {
            let free = self.agents.arena[agent].free.clone();
            self.agents.arena[agent].free = self.agents.rest_of_shape(free);
        }
        self.check_whitelist(agent);
        self.look_at(agent);
        if self.awaited.is_some_and(|awaited| self.agents.by_id.len() >= awaited) {
            self.resume();
        }
    }

    /// An agent's total changed; what is held on it did not.
    pub fn update_agent(&mut self, id: &AgentId, total: Resources) {
        let Some(agent) = self.agents.key(id) else { return };
        let total = self.agents.shape(total);
        self.set_total(agent, total);
        self.look_at(agent);
    }

    /// An agent's capabilities, region or activity changed.
    pub fn set_agent_options(&mut self, id: &AgentId, options: AgentOptions) {
        let Some(agent) = self.agents.key(id) else { return };
        self.recount_open(agent, |agent| agent.options = options);
        self.look_at(agent);
        self.ask_users_of(agent);
    }

    /// Resources of an agent may be offered again.
    pub fn activate_agent(&mut self, id: &AgentId) {
        self.set_agent_active(id, true);
    }

    /// Nothing of an agent is to be offered; what is held or offered stays so.
    pub fn deactivate_agent(&mut self, id: &AgentId) {
        self.set_agent_active(id, false);
    }

    /// An agent is gone, and all that was held or offered of it.
    pub fn remove_agent(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.key(id) else { return };
        let uses: Vec<_> = self.agents.arena[agent].uses.clone().into_iter().collect();
        for (client, held) in uses {
            self.unbook(client, agent, &held);
        }
        self.set_total(agent, Lot::EMPTY);
        self.quotas.held.forget(agent);
        self.large.forget_agent(agent);
        self.clear_filters_of_agent(agent);
        self.drop_asks_on(agent);
        self.drop_from_dirty(agent);
        self.leave_ring(agent);
        self.agents.arena.remove(agent);
        self.agents.by_id.remove(id);
    }

    /// The weight of a role.
    #[must_use]
    pub fn weight(&self, role: &Role) -> Weight {
        self.tree.weight(role)
    }

    /// A role's weight changed.
    pub fn set_weight(&mut self, role: &Role, weight: Weight) {
        self.tree.set_weight(role, weight);
    }

    /// Resources came back: declined, rescinded, left over by ACCEPT, or freed by a
    /// task's end. They are marked with the roles they were allocated to. With a
    /// refusal the framework is not offered them again for its time; everyone else
    /// is, at once.
    pub fn recover(
        &mut self,
        now: Instant,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
        refusal: Option<Refusal>,
    ) {
        let Some(agent) = self.agents.key(agent) else { return };
        if resources.is_empty() {
            return;
        }
        debug_assert!(resources.iter().all(|r| r.allocation_role().is_some()), "what comes back has a role");
        for (client, back) in self.what_comes_back(framework, agent, resources) {
            // The filter goes first: giving back the last of it may end the client.
            if let Some(refusal) = refusal {
                let hold = refusal.hold().max(self.options.decline_pause);
                let holder = &self.frameworks.clients[client];
                let cares = holder.subscribed && self.frameworks.arena[holder.framework].active;
                if cares && !hold.is_zero() {
                    self.add_filter(now, client, agent, back.clone(), hold);
                }
            }
            self.unbook(client, agent, &back);
        }
        self.look_at(agent);
    }

    /// What comes back to an agent, and from which clients.
    fn what_comes_back(
        &self,
        framework: &FrameworkId,
        agent: Key<Agent>,
        resources: &Resources,
    ) -> SmallVec<[(Key<Client>, Lot); 1]> {
        // Mostly an offer as it was made, of which all is known.
        if let Some(client) = resources.iter().next().and_then(|first| {
            let client = self.frameworks.client(framework, first.allocation_role()?)?;
            let held = self.agents.arena[agent].uses.get(&client)?;
            held.is_marked_as(resources).then(|| (client, held.clone()))
        }) {
            return SmallVec::from_buf([client]);
        }
        let parts = resources.by_allocation().into_iter();
        parts
            .filter_map(|(role, part)| Some((self.frameworks.client(framework, &role)?, Lot::of(part))))
            .collect()
    }

    /// An operation made `converted` of `consumed`, which a framework holds: both
    /// its account and the agent's total change. Both sides are marked with the
    /// allocation role. Used for RESERVE, CREATE and their like.
    pub fn update_allocation(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        consumed: &Resources,
        converted: &Resources,
    ) {
        let Some(agent) = self.agents.key(agent) else { return };
        let place = &self.agents.arena[agent];
        let mut total = place.total.resources() - &consumed.unallocated();
        total += &converted.unallocated();
        let parts: Vec<_> = consumed
            .allocation_roles()
            .iter()
            .filter_map(|role| {
                let part = |of: &Resources| Lot::of(of.allocated_to(role).unallocated());
                Some((self.frameworks.client(framework, role)?, part(consumed), part(converted)))
            })
            .collect();
        let roles = consumed.allocation_roles().len();
        if parts.is_empty() && roles > 0 {
            // Nobody is known who could have done it.
            return;
        }
        let is_held = |client, part| place.uses.get(client).is_some_and(|held| held.contains(part));
        let keeps_free = place.is_regular
            && !converted.iter().any(resources::Resource::is_shared)
            && roles > 0
            && parts.len() == roles
            && parts.iter().all(|(client, consumed, _)| is_held(client, consumed));
        let convert = |allocator: &mut Self| {
            for (client, consumed, converted) in parts {
                // ORDER: in before out, so that the client is not dropped in between.
                if !converted.is_empty() {
                    allocator.charge(client, agent, &converted, Entry::Found);
                }
                allocator.take_off(client, agent, &consumed);
            }
            allocator.put_total(agent, Lot::of(total));
        };
        if keeps_free {
            convert(self);
        } else {
            self.taking_stock(agent, convert);
        }
        self.look_at(agent);
    }

    /// A framework uses resources that it was not offered, such as those of a task
    /// that an agent reports late. They are marked with the allocation role.
    pub fn add_allocation(&mut self, framework: &FrameworkId, agent: &AgentId, resources: &Resources) {
        if let Some(agent) = self.agents.key(agent) {
            self.book_by_role(framework, agent, resources);
        }
    }

    /// Does work worth at most about `budget` (one visit of an agent, or one look
    /// of a framework at it, costs one; an agent begun is finished), and appends what
    /// is to be offered to `out`.
    pub fn step(&mut self, now: Instant, budget: usize, out: &mut Vec<Allocation>) -> Progress {
        self.stepped = now;
        let budget = u64::try_from(budget).unwrap_or(u64::MAX);
        let end = self.spent().saturating_add(budget);
        self.expire_filters(now, end);
        self.expire_keeping(now);
        while self.is_working() && self.spent() < end {
            let Some((agent, pending)) = self.next_agent(end) else { break };
            self.visit(agent, pending, out);
        }
        let is_due = self.timers.next().is_some_and(|at| at <= now);
        if is_due || self.is_work_left() { Progress::More } else { Progress::Done }
    }

    /// What a budget is of; to pass somebody by costs a small part of a look, and so does
    /// a chore.
    pub(crate) fn spent(&self) -> u64 {
        self.visited + self.looked + self.passed / 32 + self.chores / 8
    }

    /// Gives nothing until [`Allocator::resume`]: with quota, the first agents to come
    /// back after a failover would be given away before the rest are known.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Gives nothing until so many agents are there, or [`Allocator::resume`].
    pub fn pause_until(&mut self, agents: usize) {
        self.paused = true;
        self.awaited = Some(agents);
    }

    /// Ends a pause; what changed meanwhile is looked at in the next step.
    pub fn resume(&mut self) {
        self.paused = false;
        self.awaited = None;
    }

    /// Whether there is a pause.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// When [`Allocator::step`] must next be called though nothing is told: the
    /// beginning of time when work is left, else when the next filter expires.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_work_left() {
            return Some(Instant::ZERO);
        }
        [self.timers.next(), self.asks.next(), self.large.next()].into_iter().flatten().min()
    }

    /// What is held or offered of an agent, allocated to nobody.
    #[must_use]
    pub fn agent_allocated(&self, id: &AgentId) -> Option<Resources> {
        self.agents.get(id).map(Agent::held)
    }

    /// What an agent has.
    #[must_use]
    pub fn agent_total(&self, id: &AgentId) -> Option<&Resources> {
        self.agents.get(id).map(|agent| agent.total.resources())
    }

    /// What of an agent is neither held nor offered, and so may become something else
    /// by [`Allocator::claim`].
    #[must_use]
    pub fn agent_available(&self, id: &AgentId) -> Option<Resources> {
        self.agents.get(id).map(Agent::unbooked)
    }

    /// What a framework holds or is offered of an agent, allocated to nobody.
    #[must_use]
    pub fn held(&self, framework: &FrameworkId, agent: &AgentId) -> Resources {
        let Some(agent) = self.agents.get(agent) else { return Resources::new() };
        let clients = self.clients_in(framework, &[]).into_iter();
        let held = clients.filter_map(|client| agent.uses.get(&client));
        held.fold(Resources::new(), |sum, held| &sum + held.resources())
    }

    /// The scalars of all agents.
    #[must_use]
    pub fn total(&self) -> &Quantities {
        self.tree.totals().total()
    }

    /// The scalars that are held or offered in a role and in those below it.
    #[must_use]
    pub fn role_allocated(&self, role: &Role) -> Quantities {
        self.tree.allocated_to(role).cloned().unwrap_or_default()
    }

    /// The weighted dominant share of a role, counting those below it.
    #[must_use]
    pub fn role_share(&self, role: &Role) -> Share {
        let allocated = self.role_allocated(role);
        self.tree.totals().true_share(&allocated, self.tree.weight(role)).0
    }

    /// How many filters are in force.
    #[must_use]
    pub fn filter_count(&self) -> usize {
        self.timers.len()
    }

    /// Agents visited, and looks of frameworks at agents, since the beginning.
    #[must_use]
    pub fn work_done(&self) -> (u64, u64) {
        (self.visited, self.looked)
    }

    fn book_by_role(&mut self, framework: &FrameworkId, agent: Key<Agent>, resources: &Resources) {
        debug_assert!(resources.iter().all(|r| r.allocation_role().is_some()), "holdings have a role");
        for (role, part) in resources.by_allocation() {
            let client = self.client_entry(framework, &role);
            self.book(client, agent, &Lot::of(part), Entry::Found);
        }
    }

    fn set_active(&mut self, id: &FrameworkId, active: bool) {
        let Some(key) = self.frameworks.by_id.get(id).copied() else { return };
        self.frameworks.arena[key].active = active;
        for client in self.clients_in(id, &[]) {
            self.settle(client, false);
        }
        if active {
            self.ask_framework(key);
        }
    }

    fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        let Some(agent) = self.agents.key(id) else { return };
        self.recount_open(agent, |agent| agent.options.active = active);
        self.look_at(agent);
        self.ask_users_of(agent);
    }

    /// The clients of a framework in these roles, or in all where there are none.
    pub(crate) fn clients_in(&self, id: &FrameworkId, roles: &[Role]) -> Vec<Key<Client>> {
        let Some(framework) = self.frameworks.get(id) else { return Vec::new() };
        let wanted = framework.clients.iter().filter(|(role, _)| roles.is_empty() || roles.contains(role));
        wanted.map(|(_, client)| *client).collect()
    }

    /// Lists a client in the tree if it wants offers, and wakes it if it did not
    /// before or `anew`.
    fn settle(&mut self, client: Key<Client>, anew: bool) {
        let holder = &self.frameworks.clients[client];
        let (node, wants) = (holder.node, self.frameworks.wants(holder));
        let listed = self.tree.is_active(node);
        self.recheck_keeping_for(client);
        if !wants {
            self.tree.deactivate(node);
        } else if anew || !listed {
            self.tree.activate(node);
            self.wake(client);
        }
    }

    fn unsubscribe(&mut self, client: Key<Client>) {
        self.set_minimum(client, None);
        self.frameworks.clients[client].constraints = None;
        self.frameworks.clients[client].subscribed = false;
        self.clear_filters(client);
        self.settle(client, false);
        self.forget_client_if_idle(client);
    }

    /// Sets a client's own minimum, and says whether it differs from before.
    fn set_minimum(&mut self, client: Key<Client>, minimum: Option<Vec<Quantities>>) -> bool {
        let holder = &mut self.frameworks.clients[client];
        if holder.min_allocatable == minimum {
            return false;
        }
        let had = usize::from(holder.min_allocatable.is_some());
        let has = usize::from(minimum.is_some());
        holder.min_allocatable = minimum;
        let before = self.own_minimums;
        self.own_minimums = before + has - had;
        if (before == 0) != (self.own_minimums == 0) {
            // What is worth offering changed, and with it who is in the ring: those with less
            // than the least that is offered to all.
            let clauses = &self.options.min_allocatable;
            let agents = self.agents.arena.iter().filter(|(agent, place)| {
                let (free, is_kept) = (&place.free, self.large.kept_for(*agent).is_some());
                free.has_own() && (is_kept || !free.meets(clauses))
            });
            let agents: Vec<_> = agents.map(|(agent, _)| agent).collect();
            agents.into_iter().for_each(|agent| self.look_at(agent));
        }
        true
    }
}
