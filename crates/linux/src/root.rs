//! A directory that is, or will be, the root of a container: what is in it is looked up as the container would look
//! it up, whoever put links there, and the way in.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    FileType, Mode, OFlags, ResolveFlags, makedev, mkdirat, mknodat, openat, openat2, symlinkat,
};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{chroot, fchdir, pivot_root};

use crate::mounts::by_descriptor;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An opened root. What is mounted at its path afterwards is not in it.
#[derive(Debug)]
pub struct Root {
    top: OwnedFd,
}

/// A device to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Whether it is one of characters; otherwise it is one of blocks.
    pub characters: bool,
    /// The number of its driver.
    pub major: u32,
    /// Its number there.
    pub minor: u32,
    /// Who may use it, such as `0o666`.
    pub mode: u32,
}

impl Root {
    /// Opens what is at that path now.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { top: rustix::fs::open(path, DIRECTORY, Mode::empty())? })
    }

    /// A handle of what is at `path`. No link, and no `..`, leads out.
    pub fn find(&self, path: &Path) -> io::Result<OwnedFd> {
        Ok(self.look(path, OFlags::PATH | OFlags::CLOEXEC)?)
    }

    /// The same for something that exists or not.
    pub fn find_if_there(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        match self.look(path, OFlags::PATH | OFlags::CLOEXEC) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A handle of the directory at `path`, which is made, with those above, where it is not there.
    pub fn directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut so_far = PathBuf::new();
        let mut directory = self.look(Path::new("."), DIRECTORY)?;
        for component in path.components() {
            so_far.push(component);
            directory = match (self.look(&so_far, DIRECTORY), component) {
                (Err(Errno::NOENT), Component::Normal(name)) => {
                    match mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
                        // Somebody else may have made it just now; a link to nothing stays one.
                        Ok(()) | Err(Errno::EXIST) => self.look(&so_far, DIRECTORY)?,
                        Err(errno) => return Err(errno.into()),
                    }
                }
                (found, _) => found?,
            };
        }
        Ok(directory)
    }

    /// A handle of the file at `path`, which is made, with the directories above, where nothing is there.
    pub fn file(&self, path: &Path) -> io::Result<OwnedFd> {
        if let Some(found) = self.find_if_there(path)? {
            return Ok(found);
        }
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = self.directory(path.parent().unwrap_or(Path::new("/")))?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        Ok(openat(&directory, name, flags, Mode::from_raw_mode(0o644))?)
    }

    /// Makes a symbolic link.
    pub fn link(&self, target: &str, path: &Path) -> io::Result<()> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = self.directory(path.parent().unwrap_or(Path::new("/")))?;
        Ok(symlinkat(target, &directory, name)?)
    }

    /// Makes a device.
    pub fn node(&self, path: &Path, node: Node) -> io::Result<()> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = self.directory(path.parent().unwrap_or(Path::new("/")))?;
        let kind = if node.characters { FileType::CharacterDevice } else { FileType::BlockDevice };
        let mode = Mode::from_raw_mode(node.mode);
        mknodat(&directory, name, kind, mode, makedev(node.major, node.minor))?;
        // What the mask of this process took away.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&directory, name, flags, Mode::empty())?;
        Ok(rustix::fs::chmod(by_descriptor(made.as_fd()), mode)?)
    }

    /// Makes it the root of the mount namespace of this process, which is in it afterwards, and lets go of all other
    /// mounts. It must be a mount, and mounts of the namespace must not be known to others.
    pub fn enter(self) -> io::Result<()> {
        fchdir(&self.top)?;
        // The old root ends up on top of the new one, which is where the process then is.
        match pivot_root(".", ".") {
            Ok(()) => unmount(".", UnmountFlags::DETACH)?,
            // The root that a kernel is booted with cannot be put elsewhere.
            Err(Errno::INVAL) => {
                mount_move(".", "/")?;
                chroot(".")?;
            }
            Err(errno) => return Err(errno.into()),
        }
        std::env::set_current_dir("/")
    }

    /// Makes it the root of this process alone. Mounts stay as they are.
    pub fn change_to(self) -> io::Result<()> {
        fchdir(&self.top)?;
        chroot(".")?;
        std::env::set_current_dir("/")
    }

    /// The descriptor of the root itself.
    #[must_use]
    pub fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    fn look(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        openat2(&self.top, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
    }
}

/// A handle of what is at `path`, with no link on the way below `above`, so that whoever may write there cannot lead
/// elsewhere.
pub fn open_below(above: &Path, path: &Path) -> io::Result<OwnedFd> {
    let top = rustix::fs::open(above, DIRECTORY, Mode::empty())?;
    let below = path.strip_prefix(above).map_err(|_| io::ErrorKind::InvalidInput)?;
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(&top, below, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_way_leads_out_of_a_root() {
        let home = tempfile::tempdir().unwrap();
        let (path, outside) = (home.path().join("root"), home.path().join("outside"));
        fs::create_dir_all(path.join("real")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "").unwrap();
        let root = Root::open(&path).unwrap();
        // An absolute link is one from the root's own top.
        symlink("/real", path.join("etc")).unwrap();
        root.directory(Path::new("/etc/a/b")).unwrap();
        assert!(path.join("real/a/b").is_dir());
        root.file(Path::new("/etc/c/hosts")).unwrap();
        assert!(path.join("real/c/hosts").is_file());
        // Neither does any lead to the directory beside it.
        symlink(&outside, path.join("abroad")).unwrap();
        symlink("../outside", path.join("up")).unwrap();
        for way in ["abroad/x", "up/x", "/../outside/x", "real/../../outside/x"] {
            let _ = root.directory(Path::new(way));
            let _ = root.file(Path::new(way));
            assert!(root.find(Path::new(way)).is_err() || path.join("outside/x").exists(), "{way}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert!(root.find_if_there(Path::new("up/secret")).unwrap().is_none());
        // A link to nothing is not made to be one to something.
        symlink("nothing", path.join("loose")).unwrap();
        assert!(root.directory(Path::new("/loose/x")).is_err() && root.file(Path::new("/loose")).is_err());
        assert!(!path.join("nothing").exists());
        symlink("loop", path.join("loop")).unwrap();
        assert!(root.directory(Path::new("/loop/x")).is_err());
        assert!(root.file(Path::new("/etc/a/b")).is_ok(), "what is there is taken as it is");
    }

    #[test]
    fn below_a_directory_no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("sandbox/a/b")).unwrap();
        symlink("a", home.path().join("sandbox/link")).unwrap();
        let sandbox = home.path().join("sandbox");
        assert!(open_below(&sandbox, &sandbox).is_ok());
        assert!(open_below(&sandbox, &sandbox.join("a/b")).is_ok());
        assert!(open_below(&sandbox, &sandbox.join("link/b")).is_err());
        assert!(open_below(&sandbox, &sandbox.join("a/../../x")).is_err());
        assert!(open_below(&sandbox, home.path()).is_err());
    }
}
