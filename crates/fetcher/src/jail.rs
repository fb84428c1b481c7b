//! A directory that nothing written through it can leave.
//!
//! Every path is walked one component at a time from the directory's own descriptor, and no component may be a
//! symbolic link: so neither `..`, nor an absolute name, nor a link that was there before (or came out of the same
//! archive a moment ago) leads outside. A file is never written through what already has its name: that is unlinked
//! first, so links to it keep what they had.

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path within a jail: its names, without `..`, `.` and empty ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    names: Vec<OsString>,
}

impl Inside {
    /// Takes a path as an archive or a framework writes it.
    ///
    /// COMPAT(mesos): a leading `/` is dropped, as the C++ fetcher does by joining the name to the sandbox's path.
    pub fn new(path: &Path) -> Result<Self, String> {
        let mut names = Vec::new();
        for name in path.as_os_str().as_bytes().split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return Err(format!("Path contains '..': '{}'", path.display())),
                name if name.contains(&0) => return Err("Path contains a zero byte".into()),
                name => names.push(OsStr::from_bytes(name).to_owned()),
            }
        }
        Ok(Self { names })
    }

    /// The directory itself.
    pub(crate) fn is_root(&self) -> bool {
        self.names.is_empty()
    }

    /// The names, outermost first.
    pub fn names(&self) -> &[OsString] {
        &self.names
    }
}

/// The directory.
pub(crate) struct Jail {
    root: OwnedFd,
    path: PathBuf,
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Jail {
    /// Opens an existing directory, whose own path is trusted.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// The path the jail was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that holds the last name of `inside`, and that name; missing directories are made.
    fn parent<'a>(&self, inside: &'a Inside) -> io::Result<(OwnedFd, &'a OsStr)> {
        let Some((last, directories)) = inside.names.split_last() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        let mut at = self.root.try_clone()?;
        for name in directories {
            at = match rustix::fs::openat(&at, name, DIRECTORY, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT) => {
                    make_directory(&at, name, 0o777)?;
                    rustix::fs::openat(&at, name, DIRECTORY, Mode::empty())
                        .map_err(|error| not_inside(name, error))?
                }
                Err(error) => return Err(not_inside(name, error)),
            };
        }
        Ok((at, last))
    }

    /// Makes the directory and those above it. `mode` is for the directory itself, if it is new; its owner may always
    /// use it, since files are yet to come.
    pub(crate) fn directory(&self, inside: &Inside, mode: u32) -> io::Result<()> {
        if inside.is_root() {
            return Ok(());
        }
        let (at, name) = self.parent(inside)?;
        make_directory(&at, name, mode | 0o700)?;
        match rustix::fs::openat(&at, name, DIRECTORY, Mode::empty()) {
            Ok(_) => Ok(()),
            Err(error) => Err(not_inside(name, error)),
        }
    }

    /// Makes an empty file in place of whatever file or link has the name.
    pub(crate) fn file(&self, inside: &Inside, mode: u32) -> io::Result<File> {
        let (at, name) = self.parent(inside)?;
        unlink(&at, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&at, name, flags, Mode::from_raw_mode(mode & 0o777))?.into())
    }

    /// Opens a file for reading; it must be a plain file and no link.
    pub(crate) fn read(&self, inside: &Inside) -> io::Result<File> {
        let (at, name) = self.parent(inside)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file: File = rustix::fs::openat(&at, name, flags, Mode::empty())?.into();
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
    }

    /// Opens a plain file for appending, made if it is missing.
    pub(crate) fn append(&self, inside: &Inside) -> io::Result<File> {
        let (at, name) = self.parent(inside)?;
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::APPEND
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NONBLOCK;
        let file: File = rustix::fs::openat(&at, name, flags, Mode::from_raw_mode(0o644))?.into();
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
    }

    /// Makes a symbolic link. It may point anywhere: nothing here ever follows it.
    pub(crate) fn symlink(&self, inside: &Inside, target: &Path) -> io::Result<()> {
        let (at, name) = self.parent(inside)?;
        unlink(&at, name)?;
        Ok(rustix::fs::symlinkat(target, &at, name)?)
    }

    /// Makes another name for a file that is itself inside.
    pub(crate) fn hard_link(&self, inside: &Inside, target: &Inside) -> io::Result<()> {
        let (from, from_name) = self.parent(target)?;
        let (at, name) = self.parent(inside)?;
        if inside == target {
            return Ok(());
        }
        unlink(&at, name)?;
        Ok(rustix::fs::linkat(&from, from_name, &at, name, AtFlags::empty())?)
    }

    /// Moves a file that is inside to another name inside.
    pub(crate) fn rename(&self, from: &Inside, to: &Inside) -> io::Result<()> {
        let (from_at, from_name) = self.parent(from)?;
        let (to_at, to_name) = self.parent(to)?;
        Ok(rustix::fs::renameat(&from_at, from_name, &to_at, to_name)?)
    }

    /// Removes a file, a link or an empty directory, if it is there.
    pub(crate) fn remove(&self, inside: &Inside) -> io::Result<()> {
        let (at, name) = self.parent(inside)?;
        match rustix::fs::unlinkat(&at, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Ok(rustix::fs::unlinkat(&at, name, AtFlags::REMOVEDIR)?),
            Err(error) => Err(error.into()),
        }
    }
}

