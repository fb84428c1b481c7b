//! What the shell counts by itself, for `/metrics`.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Counts since the start. Shared by the core's task and whoever reads metrics.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Directories being removed now.
    pub(crate) removals_pending: AtomicU64,
    /// Directories that were removed.
    pub(crate) removals_succeeded: AtomicU64,
    /// Directories that could not be removed.
    pub(crate) removals_failed: AtomicU64,
    /// How full the disk is, in thousandths.
    pub(crate) disk_permille: AtomicU32,
    recovery_nanos: AtomicU64,
}

impl Stats {
    /// Notes how long reading the disk took.
    pub(crate) fn recovered_in(&self, took: Duration) {
        self.recovery_nanos.store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long reading the disk took.
    pub(crate) fn recovery_time(&self) -> Duration {
        Duration::from_nanos(self.recovery_nanos.load(Ordering::Relaxed))
    }
}
