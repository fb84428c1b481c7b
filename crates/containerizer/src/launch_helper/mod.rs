//! The first program of every container: `mesos containerizer launch`. It makes itself what the container's
//! command shall be (session, directory, user) and then becomes that command.
//!
//! It is a program of its own because a process can only change itself safely between fork and exec when it has one
//! thread and knows nothing of its parent. It must not start a thread. Its own environment is empty: the command's may
//! be chosen by a stranger (`LD_PRELOAD`), and this program may still be root.
//!
//! ```text
//! parent: spawn helper -> its cgroups -> write forked.pid -> the environment and the word on stdin
//! helper: setsid -> read the environment, wait for the word -> mounts, rlimits, (init) -> chdir, (users of its own), groups, gid, uid
//!         -> capabilities, no new privileges, seccomp -> exec
//! ```
//! With process ids of its own it stays as their init, and the command is its child. Beside a container in another one
//! it stays too, and writes down how the command ended, since no agent may be there then.
//!
//! Most helpers are forked by the agent's [nursery](crate::nursery) rather than started. Where the command is this very
//! program, nothing of it was taken away and it stays who it is, the helper goes on as that without an exec ([`ours`]).
//!
//! If the parent dies before it gave the word, the helper reads the end of its input and exits.

mod args;
mod environment;
pub(crate) mod identity;
mod network;
mod ours;
mod privileges;
mod root;
mod secrets;
mod stdin;
mod user_namespace;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use launch_plan::{Mount, Process, Rlimit};
use linux::{Enter, MountRequest};
use thiserror::Error;

use crate::nursery;
use crate::users::{self, Account};

pub use self::args::LaunchArgs;
pub use self::environment::input;
pub(crate) use self::environment::padded_input;
pub use self::stdin::Stdin;

