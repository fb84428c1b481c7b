//! The calls of operators to the master.

use super::{Invalid, named, present};
use crate::mesos::v1::master::Call;
use crate::mesos::v1::master::call::Type;

/// Checks a call of an operator to the master. The resources of RESERVE_RESOURCES
/// and UNRESERVE_RESOURCES are for the master to check next.
#[expect(deprecated, reason = "the calls of old are still served")]
pub fn validate(call: &Call) -> Result<Type, Invalid> {
    let kind = named(call.r#type)?;
    match kind {
        Type::Unknown
        | Type::GetHealth
        | Type::GetFlags
        | Type::GetVersion
        | Type::GetLoggingLevel
        | Type::GetState
        | Type::GetAgents
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetRoles
        | Type::GetWeights
        | Type::GetMaster
        | Type::Subscribe
        | Type::GetMaintenanceStatus
        | Type::GetMaintenanceSchedule
        | Type::GetQuota => {}
        Type::GetMetrics => {
            present(call.get_metrics.as_ref(), "get_metrics")?;
        }
        Type::SetLoggingLevel => {
            present(call.set_logging_level.as_ref(), "set_logging_level")?;
        }
        Type::ListFiles => {
            present(call.list_files.as_ref(), "list_files")?;
        }
        Type::ReadFile => {
            present(call.read_file.as_ref(), "read_file")?;
        }
        Type::UpdateWeights => {
            present(call.update_weights.as_ref(), "update_weights")?;
        }
        Type::ReserveResources => {
            present(call.reserve_resources.as_ref(), "reserve_resources")?;
        }
        Type::UnreserveResources => {
            present(call.unreserve_resources.as_ref(), "unreserve_resources")?;
        }
        Type::CreateVolumes => {
            present(call.create_volumes.as_ref(), "create_volumes")?;
        }
        Type::DestroyVolumes => {
            present(call.destroy_volumes.as_ref(), "destroy_volumes")?;
        }
        Type::GrowVolume => {
            present(call.grow_volume.as_ref(), "grow_volume")?;
            default_resources(call.grow_volume.as_ref().and_then(|v| v.agent_id.as_ref()))?;
        }
        Type::ShrinkVolume => {
            present(call.shrink_volume.as_ref(), "shrink_volume")?;
            default_resources(call.shrink_volume.as_ref().and_then(|v| v.agent_id.as_ref()))?;
        }
        Type::UpdateMaintenanceSchedule => {
            present(call.update_maintenance_schedule.as_ref(), "update_maintenance_schedule")?;
        }
        Type::StartMaintenance => {
            present(call.start_maintenance.as_ref(), "start_maintenance")?;
        }
        Type::StopMaintenance => {
            present(call.stop_maintenance.as_ref(), "stop_maintenance")?;
        }
        Type::DrainAgent => {
            present(call.drain_agent.as_ref(), "drain_agent")?;
        }
        Type::DeactivateAgent => {
            present(call.deactivate_agent.as_ref(), "deactivate_agent")?;
        }
        Type::ReactivateAgent => {
            present(call.reactivate_agent.as_ref(), "reactivate_agent")?;
        }
        Type::UpdateQuota => {
            present(call.update_quota.as_ref(), "update_quota")?;
        }
        Type::SetQuota => {
            present(call.set_quota.as_ref(), "set_quota")?;
        }
        Type::RemoveQuota => {
            present(call.remove_quota.as_ref(), "remove_quota")?;
        }
        Type::Teardown => {
            present(call.teardown.as_ref(), "teardown")?;
        }
        Type::MarkAgentGone => {
            present(call.mark_agent_gone.as_ref(), "mark_agent_gone")?;
        }
    }
    Ok(kind)
}

/// Volumes of resource providers cannot be resized through this call yet.
fn default_resources(agent: Option<&crate::mesos::v1::AgentId>) -> Result<(), Invalid> {
    match agent {
        Some(_) => Ok(()),
        None => Err(Invalid(
            "Expecting 'agent_id' to be present; only agent default resources \
             are supported right now"
                .to_owned(),
        )),
    }
}
