//! The agent's shell: sockets, routes, disks, containers and the loop around its core.

mod flags;

pub use self::flags::AgentFlags;
