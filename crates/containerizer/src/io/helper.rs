//! The I/O helper of a container: `mesos containerizer io`. It holds the inner end of the container's terminal, or the
//! pipes of what it prints, writes all of that to files, and lets people look and type. It outlives its agent, and ends
//! with the container.
//!
//! ```text
//! with a terminal    0: the terminal's inner end   1: the socket that it listens on   2: nothing
//! without            0: nothing                    1: a pipe of its output            2: a pipe of its errors
//! ```
//! It runs as the container's user, as the files are in a directory that this user may have changed.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::io::board::{Board, Logs, Ports};
use crate::io::logfile::{LogFile, PIECE_BYTES, Rotation};
use crate::io::port::Port;
use crate::io::wire;
use crate::launch_helper::identity;
use crate::users;

/// Who may look and type at the same time.
const CONNECTIONS_MAX: usize = 64;

/// How long those who look may take for the rest, once the container is over.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the helper is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HelperArgs {
    /// The container's sandbox, where the files are.
    pub(crate) directory: OsString,
    /// Whom it runs as; none for the agent's own user.
    pub(crate) user: Option<String>,
    /// Whether there is a terminal.
    pub(crate) has_terminal: bool,
    /// How its files are held to a size, where they are.
    pub(crate) stdout: Option<Rotation>,
    pub(crate) stderr: Option<Rotation>,
}

impl HelperArgs {
    /// The arguments that follow `containerizer io`.
    pub(crate) fn to_command_line(&self) -> Vec<OsString> {
        let mut line = vec!["--directory".into(), self.directory.clone()];
        if let Some(user) = &self.user {
            line.extend(["--user".into(), user.into()]);
        }
        if self.has_terminal {
            line.push("--terminal".into());
        }
        for (name, rotation) in [("--stdout", self.stdout), ("--stderr", self.stderr)] {
            if let Some(Rotation { bytes_max, keep }) = rotation {
                line.extend([name.into(), bytes_max.to_string().into(), keep.to_string().into()]);
            }
        }
        line
    }

    fn parse(args: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut args = args.into_iter();
        let mut helper = Self::default();
        while let Some(option) = args.next() {
            let mut text = || args.next()?.into_string().ok();
            match option.to_str()? {
                "--directory" => helper.directory = args.next()?,
                "--user" => helper.user = Some(text()?),
                "--terminal" => helper.has_terminal = true,
                name @ ("--stdout" | "--stderr") => {
                    let rotation = Rotation { bytes_max: text()?.parse().ok()?, keep: text()?.parse().ok()? };
                    let at = if name == "--stdout" { &mut helper.stdout } else { &mut helper.stderr };
                    // A piece must fit.
                    *at = Some(rotation)
                        .filter(|it| usize::try_from(it.bytes_max).unwrap_or(usize::MAX) >= PIECE_BYTES);
                }
                _ => return None,
            }
        }
        (!helper.directory.is_empty()).then_some(helper)
    }
}

/// Serves one container, with what follows `containerizer io`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(args) = HelperArgs::parse(args) else { return ExitCode::from(2) };
    // It has no output of its own: whoever started it sees the status.
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(args: &HelperArgs) -> io::Result<()> {
    // Signals from the terminal of an agent that somebody tries by hand are not for this.
    rustix::process::setsid()?;
    let account = args.user.as_deref().map(users::lookup).transpose().map_err(io::Error::other)?;
    // ORDER: the directory first; it may lie below one that the user cannot enter.
    let directory =
        Arc::new(open(&args.directory, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    if let Some(account) = &account {
        identity::switch(account)?;
    }
    let log = |name, rotation| Some(LogFile::new(Arc::clone(&directory), name, rotation));
    let logs = Logs { stdout: log("stdout", args.stdout), stderr: log("stderr", args.stderr) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if args.has_terminal {
            let terminal = Arc::new(Port::new(copy(io::stdin())?)?);
            let listener = std::os::unix::net::UnixListener::from(copy(io::stdout())?);
            listener.set_nonblocking(true)?;
            let ports =
                Ports { has_terminal: true, stdin: Arc::clone(&terminal), stdout: terminal, stderr: None };
            serve(ports, logs, Some(UnixListener::from_std(listener)?)).await
        } else {
            let ports = Ports {
                has_terminal: false,
                // Nobody is let in to type.
                stdin: Arc::new(Port::new(io::pipe()?.1.into())?),
                stdout: Arc::new(Port::new(copy(io::stdout())?)?),
                stderr: Some(Port::new(copy(io::stderr())?)?),
            };
            serve(ports, logs, None).await
        }
    })
}

fn copy(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}

async fn serve(ports: Ports, logs: Logs, listener: Option<UnixListener>) -> io::Result<()> {
    let mut told = signal(SignalKind::terminate())?;
    let (board, running) = ports.board(logs);
    board.begin();
    let mut visitors = JoinSet::new();
    tokio::select! {
        () = running => {}
        _ = told.recv() => board.finish(),
        () = accept(&board, listener, &mut visitors) => {}
    }
    // Those who came while it ended see the end.
    let farewell = async { while visitors.join_next().await.is_some() {} };
    // Who does not take the rest in time goes without it.
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
    Ok(())
}

async fn accept(board: &Arc<Board>, listener: Option<UnixListener>, visitors: &mut JoinSet<()>) {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        while visitors.len() >= CONNECTIONS_MAX {
            visitors.join_next().await;
        }
        tokio::select! {
            Some(_) = visitors.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    visitors.spawn(wire::serve(Arc::clone(board), stream));
                }
                // Mostly there is no descriptor left; trying again at once would only burn the processor.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_the_command_line() {
        let args = HelperArgs {
            directory: "/sand box".into(),
            user: Some("ann".to_owned()),
            has_terminal: true,
            stdout: Some(Rotation { bytes_max: 8192, keep: 3 }),
            stderr: Some(Rotation { bytes_max: 4096, keep: 0 }),
        };
        assert_eq!(HelperArgs::parse(args.to_command_line()), Some(args.clone()));
        let plain = HelperArgs { directory: args.directory, ..HelperArgs::default() };
        assert_eq!(HelperArgs::parse(plain.to_command_line()), Some(plain));
        for broken in [&["--user"][..], &[], &["--nosuch"], &["--directory", "/", "--stdout", "1"]] {
            assert_eq!(HelperArgs::parse(broken.iter().map(OsString::from)), None, "{broken:?}");
        }
    }
}
