//! What the master shows: the v0 documents and the v1 state, printed from a view.
//!
//! Pure functions of a [`View`](master_core::View); they run on the readers' tasks, never on the core's.

pub(crate) mod agents;
pub(crate) mod constraints;
pub(crate) mod explain;
pub(crate) mod frameworks;
#[cfg(test)]
mod golden;
pub(crate) mod maintenance;
pub(crate) mod model;
pub(crate) mod roles;
pub(crate) mod state;
pub(crate) mod summary;
pub(crate) mod tasks;
pub(crate) mod v1_state;

pub(crate) use daemon::documents::quantities;
