//! Every decision of our executors, each as one deterministic state machine.
//!
//! The default executor runs task groups; see `group`. A command executor runs one task: it reports TASK_STARTING, starts the
//! command, reports TASK_RUNNING, watches checks, obeys KILL with its grace
//! period, and reports how the command ended.
//!
//! ```text
//! Idle --LAUNCH--> Starting --started--> Running --KILL--> Killing
//!                     |                     |                 |
//!                     +-- could not --+     +---- exited -----+--> Ended --acknowledged--> Exit
//! ```
//!
//! **Invariant:** exactly one terminal update is made, and nothing after it.

mod group;
mod health;
mod signals;
mod status;
mod task;

pub use group::{DefaultExecutor, GroupEffect, GroupEvent, GroupOptions, LaunchAnswer, SIGKILL, WaitAnswer};
pub use health::Health;
pub use signals::signal_name;
pub use task::{CommandExecutor, Container, Effect, Event, Exit, Kind, Options, Signal, Start};
