//! A process that stays beside its one child: as the init of a pid namespace it waits for every orphan that the
//! namespace leaves it too.
#![expect(unsafe_code, reason = "fork has no safe form")]

use std::fs::File;
use std::io::{self, Write as _};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, wait};

/// Forks. Returns in the child; the parent stays as the namespace's init and exits as the child does: with its status,
/// or 128 and the signal's number. Its end is the end of all processes of the namespace.
///
/// The calling process must have one thread.
pub fn become_init() -> io::Result<()> {
    become_child(None)
}

/// The same for a process that may be no init: the parent writes the child's wait status to `status` as text before it
/// exits, and the child leads a session of its own, so that signals to its process group are not for the parent.
///
/// The calling process must have one thread.
pub fn become_watched(status: File) -> io::Result<()> {
    become_child(Some(status))?;
    rustix::process::setsid()?;
    Ok(())
}

fn become_child(status: Option<File>) -> io::Result<()> {
    // SAFETY: with one thread, as is asked for above, nothing of the child's memory is held by a thread that it lacks.
    let pid = unsafe { libc::fork() };
    match Pid::from_raw(pid) {
        None if pid == 0 => Ok(()),
        Some(child) if pid > 0 => std::process::exit(reap_until(child, status)),
        None | Some(_) => Err(io::Error::last_os_error()),
    }
}

/// Waits for whatever ends, until it is `child`.
fn reap_until(child: Pid, file: Option<File>) -> i32 {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == child => {
                if let Some(mut file) = file {
                    // On a full disk the exit status says it as well as it can.
                    let _ = write!(file, "{}", status.as_raw()).and_then(|()| file.sync_all());
                }
                // COMPAT(mesos): a shell's form of a signal, since an init cannot be killed by one of its own.
                let signal = || status.terminating_signal().map_or(1, |signal| 128 + signal);
                return status.exit_status().unwrap_or_else(signal);
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return 1,
        }
    }
}
