//! What the agent shows: the v0 documents and the v1 state, printed from a view.
//!
//! Pure functions of a [`View`](agent_core::View); they run on the readers' tasks, never on the core's.

pub(crate) mod containers;
pub(crate) mod model;
pub(crate) mod state;
pub(crate) mod v1_state;

pub(crate) use daemon::documents::quantities;
