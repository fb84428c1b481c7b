//! The calls by which operators change something. One file for each family.
//!
//! A call is answered once: at once, with the reply that its function returns, or
//! later, when the registry or an agent has done its part, and then the function
//! returns none.

mod agents;
pub(crate) mod maintenance;
pub(crate) mod quota;
mod quota_offers;
mod resources;
mod teardown;
mod weights;

use crate::Master;
use crate::effect::{Effect, Reply};
use crate::event::{OperatorCall, RequestId};
use crate::operators::not_recovered;
use crate::step::Step;
use types::Principal;

/// Who asks, and where the answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) request: RequestId,
    /// Who authenticated, where authentication is on.
    pub(crate) principal: Option<&'a Principal>,
}

impl Master {
    pub(crate) fn on_operator_call(
        &mut self,
        request: RequestId,
        principal: Option<&Principal>,
        call: OperatorCall,
        step: &mut Step<'_>,
    ) {
        let asker = Asker { request, principal };
        let reply = if self.serves() { self.operate(asker, call, step) } else { Some(not_recovered()) };
        if let Some(reply) = reply {
            step.fx.push(Effect::Reply { request, reply });
        }
    }

    fn operate(&mut self, asker: Asker<'_>, call: OperatorCall, step: &mut Step<'_>) -> Option<Reply> {
        match call {
            OperatorCall::Teardown(framework) => Some(self.operator_teardown(&framework, step)),
            OperatorCall::MarkAgentGone(agent) => self.on_mark_gone(agent, asker.request, step),
            OperatorCall::ReserveResources(body) => self.reserve_resources(asker, body, step),
            OperatorCall::UnreserveResources(body) => self.unreserve_resources(asker, body, step),
            OperatorCall::CreateVolumes(body) => self.create_volumes(asker, body, step),
            OperatorCall::DestroyVolumes(body) => self.destroy_volumes(asker, body, step),
            OperatorCall::GrowVolume(body) => self.grow_volume(asker, *body, step),
            OperatorCall::ShrinkVolume(body) => self.shrink_volume(asker, *body, step),
            OperatorCall::UpdateMaintenanceSchedule(body) => {
                self.update_maintenance_schedule(asker, body, step)
            }
            OperatorCall::StartMaintenance(body) => self.start_maintenance(asker, body, step),
            OperatorCall::StopMaintenance(body) => self.stop_maintenance(asker, body, step),
            OperatorCall::SetQuota(body) => self.set_quota(asker, body, step),
            OperatorCall::RemoveQuota(body) => self.remove_quota(asker, body, step),
            OperatorCall::UpdateQuota(body) => self.update_quota(asker, body, step),
            OperatorCall::UpdateWeights(body) => self.update_weights(asker, body, step),
            OperatorCall::DrainAgent(body) => self.drain_agent(asker, body, step),
            OperatorCall::DeactivateAgent(body) => self.deactivate_agent(asker, body, step),
            OperatorCall::ReactivateAgent(body) => self.reactivate_agent(asker, body, step),
        }
    }
}
