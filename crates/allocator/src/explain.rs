//! Why a framework is offered nothing.

use std::collections::BTreeMap;

use types::{FrameworkId, Role};

use crate::Allocator;
use crate::agents::Agent;
use crate::arena::Key;
use crate::filters::is_refused;
use crate::frameworks::{Client, Incapable, incapable};
use crate::visit::meets;

/// What keeps a framework from being offered an agent, in the order in which it is
/// looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// The framework is disconnected.
    FrameworkInactive,
    /// The framework suppressed offers in this role.
    Suppressed,
    /// The framework is not subscribed in this role any more.
    Unsubscribed,
    /// The agent is disconnected, draining or deactivated.
    AgentInactive,
    /// The agent has GPUs, and the framework is not GPU_RESOURCES.
    Gpus,
    /// The agent is in another region, and the framework is not REGION_AWARE.
    Region,
    /// The framework is MULTI_ROLE, and the agent is not.
    AgentNotMultiRole,
    /// The role has slashes, and the agent is not HIERARCHICAL_ROLE.
    AgentNotHierarchical,
    /// All of the agent is held by tasks or offered.
    NothingFree,
    /// What is free is reserved to other roles.
    ReservedForOthers,
    /// What is free needs capabilities that the framework has not.
    NeedsCapabilities,
    /// What is free is less than the least that is offered.
    BelowMinimum,
    /// The framework declined it not long ago.
    Declined,
    /// Nothing: it is to be offered in the next step.
    Soon,
}

/// Why a framework is offered nothing in a role: how many agents each obstacle
/// keeps from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The role.
    pub role: Role,
    /// On how many agents it holds or is offered something.
    pub holds: usize,
    /// How many agents each obstacle stands before.
    pub obstacles: BTreeMap<Obstacle, usize>,
}

impl Allocator {
    /// Tells why a framework is offered nothing, for each of its roles. A full pass
    /// over the agents, for people's questions only.
    #[must_use]
    pub fn explain(&self, framework: &FrameworkId) -> Vec<Explanation> {
        let Some(framework) = self.frameworks.get(framework) else { return Vec::new() };
        let explain = |(role, client): (&Role, &Key<Client>)| {
            let mut obstacles = BTreeMap::new();
            for (agent, place) in self.agents.arena.iter() {
                *obstacles.entry(self.obstacle(*client, agent, place)).or_default() += 1;
            }
            Explanation { role: role.clone(), holds: self.frameworks.clients[*client].holdings, obstacles }
        };
        framework.clients.iter().map(explain).collect()
    }

    fn obstacle(&self, client: Key<Client>, agent: Key<Agent>, place: &Agent) -> Obstacle {
        let holder = &self.frameworks.clients[client];
        let framework = &self.frameworks.arena[holder.framework];
        if !framework.active {
            return Obstacle::FrameworkInactive;
        }
        if !holder.subscribed {
            return Obstacle::Unsubscribed;
        }
        if holder.suppressed {
            return Obstacle::Suppressed;
        }
        if !place.options.active {
            return Obstacle::AgentInactive;
        }
        if let Some(why) = incapable(&self.options, framework.capabilities, &holder.role, place) {
            return match why {
                Incapable::Gpus => Obstacle::Gpus,
                Incapable::Region => Obstacle::Region,
                Incapable::MultiRole => Obstacle::AgentNotMultiRole,
                Incapable::HierarchicalRole => Obstacle::AgentNotHierarchical,
            };
        }
        let free = place.available();
        if free.is_empty() {
            return Obstacle::NothingFree;
        }
        let for_role = free.allocatable_to(&holder.role);
        if for_role.is_empty() {
            return Obstacle::ReservedForOthers;
        }
        let usable = for_role.filter(|resource| framework.capabilities.handle(resource));
        if usable.is_empty() {
            return Obstacle::NeedsCapabilities;
        }
        if !meets(&usable, holder.min_allocatable.as_ref().unwrap_or(&self.options.min_allocatable)) {
            return Obstacle::BelowMinimum;
        }
        if is_refused(holder, agent, &usable) { Obstacle::Declined } else { Obstacle::Soon }
    }
}
