//! The terminal that a command runs in: its size, and a mode in which every key goes to the other side.

use std::io::{self, IsTerminal as _};

use anyhow::{Context as _, bail};
use proto::mesos::v1::tty_info::WindowSize;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Raw mode, until it is dropped.
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// The size of this terminal, if there is one.
    pub(crate) fn check() -> anyhow::Result<Option<WindowSize>> {
        if !io::stdin().is_terminal() {
            bail!("Must be running in a tty to use one");
        }
        Ok(window_size())
    }

    /// Begins it.
    pub(crate) fn enter() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("cannot read the settings of the terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)
            .context("cannot change the settings of the terminal")?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone has no settings.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The rows and columns of this terminal. None where it has none to tell of.
pub(crate) fn window_size() -> Option<WindowSize> {
    let size = tcgetwinsize(io::stdin()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0)
        .then(|| WindowSize { rows: size.ws_row.into(), columns: size.ws_col.into() })
}
