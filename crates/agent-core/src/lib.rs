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
//! | a task from the master to its executor | `launch`, `command_executor`, `environment` |
//! | an executor that comes | `executors`, `channel` |
//! | an executor that goes | `containers` |
//! | statuses, acknowledgements, kills | `tasks`, `update`, and the crate `status-stream` |
//! | framework messages, changes, the end | `frameworks` |
//! | operations on resources | `operations` |
//! | one executor's state, one framework's | `executor`, `framework` |
//! | what is on disk, and read back | `checkpoint`, `recovered`, `recovery` |
//! | when sandboxes are deleted | `gc` |

mod agent;
mod channel;
mod checkpoint;
mod command_executor;
mod config;
mod containers;
mod effect;
mod environment;
mod event;
mod executor;
mod executors;
mod framework;
mod frameworks;
mod gc;
mod invariants;
mod launch;
mod message;
mod operations;
mod recovered;
mod recovery;
mod registration;
mod show;
mod snapshot;
mod step;
mod tasks;
mod text;
mod update;
mod view;

pub use agent::Agent;
pub use checkpoint::{ExecutorPath, FrameworkPath, Record, RunPath, Write, meta, whole_records_bytes};
pub use config::Config;
pub use effect::{Effect, LaunchSpec, Level, Reply, Sandbox, Status};
pub use event::{Event, Master, RequestId, StreamId};
pub use message::{DecodeError, Message, Outgoing};
pub use recovered::{Entry, Recovered, RecoveredExecutor, RecoveredFramework, RecoveredRun};
pub use view::{AgentPhase, Counters, ExecutorPhase, ExecutorView, FrameworkView, View};
