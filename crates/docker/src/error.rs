//! Why the daemon did not do what it was asked.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error as ThisError;

/// Why there is no answer, or what the daemon says against a request.
#[derive(Debug, ThisError)]
pub enum Error {
    /// Nobody listens.
    #[error("Cannot connect to the Docker daemon at unix://{}: {why}", .socket.display())]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The connection failed with the request under way. Whether the daemon acted on it is unknown.
    #[error("The connection to the Docker daemon failed during '{what}': {why}")]
    Broken {
        /// The request.
        what: String,
        /// Why.
        why: String,
    },
    /// Nothing came in time.
    #[error("The Docker daemon did not answer '{what}' within {} s", .after.as_secs())]
    TimedOut {
        /// The request.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// The daemon refused.
    #[error("Docker daemon: {message}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The answer cannot be read.
    #[error("The Docker daemon's answer to '{what}' cannot be read: {why}")]
    Unreadable {
        /// The request.
        what: String,
        /// Why.
        why: String,
    },
    /// The daemon speaks no version of the API that this does.
    #[error("The Docker daemon speaks versions {theirs} of its API, this agent {ours}")]
    Version {
        /// From and to.
        theirs: String,
        /// From and to.
        ours: String,
    },
}

impl Error {
    /// Whether what was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the daemon was not asked or has not answered, so that another try may do better.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TimedOut { .. } => true,
            Self::Refused { .. } | Self::Unreadable { .. } | Self::Version { .. } => false,
        }
    }
}
