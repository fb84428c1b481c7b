//! Starts a program in new namespaces.
//!
//! The child borrows the memory of its parent until it is another program (`CLONE_VM | CLONE_VFORK`), so that a spawn
//! costs the same however big the parent is. Until then it may only make system calls: no allocation, no lock, no
//! `Drop`. Everything it needs is made before.
#![expect(
    unsafe_code,
    reason = "clone, and what a child may do before it is another program, has no safe form"
)]

use std::ffi::{CString, OsStr, OsString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use rustix::fs::{Mode, OFlags};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::cgroup::Cgroup;
use crate::into_cgroup::clone_into;

/// The child's stack. It calls a handful of functions of the C library, none of which keeps much there.
const STACK_BYTES: usize = 64 * 1024;

/// The exit status of a child that did not become its program. Nobody sees it: the spawn has failed.
const EXIT_FAILED: c_int = 127;

/// Which namespaces of its own a program gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Process ids: the program is number 1.
    pub pid: bool,
    /// Message queues, semaphores, shared memory.
    pub ipc: bool,
    /// Mounts: a copy of the parent's.
    pub mount: bool,
    /// Network interfaces: a loopback that is down, and nothing else.
    pub network: bool,
    /// The names of host and domain: a copy of the parent's.
    pub uts: bool,
}

/// A program to be started: with an empty environment, in `/`, with no signal blocked or ignored.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// Its file.
    pub program: &'a Path,
    /// Its arguments, its own name first.
    pub argv: &'a [OsString],
    /// Its standard input, output and error.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Its namespaces.
    pub namespaces: Namespaces,
}

/// A program that was started.
#[derive(Debug)]
pub struct Spawned {
    /// Its process id, as this process sees it.
    pub pid: u32,
    /// A handle that becomes readable when it ends. It must be [waited for](status_of).
    pub pidfd: OwnedFd,
}

/// What the child finds in the memory it shares with its parent.
struct Orders {
    program: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    stdio: [c_int; 3],
    /// The errno of the call that failed.
    failure: c_int,
}

impl Spawn<'_> {
    /// Starts it. An error is that of the kernel for the program too: a file that is not there, or cannot be run.
    pub fn start(&self) -> io::Result<Spawned> {
        self.begin(None)
    }

    /// Starts it in a cgroup of version 2: no moment of it is anywhere else.
    pub fn start_in(&self, cgroup: &Cgroup) -> io::Result<Spawned> {
        let directory = rustix::fs::open(
            cgroup.path(),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        self.begin(Some(directory.as_fd()))
    }

    fn begin(&self, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Spawned> {
        let program = text(self.program.as_os_str())?;
        let argv = self.argv.iter().map(|argument| text(argument)).collect::<io::Result<Vec<_>>>()?;
        let mut pointers: Vec<*const c_char> = argv.iter().map(|argument| argument.as_ptr()).collect();
        pointers.push(ptr::null());
        // A target below 3 could be a source that is still needed; copies above are out of the way.
        let copies = self.stdio.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3));
        let [stdin, stdout, stderr] = copies;
        let (stdin, stdout, stderr) = (stdin?, stdout?, stderr?);
        let none: [*const c_char; 1] = [ptr::null()];
        let mut orders = Orders {
            program: program.as_ptr(),
            argv: pointers.as_ptr(),
            envp: none.as_ptr(),
            stdio: [stdin.as_raw_fd(), stdout.as_raw_fd(), stderr.as_raw_fd()],
            failure: 0,
        };
        let spawned = clone(self.namespaces.flags(), cgroup, &mut orders)?;
        if orders.failure != 0 {
            // Its end is taken note of, so that no zombie stays.
            let _ = waitid(WaitId::PidFd(spawned.pidfd.as_fd()), WaitIdOptions::EXITED);
            return Err(io::Error::from_raw_os_error(orders.failure));
        }
        Ok(spawned)
    }
}

impl Namespaces {
    pub(crate) fn flags(self) -> c_int {
        let flag = |wanted: bool, flag: c_int| if wanted { flag } else { 0 };
        flag(self.pid, libc::CLONE_NEWPID)
            | flag(self.ipc, libc::CLONE_NEWIPC)
            | flag(self.mount, libc::CLONE_NEWNS)
            | flag(self.network, libc::CLONE_NEWNET)
            | flag(self.uts, libc::CLONE_NEWUTS)
    }
}

