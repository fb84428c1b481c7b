//! What goes in and out of containers beside plain files: terminals, sessions, people who attach, files that rotate.
//!
//! ```text
//! a session         its pipes or its terminal -> a board in the agent; it ends with its caller anyway
//! with a terminal   the terminal -> a helper process with a board, which the agent speaks to over a socket
//! with a logger     its pipes -> a helper process, which writes files
//! anything else     straight to its files: no process, no thread, no descriptor of ours
//! ```
//! COMPAT(mesos): a container without terminal that is no session cannot be attached to.

mod attach;
mod board;
mod carrier;
pub mod helper;
mod logfile;
mod logger;
mod open;
mod port;
mod wire;

pub use attach::AttachError;
pub use board::{Board, Feed, Next, Verdict, View};
pub use logfile::Rotation;
pub use logger::Logger;

pub(crate) use carrier::{Carrier, Helper, Place};
pub(crate) use open::{Opened, Streams, open_streams};
pub(crate) use port::Port;
