//! A command that is this very program, such as an executor of ours: the helper goes on as that without an exec, which
//! would only make of it what it is.

use std::fs::{File, metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use linux::Guise;

use super::{LaunchArgs, Stdin};
use crate::users::Account;

/// Whether an exec would change nothing but what is shown of the process: the file is the one that runs, its user stays
/// root, and no privilege that an exec takes or gives is in play.
pub(super) fn stays(launch: &LaunchArgs, account: Option<&Account>) -> bool {
    let process = &launch.process;
    let is_plain = launch.root().is_none()
        && process.user_namespace.is_none()
        && process.privileges == launch_plan::Privileges::default()
        && launch.stdin == Stdin::Nothing;
    let is_root = rustix::process::geteuid().is_root() && account.is_none_or(|it| it.uid == 0 && it.gid == 0);
    is_plain && is_root && is_this_file(launch).unwrap_or(false)
}

/// An agent whose file was replaced starts the new one.
fn is_this_file(launch: &LaunchArgs) -> io::Result<bool> {
    let (wanted, this) = (metadata(&launch.program)?, metadata("/proc/self/exe")?);
    Ok((wanted.dev(), wanted.ino()) == (this.dev(), this.ino()))
}

/// Takes on the command's environment and input. False where `/proc` cannot show that, which is for an exec then.
///
/// This process has one thread.
pub(super) fn become_it(launch: &LaunchArgs, environment: &[(String, String)]) -> io::Result<bool> {
    if Guise::read().and_then(|guise| guise.show(&launch.argv, environment)).is_err() {
        return Ok(false);
    }
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    linux::replace_environment(environment);
    Ok(true)
}
