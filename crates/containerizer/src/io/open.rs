//! What a container's first process gets for its standard input, output and error, and who is at the other ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use launch_plan::Process;
use linux::Terminal;
use proto::mesos::v1::TtyInfo;
use rustix::fs::{Gid, Uid, fchown};

use crate::config::Config;
use crate::io::board::{Board, Logs};
use crate::io::carrier::{Carrier, Helper, Place};
use crate::io::helper::HelperArgs;
use crate::io::port::Port;
use crate::nested_sandbox;
use crate::outputs::Outputs;
use crate::spec::Spec;
use crate::users::Account;

/// What a container begins with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) outputs: Outputs,
    pub(crate) streams: Streams,
    /// Who is at the other ends, if that is not files.
    pub(crate) carrier: Option<Carrier>,
}

/// What else there is to its streams.
#[derive(Clone, Debug)]
pub(crate) enum Streams {
    /// Nothing to be read.
    Plain,
    /// What somebody types into this board is to be read.
    Typed(Arc<Board>),
    /// A terminal, at this path outside.
    Terminal(String),
}

impl Opened {
    /// Gives a terminal to the user that the container's is outside, where it has users of its own.
    pub(crate) fn give_terminal(&self, process: &Process, user: Option<u32>) -> Result<(), String> {
        let (Streams::Terminal(path), Some(users)) = (&self.streams, &process.user_namespace) else {
            return Ok(());
        };
        let owner = Uid::from_raw(users.first.saturating_add(user.unwrap_or(0)));
        fchown(&self.outputs.stdout, Some(owner), None::<Gid>)
            .map_err(|errno| format!("Failed to chown the slave pseudo terminal '{path}': {errno}"))
    }
}

/// Opens files, pipes or a terminal, as the container and the agent's flags want it.
pub(crate) fn open_streams(
    config: &Config,
    spec: &Spec,
    account: Option<&Account>,
) -> Result<Opened, String> {
    let is_session = spec.by_name.as_ref().is_some_and(|by_name| by_name.is_session);
    let terminal = spec.info.as_ref().and_then(|info| info.tty_info.as_ref());
    if terminal.is_none() && !is_session && config.logger.is_none() {
        let outputs = open_outputs(spec, account)
            .map_err(|error| format!("Failed to open the files for stdout and stderr: {error}"))?;
        return Ok(Opened { outputs, streams: Streams::Plain, carrier: None });
    }
    let terminal = match terminal {
        Some(wanted) => Some(
            open(wanted, account).map_err(|error| format!("Failed to open a pseudo terminal: {error}"))?,
        ),
        None => None,
    };
    let failed = |error: io::Error| format!("Failed to create the container's pipes: {error}");
    match (is_session, terminal) {
        (true, None) => session().map_err(failed),
        (true, Some(terminal)) => session_in(terminal).map_err(failed),
        (false, terminal) => helped(config, spec, terminal),
    }
}

fn open_outputs(spec: &Spec, account: Option<&Account>) -> io::Result<Outputs> {
    if spec.container.parent.is_none() {
        return Outputs::open(&spec.directory, account);
    }
    // Whoever owns the sandbox around may lead its path elsewhere.
    let sandbox = nested_sandbox::open(&spec.directory)?;
    Outputs::open(&linux::by_descriptor(sandbox.as_fd()), account)
}

fn open(wanted: &TtyInfo, account: Option<&Account>) -> io::Result<Terminal> {
    let terminal = Terminal::open()?;
    if let Some(size) = &wanted.window_size {
        linux::set_window_size(&terminal.inner, size.rows, size.columns)?;
    }
    if let Some(account) = account {
        terminal.give_to(account.uid)?;
    }
    Ok(terminal)
}

fn session() -> io::Result<Opened> {
    let (stdout, write_stdout) = io::pipe()?;
    let (stderr, write_stderr) = io::pipe()?;
    let file = |writer: io::PipeWriter| File::from(OwnedFd::from(writer));
    let outputs = Outputs { stdout: file(write_stdout), stderr: file(write_stderr) };
    let board = Board::new(false, None);
    let (stdout, stderr) = (Arc::new(Port::new(stdout.into())?), Port::new(stderr.into())?);
    // It ends with the session's output, or when the session is gone and nobody looks.
    drop(tokio::spawn(Arc::clone(&board).run(stdout, Some(stderr), Logs::default())));
    let carrier = Some(Carrier::Board(Arc::clone(&board)));
    Ok(Opened { outputs, streams: Streams::Typed(board), carrier })
}

fn session_in(terminal: Terminal) -> io::Result<Opened> {
    let inner = Arc::new(Port::new(terminal.inner)?);
    let board = Board::new(true, Some(Arc::clone(&inner)));
    // As above.
    drop(tokio::spawn(Arc::clone(&board).run(inner, None, Logs::default())));
    let outputs = on_terminal(terminal.outer)?;
    let carrier = Some(Carrier::Board(board));
    Ok(Opened { outputs, streams: Streams::Terminal(terminal.path), carrier })
}

fn on_terminal(outer: OwnedFd) -> io::Result<Outputs> {
    let stdout = File::from(outer);
    Ok(Outputs { stderr: stdout.try_clone()?, stdout })
}

fn helped(config: &Config, spec: &Spec, terminal: Option<Terminal>) -> Result<Opened, String> {
    let place = config.place(&spec.container).ok_or("There is no runtime directory for an I/O helper")?;
    let place = Place::of(&place);
    let rotations = match &config.logger {
        Some(logger) => Some(logger.for_container(&spec.environment)?),
        None => None,
    };
    let (stdout, stderr) = rotations.unzip();
    let args = HelperArgs {
        directory: spec.directory.clone().into(),
        user: spec.user.clone(),
        has_terminal: terminal.is_some(),
        stdout,
        stderr,
    };
    let started = place.make().and_then(|()| match terminal {
        Some(terminal) => with_terminal(config, &args, &place, terminal),
        None => with_pipes(config, &args, &place),
    });
    let (helper, outputs, streams) =
        started.map_err(|error| format!("Failed to create io switchboard server process: {error}"))?;
    Ok(Opened { outputs, streams, carrier: Some(Carrier::Helper(Arc::new(helper))) })
}

fn with_terminal(
    config: &Config,
    args: &HelperArgs,
    place: &Place,
    terminal: Terminal,
) -> io::Result<(Helper, Outputs, Streams)> {
    // ORDER: it listens before anybody can know of the container.
    let listener = place.listen()?;
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    let stdio = [terminal.inner.as_fd(), listener.as_fd(), nothing.as_fd()];
    let helper = Helper::start(&config.launcher_binary, args, stdio, place)?;
    Ok((helper, on_terminal(terminal.outer)?, Streams::Terminal(terminal.path)))
}

fn with_pipes(config: &Config, args: &HelperArgs, place: &Place) -> io::Result<(Helper, Outputs, Streams)> {
    let (stdout, write_stdout) = io::pipe()?;
    let (stderr, write_stderr) = io::pipe()?;
    let nothing = File::open("/dev/null")?;
    let stdio = [nothing.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let helper = Helper::start(&config.launcher_binary, args, stdio, place)?;
    let file = |writer: io::PipeWriter| File::from(OwnedFd::from(writer));
    let outputs = Outputs { stdout: file(write_stdout), stderr: file(write_stderr) };
    Ok((helper, outputs, Streams::Plain))
}
