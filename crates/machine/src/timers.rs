//! Deadlines by key order: what a core waits for.

use std::collections::BTreeMap;

use crate::Instant;

/// Names one armed timer, for cancelling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId {
    at: Instant,
    sequence: u64,
}

impl TimerId {
    /// When the timer fires.
    #[must_use]
    pub const fn at(self) -> Instant {
        self.at
    }
}

/// An ordered set of deadlines, each carrying what is due then.
///
/// Timers of one instant fire in the order in which they were armed.
#[derive(Clone, Debug)]
pub struct Timers<T> {
    due: BTreeMap<(Instant, u64), T>,
    sequence: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), sequence: 0 }
    }
}

impl<T> Timers<T> {
    /// No timers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Arms a timer for `at`.
    pub fn arm(&mut self, at: Instant, what: T) -> TimerId {
        self.sequence += 1;
        self.due.insert((at, self.sequence), what);
        TimerId { at, sequence: self.sequence }
    }

    /// Disarms a timer and returns what it carried, unless it has fired already.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        self.due.remove(&(id.at, id.sequence))
    }

    /// The next timer that is due at `now`, if any. Call until it returns none.
    pub fn pop(&mut self, now: Instant) -> Option<(TimerId, T)> {
        let entry = self.due.first_entry()?;
        let (at, sequence) = *entry.key();
        (at <= now).then(|| (TimerId { at, sequence }, entry.remove()))
    }

    /// When the next timer fires.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many timers are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fire_in_order_and_can_be_cancelled() {
        let at = Instant::from_nanos;
        let mut timers = Timers::new();
        timers.arm(at(20), "late");
        let gone = timers.arm(at(10), "cancelled");
        timers.arm(at(10), "first");
        timers.arm(at(10), "second");
        assert_eq!(timers.cancel(gone), Some("cancelled"));
        assert_eq!(timers.cancel(gone), None);
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop(at(15)).map(|(_, what)| what)).collect();
        assert_eq!(fired, ["first", "second"]);
        assert_eq!(timers.len(), 1);
    }
}
