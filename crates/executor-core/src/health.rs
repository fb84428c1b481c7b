//! When a task is healthy: grace period, failures in a row, and what is told.

use std::time::Duration;

use machine::Instant;
use proto::mesos::v1;

/// What one result of a health check leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to tell.
    Same,
    /// The task became healthy.
    Healthy,
    /// The task failed its check; `kill` once it did so often enough.
    Unhealthy {
        /// Whether the task must be killed.
        kill: bool,
    },
}

/// The state of a task's health check.
#[derive(Clone, Debug)]
pub struct Health {
    grace_until: Instant,
    failures_max: u32,
    failures: u32,
    /// Before the first success: failures within the grace period do not count.
    initializing: bool,
}

impl Health {
    /// The state of `check` for a task started at `started`.
    #[must_use]
    pub fn new(check: &v1::HealthCheck, started: Instant) -> Self {
        Self {
            grace_until: started + seconds(check.grace_period_seconds()),
            failures_max: check.consecutive_failures(),
            failures: 0,
            initializing: true,
        }
    }

    /// Takes one result.
    pub fn result(&mut self, now: Instant, healthy: bool) -> Verdict {
        if healthy {
            let tell = self.initializing || self.failures > 0;
            self.initializing = false;
            self.failures = 0;
            return if tell { Verdict::Healthy } else { Verdict::Same };
        }
        if self.initializing && now < self.grace_until {
            return Verdict::Same;
        }
        self.failures += 1;
        Verdict::Unhealthy { kill: self.failures >= self.failures_max }
    }
}

/// Seconds as a duration: what cannot be one (negative, NaN, beyond reach) is none at all.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_after_the_grace_period_or_the_first_success() {
        let check = v1::HealthCheck {
            grace_period_seconds: Some(10.0),
            consecutive_failures: Some(2),
            ..Default::default()
        };
        let at = |secs| Instant::ZERO + Duration::from_secs(secs);
        let mut health = Health::new(&check, at(0));
        assert_eq!(health.result(at(5), false), Verdict::Same);
        assert_eq!(health.result(at(6), true), Verdict::Healthy);
        assert_eq!(health.result(at(7), true), Verdict::Same);
        assert_eq!(health.result(at(8), false), Verdict::Unhealthy { kill: false });
        assert_eq!(health.result(at(9), true), Verdict::Healthy);
        assert_eq!(health.result(at(10), false), Verdict::Unhealthy { kill: false });
        assert_eq!(health.result(at(11), false), Verdict::Unhealthy { kill: true });
        let mut late = Health::new(&check, at(0));
        assert_eq!(late.result(at(10), false), Verdict::Unhealthy { kill: false });
    }
}
