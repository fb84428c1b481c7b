//! Operators' operations on what nobody holds.

use resources::{Conversion, Invalid, Resources};
use thiserror::Error;
use types::AgentId;

use crate::Allocator;
use crate::lot::Lot;

/// Why resources cannot be made into others.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ClaimError {
    /// The agent is not known.
    #[error("agent {0} is not known")]
    UnknownAgent(AgentId),
    /// Some of them are held or offered, or are not there at all.
    #[error("{0}")]
    NotFree(Invalid),
}

impl Allocator {
    /// An operator's operation makes other resources of what nobody holds or is offered:
    /// the agent's total changes at once, and what comes of it is offered next. The steps
    /// name no allocation. The answer is the new total.
    ///
    /// Unlike in Mesos there is no race with offers under way: what is free is looked at
    /// and taken in one. Fails, and changes nothing, where something is not free.
    pub fn claim(&mut self, id: &AgentId, steps: &[Conversion]) -> Result<Resources, ClaimError> {
        let Some(agent) = self.agents.key(id) else { return Err(ClaimError::UnknownAgent(id.clone())) };
        let place = &self.agents.arena[agent];
        place.unbooked().apply(steps).map_err(ClaimError::NotFree)?;
        let total = place.total.resources().apply(steps).map_err(ClaimError::NotFree)?;
        self.set_total(agent, Lot::of(total.clone()));
        self.look_at(agent);
        Ok(total)
    }
}
