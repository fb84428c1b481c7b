//! The first process of a container: its start, and its end.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use launch_plan::Process as Planned;
use linux::{Cgroup, Namespaces};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

use crate::launch_helper::LaunchArgs;
use crate::nursery::{Nursery, Wanted};
use crate::outputs::Outputs;
use crate::process::Process;

/// A launch helper, which becomes the container's command.
#[derive(Clone)]
pub(crate) struct First {
    /// Its process id.
    pub(crate) pid: u32,
    /// When it started, if it could be seen.
    pub(crate) started: Option<u64>,
    pidfd: Arc<AsyncFd<OwnedFd>>,
}

impl First {
    /// Starts the helper, in that cgroup if there is one to be born in. It waits for the other end of the pipe that
    /// comes with it.
    pub(crate) fn start(
        nursery: &Nursery,
        launcher: &Path,
        args: &LaunchArgs,
        outputs: &Outputs,
        born_in: Option<&Cgroup>,
    ) -> io::Result<(Self, pipe::Sender)> {
        let mut argv = vec![launcher.into(), "containerizer".into(), "launch".into()];
        argv.extend(args.to_command_line());
        let namespaces = namespaces(&args.process);
        let wanted = |stdin| Wanted {
            argv: &argv,
            stdio: [stdin, outputs.stdout.as_fd(), outputs.stderr.as_fd()],
            namespaces,
            born_in,
        };
        let (stdin, mut sender) = io::pipe()?;
        let spawned = match nursery.ask(&wanted(stdin.as_fd())) {
            Some(answer) => answer?,
            None => {
                let (stdin, another) = io::pipe()?;
                sender = another;
                nursery.start(&wanted(stdin.as_fd()))?
            }
        };
        #[expect(
            deprecated,
            reason = "an `OwnedFd` stays open as long as it lives, which is all that `register` asks for"
        )]
        let pidfd = Arc::new(AsyncFd::new(spawned.pidfd)?);
        let started = Process::read(spawned.pid).map(|process| process.started);
        let first = Self { pid: spawned.pid, started, pidfd };
        Ok((first, pipe::Sender::from_owned_fd(sender.into())?))
    }

    /// Waits for its end. The status is that of `waitpid`.
    pub(crate) async fn ended(&self) -> io::Result<i32> {
        loop {
            let mut ready = self.pidfd.readable().await?;
            if let Some(status) = linux::status_of(self.pidfd.get_ref().as_fd())? {
                return Ok(status);
            }
            ready.clear_ready();
        }
    }
}

fn namespaces(process: &Planned) -> Namespaces {
    // A copy of another container's mounts can only be made once they are entered.
    let mount = process.own_mounts && !process.enter_mounts;
    Namespaces {
        pid: process.own_pids,
        ipc: process.own_ipc,
        mount,
        network: process.own_network,
        uts: process.own_uts,
    }
}
