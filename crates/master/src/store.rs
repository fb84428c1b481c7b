//! The registry in memory: what a master that runs alone and forgets everything writes to.
//!
//! It applies at once. A store that survives the process takes its place without a change above it, since the core
//! waits for the report of each operation anyway.

use master_core::registry::{Operation, Outcome, State};
use proto::mesos::internal::Registry;

/// A registry that lives as long as its process.
#[derive(Debug, Default)]
pub(crate) struct Store {
    state: State,
}

impl Store {
    /// An empty registry.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The registry as it is now.
    pub(crate) fn fetch(&self) -> Registry {
        Registry::from(&self.state)
    }

    /// Applies one operation.
    pub(crate) fn apply(&mut self, operation: &Operation) -> Outcome {
        Outcome::Applied { changed: self.state.apply(operation) }
    }
}
