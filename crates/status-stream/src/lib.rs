//! At-least-once delivery of updates: one ordered stream per key.
//!
//! Each stream forwards its oldest unacknowledged update only, again and again
//! with growing pauses, until the acknowledgement with the same UUID comes; then
//! the next one follows. The acknowledgement of a terminal update ends the
//! stream. While paused (no master to forward to) updates are still taken and
//! acknowledgements still count, but nothing is forwarded; on resuming every
//! stream forwards its head at once.
//!
//! ```text
//! offer(update) -> Record -> [waiting] -> Forward -> retry 10 s, 20 s .. 10 min -> acknowledge
//! ```
//!
//! Nothing here knows what an update says, where it goes or how it is written
//! down: keys and updates are the caller's, what to do comes out as [`Effect`]s
//! in the order in which it must be done.

mod stream;

use std::collections::BTreeMap;
use std::time::Duration;

use machine::{Instant, Timers};
use types::Uuid;

use stream::Stream;

/// What a stream must know of an update.
pub trait Update: Clone {
    /// Names the update; an update is taken and acknowledged once per name.
    fn uuid(&self) -> Uuid;

    /// Whether nothing is expected after it: its acknowledgement ends the stream.
    fn is_terminal(&self) -> bool;
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<K, U> {
    /// The update is new: write it down before anything that follows.
    Record {
        /// Whose it is.
        key: K,
        /// The update.
        update: U,
    },
    /// The update is acknowledged: write that down before anything that follows.
    RecordAcknowledged {
        /// Whose it is.
        key: K,
        /// The update.
        update: U,
    },
    /// Send the update.
    Forward {
        /// Whose it is.
        key: K,
        /// The update.
        update: U,
    },
}

/// What became of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// It was for the update that is being forwarded.
    Taken {
        /// The update was terminal: the stream is gone.
        ended: bool,
    },
    /// It was for an update acknowledged before, and changes nothing.
    Duplicate,
    /// It was for no update that is being forwarded, and changes nothing.
    Unexpected,
    /// There is no such stream.
    Unknown,
}

/// The pauses between sendings of one update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first pause.
    pub min: Duration,
    /// The pause doubles each time until it reaches this.
    pub max: Duration,
}

impl Default for Retry {
    /// 10 s to 10 min (as observed of Mesos).
    fn default() -> Self {
        Self { min: Duration::from_secs(10), max: Duration::from_secs(600) }
    }
}

/// The streams of one sender.
#[derive(Clone, Debug)]
pub struct Streams<K, U> {
    streams: BTreeMap<K, Stream<U>>,
    timers: Timers<K>,
    retry: Retry,
    paused: bool,
}

impl<K: Ord + Clone, U: Update> Streams<K, U> {
    /// No streams, paused: nobody is there to be sent to yet.
    #[must_use]
    pub fn new(retry: Retry) -> Self {
        Self { streams: BTreeMap::new(), timers: Timers::new(), retry, paused: true }
    }

    /// Takes an update into its stream, which begins with it if need be. False for
    /// an update that was taken before; that changes nothing.
    pub fn offer(&mut self, now: Instant, key: K, update: U, fx: &mut Vec<Effect<K, U>>) -> bool {
        let stream = self.streams.entry(key.clone()).or_default();
        if !stream.take(update.clone()) {
            return false;
        }
        fx.push(Effect::Record { key: key.clone(), update });
        if stream.waiting() == 1 {
            self.forward(now, &key, fx);
        }
        true
    }

