//! Where things are in the store's directory, which is that of Apache Mesos (`--docker_store_dir`):
//!
//! ```text
//! storedImages                    which images there are (records.rs)
//! layers/<id>/rootfs.overlay/     a layer, in the form of the overlay file system
//! layers/<digest>                 the configuration of an image: a file
//! staging/<pull>/                 a pull under way, locked by who pulls
//! gc/<id>.<number>/               a layer on its way out
//! ```
//!
//! **Invariant:** whatever has a name in `layers` is complete: it was made in `staging`, flushed and renamed.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::digest::Digest;

/// What a layer's file tree is called. Apache Mesos calls it so where it is in this form.
const ROOTFS: &str = "rootfs.overlay";

/// The directory of a store.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    root: PathBuf,
}

impl Places {
    /// Makes the directories. What is in them is root's alone: programs of images may run with the rights of their
    /// owner, which nobody else on the machine should find.
    pub(crate) fn make(root: &Path) -> io::Result<Self> {
        let places = Self { root: root.to_owned() };
        fs::create_dir_all(root)?;
        for name in ["layers", "staging", "gc"] {
            match DirBuilder::new().mode(0o700).create(root.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(places)
    }

    pub(crate) fn records(&self) -> PathBuf {
        self.root.join("storedImages")
    }

    /// Where the next version of the records is written.
    pub(crate) fn records_to_be(&self) -> PathBuf {
        self.root.join("staging").join(format!("records-{}", unique()))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file tree of a layer.
    pub(crate) fn rootfs(&self, id: &str) -> PathBuf {
        self.layer(id).join(ROOTFS)
    }

    /// All that is kept of a layer; for the digest of a configuration, that.
    pub(crate) fn layer(&self, id: &str) -> PathBuf {
        self.root.join("layers").join(id)
    }

    /// What is in `layers`.
    pub(crate) fn layers(&self) -> io::Result<Vec<String>> {
        names(&self.root.join("layers"))
    }

    /// Begins a pull.
    pub(crate) fn stage(&self) -> io::Result<Staging> {
        loop {
            let path = self.root.join("staging").join(unique());
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            let lock = File::open(&path)?;
            // Nobody else has it, but another agent that starts right now may take it for a leftover.
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if path.is_dir() => return Ok(Staging { path, lock }),
                Ok(()) | Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Keeps a layer that was staged. One that is there already stays.
    pub(crate) fn keep_layer(&self, staging: &Staging, index: usize, id: Digest) -> io::Result<()> {
        let id = id.to_string();
        match rename_new(&staging.layer(index), &self.layer(&id)) {
            // Only its form of another backend of Apache Mesos is there, or all of it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match rename_new(&staging.rootfs(index), &self.rootfs(&id)) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                    Ok(()) | Err(_) => Ok(()),
                }
            }
            renamed => renamed,
        }
    }

    /// Keeps a configuration.
    pub(crate) fn keep_config(&self, staging: &Staging, config: &[u8]) -> io::Result<()> {
        let path = staging.path.join("config");
        let file = File::create(&path)?;
        io::Write::write_all(&mut &file, config)?;
        file.sync_all()?;
        match rename_new(&path, &self.layer(&Digest::of(config).to_string())) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Makes what was renamed durable.
    pub(crate) fn flush(&self) -> io::Result<()> {
        File::open(self.root.join("layers"))?.sync_all()
    }

    /// Takes a layer or a configuration out of use at once; [`Self::sweep`] removes it.
    pub(crate) fn discard(&self, id: &str) -> io::Result<()> {
        let to = self.root.join("gc").join(format!("{id}.{}", unique()));
        fs::rename(self.layer(id), to)
    }

    /// Removes what was taken out of use. What cannot be removed is tried again the next time.
    pub(crate) fn sweep(&self) {
        let gc = self.root.join("gc");
        for name in names(&gc).unwrap_or_default() {
            let path = gc.join(name);
            if let Err(error) = remove(&path) {
                tracing::warn!("Failed to delete '{}': {error}", path.display());
            }
        }
    }

    /// Removes what pulls have left that died with their agent.
    pub(crate) fn clear_staging(&self) {
        let staging = self.root.join("staging");
        for name in names(&staging).unwrap_or_default() {
            let path = staging.join(name);
            // A pull of another agent holds the lock.
            let lock =
                rustix::fs::open(&path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
            let is_left = match &lock {
                Ok(lock) => rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok(),
                Err(_) => true,
            };
            if is_left && let Err(error) = remove(&path) {
                tracing::warn!("Failed to remove staging directory '{}': {error}", path.display());
            }
        }
    }
}

/// The directory of a pull under way. It goes when this is dropped.
pub(crate) struct Staging {
    path: PathBuf,
    lock: File,
}

impl Staging {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a layer is made, by its number among those of the image.
    pub(crate) fn layer(&self, index: usize) -> PathBuf {
        self.path.join(format!("layer-{index}"))
    }

    pub(crate) fn rootfs(&self, index: usize) -> PathBuf {
        self.layer(index).join(ROOTFS)
    }

    /// A file that may be made for the sake of a layer.
    pub(crate) fn scratch(&self, index: usize) -> PathBuf {
        self.path.join(format!("blob-{index}"))
    }

    /// Makes everything durable that was written.
    pub(crate) fn flush(&self) -> io::Result<()> {
        // A sync of each file would take longer, since a layer has thousands.
        Ok(rustix::fs::syncfs(&self.lock)?)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!("Failed to remove staging directory '{}': {error}", self.path.display());
        }
    }
}

fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let here = rustix::fs::CWD;
    Ok(rustix::fs::renameat_with(here, from, here, to, RenameFlags::NOREPLACE)?)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// A name that nothing else has in this process, and most likely in no other.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{}", std::process::id(), since.as_nanos(), NEXT.fetch_add(1, Ordering::Relaxed))
}
