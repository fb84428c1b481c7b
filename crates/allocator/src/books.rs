//! Double entry: every change of who holds what goes through here, so that an
//! agent's uses, its allocated sum and the tree always agree.

use resources::{Quantities, Resource, Resources};
use types::{FrameworkId, Role};

use crate::Allocator;
use crate::agents::Agent;
use crate::arena::Key;
use crate::frameworks::{Client, Framework};

/// Why resources enter the books.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// They were picked to be offered, which counts for ties.
    Picked,
    /// They were found on an agent, or made of others by an operation.
    Found,
}

impl Allocator {
    /// Puts resources, allocated to nobody, on a client's account.
    pub(crate) fn book(
        &mut self,
        client: Key<Client>,
        agent: Key<Agent>,
        resources: &Resources,
        entry: Entry,
    ) {
        if resources.is_empty() {
            return;
        }
        let place = &mut self.agents.arena[agent];
        place.allocated += resources;
        let held = place.uses.entry(client);
        let holder = &mut self.frameworks.clients[client];
        if held.is_empty() {
            holder.holdings += 1;
        }
        let amounts = first_copies(held, resources);
        *held += resources;
        match entry {
            Entry::Picked => self.tree.charge(holder.node, &amounts),
            Entry::Found => self.tree.adopt(holder.node, &amounts),
        }
        self.quota_book(client, agent, resources, &amounts);
        self.note_user(agent, client);
        if entry == Entry::Found {
            self.take_stock(agent);
        }
    }

    /// Takes resources, allocated to nobody, off a client's account: as much of them
    /// as is on it.
    pub(crate) fn unbook(&mut self, client: Key<Client>, agent: Key<Agent>, resources: &Resources) {
        let place = &mut self.agents.arena[agent];
        let Some(held) = place.uses.get_mut(&client) else {
            debug_assert!(resources.is_empty(), "the master gives back what it was given");
            return;
        };
        debug_assert!(held.contains(resources), "the master gives back what it was given");
        // Mostly all that is to go is there, and then there is nothing to work out.
        let taken = if held.contains(resources) {
            *held -= resources;
            resources.clone()
        } else {
            let before = held.clone();
            *held -= resources;
            &before - held
        };
        let amounts = first_copies(held, &taken);
        place.allocated -= &taken;
        let gone = held.is_empty();
        if gone {
            place.uses.remove(&client);
        }
        let holder = &mut self.frameworks.clients[client];
        self.tree.discharge(holder.node, &amounts);
        self.quota_unbook(client, agent, &taken, &amounts);
        if !self.agents.arena[agent].missing.is_empty() {
            self.take_stock(agent);
        }
        if gone {
            self.frameworks.clients[client].holdings -= 1;
            self.forget_client_if_idle(client);
        }
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
            self.quotas.accounts[gone.account].clients.remove(&client);
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

/// The scalars that come or go beside what else is held: of a shared volume only the
/// first copy counts, and the last.
fn first_copies(others: &Resources, resources: &Resources) -> Quantities {
    if !resources.iter().any(Resource::is_shared) {
        return Quantities::of_scalars(resources);
    }
    let counts = |one: &Resource| !one.is_shared() || !others.iter().any(|other| other.is_addable(one));
    Quantities::of_scalars(&resources.filter(counts))
}
