//! How long a leader may be sure that no other leads.
//!
//! The servers end a session once they have not heard of it for its timeout. So a master knows that it still leads until
//! that long after it *sent* the last request that was answered. Past that instant another may lead, whether or not
//! anybody has said so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Requests in a session's timeout.
pub(crate) const REQUESTS: u32 = 10;

/// Requests in a session's timeout that are made while none is answered.
pub(crate) const TRIES: u32 = 5;

/// The right to lead, for a while. It is renewed as long as there are answers.
#[derive(Clone, Debug)]
pub struct Lease {
    began: Instant,
    /// Nanoseconds from the beginning. Shared with whoever renews it.
    ends: Arc<AtomicU64>,
}

impl Lease {
    /// A lease that has ended.
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), ends: Arc::default() }
    }

    /// Whether it holds now.
    #[must_use]
    pub fn holds(&self) -> bool {
        Instant::now() < self.ends()
    }

    pub(crate) fn ends(&self) -> Instant {
        self.began + Duration::from_nanos(self.ends.load(Ordering::Acquire))
    }

    pub(crate) fn renew(&self, until: Instant) {
        let nanos = until.saturating_duration_since(self.began).as_nanos();
        self.ends.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_by_itself() {
        let lease = Lease::new();
        assert!(!lease.holds());
        lease.renew(Instant::now() + Duration::from_secs(60));
        assert!(lease.clone().holds());
        lease.renew(Instant::now());
        assert!(!lease.holds());
    }
}
