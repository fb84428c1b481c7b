//! The groups of volumes (`--volume_gid_range`): a persistent volume, or a path in the sandbox of the container around,
//! that a user who is not root is to use belongs to a group of its own, and the container's processes are in that group.
//!
//! ```text
//! allocate(path) -> a number, on the disk -> the files are the group's -> the process gets the group
//! release(path)  -> the files are their owner's group's again -> the number is free, on the disk
//! ```
//! A persistent volume keeps its group until it is destroyed, and a path in a sandbox until the container whose sandbox
//! it is has ended.

mod ownership;
mod record;
mod requests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use launch_plan::NumberPool;
use rustix::fs::{Mode, OFlags, fstat};

use self::record::{VolumeGidInfo, VolumeGidInfos};
use crate::runtime::{framed, unframed};
use crate::users;

pub(crate) use self::requests::{groups_of_sandbox_paths, mounts_sandbox_paths, release};

/// Where it is kept, below the working directory. COMPAT(mesos): the place and the form.
const RECORD: &str = "meta/volume_gid_manager/volume_gids";

/// What a volume is that has a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A persistent volume.
    Persistent,
    /// A path in the sandbox of a container, for containers in it.
    SandboxPath,
}

/// The groups of an agent's volumes.
#[derive(Debug)]
pub struct VolumeGids {
    record: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    pool: NumberPool,
    volumes: BTreeMap<PathBuf, Held>,
}

#[derive(Clone, Debug)]
struct Held {
    kind: Kind,
    gid: u32,
    /// Whether its files are the group's. Held while they are made so, so that others wait for it.
    given: Arc<Mutex<bool>>,
}

/// How many groups there are to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeGidCounts {
    /// Taken or not.
    pub total: u64,
    /// Those that no volume has.
    pub free: u64,
}

impl VolumeGids {
    /// All of them are free, until [`recover`](Self::recover).
    #[must_use]
    pub fn new(work_dir: &Path, gids: Vec<RangeInclusive<u32>>) -> Self {
        let state = State { pool: NumberPool::new(gids), volumes: BTreeMap::new() };
        Self { record: work_dir.join(RECORD), state: Mutex::new(state) }
    }