/// The wait status of a child that has ended, as `waitpid` gives it. None while it runs.
pub fn status_of(pidfd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let Some(status) = waitid(WaitId::PidFd(pidfd), options)? else { return Ok(None) };
    let core = if status.dumped() { 0x80 } else { 0 };
    Ok(Some(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) => signal | core,
        (None, None) => return Ok(None),
    }))
}

fn text(text: &OsStr) -> io::Result<CString> {
    Ok(CString::new(text.as_bytes())?)
}

fn clone(namespaces: c_int, cgroup: Option<BorrowedFd<'_>>, orders: &mut Orders) -> io::Result<Spawned> {
    let mut stack = vec![MaybeUninit::<u128>::uninit(); STACK_BYTES / size_of::<u128>()];
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD | namespaces;
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the sets are written before they are read, and belong to this function. The mask is this thread's own.
    let blocked = unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
    };
    if blocked != 0 {
        return Err(io::Error::from_raw_os_error(blocked));
    }
    // SAFETY: the stack grows down from its end, which `u128` aligns as the ABI asks. This thread stands still until the
    // child is another program or has ended (CLONE_VFORK), so that `orders`, what it points to, and the stack outlive
    // the child's use of them, and nobody else touches them. With all signals blocked no handler of ours runs on the
    // child's stack. `pidfd` is where CLONE_PIDFD writes.
    let pid = unsafe {
        let argument = ptr::from_mut(orders).cast();
        match cgroup {
            None => {
                let top = stack.as_mut_ptr_range().end.cast();
                let pid = libc::clone(run_child, top, flags, argument, &raw mut pidfd);
                u32::try_from(pid).map_err(|_| io::Error::last_os_error())
            }
            Some(cgroup) => clone_into(cgroup, run_child, &mut stack, flags, argument, &raw mut pidfd),
        }
    };
    // SAFETY: `before` was filled in by the successful call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    let pid = pid?;
    // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Spawned { pid, pidfd })
}

/// The child, in its parent's memory and on a stack of its own. Returns only if it could not become the program.
extern "C" fn run_child(orders: *mut c_void) -> c_int {
    let orders: *mut Orders = orders.cast();
    // SAFETY: `orders` points to the parent's, which stands still meanwhile; see `clone`. All calls are system calls or
    // plain writes to memory of this frame. Handlers and masks are the child's own, since CLONE_SIGHAND is not given.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            // Handlers would be reset by exec; what is ignored would stay so.
            libc::signal(signal, libc::SIG_DFL);
        }
        for (target, source) in (0..).zip((*orders).stdio) {
            if libc::dup2(source, target) < 0 {
                (*orders).failure = *libc::__errno_location();
                return EXIT_FAILED;
            }
        }
        let root = c"/";
        libc::chdir(root.as_ptr());
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::execve((*orders).program, (*orders).argv, (*orders).envp);
        (*orders).failure = *libc::__errno_location();
    }
    EXIT_FAILED
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn run(program: &str, argv: &[&str]) -> io::Result<(i32, String)> {
        let (mut reader, writer) = io::pipe()?;
        let null = File::open("/dev/null")?;
        let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
        let spawned = Spawn {
            program: Path::new(program),
            argv: &argv,
            stdio: [null.as_fd(), writer.as_fd(), writer.as_fd()],
            namespaces: Namespaces::default(),
        }
        .start()?;
        drop(writer);
        let mut output = String::new();
        reader.read_to_string(&mut output)?;
        poll(&mut [PollFd::new(&spawned.pidfd, PollFlags::IN)], None)?;
        Ok((status_of(spawned.pidfd.as_fd())?.expect("it has ended"), output))
    }

    #[test]
    fn programs_run_and_end() {
        let (status, output) = run("/bin/sh", &["sh", "-c", "pwd; echo ${HOME-none} >&2; exit 3"]).unwrap();
        assert_eq!((status, output.as_str()), (3 << 8, "/\nnone\n"));
        assert_eq!(run("/bin/sh", &["sh", "-c", "kill -9 $$"]).unwrap().0, 9);
    }

    #[test]
    fn nothing_is_blocked_or_ignored() {
        // The test's own runtime ignores SIGPIPE.
        let (_, output) = run("/bin/grep", &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]).unwrap();
        for line in output.lines() {
            let mask = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
            // Signals 32 and 33 belong to the C library, which lets nobody change them.
            assert_eq!(mask & !(3 << 31), 0, "{line}");
        }
        assert_eq!(output.lines().count(), 2);
    }

    #[test]
    fn a_program_that_is_none_is_an_error() {
        assert_eq!(run("/no/such", &["x"]).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(run("/etc/passwd", &["x"]).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(run("/bin/sh", &["a\0b"]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