    /// Takes an acknowledgement.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        key: &K,
        uuid: Uuid,
        fx: &mut Vec<Effect<K, U>>,
    ) -> Acknowledged {
        let Some(stream) = self.streams.get_mut(key) else { return Acknowledged::Unknown };
        let update = match stream.acknowledge(uuid) {
            Ok(update) => update,
            Err(why) => return why,
        };
        let ended = update.is_terminal();
        fx.push(Effect::RecordAcknowledged { key: key.clone(), update });
        if ended {
            // COMPAT(mesos): updates that came after the terminal one go with the stream.
            self.remove(key);
        } else {
            self.forward(now, key, fx);
        }
        Acknowledged::Taken { ended }
    }

    /// Puts back what was recorded of a stream, oldest first: updates, and the names
    /// of those that were acknowledged. Nothing is forwarded before [`Streams::resume`].
    pub fn restore(&mut self, key: K, updates: impl IntoIterator<Item = U>, acknowledged: &[Uuid]) {
        let mut stream = Stream::default();
        for update in updates {
            stream.take(update);
        }
        let ended = acknowledged
            .iter()
            .any(|uuid| stream.acknowledge(*uuid).is_ok_and(|update| update.is_terminal()));
        if !ended {
            self.streams.insert(key, stream);
        }
    }

    /// Forwards nothing until resumed.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Forwards the head of every stream now, paused or not before, with the first
    /// pause again: the receiver may be another one.
    pub fn resume(&mut self, now: Instant, fx: &mut Vec<Effect<K, U>>) {
        self.paused = false;
        let keys: Vec<K> = self.streams.keys().cloned().collect();
        for key in keys {
            self.forward(now, &key, fx);
        }
    }

    /// Drops the streams that `gone` is true for, with all they hold.
    pub fn remove_if(&mut self, gone: impl Fn(&K) -> bool) {
        let keys: Vec<K> = self.streams.keys().filter(|key| gone(key)).cloned().collect();
        for key in keys {
            self.remove(&key);
        }
    }

    /// Forwards again what was not acknowledged in time.
    pub fn handle_timeout(&mut self, now: Instant, fx: &mut Vec<Effect<K, U>>) {
        while let Some((_, key)) = self.timers.pop(now) {
            let Some(stream) = self.streams.get_mut(&key) else { continue };
            stream.timer = None;
            if self.paused {
                continue;
            }
            stream.pause = (stream.pause * 2).min(self.retry.max);
            let pause = stream.pause;
            self.send(now, &key, pause, fx);
        }
    }

    /// When the next update must be forwarded again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The keys of the streams with an update that is not acknowledged, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &K> {
        self.streams.iter().filter(|(_, stream)| stream.waiting() > 0).map(|(key, _)| key)
    }

    /// The update of a stream that is forwarded now, or will be first on resuming.
    pub fn head(&self, key: &K) -> Option<&U> {
        self.streams.get(key)?.head()
    }

    /// How many streams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there are no streams.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether there is a stream for `key`.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.streams.contains_key(key)
    }

    /// Recomputes what must always hold; for tests and the simulation.
    pub fn assert_invariants(&self) {
        let mut armed = 0;
        for stream in self.streams.values() {
            stream.assert_invariants();
            armed += usize::from(stream.timer.is_some());
            assert!(
                self.paused || stream.waiting() == 0 || stream.timer.is_some(),
                "a head waits for its next sending"
            );
            assert!(stream.pause <= self.retry.max, "pauses are bounded");
        }
        assert_eq!(armed, self.timers.len(), "each timer belongs to a stream");
    }

    /// Sends the head of a stream for the first time to the present receiver.
    fn forward(&mut self, now: Instant, key: &K, fx: &mut Vec<Effect<K, U>>) {
        if self.paused {
            if let Some(stream) = self.streams.get_mut(key)
                && let Some(timer) = stream.timer.take()
            {
                self.timers.cancel(timer);
            }
            return;
        }
        self.send(now, key, self.retry.min, fx);
    }

    fn send(&mut self, now: Instant, key: &K, pause: Duration, fx: &mut Vec<Effect<K, U>>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if let Some(timer) = stream.timer.take() {
            self.timers.cancel(timer);
        }
        let Some(head) = stream.head() else { return };
        fx.push(Effect::Forward { key: key.clone(), update: head.clone() });
        stream.pause = pause;
        stream.timer = Some(self.timers.arm(now + pause, key.clone()));
    }

    fn remove(&mut self, key: &K) {
        if let Some(stream) = self.streams.remove(key)
            && let Some(timer) = stream.timer
        {
            self.timers.cancel(timer);
        }
    }
}
