//! The life of one container, from its files to its end: one task per container, nothing else touches its processes.

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use proto::mesos::slave::ContainerTermination;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::AsyncWriteExt as _;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::containerizer::{Notice, Shared, Spec};
use crate::fetching::{Fetching, fetch};
use crate::launch_helper::{LaunchArgs, input};
use crate::outputs::Outputs;
use crate::process::{Process, Signs, has_sandbox, kill_all};
use crate::users::{self, Account};

/// Set to true when the container shall end.
pub(crate) type Destroy = watch::Receiver<bool>;

/// How long the helper may take to read its input. It does nothing else, so that only a machine that thrashes gets
/// anywhere near.
const HELPER_PATIENCE: Duration = Duration::from_secs(60);

/// How often a process is looked at where the kernel cannot tell of its end.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Launches a container and stays until nothing is left of it.
pub(crate) async fn launch(shared: Arc<Shared>, spec: Spec, mut destroy: Destroy) {
    let id = spec.container.clone();
    let started = tokio::select! {
        biased;
        () = ordered(&mut destroy) => Err("Container is being destroyed during launching".to_owned()),
        started = start(&shared, &spec) => started,
    };
    let (mut child, signs) = match started {
        Ok(started) => started,
        Err(message) => {
            // What a launch that was given up has started already has the sandbox in its name at least.
            let directory = spec.directory.to_string_lossy().into_owned();
            let left = kill_marked(&shared, &spec, directory).await;
            report_left(&id.to_string(), &left);
            shared.forget(&id);
            return shared.notify(Notice::Failed { container: id, message }).await;
        }
    };
    shared.running(&id, signs.clone());
    shared.notify(Notice::Launched { container: id.clone(), pid: signs.leader }).await;
    let status = tokio::select! {
        status = child.wait() => status,
        () = ordered(&mut destroy) => {
            report_left(&id.to_string(), &kill_all(signs.clone()).await);
            child.wait().await
        }
    };
    let status = match status {
        Ok(status) => Some(status.into_raw()),
        Err(error) => {
            tracing::warn!(container = %id, %error, "cannot learn how a container ended");
            None
        }
    };
    end(&shared, id, signs, status).await;
}

/// Picks up a container of an earlier agent and stays until nothing is left of it.
pub(crate) async fn adopt(
    shared: Arc<Shared>,
    id: types::ContainerId,
    pid: Option<u32>,
    directory: String,
    mut destroy: Destroy,
) {
    // Another process may have the pid by now; the container's has its sandbox in the environment.
    let leader = pid.and_then(Process::read).filter(|process| {
        !process.ended
            && (has_sandbox(process.pid, &directory) || runs_in(process.pid, Path::new(&directory)))
    });
    let signs = Signs {
        // Without its leader the number of the session says nothing; the sandbox in the environment does.
        leader: leader.as_ref().map_or(0, |leader| leader.pid),
        started: leader.as_ref().map(|leader| leader.started),
        sandbox: directory,
    };
    shared.running(&id, signs.clone());
    shared.notify(Notice::Launched { container: id.clone(), pid: signs.leader }).await;
    if let Some(leader) = leader {
        tokio::select! {
            () = ended(&leader) => {}
            () = ordered(&mut destroy) => {}
        }
    }
    // Only a parent learns the exit status.
    end(&shared, id, signs, None).await;
}

/// Ends what is left of a container and reports its end.
async fn end(shared: &Shared, id: types::ContainerId, signs: Signs, status: Option<i32>) {
    report_left(&id.to_string(), &kill_all(signs).await);
    shared.forget(&id);
    let termination = ContainerTermination { status, ..ContainerTermination::default() };
    shared.notify(Notice::Exited { container: id, termination: Box::new(termination) }).await;
}

fn report_left(container: &str, left: &[u32]) {
    if !left.is_empty() {
        tracing::error!(container, pids = ?left, "processes of a container cannot be killed");
    }
}

/// Kills what carries the sandbox's name, for a launch that failed midway.
async fn kill_marked(shared: &Shared, spec: &Spec, sandbox: String) -> Vec<u32> {
    match shared.spawned(&spec.container) {
        Some((leader, started)) => kill_all(Signs { leader, started, sandbox }).await,
        None => Vec::new(),
    }
}

