//! How long a leader may be sure that no other leads.
//!
//! The servers end a session once they have not heard of it for its timeout. So a master knows that it still leads until
//! that long after it *sent* the last request that was answered. Past that instant another may lead, whether or not
//! anybody has said so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zookeeper_client::{Client, Error};

use super::session;

/// Requests in a session's timeout.
const REQUESTS: u32 = 10;

/// Requests in a session's timeout that are made while none is answered.
const TRIES: u32 = 5;

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

    fn ends(&self) -> Instant {
        self.began + Duration::from_nanos(self.ends.load(Ordering::Acquire))
    }

    fn renew(&self, until: Instant) {
        let nanos = until.saturating_duration_since(self.began).as_nanos();
        self.ends.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Renews the lease for as long as the session answers, and returns once it has run out or the session is over.
    pub(crate) async fn keep(&self, client: &Client, path: &str) -> Error {
        let timeout = client.session_timeout();
        self.renew(Instant::now() + timeout);
        while self.holds() {
            let sent = Instant::now();
            // One that waits for a connection says little once it is answered: it is as old as its sending.
            let patience = (sent + timeout / TRIES).min(self.ends());
            let pause = match tokio::time::timeout_at(patience.into(), client.check_stat(path)).await {
                Ok(Ok(_)) => {
                    self.renew(sent + timeout);
                    timeout / REQUESTS
                }
                Ok(Err(error)) if session::is_passing(&error) => timeout / REQUESTS / 2,
                Ok(Err(error)) => return error,
                Err(_) => continue,
            };
            tokio::time::sleep(pause.min(self.ends().saturating_duration_since(Instant::now()))).await;
        }
        Error::Timeout
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
