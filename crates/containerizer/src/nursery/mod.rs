//! Where launch helpers come from: a process that is one already, and forks.
//!
//! A helper that is started by an exec of our binary spends most of its life on becoming a program: the kernel maps it,
//! the C library and the allocator prepare themselves, each page is touched anew. The nursery, `mesos containerizer
//! nursery`, has all that behind it. It is a child of the agent with one thread and an empty environment, which knows
//! nothing but what it is asked: for each container it is handed a command line and descriptors, and forks into the
//! container's namespaces. The child is the agent's own (`CLONE_PARENT`), and a helper like any other.
//!
//! It ends when the agent does. Where it cannot be had, helpers are started by an exec.

mod serve;
mod wire;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linux::{Cgroup, Namespaces, Spawn, Spawned};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

pub(crate) use serve::serve;

/// The word that follows `containerizer`.
pub(crate) const WORD: &str = "nursery";

/// How long it may take to fork. It does nothing else.
const PATIENCE: Duration = Duration::from_secs(20);

/// The nursery of one agent.
pub(crate) struct Nursery {
    program: PathBuf,
    /// A lock, since containers are launched side by side and it answers one at a time; held for a fork.
    running: Mutex<Option<Running>>,
}

struct Running {
    socket: OwnedFd,
    /// Nobody else waits for it, so that the number stays its own.
    pid: Pid,
}

/// A helper to be.
pub(crate) struct Wanted<'a> {
    /// Its whole command line.
    pub(crate) argv: &'a [OsString],
    /// Its standard input, output and error.
    pub(crate) stdio: [BorrowedFd<'a>; 3],
    /// Its namespaces.
    pub(crate) namespaces: Namespaces,
    /// The cgroup that it begins in, on version 2.
    pub(crate) born_in: Option<&'a Cgroup>,
}

impl Nursery {
    /// One of that program: ours. It begins with the first container.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program, running: Mutex::default() }
    }

    /// Asks the nursery for a helper. None if there is none, or if none answered: then a helper may have been made all
    /// the same, which ends with its input. Another one must have an input of its own.
    pub(crate) fn ask(&self, wanted: &Wanted<'_>) -> Option<io::Result<Spawned>> {
        if !wire::fits(wanted.argv) {
            return None;
        }
        let mut running = self.lock();
        if running.is_none() {
            // That it is not there is told by the exec that follows.
            *running = Running::start(&self.program).ok();
        }
        match running.as_ref()?.ask(wanted) {
            // A sandbox around the agent may know of no `clone3`.
            Ok(Err(error)) if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) => None,
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::warn!(%error, "the process that makes launch helpers is gone; there will be another");
                *running = None;
                None
            }
        }
    }

    /// Starts a helper by an exec.
    pub(crate) fn start(&self, wanted: &Wanted<'_>) -> io::Result<Spawned> {
        let spawn = Spawn {
            program: &self.program,
            argv: wanted.argv,
            stdio: wanted.stdio,
            namespaces: wanted.namespaces,
        };
        match wanted.born_in {
            Some(cgroup) => spawn.start_in(cgroup),
            None => spawn.start(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        // Nothing is left half done under this lock, so a panic elsewhere does not spoil it.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn start(program: &PathBuf) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (socket, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        for timeout in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, timeout, Some(PATIENCE))?;
        }
        let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
        let argv = [program.into(), "containerizer".into(), WORD.into()];
        let stdio = [theirs.as_fd(), null.as_fd(), null.as_fd()];
        let spawned = Spawn { program, argv: &argv, stdio, namespaces: Namespaces::default() }.start()?;
        let pid = Pid::from_raw(spawned.pid.cast_signed()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { socket, pid })
    }

    /// An error is that no answer came.
    fn ask(&self, wanted: &Wanted<'_>) -> io::Result<io::Result<Spawned>> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |cgroup: &Cgroup| rustix::fs::open(cgroup.path(), flags, Mode::empty());
        let cgroup = match wanted.born_in.map(open).transpose() {
            Ok(cgroup) => cgroup,
            Err(errno) => return Ok(Err(errno.into())),
        };
        let mut descriptors = wanted.stdio.to_vec();
        descriptors.extend(cgroup.as_ref().map(OwnedFd::as_fd));
        wire::send(self.socket.as_fd(), &wire::request(wanted), &descriptors)?;
        wire::receive_answer(self.socket.as_fd())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its own children are not its children, and none of its errors is worth anything here.
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED);
    }
}
