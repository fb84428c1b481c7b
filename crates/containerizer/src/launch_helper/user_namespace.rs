//! The users of a container with a user namespace: who they are outside, and what belongs to them.
//!
//! The namespace is made first, as it takes a `/proc` that shows this process, and entered last, as all else takes the
//! machine's root. So mounts, process ids and the rest stay the machine's own: root in the container has no power over
//! them.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use launch_plan::UserNamespace;
use rustix::fs::{Mode, OFlags};

use super::LaunchError;

/// The options that say all this.
pub(super) fn to_command_line(namespace: &UserNamespace, line: &mut Vec<OsString>) {
    let (first, count) = (namespace.first.to_string(), namespace.count.to_string());
    line.extend(["--user_namespace".into(), first.into(), count.into()]);
    for path in &namespace.files {
        line.extend(["--files".into(), path.into()]);
    }
}

/// The value of `--user_namespace`.
pub(super) fn parse(first: &str, count: &str) -> Result<UserNamespace, LaunchError> {
    let number = |text: &str| text.parse().map_err(|_| LaunchError::Usage("an id is none"));
    Ok(UserNamespace { first: number(first)?, count: number(count)?, files: Vec::new() })
}

/// Makes the namespace.
pub(super) fn make(planned: &UserNamespace) -> Result<OwnedFd, LaunchError> {
    linux::user_namespace(planned.first, planned.count).map_err(LaunchError::UserNamespace)
}

/// Lets the files of the container belong to its users.
pub(super) fn give_files(planned: &UserNamespace, namespace: &OwnedFd) -> Result<(), LaunchError> {
    planned.files.iter().try_for_each(|path| give(path, namespace))?;
    // ORDER: while their paths are the machine's.
    reopen_outputs(planned).map_err(LaunchError::Outputs)
}

/// Lets what is at a path, but not what is mounted below it, belong to the container's users.
pub(super) fn give(path: &str, namespace: &OwnedFd) -> Result<(), LaunchError> {
    linux::map_ids(Path::new(path), namespace.as_fd())
        .map_err(|error| LaunchError::Files(path.to_owned(), error))
}

/// Becomes root of the namespace.
pub(super) fn enter(namespace: &OwnedFd) -> Result<(), LaunchError> {
    linux::enter_user_namespace(namespace.as_fd()).map_err(LaunchError::UserNamespace)
}

/// Opens stdout and stderr again where they are files of the container: through a mount that knows its users, so that
/// `/dev/stdout` can be opened by them.
fn reopen_outputs(planned: &UserNamespace) -> io::Result<()> {
    for number in [1, 2] {
        let path = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
        if !planned.files.iter().any(|files| path.starts_with(files)) {
            continue;
        }
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(&path, flags, Mode::empty())?;
        match number {
            1 => rustix::stdio::dup2_stdout(file)?,
            _ => rustix::stdio::dup2_stderr(file)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_again() {
        let namespace = UserNamespace { first: 65536, count: 10, files: vec!["/a".to_owned()] };
        let mut line = Vec::new();
        to_command_line(&namespace, &mut line);
        assert_eq!(line, ["--user_namespace", "65536", "10", "--files", "/a"].map(OsString::from));
        assert_eq!(parse("65536", "10").unwrap(), UserNamespace { files: Vec::new(), ..namespace });
        assert!(parse("-1", "10").is_err());
    }
}
