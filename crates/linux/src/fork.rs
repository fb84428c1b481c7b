//! A fork into new namespaces, whose child belongs to the parent of the process that forks: how a process that was
//! made ready beforehand gives its likeness to another one that asks for it.
#![expect(unsafe_code, reason = "clone3 has no safe form")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use crate::into_cgroup::{CLONE_INTO_CGROUP, CloneArgs};
use crate::spawn::{Namespaces, Spawned};

/// Forks into `namespaces`, and into `cgroup` of version 2 if one is given. None in the child, which is a child of this
/// process's parent, not of this process.
///
/// The calling process must have one thread. To the C library the child still has the thread id of its parent, which
/// counts for nothing but locks that it makes with an owner, and a second `fork` mends.
pub fn fork_to_parent(namespaces: Namespaces, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Option<Spawned>> {
    let mut pidfd: c_int = -1;
    let flags = (libc::CLONE_PARENT | libc::CLONE_PIDFD | namespaces.flags()).cast_unsigned();
    let into = cgroup.map_or(0, |_| CLONE_INTO_CGROUP);
    let args = CloneArgs {
        flags: u64::from(flags) | into,
        pidfd: (&raw mut pidfd).addr() as u64,
        // That of CLONE_PARENT is this process's own.
        exit_signal: 0,
        cgroup: cgroup.map_or(0, |cgroup| u64::from(cgroup.as_raw_fd().cast_unsigned())),
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM and without a stack this is a fork: the child goes on with a copy of this memory, of
    // which no other thread holds anything, since there is none. The kernel reads `args` and writes `pidfd`.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match u32::try_from(pid) {
        Ok(0) => Ok(None),
        // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
        Ok(pid) => Ok(Some(Spawned { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
