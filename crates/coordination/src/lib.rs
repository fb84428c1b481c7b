//! Where masters keep what must survive them: keys and values, changed by whole
//! commits of the one master that leads.
//!
//! What the keys mean is the master's business. A store knows *epochs*: each
//! leadership has a higher number than the last, and a commit of an older one is
//! refused, so that a master that was deposed without noticing changes nothing.

mod local;

pub use local::Local;

use std::path::PathBuf;

/// One key that gets a value, or loses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// Its new value; none removes the key.
    pub value: Option<Vec<u8>>,
}

/// Why a store cannot be used, or did not take a commit.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made.
    #[error("Cannot make the directory of the registry '{}'", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("The registry '{}' is in use: another master runs with this --work_dir", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program wrote it.
    #[error("The registry '{}' has format {found}, and this master knows none above {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest known one.
        known: u64,
    },
    /// It cannot be read or written.
    #[error(
        "The registry '{}' cannot be used; restore it from a backup, or move it away to start with an empty one, \
         to which agents register anew",
        path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// What the database says.
        #[source]
        source: Box<redb::Error>,
    },
    /// Another master leads by now.
    #[error("Another master has led since: its epoch is {current}, this one's {own}")]
    Deposed {
        /// The epoch in the store.
        current: u64,
        /// The epoch of this leadership.
        own: u64,
    },
}
