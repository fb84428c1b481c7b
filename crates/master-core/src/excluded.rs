//! Which agents a framework's offer constraints keep from it.

use std::collections::BTreeMap;

use types::{AgentId, Role};

use crate::allocation::agent_profile;
use crate::frameworks::roles_of;
use crate::view::{FrameworkView, View};
use crate::{AgentView, validation};

impl View {
    /// The registered agents that a framework's offer constraints exclude, for each of its
    /// roles. It looks at all agents, and is for people's questions.
    #[must_use]
    pub fn excluded_agents(&self, framework: &FrameworkView) -> BTreeMap<Role, Vec<AgentId>> {
        let constraints = framework.offer_constraints.as_deref();
        let limits = self.config.pattern_limits;
        // They were checked before they became the framework's.
        let constraints =
            constraints.and_then(|all| validation::constraints(all, limits).ok()).unwrap_or_default();
        let excluded = |role: &Role| {
            let Some(wanted) = constraints.get(role) else { return Vec::new() };
            let out = |agent: &&AgentView| !wanted.admit(&agent_profile(&agent.info));
            self.agents.iter().map(AsRef::as_ref).filter(out).map(|agent| agent.id.clone()).collect()
        };
        roles_of(&framework.info).into_iter().map(|role| (role.clone(), excluded(&role))).collect()
    }
}
