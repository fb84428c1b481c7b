//! ZooKeeper: election, detection and a registry that several masters share.

mod contend;
mod detect;
mod group;
mod session;
mod store;

pub(crate) use contend::contend;
pub(crate) use detect::{candidates, detect};
pub use store::ZooKeeperStore;
