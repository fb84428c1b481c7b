//! How masters agree: who of them leads, and where they keep what must survive them.
//!
//! What is kept are keys and values, changed by whole commits of the one master that leads.
//! What the keys mean is the master's business. A store knows *epochs*: each
//! leadership has a higher number than the last, and a commit of an older one is
//! refused, so that a master that was deposed without noticing changes nothing.

mod election;
mod etcd;
mod lease;
mod local;
mod members;
mod stamp;
mod url;
mod zookeeper;

pub use election::{Candidacy, Detection, Standing, candidates, contend, detect};
pub use etcd::EtcdStore;
pub use lease::Lease;
pub use local::Local;
pub use members::address;
pub use url::{Service, Url, UrlError};
pub use zookeeper::ZooKeeperStore;

use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Handle;

/// One key that gets a value, or loses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// Its new value; none removes the key.
    pub value: Option<Vec<u8>>,
}

/// Keys and values that outlive a master, in the hands of one leadership.
pub trait Store: Send + std::fmt::Debug {
    /// The number of this leadership.
    fn epoch(&self) -> u64;

    /// All that is there, by key. Called once, before the first commit.
    fn read(&mut self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Makes changes durable: all or none, as long as they are no more than [`Store::commit_bytes_max`]. A larger
    /// commit may be done in several, one after the other.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// How many bytes of keys and values one commit holds together. One large value counts as little.
    fn commit_bytes_max(&self) -> usize;

    /// How many keys one commit changes together.
    fn commit_keys_max(&self) -> usize {
        usize::MAX
    }
}

/// How long a store that several masters share may take.
#[derive(Clone, Copy, Debug)]
pub struct StoreTimeouts {
    /// The session of who leads.
    pub session: Duration,
    /// Reading everything.
    pub fetch: Duration,
    /// A commit.
    pub store: Duration,
}

/// Opens the store beside the directory of the election, made where missing, and begins an epoch of leadership in it.
/// Blocks its thread, which must be none of the runtime's own.
pub fn open(url: &Url, timeouts: StoreTimeouts, runtime: &Handle) -> Result<Box<dyn Store>, StoreError> {
    Ok(match url.service {
        Service::ZooKeeper => Box::new(ZooKeeperStore::open(url, timeouts, runtime)?),
        Service::Etcd => Box::new(EtcdStore::open(url, timeouts, runtime)?),
    })
}

/// All that is in the store beside the directory of the election, for somebody who does not lead: nothing is changed.
/// Blocks its thread, which must be none of the runtime's own.
pub fn look(
    url: &Url,
    timeouts: StoreTimeouts,
    runtime: &Handle,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    match url.service {
        Service::ZooKeeper => ZooKeeperStore::look(url, timeouts, runtime),
        Service::Etcd => EtcdStore::look(url, timeouts, runtime),
    }
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
    /// There is none.
    #[error("There is no registry '{}'", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
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
    /// What keeps it does not answer, or refuses.
    #[error("The registry '{path}' in {service} cannot be used: {why}")]
    Unreachable {
        /// What keeps it.
        service: Service,
        /// Its directory there.
        path: String,
        /// What it says.
        why: String,
    },
    /// There is something in it that no master wrote, or something is missing.
    #[error(
        "The registry '{}' in {service} was changed by somebody else: '{node}' is not what a master wrote; restore it, \
         or remove the whole directory to start with an empty registry, to which agents register anew",
        path.display()
    )]
    Foreign {
        /// What keeps it.
        service: Service,
        /// Its directory there.
        path: PathBuf,
        /// The node that is not as it should be.
        node: String,
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
