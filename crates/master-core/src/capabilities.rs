//! What frameworks and agents can do, as flags.

use proto::mesos::v1::agent_info::capability::Type as AgentCapability;
use proto::mesos::v1::framework_info::capability::Type as FrameworkCapability;
use proto::mesos::v1::{agent_info, framework_info};

/// The capabilities of a framework that change what the master does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FrameworkCapabilities {
    pub(crate) revocable_resources: bool,
    pub(crate) gpu_resources: bool,
    pub(crate) shared_resources: bool,
    pub(crate) partition_aware: bool,
    pub(crate) multi_role: bool,
    pub(crate) reservation_refinement: bool,
    pub(crate) region_aware: bool,
}

impl FrameworkCapabilities {
    pub(crate) fn of(list: &[framework_info::Capability]) -> Self {
        let mut all = Self::default();
        for capability in list {
            match capability.r#type() {
                FrameworkCapability::RevocableResources => all.revocable_resources = true,
                FrameworkCapability::GpuResources => all.gpu_resources = true,
                FrameworkCapability::SharedResources => all.shared_resources = true,
                FrameworkCapability::PartitionAware => all.partition_aware = true,
                FrameworkCapability::MultiRole => all.multi_role = true,
                FrameworkCapability::ReservationRefinement => all.reservation_refinement = true,
                FrameworkCapability::RegionAware => all.region_aware = true,
                FrameworkCapability::TaskKillingState | FrameworkCapability::Unknown => {}
            }
        }
        all
    }
}

/// The capabilities of an agent that change what the master does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AgentCapabilities {
    pub(crate) multi_role: bool,
    pub(crate) hierarchical_role: bool,
    pub(crate) reservation_refinement: bool,
    pub(crate) resource_provider: bool,
    pub(crate) task_resource_limits: bool,
    pub(crate) resize_volume: bool,
    pub(crate) agent_operation_feedback: bool,
    pub(crate) agent_draining: bool,
}

impl AgentCapabilities {
    pub(crate) fn of(list: &[agent_info::Capability]) -> Self {
        let mut all = Self::default();
        for capability in list {
            match capability.r#type() {
                AgentCapability::MultiRole => all.multi_role = true,
                AgentCapability::HierarchicalRole => all.hierarchical_role = true,
                AgentCapability::ReservationRefinement => all.reservation_refinement = true,
                AgentCapability::ResourceProvider => all.resource_provider = true,
                AgentCapability::TaskResourceLimits => all.task_resource_limits = true,
                AgentCapability::ResizeVolume => all.resize_volume = true,
                AgentCapability::AgentOperationFeedback => all.agent_operation_feedback = true,
                AgentCapability::AgentDraining => all.agent_draining = true,
                AgentCapability::Unknown => {}
            }
        }
        all
    }
}