fn make_directory(at: impl AsFd, name: &OsStr, mode: u32) -> io::Result<()> {
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(mode & 0o777)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes room for a new file of that name; a directory stays and fails the caller's next step.
fn unlink(at: impl AsFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Err(io::Error::new(io::ErrorKind::IsADirectory, format!("'{}' is a directory", name.display())))
        }
        Ok(_) => Ok(rustix::fs::unlinkat(at, name, AtFlags::empty())?),
    }
}

/// A name on the way that is a link (or a file) where a directory is needed.
fn not_inside(name: &OsStr, error: Errno) -> io::Error {
    if error == Errno::LOOP || error == Errno::NOTDIR {
        return io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("'{}' is a symbolic link or a file where a directory is needed", name.display()),
        );
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::{Inside, Jail};
    use std::io::Write;
    use std::path::Path;

    fn inside(path: &str) -> Inside {
        Inside::new(Path::new(path)).unwrap()
    }

    #[test]
    fn takes_only_paths_that_stay() {
        assert_eq!(inside("/a//./b"), inside("a/b"));
        assert!(inside("./").is_root());
        assert_eq!(Inside::new(Path::new("a/../b")).unwrap_err(), "Path contains '..': 'a/../b'");
    }

    #[test]
    fn never_follows_links() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let jail = Jail::open(directory.path()).unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("out")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), directory.path().join("link")).unwrap();

        assert!(jail.file(&inside("out/new"), 0o644).is_err());
        assert!(jail.directory(&inside("out/new"), 0o755).is_err());
        assert!(jail.directory(&inside("out"), 0o755).is_err());
        assert!(jail.read(&inside("link")).is_err());
        assert!(jail.append(&inside("link")).is_err());
        assert!(jail.hard_link(&inside("stolen"), &inside("out/secret")).is_err());
        jail.file(&inside("link"), 0o644).unwrap().write_all(b"new").unwrap();

        assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "s");
        assert_eq!(std::fs::read_to_string(directory.path().join("link")).unwrap(), "new");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn keeps_other_names_of_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let jail = Jail::open(directory.path()).unwrap();
        jail.file(&inside("d/one"), 0o644).unwrap().write_all(b"1").unwrap();
        jail.hard_link(&inside("two"), &inside("d/one")).unwrap();
        jail.file(&inside("two"), 0o644).unwrap().write_all(b"2").unwrap();
        assert_eq!(std::fs::read_to_string(directory.path().join("d/one")).unwrap(), "1");
    }
}
