//! Whose group the files of a volume are. Its users may rename and link there meanwhile: no step follows a link.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;

use linux::by_descriptor;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, chownat, fstat, openat};

/// New files are of their directory's group, whose members may make them.
const FOR_THE_GROUP: u32 = 0o2020;

/// How deep a volume's directories may be.
const DEPTH_MAX: usize = 200;

/// Makes the files of a volume a group's, which may write in its directories. The top is the last.
pub(super) fn give(top: &OwnedFd, gid: u32) -> io::Result<()> {
    each(top, DEPTH_MAX, &|file, mode| set(file, mode, gid, |mode| mode | FOR_THE_GROUP))
}

/// The other way round: `from` one group to another. What is of neither stays as it is.
pub(super) fn take_back(top: &OwnedFd, from: u32, gid: u32) -> io::Result<()> {
    each(top, DEPTH_MAX, &|file, mode| {
        if fstat(file)?.st_gid != from {
            return Ok(());
        }
        set(file, mode, gid, |mode| mode & !FOR_THE_GROUP)
    })
}

/// Changes a file, which is not opened but held.
fn set(file: &OwnedFd, mode: u32, gid: u32, permissions: impl Fn(u32) -> u32) -> io::Result<()> {
    chownat(file, "", None, Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)?;
    if FileType::from_raw_mode(mode) == FileType::Directory {
        let permissions = Permissions::from_mode(permissions(mode & 0o7777));
        fs::set_permissions(by_descriptor(file.as_fd()), permissions)?;
    }
    Ok(())
}

/// Does something to all files of a tree, those in a directory before itself.
fn each(file: &OwnedFd, depth: usize, change: &impl Fn(&OwnedFd, u32) -> io::Result<()>) -> io::Result<()> {
    let mode = fstat(file)?.st_mode;
    if FileType::from_raw_mode(mode) == FileType::Directory {
        let depth = depth.checked_sub(1).ok_or_else(|| io::Error::other("the directories are too deep"))?;
        let listed = openat(file, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        for entry in Dir::read_from(&listed)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let held = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(file, name, held, Mode::empty()) {
                Ok(below) => each(&below, depth, change)?,
                // It was removed meanwhile.
                Err(rustix::io::Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    change(file, mode)
}
