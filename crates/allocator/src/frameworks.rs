//! Frameworks and their clients: a client is one framework in one role.

use std::collections::BTreeMap;
use std::sync::Arc;

use machine::Instant;
use resources::{Quantities, Resource};
use types::{FrameworkId, Role};

use crate::agents::Agent;
use crate::arena::{Arena, Key};
use crate::constraints::Constraints;
use crate::filters::FilterMap;
use crate::names::ById;
use crate::options::{AgentOptions, FrameworkCapabilities, Options};
use crate::quota::Account;
use crate::tree::NodeKey;

/// A framework that was added, or that still holds something on some agent.
pub(crate) struct Framework {
    pub(crate) id: FrameworkId,
    /// Whether it was added and not removed since.
    pub(crate) added: bool,
    pub(crate) active: bool,
    pub(crate) capabilities: FrameworkCapabilities,
    pub(crate) clients: BTreeMap<Role, Key<Client>>,
}

/// One framework in one role, subscribed or still holding something.
pub(crate) struct Client {
    pub(crate) framework: Key<Framework>,
    pub(crate) role: Role,
    pub(crate) node: NodeKey,
    /// The account of its top-level role.
    pub(crate) account: Key<Account>,
    pub(crate) subscribed: bool,
    pub(crate) suppressed: bool,
    pub(crate) min_allocatable: Option<Vec<Quantities>>,
    /// Which agents it may be offered.
    pub(crate) constraints: Option<Arc<Constraints>>,
    /// What it refused, by agent.
    pub(crate) filters: FilterMap,
    /// How many these are.
    pub(crate) filter_count: usize,
    /// On how many agents it holds something.
    pub(crate) holdings: usize,
    /// How often it was given something, and when last.
    pub(crate) grants: u64,
    pub(crate) granted: Option<Instant>,
}

pub(crate) struct Frameworks {
    pub(crate) arena: Arena<Framework>,
    pub(crate) by_id: ById<FrameworkId, Key<Framework>>,
    pub(crate) clients: Arena<Client>,
}

impl Frameworks {
    pub(crate) fn new(seed: u64) -> Self {
        Self { arena: Arena::default(), by_id: ById::new(seed), clients: Arena::default() }
    }

    pub(crate) fn get(&self, id: &FrameworkId) -> Option<&Framework> {
        self.by_id.get(id).map(|key| &self.arena[*key])
    }

    /// The framework of this id, made as not added where missing.
    pub(crate) fn entry(&mut self, id: &FrameworkId) -> Key<Framework> {
        if let Some(key) = self.by_id.get(id) {
            return *key;
        }
        let key = self.arena.insert(Framework {
            id: id.clone(),
            added: false,
            active: false,
            capabilities: FrameworkCapabilities::default(),
            clients: BTreeMap::new(),
        });
        self.by_id.insert(id.clone(), key);
        key
    }

    pub(crate) fn client(&self, id: &FrameworkId, role: &Role) -> Option<Key<Client>> {
        self.get(id)?.clients.get(role).copied()
    }

    /// Whether a client wants offers at all.
    pub(crate) fn wants(&self, client: &Client) -> bool {
        let framework = &self.arena[client.framework];
        framework.added && framework.active && client.subscribed && !client.suppressed
    }
}

/// Why a framework can never be offered an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incapable {
    /// The agent has GPUs and the framework does not know them.
    Gpus,
    /// The agent is in another region.
    Region,
    /// The framework uses several roles and the agent does not know them.
    MultiRole,
    /// The role has slashes and the agent does not know such roles.
    HierarchicalRole,
    /// The framework's constraints for the role exclude the agent.
    Constraint,
}

/// Whether a framework in a role can handle an agent at all, and wants to.
pub(crate) fn incapable(
    options: &Options,
    framework: FrameworkCapabilities,
    client: &Client,
    agent: &Agent,
) -> Option<Incapable> {
    let AgentOptions { multi_role, hierarchical_role, remote_region, .. } = agent.options;
    if options.filter_gpus && agent.has_gpus && !framework.gpu_resources {
        return Some(Incapable::Gpus);
    }
    if remote_region && !framework.region_aware {
        return Some(Incapable::Region);
    }
    if framework.multi_role && !multi_role {
        return Some(Incapable::MultiRole);
    }
    if !hierarchical_role && client.role.as_str().contains('/') {
        return Some(Incapable::HierarchicalRole);
    }
    let excluded = client.constraints.as_ref().is_some_and(|constraints| !constraints.admit(&agent.profile));
    excluded.then_some(Incapable::Constraint)
}

impl FrameworkCapabilities {
    /// Whether a framework of these capabilities can handle a resource.
    pub(crate) fn handle(self, resource: &Resource) -> bool {
        (self.shared_resources || !resource.is_shared())
            && (self.revocable_resources || !resource.is_revocable())
            && (self.reservation_refinement || !resource.has_refined_reservations())
    }
}
