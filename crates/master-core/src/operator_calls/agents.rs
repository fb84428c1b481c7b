//! DRAIN_AGENT, DEACTIVATE_AGENT and REACTIVATE_AGENT.

use proto::mesos::v1::master::call;

use super::{Asker, not_served};
use crate::Master;
use crate::effect::Reply;
use crate::step::Step;

impl Master {
    pub(crate) fn drain_agent(
        &mut self,
        _: Asker<'_>,
        _: call::DrainAgent,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("DRAIN_AGENT"))
    }

    pub(crate) fn deactivate_agent(
        &mut self,
        _: Asker<'_>,
        _: call::DeactivateAgent,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("DEACTIVATE_AGENT"))
    }

    pub(crate) fn reactivate_agent(
        &mut self,
        _: Asker<'_>,
        _: call::ReactivateAgent,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("REACTIVATE_AGENT"))
    }
}
