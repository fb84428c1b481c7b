//! What the drivers of the v0 API decide: `MesosSchedulerDriver` and `MesosExecutorDriver` of Apache Mesos.
//!
//! A driver speaks libprocess messages with a master or an agent, and calls back its scheduler or executor, one callback
//! at a time. Each of the two is one [`machine::Machine`]: `scheduler::Driver` and `executor::Driver`. What a caller of a
//! driver is told at once, its status, is [`Lifecycle`].
//!
//! ```text
//! start       Detected      FrameworkRegistered           Detected, or the link broke
//! ----> Away --------> Registering ---------> Connected ---------------> Registering or Away
//!                      |  ^ backoff
//!                      +--+                  Stop, from anywhere: Over
//! ```
//!
//! **Invariant:** nothing is called back after the driver was stopped, and nothing but `error` after it was aborted.

pub mod executor;
mod lifecycle;
mod message;
pub mod scheduler;

pub use lifecycle::{Lifecycle, Status};
pub use message::DecodeError;