    /// Takes note of what an earlier agent has given, and takes back what nobody needs any more: of volumes that are gone,
    /// and after a boot of all that belong to containers. Blocks. COMPAT(mesos): the texts.
    pub fn recover(&self, rebooted: bool) -> Result<(), String> {
        let place = self.record.display();
        let failed = |why: &dyn std::fmt::Display| {
            Err(format!("Failed to read volume gid infos from '{place}' {why}"))
        };
        let bytes = match fs::read(&self.record) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return failed(&error),
        };
        if bytes.is_empty() {
            tracing::warn!("The volume gids file '{place}' is empty");
            return Ok(());
        }
        let Some(read) = unframed::<VolumeGidInfos>(&bytes) else { return failed(&"it is damaged") };
        let mut left = Vec::new();
        {
            let mut state = self.lock();
            for VolumeGidInfo { kind, path, gid } in read.infos {
                let path = PathBuf::from(path);
                let kind = match kind {
                    Some(record::SANDBOX_PATH) => Kind::SandboxPath,
                    Some(_) | None => Kind::Persistent,
                };
                let owner = fs::symlink_metadata(&path).map(|it| it.gid());
                if owner.is_err() || rebooted && kind == Kind::SandboxPath {
                    left.push(path.clone());
                }
                // The top is the last that is made the group's.
                let given = Arc::new(Mutex::new(owner.is_ok_and(|owner| owner == gid)));
                state.pool.keep(gid);
                state.volumes.insert(path, Held { kind, gid, given });
            }
        }
        for path in left {
            tracing::info!(path = %path.display(), "a volume that nobody uses any more has no group");
            self.release(&path)?;
        }
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn counts(&self) -> VolumeGidCounts {
        let state = self.lock();
        VolumeGidCounts { total: state.pool.total(), free: state.pool.free() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group of a persistent volume. Blocks.
    pub(crate) fn of_persistent(&self, volume: &Path) -> Result<u32, String> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let opened = rustix::fs::open(volume, flags, Mode::empty())
            .map_err(|errno| format!("Failed to stat '{}': {}", volume.display(), io::Error::from(errno)))?;
        self.allocate(volume, &opened, Kind::Persistent)
    }

    /// The group of a volume, which is `opened` and gets a new one unless it has one. Blocks. COMPAT(mesos): the texts.
    fn allocate(&self, volume: &Path, opened: &OwnedFd, kind: Kind) -> Result<u32, String> {
        let place = volume.display();
        let held = {
            let mut state = self.lock();
            match state.volumes.get(volume) {
                Some(held) => held.clone(),
                None => {
                    let owner = fstat(opened)
                        .map_err(|errno| format!("Failed to stat '{place}': {}", io::Error::from(errno)))?;
                    // It is another volume that has a group, seen here.
                    if state.pool.contains(owner.st_gid) {
                        return Ok(owner.st_gid);
                    }
                    let gid = state.pool.take().ok_or_else(|| {
                        format!(
                            "Failed to allocate gid to the volume path '{place}' because the free gid range is \
                             exhausted"
                        )
                    })?;
                    let held = Held { kind, gid, given: Arc::default() };
                    state.volumes.insert(volume.to_owned(), held.clone());
                    // ORDER: on the disk before a file is the group's.
                    if let Err(why) = self.write(&state) {
                        state.volumes.remove(volume);
                        state.pool.give_back(gid);
                        return Err(why);
                    }
                    tracing::info!(gid, volume = %place, "a volume has a group of its own");
                    held
                }
            }
        };
        let mut given = held.given.lock().unwrap_or_else(PoisonError::into_inner);
        if !*given {
            let gid = held.gid;
            ownership::give(opened, gid).map_err(|error| {
                format!("Failed to set the owner group of the volume path '{place}' to {gid}: {error}")
            })?;
            *given = true;
        }
        Ok(held.gid)
    }

    /// Whether there is anything to release at or below a path.
    pub(crate) fn has_below(&self, path: &Path) -> bool {
        let state = self.lock();
        state.volumes.range(path.to_owned()..).next().is_some_and(|(volume, _)| volume.starts_with(path))
    }

    /// Takes back the group of a volume that is gone, or those of the paths in a sandbox whose container has ended. Blocks.
    pub fn release(&self, path: &Path) -> Result<(), String> {
        let released: Vec<(PathBuf, Held)> = {
            let state = self.lock();
            let below = state.volumes.range(path.to_owned()..);
            let below = below.take_while(|(volume, _)| volume.starts_with(path));
            below.map(|(volume, held)| (volume.clone(), held.clone())).collect()
        };
        if released.is_empty() {
            return Ok(());
        }
        // ORDER: before another volume may have the number. What is left of a sandbox stays for a while.
        for (volume, held) in released.iter().filter(|(_, held)| held.kind == Kind::SandboxPath) {
            let above = if volume == path { volume.parent().unwrap_or(path) } else { path };
            if let Err(error) = take_back(above, volume, held.gid) {
                tracing::warn!(volume = %volume.display(), %error, "cannot give a volume back to its owner's group");
            }
        }
        let mut state = self.lock();
        for (volume, held) in released {
            tracing::info!(gid = held.gid, volume = %volume.display(), "the group of a volume is free");
            state.volumes.remove(&volume);
            state.pool.give_back(held.gid);
        }
        self.write(&state)
    }

    /// The paths in sandboxes of containers that nobody knows by the names of directories on the way.
    pub(crate) fn orphans(&self, is_known: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let known = |path: &Path| path.iter().any(|name| name.to_str().is_some_and(&is_known));
        let state = self.lock();
        let of_sandboxes = state.volumes.iter().filter(|(_, held)| held.kind == Kind::SandboxPath);
        of_sandboxes.filter(|(path, _)| !known(path)).map(|(path, _)| path.clone()).collect()
    }

    /// Takes back the groups of them. Blocks.
    pub(crate) fn release_all(&self, paths: &[PathBuf]) {
        for path in paths {
            if let Err(error) = self.release(path) {
                tracing::error!(path = %path.display(), error, "cannot free the group of an orphan's volume");
            }
        }
    }

    fn write(&self, state: &State) -> Result<(), String> {
        let info = |(path, held): (&PathBuf, &Held)| VolumeGidInfo {
            kind: Some(match held.kind {
                Kind::Persistent => record::PERSISTENT,
                Kind::SandboxPath => record::SANDBOX_PATH,
            }),
            path: path.to_string_lossy().into_owned(),
            gid: held.gid,
        };
        let infos = VolumeGidInfos { infos: state.volumes.iter().map(info).collect() };
        record::write(&self.record, &framed(&infos)).map_err(|error| {
            format!("Failed to save state of volume gid infos: Failed to perform checkpoint: {error}")
        })
    }
}

/// Makes the files of a volume their owner's main group's. No link below `above` is followed.
fn take_back(above: &Path, volume: &Path, gid: u32) -> io::Result<()> {
    let opened = match linux::open_below(above, volume) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let uid = fstat(&opened)?.st_uid;
    let owner = users::lookup(&uid.to_string()).map_err(io::Error::other)?;
    ownership::take_back(&opened, gid, owner.gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gids(work_dir: &Path) -> VolumeGids {
        VolumeGids::new(work_dir, vec![70_000..=70_001])
    }

    fn of(gids: &VolumeGids, path: &Path, kind: Kind) -> Result<u32, String> {
        fs::create_dir_all(path).unwrap();
        let opened = linux::open_below(path.parent().unwrap(), path).unwrap();
        gids.allocate(path, &opened, kind)
    }

    #[test]
    fn numbers_are_kept_and_come_back() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let free = |gids: &VolumeGids| gids.counts().free;
        let first = gids(home.path());
        first.recover(false).unwrap();
        let persistent = Kind::Persistent;
        assert_eq!(of(&first, &at("volumes/v"), persistent), Ok(70_000));
        assert_eq!(of(&first, &at("volumes/v"), persistent), Ok(70_000));
        // One that already has a group of the range is another volume, seen there.
        let seen = at("seen");
        fs::create_dir(&seen).unwrap();
        std::os::unix::fs::chown(&seen, None, Some(70_000)).unwrap();
        assert_eq!(of(&first, &seen, Kind::SandboxPath), Ok(70_000));
        fs::create_dir_all(at("box/shared/deep")).unwrap();
        assert_eq!(of(&first, &at("box/shared"), Kind::SandboxPath), Ok(70_001));
        assert_eq!(fs::metadata(at("box/shared/deep")).unwrap().gid(), 70_001);
        assert_eq!(fs::metadata(at("box/shared")).unwrap().mode() & 0o7070, 0o2070);
        let exhausted = of(&first, &at("volumes/w"), persistent).unwrap_err();
        assert!(exhausted.ends_with("/volumes/w' because the free gid range is exhausted"), "{exhausted}");
        // A later agent.
        let second = gids(home.path());
        second.recover(false).unwrap();
        assert_eq!((free(&second), of(&second, &at("volumes/v"), persistent)), (0, Ok(70_000)));
        assert!(second.has_below(&at("box")) && !second.has_below(&at("bo")));
        // A name that only begins alike is another.
        second.release(&at("bo")).unwrap();
        assert_eq!(free(&second), 0);
        // After a boot there is no container, and what is gone is gone.
        let third = gids(home.path());
        fs::remove_dir(at("volumes/v")).unwrap();
        third.recover(true).unwrap();
        assert_eq!(free(&third), 2);
        let back = fs::metadata(at("box/shared")).unwrap();
        assert_eq!((back.gid(), back.mode() & 0o2020), (0, 0));
        // What cannot be read is told.
        fs::write(&third.record, "x").unwrap();
        assert!(gids(home.path()).recover(false).unwrap_err().starts_with("Failed to read volume gid infos"));
    }
}
