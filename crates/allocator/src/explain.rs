//! What may stand between a framework and an agent.

use resources::Resource;

use crate::Allocator;
use crate::agents::Agent;
use crate::arena::Key;
use crate::filters::is_refused;
use crate::frameworks::{Client, Incapable, incapable};
use crate::lot::Lot;

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
    /// The agent is not on the whitelist.
    NotWhitelisted,
    /// The framework's offer constraints for the role exclude the agent.
    Constraint,
    /// The role has slashes, and the agent is not HIERARCHICAL_ROLE.
    AgentNotHierarchical,
    /// All of the agent is held by tasks or offered.
    NothingFree,
    /// What is free is reserved to other roles.
    ReservedForOthers,
    /// What is free needs capabilities that the framework has not.
    NeedsCapabilities,
    /// The role holds as much as its quota's limit allows.
    QuotaLimit,
    /// What is free is kept for roles whose quota guarantees are not met.
    Headroom,
    /// What is free is less than the least that is offered.
    BelowMinimum,
    /// The framework declined it not long ago.
    Declined,
    /// What is free is for roles of short tasks.
    KeptForShort,
    /// What is free is kept for a framework that needs more of the agent at once.
    KeptForLarge,
    /// It is kept for this very framework until it is enough.
    AddsUp,
    /// Nothing: it is to be offered in the next step.
    Soon,
}

impl Obstacle {
    /// The obstacle as one word, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FrameworkInactive => "FRAMEWORK_INACTIVE",
            Self::Suppressed => "SUPPRESSED",
            Self::Unsubscribed => "UNSUBSCRIBED",
            Self::AgentInactive => "AGENT_INACTIVE",
            Self::Gpus => "GPUS",
            Self::Region => "REGION",
            Self::AgentNotMultiRole => "AGENT_NOT_MULTI_ROLE",
            Self::NotWhitelisted => "NOT_WHITELISTED",
            Self::Constraint => "CONSTRAINT",
            Self::AgentNotHierarchical => "AGENT_NOT_HIERARCHICAL",
            Self::NothingFree => "NOTHING_FREE",
            Self::ReservedForOthers => "RESERVED_FOR_OTHERS",
            Self::NeedsCapabilities => "NEEDS_CAPABILITIES",
            Self::QuotaLimit => "QUOTA_LIMIT",
            Self::Headroom => "HEADROOM",
            Self::BelowMinimum => "BELOW_MINIMUM",
            Self::Declined => "DECLINED",
            Self::KeptForShort => "KEPT_FOR_SHORT_TASKS",
            Self::KeptForLarge => "KEPT_FOR_LARGE_TASK",
            Self::AddsUp => "ADDS_UP",
            Self::Soon => "SOON",
        }
    }

    /// The obstacle in words that follow "because".
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::FrameworkInactive => "the framework is disconnected or deactivated",
            Self::Suppressed => "the framework suppressed offers in this role",
            Self::Unsubscribed => "the framework is not subscribed in this role any more",
            Self::AgentInactive => "the agent is disconnected, draining or deactivated",
            Self::Gpus => "the agent has GPUs and the framework lacks the capability GPU_RESOURCES",
            Self::Region => {
                "the agent is in another region and the framework lacks the capability REGION_AWARE"
            }
            Self::AgentNotMultiRole => "the framework has several roles and the agent is too old for that",
            Self::NotWhitelisted => "the agent is not on the whitelist",
            Self::Constraint => "the framework's offer constraints exclude the agent",
            Self::AgentNotHierarchical => "the role has slashes and the agent is too old for that",
            Self::NothingFree => "all of the agent is in use or offered",
            Self::ReservedForOthers => "what is free is reserved for other roles",
            Self::NeedsCapabilities => "what is free needs capabilities that the framework lacks",
            Self::QuotaLimit => "the role has what the limit of its quota allows",
            Self::Headroom => "what is free is kept for roles whose quota guarantees are not met",
            Self::BelowMinimum => "what is free is less than the least that is offered",
            Self::Declined => "the framework declined it and its filter still holds",
            Self::KeptForShort => "what is free is kept for roles of short tasks",
            Self::KeptForLarge => "what is free is kept for a large task",
            Self::AddsUp => {
                "what is free is less than the role's minimum offer size; it is kept for the framework and adds up"
            }
            Self::Soon => "nothing: it is offered next",
        }
    }
}

impl Allocator {
    /// What stands between a client and an agent.
    pub(crate) fn obstacle(&self, client: Key<Client>, agent: Key<Agent>, place: &Agent) -> Obstacle {
        let obstacle = self.obstacle_in_the_open(client, agent, place);
        match (self.large.kept_for(agent), obstacle) {
            (Some(holder), Obstacle::BelowMinimum) if holder == client => Obstacle::AddsUp,
            (Some(holder), Obstacle::Soon | Obstacle::KeptForShort) if holder != client => {
                Obstacle::KeptForLarge
            }
            (Some(_) | None, other) => other,
        }
    }

    /// The same, were the agent kept for nobody.
    fn obstacle_in_the_open(&self, client: Key<Client>, agent: Key<Agent>, place: &Agent) -> Obstacle {
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
        if !place.whitelisted {
            return Obstacle::NotWhitelisted;
        }
        if let Some(why) = incapable(&self.options, framework.capabilities, holder, place) {
            return match why {
                Incapable::Gpus => Obstacle::Gpus,
                Incapable::Region => Obstacle::Region,
                Incapable::MultiRole => Obstacle::AgentNotMultiRole,
                Incapable::Constraint => Obstacle::Constraint,
                Incapable::HierarchicalRole => Obstacle::AgentNotHierarchical,
            };
        }
        let free = place.free.resources();
        if !place.free.has_own() {
            return Obstacle::NothingFree;
        }
        let for_role = free.allocatable_to(&holder.role);
        // Copies of shared volumes alone are no offer.
        if for_role.iter().all(Resource::is_shared) {
            return Obstacle::ReservedForOthers;
        }
        let usable = Lot::of(for_role.filter(|resource| framework.capabilities.handle(resource)));
        if !usable.has_own() {
            return Obstacle::NeedsCapabilities;
        }
        let clauses = holder.min_allocatable.as_ref().unwrap_or(&self.options.min_allocatable);
        let is_enough =
            |part: &Lot| part.has_own() && part.meets(clauses) && self.large.is_enough(client, part);
        if !is_enough(&usable) {
            return Obstacle::BelowMinimum;
        }
        let usable = match self.cut_to_long(client, agent, &usable) {
            None => usable,
            Some(part) if is_enough(&part) => part,
            Some(_) => return Obstacle::KeptForShort,
        };
        let part = self.quotas.cut(holder.account, &usable);
        let usable = match part {
            None => usable,
            Some(part) if is_enough(&part) => part,
            Some(_) if self.quotas.is_at_limit(holder.account, &usable) => return Obstacle::QuotaLimit,
            Some(_) => return Obstacle::Headroom,
        };
        if is_refused(holder, agent, &usable) { Obstacle::Declined } else { Obstacle::Soon }
    }
}
