//! What may happen to the master: the closed list of a core's inputs.
//!
//! The shell decodes and hands over; it decides nothing. Where a call needs an
//! answer it carries a [`RequestId`], and exactly one
//! [`Effect::Reply`](crate::Effect::Reply) follows.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use proto::mesos::internal::Registry;
use proto::mesos::v1;
use proto::mesos::v1::master::call;
use types::{AgentId, FrameworkId, Pid, Principal, Uuid};

use crate::message::Message;
use crate::registry::Outcome;

/// One open HTTP response stream, of a framework or of an operator. Numbered by
/// the shell, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// One HTTP request that waits for its reply. Numbered by the shell, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One registry operation under way. Numbered by the core, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// An input of the master.
#[derive(Clone, Debug)]
pub enum Event {
    /// This master leads now. Nothing is served until the registry is there.
    Elected,
    /// The registry as it was read after the election. Its agents are expected
    /// back within `agent_reregister_timeout`.
    Recovered(Box<Registry>),
    /// A framework's SUBSCRIBE over HTTP, on a stream whose head (status 200 with
    /// `Mesos-Stream-Id: <uuid>`) the shell has sent already. The shell has run
    /// [`validation::call`](crate::validation::call) on it. What is wrong with its content goes out as an
    /// ERROR event on the stream, which is then closed.
    Subscribe {
        /// The stream of the answer.
        stream: StreamId,
        /// The stream's `Mesos-Stream-Id`.
        uuid: Uuid,
        /// Who authenticated, where authentication is on.
        principal: Option<Principal>,
        /// A call of type SUBSCRIBE.
        call: Box<v1::scheduler::Call>,
    },
    /// Any other scheduler call over HTTP. Answered by one reply.
    SchedulerCall {
        /// Where the reply goes.
        request: RequestId,
        /// The text of the `Mesos-Stream-Id` header, if there was one.
        stream_id: Option<String>,
        /// Who authenticated, where authentication is on.
        principal: Option<Principal>,
        /// A call of any type but SUBSCRIBE.
        call: Box<v1::scheduler::Call>,
    },
    /// A stream is gone: its peer closed it, or its writer was full.
    StreamClosed(StreamId),
    /// A libprocess message.
    Message {
        /// The sender.
        from: Pid,
        /// The process it is for: `master`, or `slave-observer(N)` for a pong.
        to: Arc<str>,
        /// What it says.
        message: Message,
    },
    /// The link to a peer broke.
    Exited(SocketAddr),
    /// A call of an operator that changes something. Answered by one reply, perhaps
    /// only after the registry has it.
    Operator {
        /// Where the reply goes.
        request: RequestId,
        /// Who authenticated, where authentication is on.
        principal: Option<Principal>,
        /// What is asked.
        call: OperatorCall,
    },
    /// An operator's SUBSCRIBE, on a stream whose head the shell has sent already.
    OperatorSubscribe {
        /// The stream of the answer.
        stream: StreamId,
        /// Who authenticated, where authentication is on.
        principal: Option<Principal>,
    },
    /// From now on only agents on these hosts are offered; with none, all are
    /// (`--whitelist`).
    Whitelist(Option<BTreeSet<String>>),
    /// How a registry operation ended: the one completion of each ticket.
    RegistryApplied {
        /// The operation.
        ticket: Ticket,
        /// What became of it.
        outcome: Outcome,
    },
}

