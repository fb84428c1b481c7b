//! The backend `copy`: layers are copied on each other. It is slow and takes much room, and works everywhere.
//!
//! Layers are in the form of overlayfs: what a layer takes away is a device of characters 0/0 there, and a directory
//! that hides those below it has an attribute. Neither gets into the copy. Nobody but the agent can change either side
//! meanwhile, and every directory on a way in the copy is known to be one: no link is followed.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr, lsetxattr,
    mknodat, utimensat,
};
use rustix::io::Errno;

use launch_plan::Rootfs;

use super::places;

/// What the attributes of overlayfs begin with.
const OVERLAY: &str = "trusted.overlay.";

/// The one that says that a directory hides those below it.
const OPAQUE: &str = "trusted.overlay.opaque";

/// Longer values of attributes are not to be had on most file systems.
const ATTRIBUTE_BYTES_MAX: usize = 64 * 1024;

/// Copies the layers, the lowest first, to a new root.
pub(super) fn prepare(backend: &Path, name: &str, layers: &[PathBuf]) -> Result<Rootfs, String> {
    let rootfs = places::rootfs(backend, name);
    fs::create_dir_all(&rootfs).map_err(|error| format!("Failed to create rootfs directory: {error}"))?;
    for layer in layers {
        Copy::default()
            .directory(layer, &rootfs)
            .map_err(|(path, error)| format!("Failed to copy layer: '{}': {error}", path.display()))?;
    }
    Ok(Rootfs { path: rootfs.to_string_lossy().into_owned(), ..Rootfs::default() })
}

/// What went wrong, and where.
type Failure = (PathBuf, io::Error);

/// The copy of one layer.
#[derive(Default)]
struct Copy {
    /// Files with several names, by device and number, and the first place that each was copied to.
    linked: BTreeMap<(u64, u64), PathBuf>,
}

impl Copy {
    fn directory(&mut self, from: &Path, to: &Path) -> Result<(), Failure> {
        let at = |error| (from.to_owned(), error);
        for entry in fs::read_dir(from).map_err(at)? {
            let entry = entry.map_err(at)?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let is = fs::symlink_metadata(&source).map_err(|error| (source.clone(), error))?;
            self.entry(&source, &is, &target).map_err(|error| match error {
                Wrong::Here(error) => (source.clone(), error),
                Wrong::Below(failure) => failure,
            })?;
        }
        let is = fs::symlink_metadata(from).map_err(at)?;
        // ORDER: last, since what is made in a directory changes its time.
        describe(from, &is, to).map_err(at)
    }

    fn entry(&mut self, source: &Path, is: &Metadata, target: &Path) -> Result<(), Wrong> {
        let there = match fs::symlink_metadata(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found?),
        };
        let kind = is.file_type();
        if is_whiteout(is) {
            return Ok(remove(target, there.as_ref())?);
        }
        if kind.is_dir() {
            let stays = there.as_ref().is_some_and(Metadata::is_dir) && !is_opaque(source)?;
            if !stays {
                remove(target, there.as_ref())?;
                fs::create_dir(target)?;
            }
            return self.directory(source, target).map_err(Wrong::Below);
        }
        remove(target, there.as_ref())?;
        let number = (is.dev(), is.ino());
        if is.nlink() > 1
            && let Some(first) = self.linked.get(&number)
        {
            return Ok(fs::hard_link(first, target)?);
        }
        if kind.is_symlink() {
            symlink(fs::read_link(source)?, target)?;
        } else if kind.is_file() {
            fs::copy(source, target)?;
        } else {
            make_special(is, target)?;
        }
        describe(source, is, target)?;
        if is.nlink() > 1 {
            self.linked.insert(number, target.to_owned());
        }
        Ok(())
    }
}

enum Wrong {
    Here(io::Error),
    Below(Failure),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::Here(error)
    }
}

fn is_whiteout(is: &Metadata) -> bool {
    is.file_type().is_char_device() && is.rdev() == 0
}

fn is_opaque(directory: &Path) -> io::Result<bool> {
    let mut value = [0_u8; 1];
    match lgetxattr(directory, OPAQUE, &mut value) {
        Ok(_) => Ok(value == *b"y"),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(false),
        // It is there and says something else.
        Err(Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn remove(path: &Path, there: Option<&Metadata>) -> io::Result<()> {
    match there {
        None => Ok(()),
        Some(there) if there.is_dir() => fs::remove_dir_all(path),
        Some(_) => fs::remove_file(path),
    }
}

fn make_special(is: &Metadata, target: &Path) -> io::Result<()> {
    let kind = is.file_type();
    let kind = match (kind.is_char_device(), kind.is_block_device(), kind.is_fifo()) {
        (true, ..) => FileType::CharacterDevice,
        (_, true, _) => FileType::BlockDevice,
        (.., true) => FileType::Fifo,
        _ => FileType::Socket,
    };
    Ok(mknodat(CWD, target, kind, Mode::from_raw_mode(is.mode() & 0o7777), is.rdev())?)
}

/// Gives a copy the owner, the attributes, the mode and the times of the original.
fn describe(source: &Path, is: &Metadata, target: &Path) -> io::Result<()> {
    lchown(target, Some(is.uid()), Some(is.gid()))?;
    copy_attributes(source, target)?;
    // ORDER: a new owner takes away the right to run as that owner.
    if !is.file_type().is_symlink() {
        fs::set_permissions(target, fs::Permissions::from_mode(is.mode() & 0o7777))?;
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: is.atime(), tv_nsec: is.atime_nsec() },
        last_modification: Timespec { tv_sec: is.mtime(), tv_nsec: is.mtime_nsec() },
    };
    Ok(utimensat(CWD, target, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn copy_attributes(source: &Path, target: &Path) -> io::Result<()> {
    let mut names = vec![0_u8; ATTRIBUTE_BYTES_MAX];
    let length = match llistxattr(source, &mut names) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(()),
        length => length?,
    };
    let mut value = vec![0_u8; ATTRIBUTE_BYTES_MAX];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(OVERLAY.as_bytes()) {
            continue;
        }
        let name = std::ffi::OsStr::from_bytes(name);
        let length = lgetxattr(source, name, &mut value)?;
        lsetxattr(target, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}
