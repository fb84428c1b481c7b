//! Namespaces of another process, taken over by this one.
#![expect(unsafe_code, reason = "unshare has no safe form")]

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Which namespaces of another process to take over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enter {
    /// Its mounts. The working directory is then their root.
    pub mounts: bool,
    /// Its process ids, for the children of this process.
    pub pids: bool,
    /// Its message queues, semaphores and shared memory.
    pub ipc: bool,
    /// Its network interfaces.
    pub network: bool,
    /// Its host name.
    pub uts: bool,
}

/// Enters namespaces of the process `pid`, which is a number of the mounted `/proc`: this process may have a pid
/// namespace of its own, where that number says nothing.
///
/// The calling process must have one thread.
pub fn enter(pid: u32, which: Enter) -> io::Result<()> {
    let wanted = [
        (which.pids, "pid", LinkNameSpaceType::ProcessID),
        (which.ipc, "ipc", LinkNameSpaceType::InterProcessCommunication),
        (which.network, "net", LinkNameSpaceType::Network),
        (which.uts, "uts", LinkNameSpaceType::HostNameAndNISDomainName),
        // ORDER: the last, since another `/proc` is mounted there.
        (which.mounts, "mnt", LinkNameSpaceType::Mount),
    ];
    for (_, name, kind) in wanted.into_iter().filter(|(wanted, ..)| *wanted) {
        let namespace = File::open(format!("/proc/{pid}/ns/{name}"))?;
        move_into_link_name_space(namespace.as_fd(), Some(kind))?;
    }
    Ok(())
}

/// Gives this process a copy of the mounts that it sees.
///
/// The calling process must have one thread.
pub fn own_mounts() -> io::Result<()> {
    // SAFETY: no descriptor table is unshared, which is what could take descriptors away from code that owns them.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    Ok(())
}
