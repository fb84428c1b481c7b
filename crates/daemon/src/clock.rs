//! The clocks of this process, as the core is told of them.

use std::time::{Duration, Instant, SystemTime};

use machine::{Now, WallTime};

/// Both clocks; the monotonic one counts from the moment this was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Begins to count.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { mono: machine::Instant::from_nanos(nanos), wall: wall() }
    }

    /// When `instant` comes on the clock that timers use.
    pub fn deadline(&self, instant: machine::Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + Duration::from_nanos(instant.as_nanos()))
    }

    /// Time since the process began.
    pub fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The wall clock.
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
