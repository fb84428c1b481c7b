//! Somebody who asks the master for its health at a set rate, whatever else goes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::histogram::Histogram;
use crate::lifecycle;

/// The time between two questions.
const GAP: Duration = Duration::from_millis(10);

/// What was answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// From when a question should have been asked until it was answered, in microseconds.
    pub(crate) times: Histogram,
    /// Questions that were not answered with 200.
    pub(crate) failed: u64,
}

/// One who asks, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Pulse {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Answers>,
}

impl Pulse {
    /// Asks from now on.
    pub(crate) fn begin(address: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (mut answers, began, mut due) = (Answers::default(), Instant::now(), Duration::ZERO);
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(due.saturating_sub(began.elapsed()));
                answers.failed += u64::from(!lifecycle::answers(address, "/health"));
                // From when it was due: one that waits for the one before it has waited, too.
                let late = began.elapsed().saturating_sub(due);
                answers.times.record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
                due += GAP;
            }
            answers
        });
        Self { over, thread }
    }

    /// Asks no more.
    pub(crate) fn end(self) -> anyhow::Result<Answers> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("who asks for /health panicked"))
    }
}
