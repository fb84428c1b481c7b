//! Everything that must always hold, recomputed from scratch. For tests and for
//! the simulation; a full pass.

use resources::Quantities;

use crate::Allocator;
use crate::filters::is_refused;
use crate::work::Pending;

impl Allocator {
    /// Panics unless the books, the tree and the work lists agree.
    pub fn assert_invariants(&self) {
        self.tree.check();
        self.check_agents();
        self.check_frameworks();
        self.check_work();
        self.check_quotas();
        self.check_asks();
        self.large.check();
    }

    /// Panics if a framework that wants resources could take some now. Holds when a
    /// step has finished its work.
    pub fn assert_settled(&self) {
        self.check_asks_settled();
        for (agent, place) in self.agents.arena.iter().filter(|(_, place)| place.is_offered()) {
            let free = &self.free_for_others(agent);
            for (client, holder) in self.frameworks.clients.iter() {
                let left =
                    if self.frameworks.wants(holder) { self.eligible(client, agent, free) } else { None };
                assert!(
                    left.is_none(),
                    "{} in {} could have {} of {}",
                    self.frameworks.arena[holder.framework].id,
                    holder.role,
                    free.resources(),
                    place.id
                );
            }
        }
    }

    fn check_agents(&self) {
        let mut total = Quantities::new();
        for (key, agent) in self.agents.arena.iter() {
            total += agent.total.scalars();
            agent.check_stock();
            assert!(agent.uses.values().all(|held| !held.is_empty()));
            assert!(agent.held().iter().all(|resource| resource.allocation_role().is_none()));
            assert_eq!(self.agents.by_id.get(&agent.id), Some(&key));
            assert!(agent.uses.keys().all(|client| self.frameworks.clients.get(*client).is_some()));
        }
        assert_eq!(total, *self.tree.totals().total());
        assert_eq!(self.agents.by_id.len(), self.agents.arena.iter().count());
    }

    fn check_frameworks(&self) {
        let mut filters = 0;
        for (key, client) in self.frameworks.clients.iter() {
            let held: Vec<_> = self.agents.arena.iter().filter_map(|(_, a)| a.uses.get(&key)).collect();
            assert_eq!(held.len(), client.holdings, "{}: held on as many agents", client.role);
            let mut amounts = Quantities::new();
            held.iter().for_each(|held| amounts += &Quantities::of_scalars(held.resources()));
            assert_eq!(amounts, *self.tree.allocated(client.node));
            assert!(client.subscribed || client.holdings > 0, "an idle client is dropped");
            assert_eq!(self.frameworks.wants(client), self.tree.is_active(client.node));
            let framework = &self.frameworks.arena[client.framework];
            assert_eq!(framework.clients.get(&client.role), Some(&key));
            assert!(client.filters.keys().all(|agent| self.agents.arena.get(*agent).is_some()));
            let own = client.filters.values().map(|of_agent| of_agent.len()).sum::<usize>();
            assert_eq!(own, client.filter_count, "{}: has as many filters", client.role);
            filters += own;
        }
        assert_eq!(filters, self.timers.len(), "each filter has its timer");
        self.check_refusals();
        for (key, framework) in self.frameworks.arena.iter() {
            assert!(framework.added || !framework.clients.is_empty());
            assert_eq!(self.frameworks.by_id.get(&framework.id), Some(&key));
        }
        let minimums = self.frameworks.clients.iter().filter(|(_, c)| c.min_allocatable.is_some());
        assert_eq!(minimums.count(), self.own_minimums);
    }

    fn check_refusals(&self) {
        for (key, agent) in self.agents.arena.iter() {
            for (who, refused) in agent.refusals.iter() {
                let mut noted = self.frameworks.clients.iter().filter(|(_, c)| c.node.place() == who);
                let (_, client) = noted.next().expect("who is noted lives");
                assert!(is_refused(client, key, refused), "{}: who is noted has a filter", agent.id);
            }
            let clients = self.frameworks.clients.iter().map(|(_, client)| client);
            let filters: usize = clients
                .filter_map(|client| Some((client, client.filters.get(&key)?.len())))
                .inspect(|(client, _)| assert!(agent.refusals.may_be_of(client.node.place())))
                .map(|(_, filters)| filters)
                .sum();
            assert_eq!(filters, agent.refusals.filters(), "{}: has as many filters", agent.id);
        }
    }

    fn check_quotas(&self) {
        let (mut required, mut available) = (Quantities::new(), Quantities::new());
        for (key, account) in self.quotas.accounts.iter() {
            let (mut reserved, mut used) = (Quantities::new(), Quantities::new());
            for (_, agent) in self.agents.arena.iter() {
                let own = agent.total.resources().reserved_within(&account.role);
                reserved += &Quantities::of_scalars(&own);
                for (client, held) in agent.uses.iter() {
                    let within = self.frameworks.clients[*client].role.is_within(&account.role);
                    assert_eq!(within, account.clients.contains(client), "clients are with their role");
                    if within {
                        used += held.open();
                    }
                }
            }
            assert_eq!(reserved, account.reserved, "{}: all reservations count", account.role);
            assert_eq!(used, account.used, "{}: all open scalars count", account.role);
            let mut unmet = account.quota.guarantees.clone();
            unmet -= &account.consumed();
            assert_eq!(unmet, account.unmet, "{}", account.role);
            required += &unmet;
            let told = self.tree.is_owed(&account.role).filter(|_| !self.quotas.turned.contains(&key));
            assert!(told.is_none_or(|owed| owed != unmet.is_empty()), "{}: the tree knows", account.role);
            assert_eq!(self.quotas.by_role.get(&account.role), Some(&key));
            assert!(
                !account.quota.is_default() || !account.clients.is_empty() || !account.reserved.is_empty(),
                "{}: an account of nothing is dropped",
                account.role
            );
            assert_eq!(account.listed, self.quotas.eased.contains(&key), "{}", account.role);
        }
        self.agents.arena.iter().for_each(|(_, agent)| {
            available += &agent.open_free();
        });
        self.quotas.check_full();
        assert_eq!(required, self.quotas.required, "what is required is what is unmet");
        assert_eq!(available, self.quotas.available, "what is available is what is free");
    }

    fn check_work(&self) {
        for (key, agent) in self.agents.arena.iter() {
            let dirty = self.work.dirty.iter().filter(|dirty| **dirty == key).count();
            assert_eq!(dirty, usize::from(agent.pending != Pending::None));
            assert!(dirty == 0 || self.work.dirty[agent.dirty_at] == key);
            assert_eq!(agent.ring_at.map(|at| self.work.ring[at]), agent.ring_at.map(|_| key));
            let worth = self.is_on_offer(key);
            assert!(dirty > 0 || worth == agent.ring_at.is_some(), "{}: in the ring if worth it", agent.id);
        }
        let ringed = self.agents.arena.iter().filter(|(_, agent)| agent.ring_at.is_some());
        assert_eq!(ringed.count(), self.work.ring.len());
    }
}
