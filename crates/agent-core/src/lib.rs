//! Every decision of the agent, as one deterministic state machine.
//!
//! The shell feeds [`Event`]s and carries out [`Effect`]s in order; it reads
//! through a [`View`]. What is on disk is named by [`Record`] and read back as
//! [`Recovered`].

mod config;
mod effect;
mod event;
mod message;
mod record;
mod recovered;
mod view;

pub use config::{Config, ExecutorEnvironment};
pub use effect::{Effect, LaunchSpec, Level, Reply, Sandbox, Status};
pub use event::{Event, Master, RequestId, StreamId};
pub use message::{DecodeError, Message, Outgoing};
pub use record::{ExecutorPath, FrameworkPath, Record, RunPath, Write, meta};
pub use recovered::{Entry, Recovered, RecoveredExecutor, RecoveredFramework, RecoveredRun};
pub use view::{AgentPhase, Counters, ExecutorPhase, ExecutorView, FrameworkView, View};
