//! The whitelist: the only hosts that are offered, where there is one.

use std::collections::BTreeSet;

use types::AgentId;

use crate::agents::Agent;
use crate::{AgentProfile, Allocator};

/// The names of hosts; none allows all.
pub(crate) type Whitelist = Option<BTreeSet<String>>;

fn allows(whitelist: &Whitelist, agent: &Agent) -> bool {
    whitelist.as_ref().is_none_or(|hosts| hosts.contains(&agent.profile.hostname))
}

impl Allocator {
    /// From now on only agents on these hosts are offered; with none, all are. What
    /// is held or offered elsewhere stays so.
    pub fn set_whitelist(&mut self, hosts: Option<BTreeSet<String>>) {
        if self.whitelist == hosts {
            return;
        }
        self.whitelist = hosts;
        let agents: Vec<_> = self.agents.arena.iter().map(|(agent, _)| agent).collect();
        agents.into_iter().for_each(|agent| self.check_whitelist(agent));
    }

    /// What constraints and the whitelist may look at of an agent.
    pub fn set_agent_profile(&mut self, id: &AgentId, profile: AgentProfile) {
        let Some(agent) = self.agents.key(id) else { return };
        if *self.agents.arena[agent].profile == profile {
            return;
        }
        *self.agents.arena[agent].profile = profile;
        self.check_whitelist(agent);
        self.look_at(agent);
    }

    /// Notes whether an agent is allowed; if that is new, all look at it.
    pub(crate) fn check_whitelist(&mut self, agent: crate::arena::Key<Agent>) {
        let allowed = allows(&self.whitelist, &self.agents.arena[agent]);
        if self.agents.arena[agent].whitelisted != allowed {
            self.recount_open(agent, |agent| agent.whitelisted = allowed);
            self.look_at(agent);
        }
    }
}
