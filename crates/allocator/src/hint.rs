//! REQUEST: a framework says that it could use something now.

use types::{AgentId, FrameworkId};

use crate::Allocator;

impl Allocator {
    /// A framework asks for resources of an agent, or of any: what it declined there
    /// is offered to it again, in the roles in which it wants offers. It gets no more
    /// than its turn gives it.
    pub fn request(&mut self, id: &FrameworkId, agent: Option<&AgentId>) {
        let agent = match agent.map(|agent| self.agents.key(agent)) {
            None => None,
            Some(Some(agent)) => Some(agent),
            Some(None) => return,
        };
        for client in self.clients_in(id, &[]) {
            if !self.frameworks.wants(&self.frameworks.clients[client]) {
                continue;
            }
            match agent {
                Some(agent) => {
                    self.clear_filters_for(client, agent);
                    self.look_at_for(agent, client);
                }
                None => {
                    self.clear_filters(client);
                    self.wake(client);
                }
            }
        }
    }
}
