//! Drivers of the v0 API for programs: sockets, threads, clocks and the environment around `driver-core`.
//!
//! Each driver has two threads. One owns a tokio runtime: it listens, sends and follows who leads. The other owns the
//! core and calls the scheduler or executor back, one callback at a time; a callback that takes long delays those
//! after it, and nothing else.
//!
//! ```text
//! sockets -> Inbox -> [ read ] --+                            +-> Transport -> sockets
//! who leads, broken links -------+--> core's thread: core ----+-> callbacks
//! calls, from any thread --------+                            +-> the status that calls answer
//! ```

mod detect;
mod endpoint;
mod engine;
mod executor;
mod place;
mod scheduler;

pub use driver_core::Status;
pub use driver_core::executor::Callback as ExecutorCallback;
pub use driver_core::scheduler::{Call, Callback as SchedulerCallback};
pub use executor::{Executor, ExecutorDriver};
pub use scheduler::{Scheduler, SchedulerConfig, SchedulerDriver};

/// Variables of the environment, as a driver asks for them when it is started.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The same, kept until then.
type KeptVariables = Box<dyn Fn(&str) -> Option<String> + Send>;

/// The variables of this process.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
