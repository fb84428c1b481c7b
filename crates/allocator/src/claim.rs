//! Operators' operations on what nobody holds.

use resources::Resources;
use thiserror::Error;
use types::AgentId;

use crate::Allocator;

/// Why resources cannot be made into others.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ClaimError {
    /// The agent is not known.
    #[error("agent {0} is not known")]
    UnknownAgent(AgentId),
    /// Some of them are held or offered, or are not there at all.
    #[error("{wanted} is not within what is free: {free}")]
    NotFree {
        /// What was to be converted.
        wanted: Box<Resources>,
        /// What of the agent nobody holds or is offered.
        free: Box<Resources>,
    },
}

impl Allocator {
    /// An operator's operation made `converted` of `consumed`, which nobody holds or
    /// is offered: the agent's total changes at once, and what comes of it is offered
    /// next. Neither is marked with an allocation role.
    ///
    /// Unlike in Mesos there is no race with offers under way: what is free here is
    /// free. Fails, and changes nothing, where some of `consumed` is not.
    pub fn claim(
        &mut self,
        id: &AgentId,
        consumed: &Resources,
        converted: &Resources,
    ) -> Result<(), ClaimError> {
        let Some(agent) = self.agents.key(id) else { return Err(ClaimError::UnknownAgent(id.clone())) };
        let place = &self.agents.arena[agent];
        let free = place.available();
        if !free.contains(consumed) {
            return Err(ClaimError::NotFree { wanted: Box::new(consumed.clone()), free: Box::new(free) });
        }
        let mut total = &place.total - consumed;
        total += converted;
        self.set_total(agent, total);
        self.look_at(agent);
        Ok(())
    }
}
