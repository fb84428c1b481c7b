//! The master dies, and another begins at its address: everybody's connections are gone, and everybody comes back.

use types::FrameworkId;

use super::{Client, Cluster};
use crate::agent::Agent;

impl Cluster {
    /// Gives each agent so many tasks, as if the frameworks had launched them long ago.
    pub(crate) fn fill_agents(&mut self, tasks: u32) {
        let frameworks: Vec<FrameworkId> =
            self.clients.iter().filter_map(|client| client.framework.id().cloned()).collect();
        let mut next = 0;
        for agent in &mut self.agents {
            agent.fill(next..next + tasks, &frameworks);
            next += tasks;
        }
    }

    /// One task is forgotten by its agent.
    pub(crate) fn forget_task(&mut self) {
        if let Some(agent) = self.agents.first_mut() {
            agent.forget_task();
        }
    }

    /// What the agents would say to register now.
    pub(crate) fn registrations(&self) -> impl Iterator<Item = Vec<u8>> {
        self.agents.iter().map(|agent| agent.registration(&self.settings).body)
    }

    /// All connections are over. Nothing is said until [`Cluster::come_back`].
    pub(crate) fn lose_master(&mut self) {
        for host in &mut self.hosts {
            (host.uplink, host.connected, host.connect_at_us) = (None, false, u64::MAX);
        }
        (self.connecting, self.inbound) = (0, Vec::new());
        self.to_connect.clear();
        self.agents.iter_mut().for_each(Agent::on_link_broken);
        self.lost = std::mem::take(&mut self.clients).into_iter().map(|client| client.framework).collect();
    }

    /// Agents and frameworks connect again, all at once.
    pub(crate) fn come_back(&mut self) -> anyhow::Result<()> {
        self.connect_agents();
        for mut framework in std::mem::take(&mut self.lost) {
            framework.on_link_broken();
            self.add(framework)?;
        }
        Ok(())
    }

    /// How many agents are registered, and how many frameworks subscribed.
    pub(crate) fn back(&self) -> (usize, usize) {
        let subscribed = |client: &&Client| client.framework.is_subscribed();
        let registered = |agent: &&Agent| agent.is_registered();
        (self.agents.iter().filter(registered).count(), self.clients.iter().filter(subscribed).count())
    }
}
