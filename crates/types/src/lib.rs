//! Newtype ids, process addresses, the rules for ids, sets of capabilities, variables that are secrets and which states end a task.
//!
//! An id is a shared string: cloning one costs a counter, comparing two a
//! memcmp. Ids order by text, so that maps over them have one order on every run.

mod capabilities;
mod ids;
mod pid;
mod rules;
mod secret_variables;
mod state;
mod uuid;

pub use capabilities::{Capabilities, UnknownCapability};
pub use ids::{AgentId, ContainerId, ExecutorId, FrameworkId, OfferId, OperationId, Principal, Role, TaskId};
pub use pid::{Pid, PidError};
pub use rules::{IdError, check_id, check_role};
pub use secret_variables::{check_variables, secret_names, variable_value};
pub use state::is_terminal;
pub use uuid::{Uuid, UuidError};