async fn ordered(destroy: &mut Destroy) {
    // A closed channel means that the containerizer is gone; its containers live on.
    if destroy.wait_for(|ordered| *ordered).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Brings a container up to the point where its command begins.
async fn start(shared: &Shared, spec: &Spec) -> Result<(Child, Signs), String> {
    let account = match &spec.user {
        Some(user) => Some(users::lookup(user).map_err(|error| error.to_string())?),
        None => None,
    };
    let outputs = Outputs::open(&spec.directory, account.as_ref())
        .map_err(|error| format!("Failed to open the files for stdout and stderr: {error}"))?;
    let input = input(&spec.environment).ok_or("The environment has a name or a value that is none")?;
    fetch(Arc::clone(&shared.config.fetcher), fetching(spec, account)).await?;
    let mut child = spawn(&shared.config.launcher_binary, spec, outputs)
        .map_err(|error| format!("Failed to start '{}': {error}", shared.config.launcher_binary.display()))?;
    let leader = child.id().ok_or("The launch helper ended at once")?;
    let started = Process::read(leader).map(|process| process.started);
    shared.spawn_began(&spec.container, leader, started);
    // ORDER: a restarted agent must know the pid of whatever runs, so it is on disk before the command begins.
    if let Some(path) = spec.forked_pid_path.clone() {
        let written = tokio::task::spawn_blocking(move || write_pid(&path, leader)).await;
        let written = written.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        written.map_err(|error| format!("Failed to checkpoint the forked pid: {error}"))?;
    }
    let mut stdin = child.stdin.take().expect("it was asked for");
    let telling = async {
        stdin.write_all(&input).await?;
        stdin.shutdown().await
    };
    match tokio::time::timeout(HELPER_PATIENCE, telling).await {
        Ok(Ok(())) => {}
        // It ended before it read everything, and says why in its stderr: an exit like any other.
        Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Ok(Err(error)) => return Err(format!("Failed to give the launch helper its environment: {error}")),
        Err(_) => return Err("The launch helper did not take its environment in time".to_owned()),
    }
    let sandbox = spec.directory.to_string_lossy().into_owned();
    Ok((child, Signs { leader, started, sandbox }))
}

fn fetching(spec: &Spec, user: Option<Account>) -> Fetching {
    Fetching {
        container: spec.container.to_string(),
        uris: spec.uris.clone(),
        sandbox: spec.directory.clone(),
        user,
    }
}

fn spawn(launcher: &Path, spec: &Spec, outputs: Outputs) -> io::Result<Child> {
    let args = LaunchArgs {
        directory: spec.directory.clone().into(),
        user: spec.user.clone(),
        program: spec.program.path.clone(),
        argv: spec.program.argv.clone(),
    };
    Command::new(launcher)
        .args(["containerizer", "launch"])
        .args(args.to_command_line())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(outputs.stdout)
        .stderr(outputs.stderr)
        .current_dir("/")
        .spawn()
}

/// Writes the pid as text: a temporary file, synced, renamed.
fn write_pid(path: &Path, pid: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mut temporary: PathBuf = path.to_owned();
    temporary.as_mut_os_string().push(".tmp");
    let mut file = fs::File::create(&temporary)?;
    write!(file, "{pid}")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(directory)?.sync_all()
}

fn runs_in(pid: u32, directory: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == directory)
}

/// Waits for the end of a process that is no child of this one.
async fn ended(process: &Process) {
    if let Some(handle) = watch_handle(process) {
        // The handle becomes readable when the process ends. A failed wait falls back to looking.
        if handle.readable().await.is_ok() {
            return;
        }
    }
    let lives = || Process::read(process.pid).is_some_and(|now| !now.ended && now.started == process.started);
    while lives() {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn watch_handle(process: &Process) -> Option<AsyncFd<OwnedFd>> {
    let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
    let handle = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
    // The pid may have changed hands before the handle was opened; afterwards it cannot.
    Process::read(process.pid).filter(|now| now.started == process.started)?;
    #[expect(
        deprecated,
        reason = "an `OwnedFd` stays open as long as it lives, which is all that `register` asks for"
    )]
    AsyncFd::new(handle).ok()
}
