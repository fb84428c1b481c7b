//! How long images took to be pulled, for `containerizer/docker/image_pull_ms`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The pulls of an agent so far. What failed counts, too: it took its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulls {
    /// How many there were.
    pub count: u64,
    /// How long the last one took.
    pub last_ms: u64,
}

/// Who counts them. A lock, held for a moment at a time.
#[derive(Debug, Default)]
pub(crate) struct Counted(Mutex<Pulls>);

impl Counted {
    pub(crate) fn count(&self, took: Duration) {
        let mut pulls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulls.count += 1;
        pulls.last_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    }

    pub(crate) fn so_far(&self) -> Pulls {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
