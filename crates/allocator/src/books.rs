//! Double entry: every change of who holds what goes through here, so that an
//! agent's uses, what is free of it, the tree and quota always agree.

use types::{FrameworkId, Role};

use crate::Allocator;
use crate::agents::Agent;
use crate::arena::Key;
use crate::frameworks::{Client, Framework};
use crate::lot::Lot;

/// Why resources enter the books.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// They were picked to be offered, which counts for ties.
    Picked,
    /// They were found on an agent, or made of others by an operation.
    Found,
}

impl Allocator {
    /// Puts resources on a client's account.
    pub(crate) fn book(&mut self, client: Key<Client>, agent: Key<Agent>, lot: &Lot, entry: Entry) {
        if lot.is_empty() {
            return;
        }
        let place = &mut self.agents.arena[agent];
        if place.is_regular && place.free.contains(lot) {
            place.free = place.free.minus(lot);
            if place.is_offered() {
                self.quotas.available -= lot.open();
            }
            self.charge(client, agent, lot, entry);
        } else {
            self.taking_stock(agent, |allocator| allocator.charge(client, agent, lot, entry));
        }
        self.note_user(agent, client);
    }

    /// Takes resources off a client's account: as much of them as is on it.
    pub(crate) fn unbook(&mut self, client: Key<Client>, agent: Key<Agent>, lot: &Lot) {
        if !self.agents.arena[agent].is_regular {
            self.taking_stock(agent, |allocator| drop(allocator.take_off(client, agent, lot)));
            return;
        }
        let taken = self.take_off(client, agent, lot);
        let place = &mut self.agents.arena[agent];
        place.free = place.free.plus(&taken).in_order_of(&place.total);
        if place.is_offered() {
            self.quotas.available += taken.open();
        }
    }

    /// Changes the books of an agent in a way that needs its free part worked out anew.
    pub(crate) fn taking_stock(&mut self, agent: Key<Agent>, change: impl FnOnce(&mut Self)) {
        self.quotas.available -= &self.agents.arena[agent].open_free();
        change(self);
        self.agents.arena[agent].take_stock();
        self.quotas.available += &self.agents.arena[agent].open_free();
    }

    /// Puts resources on all accounts of who holds them.
    pub(crate) fn charge(&mut self, client: Key<Client>, agent: Key<Agent>, lot: &Lot, entry: Entry) {
        let place = &mut self.agents.arena[agent];
        let holder = &mut self.frameworks.clients[client];
        let amounts = match place.uses.get(&client) {
            None => {
                holder.holdings += 1;
                place.uses.set(client, lot.clone());
                lot.first_copies(&Lot::EMPTY)
            }
            Some(held) => {
                let amounts = lot.first_copies(held);
                let held = held.plus(lot);
                place.uses.set(client, held);
                amounts
            }
        };
        match entry {
            Entry::Picked => self.tree.charge(holder.node, &amounts),
            Entry::Found => self.tree.adopt(holder.node, &amounts),
        }
        if !lot.open().is_empty() {
            self.quotas.use_more(holder.account, lot.open());
        }
    }

    /// Takes resources off all accounts of who holds them: as much as is there, which
    /// is returned.
    pub(crate) fn take_off(&mut self, client: Key<Client>, agent: Key<Agent>, lot: &Lot) -> Lot {
        let place = &mut self.agents.arena[agent];
        let Some(held) = place.uses.get(&client) else {
            debug_assert!(lot.is_empty(), "the master gives back what it was given");
            return Lot::EMPTY;
        };
        let is_there = held.contains(lot);
        debug_assert!(is_there, "the master gives back what it was given");
        let rest = held.minus(lot);
        // Mostly all that is to go is there.
        let taken = if is_there { lot.clone() } else { held.minus(&rest) };
        let holder = &mut self.frameworks.clients[client];
        self.tree.discharge(holder.node, &taken.first_copies(&rest));
        if !taken.open().is_empty() {
            self.quotas.use_less(holder.account, taken.open());
        }
        let gone = rest.is_empty();
        place.uses.set(client, rest);
        if gone {
            holder.holdings -= 1;
            self.forget_client_if_idle(client);
        }
        taken
    }

    /// The client of a framework in a role, made where missing.
    pub(crate) fn client_entry(&mut self, id: &FrameworkId, role: &Role) -> Key<Client> {
        let framework = self.frameworks.entry(id);
        if let Some(client) = self.frameworks.arena[framework].clients.get(role) {
            return *client;
        }
        // The node needs the client's key and the client its node.
        let account = self.quotas.entry(role.as_str());
        let owed = self.quotas.is_owed_anything(account);
        let clients = &mut self.frameworks.clients;
        let tree = &mut self.tree;
        let client = clients.insert_with(|client| Client {
            framework,
            role: role.clone(),
            node: tree.add_client(role, id.as_str(), client, (account, owed)),
            account,
            subscribed: false,
            suppressed: false,
            min_allocatable: None,
            constraints: None,
            filters: Default::default(),
            filter_count: 0,
            holdings: 0,
            grants: 0,
            granted: None,
        });
        if let Some(size) = self.options.min_offers.get(role) {
            self.large.add_client(client, size);
        }
        self.frameworks.arena[framework].clients.insert(role.clone(), client);
        self.quotas.accounts[account].clients.insert(client);
        client
    }

    /// Drops a client that neither wants nor holds anything, and a framework that
    /// was removed and has no clients left.
    pub(crate) fn forget_client_if_idle(&mut self, client: Key<Client>) {
        let idle = &self.frameworks.clients[client];
        if idle.subscribed || idle.holdings > 0 {
            return;
        }
        self.clear_filters(client);
        if let Some(gone) = self.frameworks.clients.remove(client) {
            self.tree.remove_client(gone.node);
            self.large.forget_client(client);
            self.quotas.accounts[gone.account].clients.remove(&client);
            if self.quotas.accounts[gone.account].clients.is_empty() {
                self.quotas.strike_full(gone.account);
            }
            self.quotas.forget_if_idle(gone.account);
            self.frameworks.arena[gone.framework].clients.remove(&gone.role);
            self.forget_framework_if_gone(gone.framework);
        }
    }

    pub(crate) fn forget_framework_if_gone(&mut self, framework: Key<Framework>) {
        let gone = &self.frameworks.arena[framework];
        if gone.added || !gone.clients.is_empty() {
            return;
        }
        if let Some(gone) = self.frameworks.arena.remove(framework) {
            self.frameworks.by_id.remove(&gone.id);
        }
    }
}
