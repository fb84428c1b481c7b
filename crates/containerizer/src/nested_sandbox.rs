//! Sandboxes of containers in containers, found where the agent put them.
//!
//! Whoever owns the sandbox around one may rename what is in it and put links there, at any time. From the outermost
//! sandbox on nothing here follows a link, so that root makes, gives away and deletes nothing outside.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path};

use linux::by_descriptor;
use rustix::fs::{Gid, Mode, OFlags, Uid, fchown, mkdirat, openat};
use rustix::io::Errno;

use crate::users;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The directory in a sandbox that those of the containers in it are in.
const CONTAINERS: &str = "containers";

/// Makes the sandbox of a container in another one, or of one that stands alone, for a user. Returns why it could not,
/// for people.
///
/// COMPAT(mesos): the `containers` above it stays the agent's.
pub fn create_nested_sandbox(path: &Path, user: Option<&str>) -> Result<(), String> {
    let failed = |error: io::Error| format!("Failed to create nested sandbox '{}': {error}", path.display());
    let sandbox = make(path).map_err(failed)?;
    let Some(user) = user else { return Ok(()) };
    let failed = |error: String| {
        format!("Failed to chown the executor directory '{}' to user '{user}': {error}", path.display())
    };
    let account = users::lookup(user).map_err(|error| failed(error.to_string()))?;
    fchown(&sandbox, Some(Uid::from_raw(account.uid)), Some(Gid::from_raw(account.gid)))
        .map_err(|error| failed(error.to_string()))
}

/// Deletes a sandbox, or anything else of an executor's past. What is not there needs no deletion.
pub fn remove_sandbox(path: &Path) -> io::Result<()> {
    let top = outermost(path);
    let removed = match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) if top != path => linux::open_below(top, above)
            .and_then(|above| std::fs::remove_dir_all(by_descriptor(above.as_fd()).join(name))),
        _ => std::fs::remove_dir_all(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Opens a sandbox.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    linux::open_below(outermost(path), path)
}

/// Makes the last directory of a path, which must be new, and those that are missing above.
fn make(path: &Path) -> io::Result<OwnedFd> {
    let top = outermost(path);
    let names = path.strip_prefix(top).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut names = names.components().peekable();
    let mut directory = rustix::fs::open(top, DIRECTORY, Mode::empty())?;
    while let Some(component) = names.next() {
        let Component::Normal(name) = component else { return Err(io::ErrorKind::InvalidInput.into()) };
        let is_last = names.peek().is_none();
        match mkdirat(&directory, name, Mode::from_raw_mode(if is_last { 0o750 } else { 0o755 })) {
            Err(Errno::EXIST) if !is_last => {}
            made => made?,
        }
        directory = openat(&directory, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(directory)
}

/// The outermost sandbox around a path, or the directory that the sandboxes of containers are in that stand alone: the
/// agent alone decides what is at that path.
fn outermost(mut path: &Path) -> &Path {
    while let Some(containers) = path.parent().filter(|above| above.ends_with(CONTAINERS)) {
        let Some(above) = containers.parent() else { break };
        path = above;
    }
    path
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn is_empty(directory: &Path) -> bool {
        fs::read_dir(directory).unwrap().count() == 0
    }

    #[test]
    fn they_are_made_one_in_another() {
        let home = tempfile::tempdir().unwrap();
        let sandbox = home.path().join("runs/c");
        fs::create_dir_all(&sandbox).unwrap();
        let inner = sandbox.join("containers/a");
        create_nested_sandbox(&inner, None).unwrap();
        create_nested_sandbox(&inner.join("containers/b"), None).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o750);
        let again = create_nested_sandbox(&inner, None).unwrap_err();
        assert!(again.contains("Failed to create nested sandbox"), "{again}");
        assert_eq!(outermost(&inner.join("containers/b")), sandbox);
        assert_eq!(outermost(&sandbox), sandbox);
        let unknown = create_nested_sandbox(&sandbox.join("containers/x"), Some("no-such-user")).unwrap_err();
        assert!(unknown.contains("No such user 'no-such-user'"), "{unknown}");
        open(&inner).unwrap();
        remove_sandbox(&inner).unwrap();
        remove_sandbox(&inner).unwrap();
        assert!(!inner.exists() && sandbox.exists());
        remove_sandbox(&sandbox).unwrap();
        assert!(!sandbox.exists());
    }

    #[test]
    fn links_of_who_owns_the_sandbox_around_lead_nowhere() {
        let home = tempfile::tempdir().unwrap();
        let (sandbox, outside) = (home.path().join("runs/c"), home.path().join("outside"));
        fs::create_dir_all(&sandbox).unwrap();
        fs::create_dir_all(outside.join("precious/containers")).unwrap();
        let path = sandbox.join("containers/precious");
        symlink(&outside, sandbox.join("containers")).unwrap();
        assert!(create_nested_sandbox(&path, None).is_err());
        assert!(create_nested_sandbox(&path.join("containers/a"), None).is_err());
        assert!(open(&path).is_err());
        assert!(remove_sandbox(&path).is_err());
        fs::remove_file(sandbox.join("containers")).unwrap();
        // The same one level below, and a link in the place of the sandbox itself.
        fs::create_dir_all(sandbox.join("containers")).unwrap();
        symlink(outside.join("precious"), &path).unwrap();
        assert!(create_nested_sandbox(&path, None).is_err());
        assert!(create_nested_sandbox(&path.join("containers/a"), None).is_err());
        assert!(open(&path).is_err());
        // A link is deleted, not what it leads to.
        remove_sandbox(&path).unwrap();
        assert!(
            outside.join("precious/containers").is_dir() && is_empty(&outside.join("precious/containers"))
        );
    }

    #[test]
    fn links_that_come_and_go_meanwhile_lead_nowhere() {
        let home = tempfile::tempdir().unwrap();
        let (sandbox, outside) = (home.path().join("runs/c"), home.path().join("outside"));
        fs::create_dir_all(&sandbox).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, sandbox.join("link")).unwrap();
        fs::create_dir(sandbox.join("containers")).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (link, real) = (sandbox.join("link"), sandbox.join("containers"));
                while !over.load(Ordering::Relaxed) {
                    let swap = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(rustix::fs::CWD, &link, rustix::fs::CWD, &real, swap).unwrap();
                }
            });
            let made = (0..5000).filter(|number| {
                let path = sandbox.join(format!("containers/{number}"));
                create_nested_sandbox(&path, None).is_ok()
            });
            let made = made.count();
            over.store(true, Ordering::Relaxed);
            assert!(made > 0, "the directory was there at times");
        });
        assert!(is_empty(&outside));
    }
}
