//! When directories of past runs are deleted: by age, sooner on a full disk.

use std::collections::BTreeMap;
use std::time::Duration;

use machine::{Instant, TimerId, Timers};

use crate::effect::Effect;
use crate::step::Step;

/// The directories that wait for their deletion.
#[derive(Debug, Default)]
pub(crate) struct Gc {
    due: Timers<String>,
    waiting: BTreeMap<String, TimerId>,
}

impl Gc {
    /// Deletes `path` at `at`; an earlier plan for it is void.
    pub(crate) fn schedule(&mut self, path: String, at: Instant) {
        self.keep(&path);
        let timer = self.due.arm(at, path.clone());
        self.waiting.insert(path, timer);
    }

    /// Keeps `path`: it is in use again.
    pub(crate) fn keep(&mut self, path: &str) {
        if let Some(timer) = self.waiting.remove(path) {
            self.due.cancel(timer);
        }
    }

    /// Deletes what is due by `until`, which may lie ahead of now.
    pub(crate) fn prune(&mut self, until: Instant, step: &mut Step<'_>) {
        while let Some((_, path)) = self.due.pop(until) {
            self.waiting.remove(&path);
            step.push(Effect::RemovePath { path });
        }
    }

    /// When the next directory is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.next()
    }
}

/// How much earlier than `delay` directories go: nothing on an empty disk, all of
/// it once less than the headroom is free. Usage and headroom in thousandths.
pub(crate) fn hurry(delay: Duration, headroom: u32, usage: u32) -> Duration {
    let age_permille = 1000_u32.saturating_sub(headroom).saturating_sub(usage);
    delay.saturating_sub(delay / 1000 * age_permille)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disks_hurry() {
        let check = |usage, secs| {
            assert_eq!(hurry(Duration::from_secs(1000), 100, usage), Duration::from_secs(secs), "{usage}");
        };
        check(0, 100);
        check(500, 600);
        check(900, 1000);
        check(1000, 1000);
    }
}
