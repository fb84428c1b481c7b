//! The libprocess messages that a master hears and says, as two closed lists.
//!
//! A message's name on the wire is its protobuf full name; its body is the
//! serialised message. Names of v0 appear here and nowhere else in the core.

use bytes::Bytes;
use prost::Message as _;
use proto::json::{self, Json, JsonError, Names};
use proto::mesos::internal;
use proto::mesos::scheduler;
use proto::wire::{self, WireError};
use thiserror::Error;

/// Why a message is dropped.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum DecodeError {
    /// No handler has that name; such messages are dropped without a word.
    #[error("no handler for message '{0}'")]
    Unknown(String),
    /// The body is not a message of that name.
    #[error("failed to parse '{name}': {reason}")]
    Malformed {
        /// The message's name.
        name: &'static str,
        /// What the decoder says.
        reason: WireError,
    },
}

macro_rules! incoming {
    ($($(#[$doc:meta])* $variant:ident($body:ty) = $name:literal;)*) => {
        /// A message to the master or one of its observers.
        #[derive(Clone, Debug)]
        pub enum Message {
            $($(#[$doc])* $variant(Box<$body>),)*
        }

        impl Message {
            /// Decodes the body of the message of this name. Byte fields share memory
            /// with the body.
            pub fn decode(name: &str, body: &Bytes) -> Result<Self, DecodeError> {
                match name {
                    $($name => wire::decode::<$body>(body.clone())
                        .map(|body| Self::$variant(Box::new(body)))
                        .map_err(|reason| DecodeError::Malformed { name: $name, reason }),)*
                    _ => Err(DecodeError::Unknown(name.chars().take(256).collect())),
                }
            }

            /// Reads the message of this name from JSON with v1 names, for scenarios.
            pub fn from_json(name: &str, text: &str) -> Result<Self, JsonError> {
                match name {
                    $($name => json::from_slice::<$body>(text.as_bytes())
                        .map(|body| Self::$variant(Box::new(body))),)*
                    _ => Err(JsonError::Convert(format!("no handler for message '{name}'"))),
                }
            }

            /// The message's name on the wire.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }
        }
    };
}

incoming! {
    /// Any call of a driver: what all current drivers send.
    Call(scheduler::Call) = "mesos.scheduler.Call";
    /// A relic; answered.
    SubmitScheduler(internal::SubmitSchedulerRequest) = "mesos.internal.SubmitSchedulerRequest";
    /// An old driver's first subscription.
    RegisterFramework(internal::RegisterFrameworkMessage) = "mesos.internal.RegisterFrameworkMessage";
    /// An old driver's subscription with an id.
    ReregisterFramework(internal::ReregisterFrameworkMessage) = "mesos.internal.ReregisterFrameworkMessage";
    /// An old driver's TEARDOWN.
    UnregisterFramework(internal::UnregisterFrameworkMessage) = "mesos.internal.UnregisterFrameworkMessage";
    /// A driver aborted: no more offers for it.
    DeactivateFramework(internal::DeactivateFrameworkMessage) = "mesos.internal.DeactivateFrameworkMessage";
    /// An old driver's REQUEST.
    ResourceRequest(internal::ResourceRequestMessage) = "mesos.internal.ResourceRequestMessage";
    /// An old driver's ACCEPT, or DECLINE where it launches nothing.
    LaunchTasks(internal::LaunchTasksMessage) = "mesos.internal.LaunchTasksMessage";
    /// An old driver's REVIVE.
    ReviveOffers(internal::ReviveOffersMessage) = "mesos.internal.ReviveOffersMessage";
    /// An old driver's KILL.
    KillTask(internal::KillTaskMessage) = "mesos.internal.KillTaskMessage";
    /// An old driver's ACKNOWLEDGE.
    StatusUpdateAcknowledgement(internal::StatusUpdateAcknowledgementMessage)
        = "mesos.internal.StatusUpdateAcknowledgementMessage";
    /// An old driver's RECONCILE.
    ReconcileTasks(internal::ReconcileTasksMessage) = "mesos.internal.ReconcileTasksMessage";
    /// An old driver's MESSAGE.
    FrameworkToExecutor(internal::FrameworkToExecutorMessage) = "mesos.internal.FrameworkToExecutorMessage";

    /// An agent without an id.
    RegisterAgent(internal::RegisterSlaveMessage) = "mesos.internal.RegisterSlaveMessage";
    /// An agent with an id, and all that runs on it.
    ReregisterAgent(internal::ReregisterSlaveMessage) = "mesos.internal.ReregisterSlaveMessage";
    /// An agent leaves for good.
    UnregisterAgent(internal::UnregisterSlaveMessage) = "mesos.internal.UnregisterSlaveMessage";
    /// An agent's resources or resource providers changed.
    UpdateAgent(internal::UpdateSlaveMessage) = "mesos.internal.UpdateSlaveMessage";
    /// A task's state, to be forwarded to its framework.
    StatusUpdate(internal::StatusUpdateMessage) = "mesos.internal.StatusUpdateMessage";
    /// An operation's state.
    UpdateOperationStatus(internal::UpdateOperationStatusMessage)
        = "mesos.internal.UpdateOperationStatusMessage";
    /// An executor ended.
    ExitedExecutor(internal::ExitedExecutorMessage) = "mesos.internal.ExitedExecutorMessage";
    /// An executor's message for its framework.
    ExecutorToFramework(internal::ExecutorToFrameworkMessage) = "mesos.internal.ExecutorToFrameworkMessage";
    /// The answer to a ping, for the observer that sent it.
    Pong(internal::PongSlaveMessage) = "mesos.internal.PongSlaveMessage";

    /// A peer wants to authenticate.
    Authenticate(internal::AuthenticateMessage) = "mesos.internal.AuthenticateMessage";
}

macro_rules! outgoing {
    ($($(#[$doc:meta])* $variant:ident($body:ty) = $name:literal;)*) => {
        /// A message from the master or one of its observers.
        #[derive(Clone, Debug)]
        pub enum Outgoing {
            $($(#[$doc])* $variant($body),)*
        }

        impl Outgoing {
            /// The message's name on the wire.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// The message's body on the wire.
            #[must_use]
            pub fn encode(&self) -> Bytes {
                match self {
                    $(Self::$variant(body) => Bytes::from(body.encode_to_vec()),)*
                }
            }

            /// The message as JSON with v1 names, for scenarios and traces.
            #[must_use]
            pub fn to_json(&self) -> String {
                let mut out = json::Writer::new();
                match self {
                    $(Self::$variant(body) => body.write_json(&mut out, Names::V1),)*
                }
                out.into_string()
            }
        }
    };
}

outgoing! {
    /// To a driver: subscribed, for the first time or at a new master.
    FrameworkRegistered(Box<internal::FrameworkRegisteredMessage>) = "mesos.internal.FrameworkRegisteredMessage";
    /// To a driver: subscribed again.
    FrameworkReregistered(Box<internal::FrameworkReregisteredMessage>)
        = "mesos.internal.FrameworkReregisteredMessage";
    /// To a driver: it must stop.
    FrameworkError(internal::FrameworkErrorMessage) = "mesos.internal.FrameworkErrorMessage";
    /// To a driver: offers, with each agent's address.
    ResourceOffers(Box<internal::ResourceOffersMessage>) = "mesos.internal.ResourceOffersMessage";
    /// To a driver: an offer is void.
    RescindResourceOffer(internal::RescindResourceOfferMessage) = "mesos.internal.RescindResourceOfferMessage";
    /// To a driver: wishes that it leave agents, with each one's address.
    InverseOffers(Box<internal::InverseOffersMessage>) = "mesos.internal.InverseOffersMessage";
    /// To a driver: such a wish is void.
    RescindInverseOffer(internal::RescindInverseOfferMessage) = "mesos.internal.RescindInverseOfferMessage";
    /// To a driver: a task's state. With a pid it needs an acknowledgement.
    StatusUpdate(Box<internal::StatusUpdateMessage>) = "mesos.internal.StatusUpdateMessage";
    /// To a driver: an agent is unreachable or removed.
    LostAgent(internal::LostSlaveMessage) = "mesos.internal.LostSlaveMessage";
    /// To a driver: an executor ended.
    ExitedExecutor(Box<internal::ExitedExecutorMessage>) = "mesos.internal.ExitedExecutorMessage";
    /// To a driver: an executor's message.
    ExecutorToFramework(Box<internal::ExecutorToFrameworkMessage>)
        = "mesos.internal.ExecutorToFrameworkMessage";
    /// To a driver: the answer to a relic.
    SubmitScheduler(internal::SubmitSchedulerResponse) = "mesos.internal.SubmitSchedulerResponse";

    /// To an agent: admitted.
    AgentRegistered(internal::SlaveRegisteredMessage) = "mesos.internal.SlaveRegisteredMessage";
    /// To an agent: admitted again, with the tasks it did not report.
    AgentReregistered(Box<internal::SlaveReregisteredMessage>) = "mesos.internal.SlaveReregisteredMessage";
    /// To an agent: answer, or you are unreachable.
    Ping(internal::PingSlaveMessage) = "mesos.internal.PingSlaveMessage";
    /// To an agent: run a task.
    RunTask(Box<internal::RunTaskMessage>) = "mesos.internal.RunTaskMessage";
    /// To an agent: run a group of tasks in one executor.
    RunTaskGroup(Box<internal::RunTaskGroupMessage>) = "mesos.internal.RunTaskGroupMessage";
    /// To an agent: kill a task.
    KillTask(internal::KillTaskMessage) = "mesos.internal.KillTaskMessage";
    /// To an agent: end an executor.
    ShutdownExecutor(internal::ShutdownExecutorMessage) = "mesos.internal.ShutdownExecutorMessage";
    /// To an agent: end all of a framework.
    ShutdownFramework(internal::ShutdownFrameworkMessage) = "mesos.internal.ShutdownFrameworkMessage";
    /// To an agent: a framework's address or description changed.
    UpdateFramework(Box<internal::UpdateFrameworkMessage>) = "mesos.internal.UpdateFrameworkMessage";
    /// To an agent: the framework has an update.
    StatusUpdateAcknowledgement(Box<internal::StatusUpdateAcknowledgementMessage>)
        = "mesos.internal.StatusUpdateAcknowledgementMessage";
    /// To an agent: the framework has an operation's update.
    AcknowledgeOperationStatus(Box<internal::AcknowledgeOperationStatusMessage>)
        = "mesos.internal.AcknowledgeOperationStatusMessage";
    /// To an agent: a framework's message for an executor.
    FrameworkToExecutor(Box<internal::FrameworkToExecutorMessage>)
        = "mesos.internal.FrameworkToExecutorMessage";
    /// To an agent without RESOURCE_PROVIDER: the reservations and volumes it has.
    CheckpointResources(internal::CheckpointResourcesMessage) = "mesos.internal.CheckpointResourcesMessage";
    /// To an agent with RESOURCE_PROVIDER: make resources into others.
    ApplyOperation(Box<internal::ApplyOperationMessage>) = "mesos.internal.ApplyOperationMessage";
    /// To an agent: what became of these operations?
    ReconcileOperations(internal::ReconcileOperationsMessage) = "mesos.internal.ReconcileOperationsMessage";
    /// To an agent: kill what runs, take nothing new.
    Drain(internal::DrainSlaveMessage) = "mesos.internal.DrainSlaveMessage";
    /// To an agent: exit.
    Shutdown(internal::ShutdownMessage) = "mesos.internal.ShutdownMessage";

    /// To a peer that wants to authenticate where nothing can.
    AuthenticationError(internal::AuthenticationErrorMessage) = "mesos.internal.AuthenticationErrorMessage";
}
