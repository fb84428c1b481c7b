//! Working as the task's user, so that the kernel decides what may be read and who owns what is written.

use rustix::process::{Gid, Uid, geteuid};
use std::io;

/// A user of this machine, resolved by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name, which also names the user's part of the cache.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The id of the primary group.
    pub gid: u32,
    /// The ids of the other groups.
    pub groups: Vec<u32>,
}

/// Does `work` with the rights of `user`, on a thread that exists for nothing else.
///
/// Only the effective ids change: the real and the saved user stay root's, so that the user cannot signal the agent
/// through this thread. Processes must not be started in `work`, since they could take the saved rights back.
pub(crate) fn run_as<T: Send>(
    user: Option<&User>,
    work: impl FnOnce() -> Result<T, String> + Send,
) -> Result<T, String> {
    let Some(user) = user.filter(|user| user.uid != geteuid().as_raw()) else { return work() };
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("fetch".into()).spawn_scoped(scope, || {
            become_user(user)
                .map_err(|error| format!("Failed to switch to user '{}': {error}", user.name))?;
            work()
        });
        match worker {
            Ok(worker) => worker.join().unwrap_or_else(|_| Err("the fetcher's thread panicked".into())),
            Err(error) => Err(format!("Failed to start a thread: {error}")),
        }
    })
}

// ORDER: groups first; without root's rights they could not be changed any more.
fn become_user(user: &User) -> io::Result<()> {
    let groups: Vec<Gid> = user.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    rustix::thread::set_thread_groups(&groups)?;
    rustix::thread::set_thread_res_gid(None, Gid::from_raw(user.gid), None)?;
    rustix::thread::set_thread_res_uid(None, Uid::from_raw(user.uid), None)?;
    Ok(())
}
