//! Attaching to a container that runs: looking at what it prints, typing into it.

use std::io;
use std::time::Duration;

use thiserror::Error;
use types::ContainerId;

use crate::containerizer::Containerizer;
use crate::io::board::{Feed, View};
use crate::io::carrier::{Carrier, Place};
use crate::io::wire;

/// Why there is nothing to be attached to. COMPAT(mesos): the words; tools compare the second.
#[derive(Debug, Error)]
pub enum AttachError {
    /// It is not there.
    #[error("Unknown container {0}")]
    Unknown(ContainerId),
    /// It has neither a terminal nor is it a session.
    #[error("I/O switchboard server was disabled for this container")]
    NoSwitchboard,
    /// It is about to end.
    #[error("I/O switchboard has shutdown")]
    Shutdown(#[source] io::Error),
}

/// Whoever asked for a session may take his time: it is his own command that waits. His connection has a limit too.
const OWNER_PATIENCE: Duration = Duration::from_secs(3600);

impl Containerizer {
    /// Looks at what a container prints from now on; at a session's, for who asked for it, from its beginning.
    pub async fn attach_output(&self, container: &ContainerId) -> Result<View, AttachError> {
        match self.carrier(container)? {
            Carrier::Board(board) => Ok(board.view(wire::VIEWER_PATIENCE)),
            Carrier::Helper(_) => {
                let stream = self.place(container)?.connect().await.map_err(AttachError::Shutdown)?;
                wire::view(stream).await.map_err(AttachError::Shutdown)
            }
        }
    }

    /// The same for who asked for a session.
    pub fn session_output(&self, container: &ContainerId) -> Result<View, AttachError> {
        match self.carrier(container)? {
            Carrier::Board(board) => Ok(board.view(OWNER_PATIENCE)),
            Carrier::Helper(_) => Err(AttachError::NoSwitchboard),
        }
    }

    /// Opens a way into a container's standard input.
    pub async fn attach_input(&self, container: &ContainerId) -> Result<Feed, AttachError> {
        match self.carrier(container)? {
            Carrier::Board(board) => Ok(board.feed()),
            Carrier::Helper(_) => {
                let stream = self.place(container)?.connect().await.map_err(AttachError::Shutdown)?;
                wire::feed(stream).await.map_err(AttachError::Shutdown)
            }
        }
    }

    fn carrier(&self, container: &ContainerId) -> Result<Carrier, AttachError> {
        let carrier = self.shared.carrier(container);
        let carrier = carrier.ok_or_else(|| AttachError::Unknown(container.clone()))?;
        carrier.ok_or(AttachError::NoSwitchboard)
    }

    fn place(&self, container: &ContainerId) -> Result<Place, AttachError> {
        let place = self.shared.config.place(container);
        Ok(Place::of(&place.ok_or(AttachError::NoSwitchboard)?))
    }
}
