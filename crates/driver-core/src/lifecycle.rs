//! The status of a driver: what each call on it answers, and when `join` returns.
//!
//! ```text
//! NotStarted --start--> Running --abort--> Aborted
//!      |                   |                  |
//!      +-- cannot start -> Aborted            +-- stop --> Stopped (this stop answers Aborted)
//!                          +------ stop ------------------> Stopped
//! ```

use std::fmt;

/// `mesos.Status`, as drivers answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `start` was not called yet.
    NotStarted,
    /// It runs.
    Running,
    /// It gave up, or was told to; nothing is called back any more.
    Aborted,
    /// It was stopped.
    Stopped,
}

impl Status {
    /// Its number in the enum `mesos.Status`.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::NotStarted => 1,
            Self::Running => 2,
            Self::Aborted => 3,
            Self::Stopped => 4,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStarted => "DRIVER_NOT_STARTED",
            Self::Running => "DRIVER_RUNNING",
            Self::Aborted => "DRIVER_ABORTED",
            Self::Stopped => "DRIVER_STOPPED",
        })
    }
}

/// Where a driver is in its life.
#[derive(Debug)]
pub struct Lifecycle {
    status: Status,
    /// Whether it ever ran: until then there is nothing to join.
    began: bool,
    /// Whether its last words are said.
    released: bool,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { status: Status::NotStarted, began: false, released: false }
    }
}

impl Lifecycle {
    /// What it answers now.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Whether it may call back and take calls.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    /// `start`: whether the driver is to be started now. A second start changes nothing.
    pub fn start(&mut self) -> bool {
        let starts = self.status == Status::NotStarted;
        if starts {
            self.status = Status::Running;
            self.began = true;
        }
        starts
    }

    /// It could not be started, or not even be made.
    pub fn fail(&mut self) {
        self.status = Status::Aborted;
        self.began = false;
    }

    /// `stop`: what it answers, and whether there is something to stop.
    ///
    /// COMPAT(mesos): stopping an aborted driver answers that it was aborted, and stops it.
    pub fn stop(&mut self) -> (Status, bool) {
        match self.status {
            Status::Running => {
                self.status = Status::Stopped;
                (Status::Stopped, true)
            }
            Status::Aborted => {
                self.status = Status::Stopped;
                (Status::Aborted, true)
            }
            Status::NotStarted | Status::Stopped => (self.status, false),
        }
    }

    /// `abort`: what it answers, and whether there is something to abort.
    pub fn abort(&mut self) -> (Status, bool) {
        let aborts = self.is_running();
        if aborts {
            self.status = Status::Aborted;
        }
        (self.status, aborts)
    }

    /// The driver has said its last words: those who joined may go.
    pub fn release(&mut self) {
        self.released = true;
    }

    /// `join`: what it answers, or nothing while one has to wait.
    #[must_use]
    pub fn joined(&self) -> Option<Status> {
        (!self.began || self.released).then_some(self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_the_start_nothing_but_starting_changes_anything() {
        let mut life = Lifecycle::default();
        assert_eq!(life.stop(), (Status::NotStarted, false));
        assert_eq!(life.abort(), (Status::NotStarted, false));
        assert_eq!(life.joined(), Some(Status::NotStarted));
        assert!(life.start());
        assert!(!life.start());
        assert_eq!((life.status(), life.joined()), (Status::Running, None));
    }

    #[test]
    fn an_aborted_driver_can_be_stopped_and_tells_both() {
        let mut life = Lifecycle::default();
        life.start();
        assert_eq!(life.abort(), (Status::Aborted, true));
        assert_eq!(life.abort(), (Status::Aborted, false));
        assert_eq!(life.joined(), None, "the last words are not said yet");
        life.release();
        assert_eq!(life.joined(), Some(Status::Aborted));
        assert_eq!(life.stop(), (Status::Aborted, true));
        assert_eq!(life.stop(), (Status::Stopped, false));
        assert_eq!(life.joined(), Some(Status::Stopped));
        assert!(!life.start(), "a driver runs once");
    }

    #[test]
    fn a_driver_that_could_not_start_is_aborted_and_joined_at_once() {
        let mut life = Lifecycle::default();
        life.start();
        life.fail();
        assert_eq!(life.joined(), Some(Status::Aborted));
        assert_eq!(Status::Aborted.to_string(), "DRIVER_ABORTED");
        assert_eq!(Status::Aborted.number(), 3);
    }
}
