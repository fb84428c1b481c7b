//! The calls that change something: handed to the core, which answers.

use http::Response;
use master_core::{Event, OperatorCall};
use proto::mesos::v1::master::Call;
use proto::mesos::v1::master::call::Type;
use types::{AgentId, FrameworkId};

use crate::shell::Shell;

/// Makes the change of a call.
pub(super) async fn change(shell: &Shell, call: Call) -> Response {
    match parse(call) {
        Some(call) => operate(shell, call).await,
        // The check of the call has made sure that its part is there.
        None => Response::bad_request("Failed to validate master::Call"),
    }
}

/// Hands a change to the core.
pub(crate) async fn operate(shell: &Shell, call: OperatorCall) -> Response {
    shell.call(|request| Event::Operator { request, principal: None, call }).await
}

/// The change that a call asks for.
#[expect(deprecated, reason = "deprecated in Mesos too, and still served")]
fn parse(call: Call) -> Option<OperatorCall> {
    Some(match call.r#type() {
        Type::Teardown => OperatorCall::Teardown(FrameworkId::from(call.teardown?.framework_id)),
        Type::MarkAgentGone => OperatorCall::MarkAgentGone(AgentId::from(call.mark_agent_gone?.agent_id)),
        Type::ReserveResources => OperatorCall::ReserveResources(call.reserve_resources?),
        Type::UnreserveResources => OperatorCall::UnreserveResources(call.unreserve_resources?),
        Type::CreateVolumes => OperatorCall::CreateVolumes(call.create_volumes?),
        Type::DestroyVolumes => OperatorCall::DestroyVolumes(call.destroy_volumes?),
        Type::GrowVolume => OperatorCall::GrowVolume(Box::new(call.grow_volume?)),
        Type::ShrinkVolume => OperatorCall::ShrinkVolume(Box::new(call.shrink_volume?)),
        Type::UpdateMaintenanceSchedule => {
            OperatorCall::UpdateMaintenanceSchedule(call.update_maintenance_schedule?)
        }
        Type::StartMaintenance => OperatorCall::StartMaintenance(call.start_maintenance?),
        Type::StopMaintenance => OperatorCall::StopMaintenance(call.stop_maintenance?),
        Type::SetQuota => OperatorCall::SetQuota(call.set_quota?),
        Type::RemoveQuota => OperatorCall::RemoveQuota(call.remove_quota?),
        Type::UpdateQuota => OperatorCall::UpdateQuota(call.update_quota?),
        Type::UpdateWeights => OperatorCall::UpdateWeights(call.update_weights?),
        Type::DrainAgent => OperatorCall::DrainAgent(call.drain_agent?),
        Type::DeactivateAgent => OperatorCall::DeactivateAgent(call.deactivate_agent?),
        Type::ReactivateAgent => OperatorCall::ReactivateAgent(call.reactivate_agent?),
        _ => return None,
    })
}
