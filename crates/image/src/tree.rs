//! The file tree of a layer while it is unpacked: a directory that nothing written through it can leave.
//!
//! A layer may say what it likes: every path is walked from the directory's own descriptor, never through `..` or an
//! absolute name, and a symbolic link on the way leads to where it would lead in the container, which is inside. What
//! has the name of a new file is removed first, so that nothing is ever written through it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use fetcher::Inside;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::overlay::{OPAQUE, OPAQUE_UNPRIVILEGED, is_whiteout};

/// How deep a tree may get. Removing it takes a descriptor for each level.
const DEPTH_MAX: usize = 256;

/// How many symbolic links may be on the way to one file, as in Linux.
const LINKS_MAX: usize = 40;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Who owns a file, who may use it, and since when it is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// With the bits for setuid, setgid and the sticky bit.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// In seconds since 1970.
    pub(crate) mtime: i64,
    /// Extended attributes, of the names that a layer may set.
    pub(crate) extended: Vec<(String, Vec<u8>)>,
}

/// The tree.
pub(crate) struct Tree {
    root: OwnedFd,
    /// The directory of the last entry: the next one is mostly in it, too.
    last: Option<(Vec<OsString>, Rc<OwnedFd>)>,
    /// Whether owners and the attributes of the overlay file system can be set.
    is_root: bool,
    /// Times of directories. They are set last, since every new entry changes them.
    times: Vec<(Inside, i64)>,
}

/// A directory of the tree, and a name in it.
type Place<'a> = (Rc<OwnedFd>, &'a OsStr);

