//! Every decision of the agent, as one deterministic state machine.
//!
//! The shell feeds an [`Agent`] with [`Event`]s and carries out its [`Effect`]s in
//! order; it reads through a [`View`]. What is on disk is named by [`Record`] and
//! read back as [`Recovered`].
//!
//! | question | file |
//! |---|---|
//! | which event goes where | `agent` |
//! | the master: found, registered with, lost | `registration` |
//! | a task from the master to its executor | `launch`, `command_executor`, `default_executor`, `environment` |
//! | an executor that comes | `executors`, `channel` |
//! | an executor that goes | `containers` |
//! | containers in an executor's, or by themselves | `nested` |
//! | statuses, acknowledgements, kills | `tasks`, `update`, and the crate `status-stream` |
//! | framework messages, changes, the end | `frameworks` |
//! | what there is: resources, reservations, volumes | `holdings`, `volumes` |
//! | operations on resources | `operations`, `recovered_operations` |
//! | tasks that must go before the machine does | `drain` |
//! | one executor's state, one framework's | `executor`, `framework` |
//! | what is on disk, and read back | `checkpoint`, `recovered`, `recovery` |
//! | when sandboxes are deleted | `gc` |

mod agent;
mod channel;
mod checkpoint;
mod command_executor;
mod config;
mod containers;
mod default_executor;
mod drain;
mod effect;
mod environment;
mod event;
mod executor;
mod executors;
mod framework;
mod frameworks;
mod gc;
mod holdings;
mod invariants;
mod launch;
mod limits;
mod message;
mod nested;
mod operations;
mod recovered;
mod recovered_operations;
mod recovery;
mod registration;
mod show;
mod snapshot;
mod step;
mod tasks;
mod text;
mod update;
mod view;
mod volumes;

pub use agent::Agent;
pub use checkpoint::{
    ExecutorPath, FrameworkPath, Outlives, Record, ResourceState, RunPath, Write, meta, whole_records_bytes,
};
pub use config::Config;
pub use drain::Drain;
pub use effect::{ContainerSpec, Effect, LaunchSpec, Level, RanBy, Reply, Sandbox, Status};
pub use event::{Event, Master, RequestId, StreamId};
pub use message::{DecodeError, Message, Outgoing};
pub use recovered::{
    Entry, Recovered, RecoveredContainer, RecoveredExecutor, RecoveredFramework, RecoveredResources,
    RecoveredRun,
};
pub use view::{AgentPhase, Counters, ExecutorPhase, ExecutorView, FrameworkView, NestedView, View};
pub use volumes::{VolumeDirectory, VolumeMount};
