//! ZooKeeper: election, detection and a registry that several masters share.

mod contend;
mod detect;
mod group;
mod lease;
mod session;
mod stamp;
mod store;

pub use contend::{Candidacy, Standing, contend};
pub use detect::{Detection, detect};
pub use lease::Lease;
pub use store::{StoreTimeouts, ZooKeeperStore};
