//! What the core's task measures of itself.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use daemon::metrics::{Counter, Timer};

/// Durations, written by the core's task and read by whoever publishes metrics.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    /// Steps that the clock set off, which allocate.
    pub(crate) allocation_run: Timer,
    /// How late those steps were.
    pub(crate) allocation_latency: Timer,
    /// How many of them there were.
    pub(crate) allocation_runs: Counter,
    /// Reading the registry.
    pub(crate) state_fetch: Timer,
    /// Writing to it.
    pub(crate) state_store: Timer,
    /// Operations on it that wait to be written, or are being written.
    pub(crate) registry_queued: AtomicUsize,
    /// Its size in bytes where it outlives the master; 0 where it does not, or is not read yet.
    pub(crate) registry_bytes: AtomicU64,
}