/// The operator calls that change something. Each carries the v1 message; the v0
/// forms of a call are parsed into the same by the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum OperatorCall {
    /// Remove a framework and kill its tasks (v1 TEARDOWN, v0 `/teardown`).
    Teardown(FrameworkId),
    /// Declare that an agent will never come back.
    MarkAgentGone(AgentId),
    /// Reserve resources of an agent (v1 RESERVE_RESOURCES, v0 `/reserve`).
    ReserveResources(call::ReserveResources),
    /// Give reserved resources back (v1 UNRESERVE_RESOURCES, v0 `/unreserve`).
    UnreserveResources(call::UnreserveResources),
    /// Make persistent volumes (v1 CREATE_VOLUMES, v0 `/create-volumes`).
    CreateVolumes(call::CreateVolumes),
    /// Delete persistent volumes and their data (v1 DESTROY_VOLUMES, v0 `/destroy-volumes`).
    DestroyVolumes(call::DestroyVolumes),
    /// Make a persistent volume larger.
    GrowVolume(Box<call::GrowVolume>),
    /// Make a persistent volume smaller.
    ShrinkVolume(Box<call::ShrinkVolume>),
    /// Replace the maintenance schedule (v1 UPDATE_MAINTENANCE_SCHEDULE, v0 `/maintenance/schedule`).
    UpdateMaintenanceSchedule(call::UpdateMaintenanceSchedule),
    /// Take machines down (v1 START_MAINTENANCE, v0 `/machine/down`).
    StartMaintenance(call::StartMaintenance),
    /// Bring machines back up (v1 STOP_MAINTENANCE, v0 `/machine/up`).
    StopMaintenance(call::StopMaintenance),
    /// Guarantee resources to a role (v1 SET_QUOTA, v0 POST of `/quota`).
    SetQuota(call::SetQuota),
    /// End a role's guarantee (v1 REMOVE_QUOTA, v0 DELETE of `/quota/<role>`).
    RemoveQuota(call::RemoveQuota),
    /// Set the guarantees and limits of roles.
    UpdateQuota(call::UpdateQuota),
    /// Set the weights of roles (v1 UPDATE_WEIGHTS, v0 PUT of `/weights`).
    UpdateWeights(call::UpdateWeights),
    /// Empty an agent of tasks.
    DrainAgent(call::DrainAgent),
    /// Offer nothing of an agent any more.
    DeactivateAgent(call::DeactivateAgent),
    /// Offer an agent again that was drained or deactivated.
    ReactivateAgent(call::ReactivateAgent),
}

impl OperatorCall {
    /// The change that a v1 call asks for. None where its part is missing, and for calls
    /// that only ask.
    #[must_use]
    #[expect(deprecated, reason = "deprecated in Mesos too, and still served")]
    #[expect(clippy::wildcard_enum_match_arm, reason = "the calls that ask are the shell's")]
    pub fn parse(body: v1::master::Call) -> Option<Self> {
        use call::Type;
        Some(match body.r#type() {
            Type::Teardown => Self::Teardown(FrameworkId::from(body.teardown?.framework_id)),
            Type::MarkAgentGone => Self::MarkAgentGone(AgentId::from(body.mark_agent_gone?.agent_id)),
            Type::ReserveResources => Self::ReserveResources(body.reserve_resources?),
            Type::UnreserveResources => Self::UnreserveResources(body.unreserve_resources?),
            Type::CreateVolumes => Self::CreateVolumes(body.create_volumes?),
            Type::DestroyVolumes => Self::DestroyVolumes(body.destroy_volumes?),
            Type::GrowVolume => Self::GrowVolume(Box::new(body.grow_volume?)),
            Type::ShrinkVolume => Self::ShrinkVolume(Box::new(body.shrink_volume?)),
            Type::UpdateMaintenanceSchedule => {
                Self::UpdateMaintenanceSchedule(body.update_maintenance_schedule?)
            }
            Type::StartMaintenance => Self::StartMaintenance(body.start_maintenance?),
            Type::StopMaintenance => Self::StopMaintenance(body.stop_maintenance?),
            Type::SetQuota => Self::SetQuota(body.set_quota?),
            Type::RemoveQuota => Self::RemoveQuota(body.remove_quota?),
            Type::UpdateQuota => Self::UpdateQuota(body.update_quota?),
            Type::UpdateWeights => Self::UpdateWeights(body.update_weights?),
            Type::DrainAgent => Self::DrainAgent(body.drain_agent?),
            Type::DeactivateAgent => Self::DeactivateAgent(body.deactivate_agent?),
            Type::ReactivateAgent => Self::ReactivateAgent(body.reactivate_agent?),
            _ => return None,
        })
    }
}
