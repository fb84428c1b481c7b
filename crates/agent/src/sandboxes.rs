//! Sandbox directories: made for their users, shown to readers, removed in the end.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use agent_core::Sandbox;
use containerizer::users;
use daemon::Files;
use fail_point::fail_point;

use crate::checkpoint;
use crate::stats::Stats;

/// Makes a sandbox and the `latest` link beside it. Returns why it could not, for people.
pub(crate) fn create(sandbox: &Sandbox) -> Result<(), String> {
    let path = Path::new(&sandbox.path);
    let failed =
        |error: io::Error| format!("Failed to create executor directory '{}': {error}", sandbox.path);
    let runs = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(runs).map_err(failed)?;
    fs::DirBuilder::new().mode(0o750).create(path).map_err(failed)?;
    fail_point("sandbox.made");
    checkpoint::link(&runs.join("latest"), path).map_err(failed)?;
    fail_point("sandbox.linked");
    give(path, sandbox.user.as_deref())
}

/// Gives a directory to a user.
fn give(path: &Path, user: Option<&str>) -> Result<(), String> {
    let Some(user) = user else { return Ok(()) };
    let failed = |error: String| {
        format!("Failed to chown the executor directory '{}' to user '{user}': {error}", path.display())
    };
    let account = users::lookup(user).map_err(|error| failed(error.to_string()))?;
    chown(path, Some(account.uid), Some(account.gid)).map_err(|error| failed(error.to_string()))
}

/// Shows a sandbox under its own path, under that of the latest run and under its virtual path.
pub(crate) fn attach(files: &Files, sandbox: &Sandbox) {
    let path = Path::new(&sandbox.path);
    let latest = path.with_file_name("latest");
    for name in [sandbox.path.as_str(), &latest.to_string_lossy(), sandbox.virtual_path.as_str()] {
        if let Err(error) = files.attach(path, name) {
            tracing::warn!(path = sandbox.path, %error, "cannot show a sandbox");
        }
    }
}

/// Removes a directory of a past run on a thread of its own, and stops showing it.
pub(crate) fn remove(files: &Files, stats: &Arc<Stats>, path: String) {
    // What a later run has taken over leads elsewhere by now and stays.
    let gone = Path::new(&path).canonicalize().unwrap_or_else(|_| path.clone().into());
    for (name, real) in files.attached() {
        if real.starts_with(&gone) {
            files.detach(&name);
        }
    }
    let stats = Arc::clone(stats);
    stats.removals_pending.fetch_add(1, Ordering::Relaxed);
    tokio::task::spawn_blocking(move || {
        fail_point("gc.removing");
        match containerizer::remove_sandbox(Path::new(&path)) {
            Err(error) => {
                tracing::warn!(path, %error, "cannot remove a directory");
                stats.removals_failed.fetch_add(1, Ordering::Relaxed);
            }
            Ok(()) => {
                tracing::info!(path, "removed a directory");
                stats.removals_succeeded.fetch_add(1, Ordering::Relaxed);
            }
        }
        fail_point("gc.removed");
        stats.removals_pending.fetch_sub(1, Ordering::Relaxed);
    });
}

/// How full the disk of a directory is, in thousandths.
pub(crate) fn disk_permille(directory: &Path) -> io::Result<u32> {
    let disk = rustix::fs::statvfs(directory)?;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    Ok(u32::try_from(used.saturating_mul(1000) / disk.f_blocks.max(1)).unwrap_or(1000))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn sandboxes_come_and_lead_to_the_latest() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new();
        let make = |name: &str| {
            let path = directory.path().join("runs").join(name);
            let virtual_path = "/frameworks/F/executors/e/runs/latest".to_owned();
            let sandbox = Sandbox { path: path.to_str().unwrap().to_owned(), virtual_path, user: None };
            create(&sandbox).unwrap();
            attach(&files, &sandbox);
            sandbox
        };
        let first = make("a");
        let second = make("b");
        assert!(create(&second).is_err());
        assert_eq!(fs::read_link(directory.path().join("runs/latest")).unwrap(), Path::new(&second.path));
        assert_eq!(fs::metadata(&first.path).unwrap().permissions().mode() & 0o777, 0o750);
        let real = Path::new(&second.path).canonicalize().unwrap();
        assert_eq!(files.attached()["/frameworks/F/executors/e/runs/latest"], real);
        assert_eq!(files.attached().len(), 4);
        let unknown = Sandbox {
            path: directory.path().join("runs/c").to_str().unwrap().to_owned(),
            user: Some("no-such-user".to_owned()),
            ..first
        };
        assert!(create(&unknown).unwrap_err().contains("No such user 'no-such-user'"));
        assert!(disk_permille(directory.path()).unwrap() <= 1000);
    }
}