/// Where programs are looked for when nobody said. COMPAT(mesos): the same places, in the same order.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why the command did not begin.
#[derive(Debug, Error)]
enum LaunchError {
    #[error("{0}; see 'mesos containerizer launch' in the source, people do not call it")]
    Usage(&'static str),
    #[error("Failed to start a session: {0}")]
    Session(#[source] io::Error),
    #[error("Failed to synchronize with the agent: {0}")]
    Agent(#[source] io::Error),
    #[error("Failed to open the file for the exit status: {0}")]
    Status(#[source] io::Error),
    #[error("Failed to enter the namespaces of the parent container: {0}")]
    Enter(#[source] io::Error),
    #[error("Failed to make the mounts of the container its own: {0}")]
    Propagation(#[source] io::Error),
    #[error("Failed to mount {0} at '{1}': {2}")]
    Mount(String, String, #[source] io::Error),
    #[error("Failed to mount '{0}' at '{1}': {2}")]
    Bind(String, String, #[source] io::Error),
    #[error("Failed to create the secret at '{0}': {1}")]
    Secret(String, #[source] io::Error),
    #[error("Failed to create device '{0}': {1}")]
    Device(String, #[source] io::Error),
    #[error("Failed to enter chroot '{0}': {1}")]
    Root(String, #[source] io::Error),
    #[error("Failed to setup hostname and network files: {0}: {1}")]
    Network(&'static str, #[source] io::Error),
    #[error("Failed to set rlimit RLMT_{0}: {1}")]
    Rlimit(String, #[source] io::Error),
    #[error("Failed to fork the command: {0}")]
    Init(#[source] io::Error),
    #[error("Failed to set control tty: {0}")]
    Terminal(#[source] io::Error),
    #[error("Failed to chdir into current working directory '{0}': {1}")]
    Directory(String, #[source] io::Error),
    #[error("Failed to make the user namespace of the container: {0}")]
    UserNamespace(#[source] io::Error),
    #[error("Failed to map the users of the files in '{0}': {1}")]
    Files(String, #[source] io::Error),
    #[error("Failed to open stdout and stderr again: {0}")]
    Outputs(#[source] io::Error),
    #[error("{0}: {1}")]
    Privileges(&'static str, #[source] io::Error),
    #[error("Failed to switch to user '{0}': {1}")]
    User(String, String),
    #[error("Failed to execute command: {0}")]
    Exec(#[source] io::Error),
}

/// What became of a process that was one of the helpers.
#[derive(Debug)]
pub enum Begun {
    /// It is over.
    Over(ExitCode),
    /// It is to go on as the command, which is this very program: with these arguments, its own name first.
    Ours(Vec<OsString>),
}

/// Is the program that the arguments after `containerizer` name. None if they name none. `is_ours` says of a command
/// line of this program whether a helper may go on as that.
pub fn dispatch(args: impl IntoIterator<Item = OsString>, is_ours: fn(&[OsString]) -> bool) -> Option<Begun> {
    let mut args = args.into_iter();
    match args.next()?.to_str()? {
        "launch" => Some(main(args, is_ours)),
        "io" => Some(Begun::Over(crate::io::helper::main(args))),
        nursery::WORD => Some(match nursery::serve() {
            // Before what follows `containerizer launch` is the program.
            Some(argv) => main(argv.into_iter().skip(3), is_ours),
            None => Begun::Over(ExitCode::SUCCESS),
        }),
        _ => None,
    }
}

/// Becomes the command that `args` (what follows `containerizer launch`) describe. Comes back only to report, on its
/// standard error, why that failed, or to go on as that.
fn main(args: impl IntoIterator<Item = OsString>, is_ours: fn(&[OsString]) -> bool) -> Begun {
    match launch(args, is_ours) {
        Ok(argv) => Begun::Ours(argv),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "this is the container's stderr, where its user looks")]
            {
                eprintln!("{error}");
            }
            Begun::Over(ExitCode::FAILURE)
        }
    }
}

/// The stages, one function each. Their order is most of what there is to know about them.
fn launch(
    args: impl IntoIterator<Item = OsString>,
    is_ours: fn(&[OsString]) -> bool,
) -> Result<Vec<OsString>, LaunchError> {
    let launch = LaunchArgs::parse(args)?;
    start_session()?;
    let told = environment::read(launch.stdin).map_err(LaunchError::Agent)?;
    // ORDER: the file is opened where it lies; there may be none of that name among the container's mounts.
    let status = open_status(&launch)?;
    // ORDER: the machine knows its users; a root of the container's own may not, or have others of that name.
    let account = find_user(&launch)?;
    // ORDER: while /proc is the machine's.
    let users = make_users(&launch.process)?;
    enter_namespaces(&launch)?;
    network::set_up(&launch.process)?;
    // From here on this may be the child of what was called: one that is in the container's pid namespace, which
    // what is mounted shows.
    leave_watcher(&launch.process, status)?;
    let stdin = launch.stdin.open().map_err(LaunchError::Terminal)?;
    make_mounts(&launch.process)?;
    give_files(&launch.process, users.as_ref())?;
    make_root(&launch.process)?;
    show_paths(&launch.process)?;
    show_secrets(&launch.process, &told.secrets, account.as_ref())?;
    mask_paths(&launch.process)?;
    // ORDER: once it is complete, since nobody that its files do not know can make anything there afterwards.
    give_root(&launch.process, users.as_ref())?;
    enter_root(&launch)?;
    set_rlimits(&launch.process)?;
    // ORDER: the directory before the user; it may lie below one that the user cannot enter.
    enter_directory(&launch)?;
    enter_users(users.as_ref())?;
    privileges::prepare(&launch.process.privileges)?;
    let stays = ours::stays(&launch, account.as_ref()) && is_ours(&launch.argv);
    switch_user(account)?;
    // ORDER: the last; what it takes away, nothing here can do without.
    privileges::take_on(&launch.process.privileges)?;
    let environment = with_path(told.environment);
    if stays && ours::become_it(&launch, &environment).map_err(LaunchError::Exec)? {
        return Ok(launch.argv);
    }
    Err(execute(&launch, environment, stdin))
}

fn start_session() -> Result<(), LaunchError> {
    rustix::process::setsid().map(drop).map_err(|errno| LaunchError::Session(errno.into()))
}

/// Opens the file for the command's wait status.
fn open_status(launch: &LaunchArgs) -> Result<Option<File>, LaunchError> {
    launch.status.as_ref().map(File::create).transpose().map_err(LaunchError::Status)
}

/// Enters the namespaces that are shared with the container around this one.
fn enter_namespaces(launch: &LaunchArgs) -> Result<(), LaunchError> {
    let (Some(around), process) = (launch.around, &launch.process) else { return Ok(()) };
    let which = Enter {
        mounts: process.enter_mounts,
        pids: process.enter_pids,
        ipc: process.enter_ipc,
        network: process.enter_network,
        uts: process.enter_uts,
    };
    linux::enter(around, which).map_err(LaunchError::Enter)?;
    if process.enter_mounts && process.own_mounts {
        linux::own_mounts().map_err(LaunchError::Enter)?;
    }
    Ok(())
}

/// Makes the mounts of the container its own, and then what is new among them.
fn make_mounts(process: &Process) -> Result<(), LaunchError> {
    if process.own_mounts {
        // ORDER: before any mount, which would be the machine's too.
        linux::receive_only().map_err(LaunchError::Propagation)?;
    }
    network::show_files(process)?;
    for Mount { kind, target, options } in &process.mounts {
        let request = MountRequest {
            kind: kind.clone(),
            target: target.into(),
            options: options.clone(),
            // Shared memory may hold code.
            exec: kind == "tmpfs",
            ..MountRequest::default()
        };
        linux::apply(&request).map_err(|error| LaunchError::Mount(kind.clone(), target.clone(), error))?;
    }
    root::layer(process)
}

/// Makes the container's own root, if it has one.
fn make_root(process: &Process) -> Result<(), LaunchError> {
    process.root.as_ref().map_or(Ok(()), root::make)
}

/// Shows the container what it shall see of the machine.
fn show_paths(process: &Process) -> Result<(), LaunchError> {
    network::show_files_in_root(process)?;
    root::show(process)
}

/// Gives the container its files with secrets.
fn show_secrets(
    process: &Process,
    secrets: &[Vec<u8>],
    account: Option<&Account>,
) -> Result<(), LaunchError> {
    secrets::show(process, secrets, account)
}

/// Hides what tells of the machine.
fn mask_paths(process: &Process) -> Result<(), LaunchError> {
    process.root.as_ref().map_or(Ok(()), root::mask)
}

/// Goes to the container's own root. No path of the machine leads anywhere afterwards.
fn enter_root(launch: &LaunchArgs) -> Result<(), LaunchError> {
    let Some(path) = launch.root() else { return Ok(()) };
    if launch.enter_root.is_some() {
        // Another process has made it, which stays where it is.
        linux::own_mounts().map_err(LaunchError::Propagation)?;
        linux::receive_only().map_err(LaunchError::Propagation)?;
    }
    root::enter(&path)
}

/// Makes the container's users, where it has its own.
fn make_users(process: &Process) -> Result<Option<OwnedFd>, LaunchError> {
    process.user_namespace.as_ref().map(user_namespace::make).transpose()
}

/// Lets the container's files belong to them.
fn give_files(process: &Process, users: Option<&OwnedFd>) -> Result<(), LaunchError> {
    let Some((planned, users)) = process.user_namespace.as_ref().zip(users) else { return Ok(()) };
    user_namespace::give_files(planned, users)
}

/// Lets the root of the container's own belong to them.
fn give_root(process: &Process, users: Option<&OwnedFd>) -> Result<(), LaunchError> {
    let Some((root, users)) = process.root.as_ref().zip(users) else { return Ok(()) };
    user_namespace::give(&root.path, users)
}

/// Becomes root among them.
fn enter_users(users: Option<&OwnedFd>) -> Result<(), LaunchError> {
    users.map_or(Ok(()), user_namespace::enter)
}

fn set_rlimits(process: &Process) -> Result<(), LaunchError> {
    for Rlimit { name, numbers } in &process.rlimits {
        let (soft, hard) = numbers.unzip();
        linux::set_rlimit(name, soft, hard).map_err(|error| LaunchError::Rlimit(name.clone(), error))?;
    }
    Ok(())
}

/// Goes on as a child where a process has to stay beside the command. This process has one thread.
fn leave_watcher(process: &Process, status: Option<File>) -> Result<(), LaunchError> {
    match status {
        Some(status) => linux::become_watched(status).map_err(LaunchError::Init),
        None if process.own_pids => linux::become_init().map_err(LaunchError::Init),
        None => Ok(()),
    }
}

fn enter_directory(launch: &LaunchArgs) -> Result<(), LaunchError> {
    let failed = |error| LaunchError::Directory(launch.directory.to_string_lossy().into_owned(), error);
    if launch.root().is_some() {
        // COMPAT(mesos): one that an image names and does not have is made, and belongs to root.
        std::fs::create_dir_all(&launch.directory).map_err(failed)?;
    }
    std::env::set_current_dir(&launch.directory).map_err(failed)
}

fn find_user(launch: &LaunchArgs) -> Result<Option<Account>, LaunchError> {
    let Some(user) = &launch.user else { return Ok(None) };
    let mut found =
        users::lookup(user).map_err(|error| LaunchError::User(user.clone(), error.to_string()))?;
    found.groups.extend(&launch.groups);
    Ok(Some(found))
}

fn switch_user(account: Option<Account>) -> Result<(), LaunchError> {
    let Some(account) = account else { return Ok(()) };
    identity::switch(&account).map_err(|error| LaunchError::User(account.name, error.to_string()))
}

fn with_path(mut environment: Vec<(String, String)>) -> Vec<(String, String)> {
    if !environment.iter().any(|(name, _)| name == "PATH") {
        environment.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    environment
}

/// Becomes the command. Comes back only with the reason why not.
fn execute(launch: &LaunchArgs, environment: Vec<(String, String)>, stdin: Stdio) -> LaunchError {
    let mut command = Command::new(program(launch));
    command.stdin(stdin).env_clear().envs(environment);
    if let Some((name, arguments)) = launch.argv.split_first() {
        command.arg0(name).args(arguments);
    }
    LaunchError::Exec(command.exec())
}

/// The program, or one of its name in the working directory. COMPAT(mesos): that comes before the `PATH`.
fn program(launch: &LaunchArgs) -> PathBuf {
    let program = Path::new(&launch.program);
    let is_name = program.components().count() == 1 && program.is_relative();
    let here = Path::new(".").join(program);
    let is_program =
        |path: &Path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    if is_name && is_program(&here) { here } else { program.to_owned() }
}
