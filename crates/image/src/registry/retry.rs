//! What is tried again, and how often.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What went wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It would go wrong again.
    Final(String),
    /// The registry sent nothing for as long as it may. Trying again would take as long.
    Stalled,
    /// It may go better soon.
    Passing(String),
}

impl Failure {
    /// What an error of a request means.
    pub(crate) fn of(error: &ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::Stalled,
            ureq::Error::Io(error) => Self::Passing(error.to_string()),
            ureq::Error::ConnectionFailed | ureq::Error::Protocol(_) => Self::Passing(error.to_string()),
            error => Self::Final(error.to_string()),
        }
    }

    /// What an error in the middle of a body means.
    pub(crate) fn of_body(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(error) => Self::of(error),
            None => Self::Passing(error.to_string()),
        }
    }
}

/// How often in a row something may go wrong without any progress.
const TRIES: u32 = 4;

/// How long to wait after the first time; each further wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// How often a wait looks whether it has been cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// The tries of one thing.
pub(crate) struct Retries<'a> {
    failed: u32,
    stall: Duration,
    pub(crate) cancel: &'a AtomicBool,
}

impl<'a> Retries<'a> {
    /// `stall`: how long a registry may send nothing.
    pub(crate) fn new(stall: Duration, cancel: &'a AtomicBool) -> Self {
        Self { failed: 0, stall, cancel }
    }

    /// Waits until it may be tried again; an error if that makes no sense.
    pub(crate) fn after(&mut self, failure: Failure, progressed: bool) -> Result<(), String> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err("cancelled".to_owned());
        }
        self.failed = if progressed { 1 } else { self.failed + 1 };
        let why = match failure {
            Failure::Final(why) => return Err(why),
            Failure::Stalled if !progressed => {
                return Err(format!("The registry sent nothing for {:?}", self.stall));
            }
            Failure::Stalled => format!("it sent nothing for {:?}", self.stall),
            Failure::Passing(why) => why,
        };
        if self.failed >= TRIES {
            return Err(format!("The registry failed {TRIES} times in a row: {why}"));
        }
        tracing::debug!("A registry failed and is asked again: {why}");
        let until = Instant::now() + FIRST_WAIT * 2_u32.pow(self.failed - 1);
        while Instant::now() < until {
            if self.cancel.load(Ordering::Relaxed) {
                return Err("cancelled".to_owned());
            }
            std::thread::sleep(CANCEL_POLL);
        }
        Ok(())
    }
}
