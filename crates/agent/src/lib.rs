//! The agent's shell: sockets, routes, disks, containers and the loop around its core.
//!
//! ```text
//! sockets -> routes -> calls (decoded, checked) -> reactor (one task around the core) -> streams, peers, disk, containers
//!                 \-> documents (printed from a view, on the readers' own tasks)
//! ```
//!
//! No decision about tasks or executors is made here: that is `agent-core`.

mod attach;
mod checkpoint;
mod composing;
mod config;
mod containment;
mod detect;
mod detector;
mod documents;
mod executor_api;
mod flags;
mod gpus;
mod identity;
mod images;
mod launching;
mod lock;
mod logger;
mod metrics;
mod networks;
mod operator;
mod peers;
mod reactor;
mod reconfiguration;
mod recovery;
mod routes;
mod run;
mod sandboxes;
mod security;
mod sessions;
mod shell;
mod stats;
mod streams;
mod volume_gids;
mod volumes;
mod xfs;

pub use self::config::AgentConfig;
pub use self::flags::AgentFlags;
pub use self::reconfiguration::Reconfiguration;
pub use self::run::{Agent, Running, run};
