//! etcd: election, detection and a registry that several masters share.
//!
//! ```text
//! /mesos/json.info_LEASE      a MasterInfo as JSON, bound to its master's lease; the first that was created leads
//! /mesos-registry             format 1 epoch 3 commit 17
//! /mesos-registry/agents/ID   a key for each agent, as in ZooKeeper
//! ```

mod contend;
mod detect;
mod gateway;
mod group;
mod store;

pub(crate) use contend::contend;
pub(crate) use detect::{candidates, detect};
pub use store::EtcdStore;