impl Tree {
    /// Opens an empty directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, DIRECTORY, Mode::empty())?;
        let is_root = rustix::process::geteuid().is_root();
        Ok(Self { root, last: None, is_root, times: Vec::new() })
    }

    /// Makes a directory, or gives an existing one other attributes.
    pub(crate) fn directory(&mut self, path: &Inside, attributes: &Attributes) -> io::Result<()> {
        let directory = if path.names().is_empty() {
            self.root.try_clone()?
        } else {
            let (at, name) = self.parent(path, true)?;
            self.make_directory(&at, name)?
        };
        // A directory that its owner may not use could not be filled by anybody but root.
        let mode = if self.is_root { attributes.mode } else { attributes.mode | 0o700 };
        self.set(&directory, &Attributes { mode, ..attributes.clone() })?;
        self.times.push((path.clone(), attributes.mtime));
        Ok(())
    }

    /// Makes an empty file in place of whatever has the name. Its attributes are set when it is written: [`Self::set`].
    pub(crate) fn file(&mut self, path: &Inside) -> io::Result<File> {
        let (at, name) = self.parent(path, true)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.anew(&at, name, || rustix::fs::openat(&at, name, flags, Mode::RUSR | Mode::WUSR)).map(File::from)
    }

    /// Makes a symbolic link. It may point anywhere.
    pub(crate) fn symlink(
        &mut self,
        path: &Inside,
        target: &OsStr,
        attributes: &Attributes,
    ) -> io::Result<()> {
        let (at, name) = self.parent(path, true)?;
        self.anew(&at, name, || rustix::fs::symlinkat(target, &at, name))?;
        self.own_unopened(&at, name, attributes)
    }

    /// Makes a named pipe.
    pub(crate) fn pipe(&mut self, path: &Inside, attributes: &Attributes) -> io::Result<()> {
        let (at, name) = self.parent(path, true)?;
        let mode = Mode::from_raw_mode(attributes.mode & 0o777);
        self.anew(&at, name, || rustix::fs::mknodat(&at, name, FileType::Fifo, mode, 0))?;
        self.own_unopened(&at, name, attributes)
    }

    /// Makes another name for a file of the tree.
    pub(crate) fn hard_link(&mut self, path: &Inside, target: &Inside) -> io::Result<()> {
        let (from, from_name) = self.parent(target, false)?;
        let (at, name) = self.parent(path, true)?;
        let stat = rustix::fs::statat(&from, from_name, AtFlags::SYMLINK_NOFOLLOW)?;
        if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Symlink) {
            return Err(io::Error::other("the target is not a file"));
        }
        if path == target {
            return Ok(());
        }
        self.anew(&at, name, || rustix::fs::linkat(&from, from_name, &at, name, AtFlags::empty()))
    }

    /// Hides what has this name in the layers below. What this layer has of that name is seen nevertheless.
    pub(crate) fn whiteout(&mut self, path: &Inside) -> io::Result<()> {
        let (at, name) = self.parent(path, true)?;
        match rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                let directory = rustix::fs::openat(&at, name, DIRECTORY, Mode::empty())?;
                self.hide_below(&directory)
            }
            // It hides what is below by being there.
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => {
                Ok(rustix::fs::mknodat(&at, name, FileType::CharacterDevice, Mode::empty(), 0)?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Hides what a directory has in the layers below.
    pub(crate) fn opaque(&mut self, directory: &Inside) -> io::Result<()> {
        let opened = self.walk(directory.names(), true)?;
        self.hide_below(&opened)
    }

    /// Gives an open file its attributes.
    pub(crate) fn set(&self, file: impl AsFd, attributes: &Attributes) -> io::Result<()> {
        if self.is_root {
            // ORDER: a change of the owner clears the bits for setuid and the capabilities.
            rustix::fs::fchown(&file, uid(attributes), gid(attributes))?;
        }
        for (name, value) in &attributes.extended {
            match rustix::fs::fsetxattr(&file, name.as_str(), value, rustix::fs::XattrFlags::empty()) {
                // A file system without them is not the image's fault, and neither is an agent that is not root.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(attributes.mode & 0o7777))?;
        Ok(rustix::fs::futimens(&file, &times(attributes.mtime))?)
    }

    /// Sets what could not be set before everything was there.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        for (path, mtime) in std::mem::take(&mut self.times) {
            // It may have been replaced meanwhile.
            if let Ok(directory) = self.walk(path.names(), false) {
                rustix::fs::futimens(&directory, &times(mtime))?;
            }
        }
        Ok(())
    }

    fn hide_below(&self, directory: impl AsFd) -> io::Result<()> {
        let name = if self.is_root { OPAQUE } else { OPAQUE_UNPRIVILEGED };
        Ok(rustix::fs::fsetxattr(directory, name, b"y", rustix::fs::XattrFlags::empty())?)
    }

    fn own_unopened(&self, at: &OwnedFd, name: &OsStr, attributes: &Attributes) -> io::Result<()> {
        if self.is_root {
            rustix::fs::chownat(at, name, uid(attributes), gid(attributes), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(rustix::fs::utimensat(at, name, &times(attributes.mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Opens the directory of that name, made if it is missing or if what has the name is none.
    fn make_directory(&mut self, at: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
        let mode = Mode::from_raw_mode(0o755);
        let mut hides = false;
        match rustix::fs::mkdirat(at, name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    hides = is_whiteout(&stat);
                    rustix::fs::unlinkat(at, name, AtFlags::empty())?;
                    rustix::fs::mkdirat(at, name, mode)?;
                    self.last = None;
                }
            }
            Err(error) => return Err(error.into()),
        }
        let directory = rustix::fs::openat(at, name, DIRECTORY, Mode::empty())?;
        if hides {
            self.hide_below(&directory)?;
        }
        Ok(directory)
    }

    /// Makes something in place of whatever has its name.
    fn anew<T>(
        &mut self,
        at: &OwnedFd,
        name: &OsStr,
        make: impl Fn() -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        match make() {
            Err(Errno::EXIST) => {
                remove(at, name)?;
                self.last = None;
                Ok(make()?)
            }
            made => Ok(made?),
        }
    }

    /// The directory that holds the last name of a path.
    fn parent<'a>(&mut self, path: &'a Inside, make: bool) -> io::Result<Place<'a>> {
        let Some((name, directories)) = path.names().split_last() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
        };
        if let Some((last, opened)) = &self.last
            && last == directories
        {
            return Ok((Rc::clone(opened), name));
        }
        let opened = Rc::new(self.walk(directories, make)?);
        self.last = Some((directories.to_vec(), Rc::clone(&opened)));
        Ok((opened, name))
    }

    /// Opens a directory; with `make`, those that are missing are made.
    fn walk(&mut self, names: &[OsString], make: bool) -> io::Result<OwnedFd> {
        if names.is_empty() {
            return self.root.try_clone();
        }
        if names.len() > DEPTH_MAX {
            return Err(too_deep());
        }
        let path: PathBuf = names.iter().collect();
        let confined = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        match rustix::fs::openat2(&self.root, path.as_path(), DIRECTORY, Mode::empty(), confined) {
            Ok(opened) => Ok(opened),
            // Something is missing or a link, or the kernel does not know this way.
            Err(_) => self.walk_by_name(names, make),
        }
    }

    fn walk_by_name(&mut self, names: &[OsString], make: bool) -> io::Result<OwnedFd> {
        let mut ahead: Vec<OsString> = names.iter().rev().cloned().collect();
        let mut behind: Vec<OsString> = Vec::new();
        let mut at = self.root.try_clone()?;
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            match rustix::fs::openat(&at, &name, DIRECTORY, Mode::empty()) {
                Ok(next) => at = next,
                Err(Errno::NOENT) if make => at = self.make_directory(&at, &name)?,
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    let stat = rustix::fs::statat(&at, &name, AtFlags::SYMLINK_NOFOLLOW)?;
                    if make && is_whiteout(&stat) {
                        at = self.make_directory(&at, &name)?;
                    } else if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                        links += 1;
                        if links > LINKS_MAX {
                            return Err(Errno::LOOP.into());
                        }
                        let target = rustix::fs::readlinkat(&at, &name, Vec::new())?;
                        lead(target.as_bytes(), &mut behind, &mut ahead);
                        // From the root again: a link may lead up.
                        ahead.extend(behind.drain(..).rev());
                        at = self.root.try_clone()?;
                        continue;
                    } else {
                        return Err(io::Error::new(
                            io::ErrorKind::NotADirectory,
                            format!("'{}' is a file where a directory is needed", name.display()),
                        ));
                    }
                }
                Err(error) => return Err(error.into()),
            }
            behind.push(name);
            if behind.len() > DEPTH_MAX {
                return Err(too_deep());
            }
        }
        Ok(at)
    }
}

/// Where a link leads, seen from the directories `behind`: they become those that are certain, and the rest is put
/// before what is `ahead`.
///
/// What leads up is taken by the names alone. That differs from what a kernel does only where one link leads up through
/// another, and it leads inside in any case.
fn lead(target: &[u8], behind: &mut Vec<OsString>, ahead: &mut Vec<OsString>) {
    if target.starts_with(b"/") {
        behind.clear();
    }
    let mut down: Vec<OsString> = Vec::new();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if down.pop().is_none() {
                    behind.pop();
                }
            }
            part => down.push(OsStr::from_bytes(part).to_owned()),
        }
    }
    ahead.extend(down.into_iter().rev());
}

fn too_deep() -> io::Error {
    io::Error::other(format!("it has more than {DEPTH_MAX} directories in each other"))
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn uid(attributes: &Attributes) -> Option<Uid> {
    Some(Uid::from_raw(attributes.uid))
}

fn gid(attributes: &Attributes) -> Option<Gid> {
    Some(Gid::from_raw(attributes.gid))
}

/// Removes whatever has the name, with all that is in it.
fn remove(at: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    let directory = rustix::fs::openat(at, name, DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.iter().try_for_each(|name| remove(&directory, name))?;
    Ok(rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR)?)
}
