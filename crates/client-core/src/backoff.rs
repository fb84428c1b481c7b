//! Waits that double and are drawn by chance, so that a crowd does not knock at once.

use std::time::Duration;

use machine::Rng;

/// The wait before each next try: random in `[0, b]`, with `b` doubling up to a cap.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first` and never draws from more than `most`.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        let first = first.min(most);
        Self { first, most, next: first }
    }

    /// The wait before the next try.
    pub fn draw(&mut self, rng: &mut Rng) -> Duration {
        let bound = self.next;
        self.next = (self.next * 2).min(self.most);
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(rng.below(nanos.saturating_add(1)))
    }

    /// Starts over: the last try worked.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_starts_over() {
        let mut rng = Rng::new(1);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(4));
        for bound in [1, 2, 4, 4] {
            assert_eq!(backoff.next, Duration::from_secs(bound));
            assert!(backoff.draw(&mut rng) <= Duration::from_secs(bound));
        }
        backoff.reset();
        assert_eq!(backoff.next, Duration::from_secs(1));
    }
}
