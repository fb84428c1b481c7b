//! Whom the command runs as.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};

use crate::users::Account;

/// Becomes that user.
// ORDER: groups before the user; without root's rights they could not be changed any more.
pub(crate) fn switch(account: &Account) -> io::Result<()> {
    if account.uid == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let groups: Vec<Gid> = account.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    // These change one thread, and this process has one.
    set_thread_groups(&groups)?;
    set_thread_gid(Gid::from_raw(account.gid))?;
    Ok(set_thread_uid(Uid::from_raw(account.uid))?)
}
