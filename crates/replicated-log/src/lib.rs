//! Reads the replicated log that a master of Apache Mesos leaves in its `--work_dir`, and finds the registry in it.
//!
//! Only reads, and is strict: what is cut short, damaged or of an unknown kind is refused with the name of the file, since
//! a registry that lacks a line is worse than none. Such a log has other replicas, one with each master.
//!
//! ```text
//! replicated_log/*.ldb, *.log   LevelDB: a record under each position     leveldb/
//! records                       actions of Paxos: append, truncate, nop   actions.rs
//! appended bytes                snapshots and differences of variables    variables.rs, svndiff.rs
//! the variable "registry"       a Registry
//! ```

mod actions;
mod leveldb;
mod svndiff;
mod variables;

use std::path::{Path, PathBuf};

use proto::mesos::internal::Registry;

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not there, or the system does not give it.
    #[error("cannot read '{}'", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("'{}' {why}; copy the directory again while its master is stopped, or take that of another master", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// In which way.
        why: String,
    },
    /// The files are well, and what they say together is not.
    #[error("the log in '{}' {why}; take the directory of another master, best of the one that led last", path.display())]
    Incomplete {
        /// Which.
        path: PathBuf,
        /// In which way.
        why: String,
    },
    /// There is no registry.
    #[error("the log in '{}' {why}: there is nothing to import", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// In which way.
        why: String,
    },
}

/// A registry, and what is worth knowing of where it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The registry.
    pub registry: Registry,
    /// The position of the log at which it was written.
    pub position: u64,
    /// Whether the master knew that the others had agreed to that position. If not they may have agreed to another.
    pub agreed: bool,
}

/// Reads the registry from the directory of a replicated log: `WORK_DIR/replicated_log`, or the `WORK_DIR` above it.
pub fn read(directory: &Path) -> Result<Found, Error> {
    let below = directory.join("replicated_log");
    let path = if below.join("CURRENT").exists() { below } else { directory.to_owned() };
    let records = leveldb::read(&path)?;
    let log = actions::Log::of(records, &path)?;
    variables::registry(&log, &path)
}
