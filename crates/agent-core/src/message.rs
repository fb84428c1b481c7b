//! The libprocess messages that an agent hears and says, as two closed lists.
//!
//! A message's name on the wire is its protobuf full name; its body is the
//! serialised message. Names of v0 appear here and nowhere else in the core.

use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use proto::json::{self, JsonError, Names};
use proto::mesos::internal;
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

macro_rules! messages {
    ($(#[$list_doc:meta])* $list:ident { $($(#[$doc:meta])* $variant:ident($body:ident);)* }) => {
        $(#[$list_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $list {
            $($(#[$doc])* $variant(Box<internal::$body>),)*
        }

        impl $list {
            /// Decodes the body of the message of this name.
            pub fn decode(name: &str, body: &[u8]) -> Result<Self, DecodeError> {
                match name {
                    $(concat!("mesos.internal.", stringify!($body)) => wire::decode::<internal::$body>(body)
                        .map(|body| Self::$variant(Box::new(body)))
                        .map_err(|reason| DecodeError::Malformed {
                            name: concat!("mesos.internal.", stringify!($body)),
                            reason,
                        }),)*
                    _ => Err(DecodeError::Unknown(name.chars().take(256).collect())),
                }
            }

            /// Reads the body of the message of this name from JSON with v0 names: for scripts
            /// of tests. None for other names.
            #[must_use]
            pub fn from_json(name: &str, body: &str) -> Option<Result<Self, JsonError>> {
                match name.strip_prefix("mesos.internal.").unwrap_or(name) {
                    $(stringify!($body) => Some(
                        json::from_slice_v0::<internal::$body>(body.as_bytes())
                            .map(|body| Self::$variant(Box::new(body))),
                    ),)*
                    _ => None,
                }
            }

            /// The message's name on the wire.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => concat!("mesos.internal.", stringify!($body)),)*
                }
            }

            /// The message's body on the wire.
            #[must_use]
            pub fn encode(&self) -> Bytes {
                match self {
                    $(Self::$variant(body) => Bytes::from(body.encode_to_vec()),)*
                }
            }
        }

        impl fmt::Display for $list {
            /// The name without its package, and the body as JSON with v0 names.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(body) => {
                        write!(f, "{} {}", stringify!($body), json::to_string(&**body, Names::V0))
                    })*
                }
            }
        }
    };
}

messages! {
    /// A message to the agent.
    Message {
        /// From the master: admitted.
        AgentRegistered(SlaveRegisteredMessage);
        /// From the master: admitted again, with the tasks the agent did not report.
        AgentReregistered(SlaveReregisteredMessage);
        /// From the master's observer: answer, or you are unreachable.
        Ping(PingSlaveMessage);
        /// From the master: run a task.
        RunTask(RunTaskMessage);
        /// From the master: run a group of tasks in one executor.
        RunTaskGroup(RunTaskGroupMessage);
        /// From the master: kill a task.
        KillTask(KillTaskMessage);
        /// From the master: end an executor.
        ShutdownExecutor(ShutdownExecutorMessage);
        /// From the master: end all of a framework.
        ShutdownFramework(ShutdownFrameworkMessage);
        /// From the master: a framework's address or description changed.
        UpdateFramework(UpdateFrameworkMessage);
        /// From the master: the framework has an update.
        StatusUpdateAcknowledgement(StatusUpdateAcknowledgementMessage);
        /// From the master, or from a driver directly: a message for an executor.
        FrameworkToExecutor(FrameworkToExecutorMessage);
        /// From the master: reservations and volumes of the agent as they are now.
        CheckpointResources(CheckpointResourcesMessage);
        /// From the master: apply an operation on resources.
        ApplyOperation(ApplyOperationMessage);
        /// From the master: what is the state of these operations?
        ReconcileOperations(ReconcileOperationsMessage);
        /// From the master: the framework has an operation's update.
        AcknowledgeOperationStatus(AcknowledgeOperationStatusMessage);
        /// From the master: let tasks go, take no more.
        Drain(DrainSlaveMessage);
        /// From the master: exit.
        Shutdown(ShutdownMessage);

        /// From an executor's driver: here I am.
        RegisterExecutor(RegisterExecutorMessage);
        /// From an executor's driver, after the agent restarted: still here.
        ReregisterExecutor(ReregisterExecutorMessage);
        /// From an executor's driver: a task's state.
        StatusUpdate(StatusUpdateMessage);
        /// From an executor's driver: a message for its framework.
        ExecutorToFramework(ExecutorToFrameworkMessage);
    }
}

messages! {
    /// A message from the agent.
    Outgoing {
        /// To the master: admit me.
        RegisterAgent(RegisterSlaveMessage);
        /// To the master: admit me again, with all that runs here.
        ReregisterAgent(ReregisterSlaveMessage);
        /// To the master: I leave for good.
        UnregisterAgent(UnregisterSlaveMessage);
        /// To the master: resources and operations beyond those of the registration.
        UpdateAgent(UpdateSlaveMessage);
        /// To the master's observer: here I am.
        Pong(PongSlaveMessage);
        /// To the master: a task's state, to be acknowledged.
        StatusUpdate(StatusUpdateMessage);
        /// To the master: an operation's state, to be acknowledged.
        UpdateOperationStatus(UpdateOperationStatusMessage);
        /// To the master: an executor ended.
        ExitedExecutor(ExitedExecutorMessage);
        /// To the master, or to a driver directly: an executor's message.
        ExecutorToFramework(ExecutorToFrameworkMessage);

        /// To an executor's driver: registered.
        ExecutorRegistered(ExecutorRegisteredMessage);
        /// To an executor's driver: registered again, after the agent restarted.
        ExecutorReregistered(ExecutorReregisteredMessage);
        /// To an executor's driver: the agent restarted, register again.
        ReconnectExecutor(ReconnectExecutorMessage);
        /// To an executor's driver: run a task.
        RunTask(RunTaskMessage);
        /// To an executor's driver: kill a task.
        KillTask(KillTaskMessage);
        /// To an executor's driver: its framework's message.
        FrameworkToExecutor(FrameworkToExecutorMessage);
        /// To an executor's driver: the agent has the update.
        StatusUpdateAcknowledgement(StatusUpdateAcknowledgementMessage);
        /// To an executor's driver: kill your tasks and exit.
        ShutdownExecutor(ShutdownExecutorMessage);
    }
}
