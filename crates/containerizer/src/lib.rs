//! Runs containers: the posix launcher behind the containerizer interface.
//!
//! A container is a sandbox directory, a session of processes and two files with what they print. This crate fetches a
//! container's files, starts its command, waits for its end and ends what is left of it. It decides nothing about
//! tasks and keeps nothing that must survive the agent but the pid that it is told to write down.
//!
//! ```text
//! launch: FETCHING -> ISOLATING -> RUNNING -> DESTROYING -> one Notice
//! ```
//! Isolators are to come: they prepare before the launch helper is spawned and isolate its pid while it waits for the
//! word to begin.

mod container;
mod containerizer;
mod fetching;
pub mod launch_helper;
mod outputs;
mod process;
mod program;
mod usage;
pub mod users;

pub use crate::containerizer::{Config, Containerizer, Notice, Spec};
pub use crate::process::signal_session;
pub use crate::program::Program;
