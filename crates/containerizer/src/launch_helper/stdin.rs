//! What the command reads.

use std::io;
use std::os::fd::AsFd as _;
use std::process::Stdio;

/// What the command finds in its standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Nothing,
    /// What follows the helper's own input, which has so many bytes.
    Rest(usize),
    /// The terminal that its standard output is, which controls it.
    Terminal,
}

impl Stdin {
    /// The standard input of the process that becomes the command. A terminal becomes the one that controls it.
    pub(super) fn open(self) -> io::Result<Stdio> {
        match self {
            Self::Nothing => Ok(Stdio::null()),
            Self::Rest(_) => Ok(Stdio::inherit()),
            Self::Terminal => {
                // The child of an init does not lead a session yet; any other process here does.
                let _ = rustix::process::setsid();
                let terminal = io::stdout().as_fd().try_clone_to_owned()?;
                linux::take_terminal(&terminal)?;
                Ok(terminal.into())
            }
        }
    }
}
