//! The first process of a pid namespace: it waits for its one child, and for every orphan that the namespace leaves it.
#![expect(unsafe_code, reason = "fork has no safe form")]

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, wait};

/// Forks. Returns in the child; the parent stays as the namespace's init and exits as the child does: with its status,
/// or 128 and the signal's number. Its end is the end of all processes of the namespace.
///
/// The calling process must have one thread.
pub fn become_init() -> io::Result<()> {
    // SAFETY: with one thread, as is asked for above, nothing of the child's memory is held by a thread that it lacks.
    let pid = unsafe { libc::fork() };
    match Pid::from_raw(pid) {
        None if pid == 0 => Ok(()),
        Some(child) if pid > 0 => std::process::exit(reap_until(child)),
        None | Some(_) => Err(io::Error::last_os_error()),
    }
}

/// Waits for whatever ends, until it is `child`.
fn reap_until(child: Pid) -> i32 {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == child => {
                // COMPAT(mesos): a shell's form of a signal, since an init cannot be killed by one of its own.
                let signal = || status.terminating_signal().map_or(1, |signal| 128 + signal);
                return status.exit_status().unwrap_or_else(signal);
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return 1,
        }
    }
}
