//! Who carries a container's input and output: a board in this process, or a helper process, which is started here,
//! found again by a later agent, and ended with its container.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use linux::{Namespaces, Spawn};
use proto::mesos::slave::ContainerLimitation;
use proto::mesos::v1::task_status;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::io::board::Board;
use crate::io::helper::HelperArgs;

/// COMPAT(mesos): the names under a container's runtime directory.
const DIRECTORY: &str = "io_switchboard";
const PID: &str = "pid";
const SOCKET: &str = "socket";

/// How long a helper may go on once its container is gone, before it is told to end, and then before it is killed.
/// COMPAT(mesos): the first of the two.
const LINGER: Duration = Duration::from_secs(5);
const TERMINATION: Duration = Duration::from_secs(10);

/// Who carries it.
#[derive(Clone, Debug)]
pub(crate) enum Carrier {
    /// This process.
    Board(Arc<Board>),
    /// Another one.
    Helper(Arc<Helper>),
}

/// A helper process.
#[derive(Debug)]
pub(crate) struct Helper {
    pid: u32,
    handle: AsyncFd<OwnedFd>,
    /// Whether its exit status is for us.
    is_child: bool,
    status: OnceLock<Option<i32>>,
}

/// Where a container's helper is found.
#[derive(Clone, Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// Below the container's runtime directory.
    pub(crate) fn of(runtime: &Path) -> Self {
        Self(runtime.join(DIRECTORY))
    }

    /// Makes it, for nobody else to look into.
    pub(crate) fn make(&self) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    /// Listens there.
    pub(crate) fn listen(&self) -> io::Result<OwnedFd> {
        let (_directory, path) = self.socket()?;
        Ok(std::os::unix::net::UnixListener::bind(path)?.into())
    }

    /// Connects to who listens there.
    pub(crate) async fn connect(&self) -> io::Result<UnixStream> {
        let (_directory, path) = self.socket()?;
        UnixStream::connect(path).await
    }

    /// The socket by way of an open directory: an address has no room for a long path.
    fn socket(&self) -> io::Result<(OwnedFd, String)> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(&self.0, flags, Mode::empty())?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        Ok((directory, path))
    }
}

impl Helper {
    /// Starts a helper, and notes its id for a later agent.
    pub(crate) fn start(
        launcher: &Path,
        args: &HelperArgs,
        stdio: [BorrowedFd<'_>; 3],
        place: &Place,
    ) -> io::Result<Self> {
        let mut argv = vec![launcher.into(), "containerizer".into(), "io".into()];
        argv.extend(args.to_command_line());
        let namespaces = Namespaces::default();
        let spawned = Spawn { program: launcher, argv: &argv, stdio, namespaces }.start()?;
        let helper = Self::new(spawned.pid, spawned.pidfd, true)?;
        fs::write(place.0.join(PID), spawned.pid.to_string())?;
        Ok(helper)
    }

    /// The helper that an earlier agent started for a container with that sandbox.
    pub(crate) fn adopt(place: &Place, sandbox: &str) -> Option<Self> {
        let pid: u32 = fs::read_to_string(place.0.join(PID)).ok()?.trim().parse().ok()?;
        let handle = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::NONBLOCK).ok()?;
        // ORDER: looked at with the handle open, from when on the id stays the same process's.
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let has = |word: &str| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes());
        if !has("io") || !has(sandbox) {
            return None;
        }
        Self::new(pid, handle, false).ok()
    }

    fn new(pid: u32, handle: OwnedFd, is_child: bool) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "an `OwnedFd` stays open as long as it lives, which is all that `register` asks for"
        )]
        let handle = AsyncFd::new(handle)?;
        Ok(Self { pid, handle, is_child, status: OnceLock::new() })
    }

    /// Waits for its end. The wait status is that of a child.
    async fn ended(&self) -> Option<i32> {
        loop {
            if let Some(status) = self.status.get() {
                return *status;
            }
            let Ok(mut ready) = self.handle.readable().await else { return None };
            if !self.is_child {
                return None;
            }
            match linux::status_of(self.handle.get_ref().as_fd()) {
                Ok(Some(status)) => return *self.status.get_or_init(|| Some(status)),
                Ok(None) => ready.clear_ready(),
                // Somebody else was told.
                Err(_) => return *self.status.get_or_init(|| None),
            }
        }
    }

    /// Its container is gone: waits until it has written what there is, and ends it if that takes too long.
    pub(crate) async fn finish(&self) {
        for (patience, signal) in [(LINGER, Signal::TERM), (TERMINATION, Signal::KILL)] {
            if timeout(patience, self.ended()).await.is_ok() {
                return;
            }
            // It may end by itself meanwhile.
            let _ = pidfd_send_signal(self.handle.get_ref(), signal);
        }
        if timeout(TERMINATION, self.ended()).await.is_err() {
            tracing::error!(pid = self.pid, "the I/O helper of a container cannot be killed");
        }
    }

    /// Waits until it fails; forever if it does not.
    async fn failed(&self) -> ContainerLimitation {
        match self.ended().await {
            Some(status) if status != 0 => failure(status),
            Some(_) | None => std::future::pending().await,
        }
    }

    /// Whether it has failed already: that may be why the container ended.
    fn has_failed(&self) -> Option<ContainerLimitation> {
        let ended = self.is_child.then(|| linux::status_of(self.handle.get_ref().as_fd()));
        if let Some(Ok(Some(status))) = ended {
            // Nobody else waits for it meanwhile.
            let _ = self.status.set(Some(status));
        }
        self.status.get().copied().flatten().filter(|status| *status != 0).map(failure)
    }
}

fn failure(status: i32) -> ContainerLimitation {
    let how = match status & 0x7f {
        0 => format!("exited with status {}", status >> 8),
        6 => "terminated with signal Aborted".to_owned(),
        9 => "terminated with signal Killed".to_owned(),
        11 => "terminated with signal Segmentation fault".to_owned(),
        15 => "terminated with signal Terminated".to_owned(),
        signal => format!("terminated with signal {signal}"),
    };
    ContainerLimitation {
        // COMPAT(mesos): the name in quotation marks.
        message: Some(format!("'IOSwitchboard' {how}")),
        reason: Some(task_status::Reason::IoSwitchboardExited.into()),
        ..ContainerLimitation::default()
    }
}

impl Carrier {
    /// Waits until it fails, which ends the container.
    pub(crate) async fn failed(carrier: Option<&Self>) -> ContainerLimitation {
        match carrier {
            Some(Self::Helper(helper)) => helper.failed().await,
            Some(Self::Board(_)) | None => std::future::pending().await,
        }
    }

    /// Whether it has failed already.
    pub(crate) fn has_failed(carrier: Option<&Self>) -> Option<ContainerLimitation> {
        match carrier {
            Some(Self::Helper(helper)) => helper.has_failed(),
            Some(Self::Board(_)) | None => None,
        }
    }

    /// Waits until somebody has looked at a session that has ended already, but not for long.
    pub(crate) async fn until_seen(carrier: Option<&Self>) {
        if let Some(Self::Board(board)) = carrier {
            // Who asked for it comes at once or has gone.
            let _ = timeout(LINGER, board.until_begun()).await;
        }
    }

    /// The container is gone.
    pub(crate) async fn finish(&self) {
        match self {
            Self::Board(board) => board.end(),
            Self::Helper(helper) => helper.finish().await,
        }
    }
}
