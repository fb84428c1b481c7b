//! The wire load generator: thousands of emulated agents and some frameworks in one process with one loop, against a real
//! master over real sockets, and an audit of everything that happened.
//!
//! ```text
//! lifecycle (phases, audit) -> cluster (sockets, one epoll loop) -> agent, framework (pure models) -> ledger (every task)
//!                          \-> echo (the calibrator: an HTTP server that does nothing, given the same traffic)
//! ```
//!
//! The models decide what is said; they know no socket and no clock. Traffic goes to 127.0.0.0/8 only, and every run is
//! bounded in count and time.

mod agent;
mod answers;
pub mod busy;
mod cluster;
pub mod echo;
pub mod failover;
mod framework;
mod histogram;
mod host;
mod ledger;
pub mod lifecycle;
mod options;
mod process;
mod pulse;
mod report;
mod settings;
mod socket;
mod traffic;

pub use options::{BusyOptions, FailoverOptions, Fault, Options};
pub use report::{Report, Window};
