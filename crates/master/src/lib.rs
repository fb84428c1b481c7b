//! The master's shell: sockets, routes, documents and the loop around its core.
//!
//! ```text
//! sockets -> routes -> calls (decoded, checked) -> reactor (one task around the core) -> streams, peers, store
//!                 \-> documents (printed from a view, on the readers' own tasks)
//! ```
//!
//! No decision about agents, frameworks or tasks is made here: that is `master-core`.

mod calls;
mod documents;
mod explain;
mod flags;
mod identity;
mod journal;
mod leadership;
mod maintenance;
mod metrics;
mod operator;
mod peers;
mod policy;
mod reactor;
mod readers;
mod registrar;
mod role;
mod routes;
mod run;
mod scheduler;
mod shell;
mod starvation;
mod store;
mod streams;
mod timing;
mod weights;
mod whitelist;

pub use self::flags::MasterFlags;
pub use run::{Election, Master, MasterConfig, Running, run};
pub use store::RegistryKind;
