//! The first program of every container: `mesos containerizer launch`. It makes itself what the container's
//! command shall be (session, directory, user) and then becomes that command.
//!
//! It is a program of its own because a process can only change itself safely between fork and exec when it has one
//! thread and knows nothing of its parent. It must not start a thread. Its own environment is empty: the command's may
//! be chosen by a stranger (`LD_PRELOAD`), and this program may still be root.
//!
//! ```text
//! parent: spawn helper -> its cgroups -> write forked.pid -> the environment and the word on stdin
//! helper: setsid -> read the environment, wait for the word -> mounts, rlimits, (init) -> chdir, groups, gid, uid -> exec
//! ```
//! With process ids of its own it stays as their init, and the command is its child. Beside a container in another one
//! it stays too, and writes down how the command ended, since no agent may be there then.
//!
//! If the parent dies before it gave the word, the helper reads the end of its input and exits.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

use launch_plan::{Mount, Process, Rlimit};
use linux::{Enter, MountRequest};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use thiserror::Error;

use crate::users;

/// What ends the helper's input if the command may begin.
const GO: &[u8] = b"go";

/// A limit that is none, on the command line.
const UNLIMITED: &str = "unlimited";

/// Where programs are looked for when nobody said. COMPAT(mesos): the same places, in the same order.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the helper shall become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchArgs {
    /// The command's working directory.
    pub directory: OsString,
    /// Whom it runs as; none for the agent's own user.
    pub user: Option<String>,
    /// The namespaces it is in, and what it does there.
    pub process: Process,
    /// The process whose namespaces it enters, where it does.
    pub around: Option<u32>,
    /// The file for the command's wait status. With one the helper stays beside the command.
    pub status: Option<OsString>,
    /// The program: a path, or a name to be looked up in the command's `PATH`.
    pub program: OsString,
    /// Its arguments, its own name first.
    pub argv: Vec<OsString>,
}

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
    #[error("Failed to set rlimit RLMT_{0}: {1}")]
    Rlimit(String, #[source] io::Error),
    #[error("Failed to fork the command: {0}")]
    Init(#[source] io::Error),
    #[error("Failed to chdir into current working directory '{0}': {1}")]
    Directory(String, #[source] io::Error),
    #[error("Failed to switch to user '{0}': {1}")]
    User(String, String),
    #[error("Failed to execute command: {0}")]
    Exec(#[source] io::Error),
}

impl LaunchArgs {
    /// The arguments that follow `containerizer launch` on the helper's command line.
    #[must_use]
    pub fn to_command_line(&self) -> Vec<OsString> {
        let mut line = vec!["--directory".into(), self.directory.clone()];
        if let Some(user) = &self.user {
            line.extend(["--user".into(), user.into()]);
        }
        let own = &self.process;
        let flags = [
            (own.own_mounts, "--own_mounts"),
            (own.own_pids, "--own_pids"),
            (own.own_ipc, "--own_ipc"),
            (own.enter_mounts, "--enter_mounts"),
            (own.enter_pids, "--enter_pids"),
            (own.enter_ipc, "--enter_ipc"),
        ];
        if let Some(around) = self.around {
            line.extend(["--around".into(), around.to_string().into()]);
        }
        if let Some(status) = &self.status {
            line.extend(["--status".into(), status.clone()]);
        }
        line.extend(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| OsString::from(flag)));
        for Mount { kind, target, options } in &own.mounts {
            line.extend(["--mount", kind, target, options].map(OsString::from));
        }
        for Rlimit { name, numbers } in &own.rlimits {
            let number =
                |number: Option<u64>| number.map_or_else(|| UNLIMITED.to_owned(), |it| it.to_string());
            let (soft, hard) = numbers.unzip();
            line.extend(["--rlimit", name, &number(soft), &number(hard)].map(OsString::from));
        }
        line.extend(["--".into(), self.program.clone()]);
        line.extend(self.argv.iter().cloned());
        line
    }

    fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, LaunchError> {
        let mut args = args.into_iter();
        let mut launch = Self::default();
        loop {
            let option = args.next().ok_or(LaunchError::Usage("the command is missing"))?;
            if option == "--" {
                break;
            }
            let mut value = || args.next().ok_or(LaunchError::Usage("a value is missing"));
            let text = |value: OsString| value.to_string_lossy().into_owned();
            match option.to_str() {
                Some("--directory") => launch.directory = value()?,
                Some("--user") => launch.user = Some(text(value()?)),
                Some("--own_mounts") => launch.process.own_mounts = true,
                Some("--own_pids") => launch.process.own_pids = true,
                Some("--own_ipc") => launch.process.own_ipc = true,
                Some("--enter_mounts") => launch.process.enter_mounts = true,
                Some("--enter_pids") => launch.process.enter_pids = true,
                Some("--enter_ipc") => launch.process.enter_ipc = true,
                Some("--status") => launch.status = Some(value()?),
                Some("--around") => {
                    let pid = number(&value()?)?.and_then(|pid| u32::try_from(pid).ok());
                    launch.around = Some(pid.ok_or(LaunchError::Usage("a process id is none"))?);
                }
                Some("--mount") => {
                    let (kind, target, options) = (text(value()?), text(value()?), text(value()?));
                    launch.process.mounts.push(Mount { kind, target, options });
                }
                Some("--rlimit") => {
                    let (name, soft, hard) = (text(value()?), number(&value()?)?, number(&value()?)?);
                    launch.process.rlimits.push(Rlimit { name, numbers: soft.zip(hard) });
                }
                _ => return Err(LaunchError::Usage("an option is not known")),
            }
        }
        launch.program = args.next().ok_or(LaunchError::Usage("the program is missing"))?;
        launch.argv = args.collect();
        Ok(launch)
    }
}

fn number(text: &OsString) -> Result<Option<u64>, LaunchError> {
    match text.to_str() {
        Some(UNLIMITED) => Ok(None),
        text => {
            text.and_then(|text| text.parse().ok()).map(Some).ok_or(LaunchError::Usage("a number is none"))
        }
    }
}

/// Becomes the command that `args` (what follows `containerizer launch`) describe. Comes back only to report, on its
/// standard error, why that failed.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Err(error) = launch(args);
    #[expect(clippy::print_stderr, reason = "this is the container's stderr, where its user looks")]
    {
        eprintln!("{error}");
    }
    ExitCode::FAILURE
}

fn launch(args: impl IntoIterator<Item = OsString>) -> Result<std::convert::Infallible, LaunchError> {
    let launch = LaunchArgs::parse(args)?;
    rustix::process::setsid().map_err(|errno| LaunchError::Session(errno.into()))?;
    let mut environment = read_environment().map_err(LaunchError::Agent)?;
    if !environment.iter().any(|(name, _)| name == "PATH") {
        environment.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    become_contained(&launch)?;
    // ORDER: the directory first; it may lie below one that the user cannot enter.
    std::env::set_current_dir(&launch.directory)
        .map_err(|error| LaunchError::Directory(launch.directory.to_string_lossy().into_owned(), error))?;
    if let Some(user) = &launch.user {
        switch_user(user).map_err(|reason| LaunchError::User(user.clone(), reason))?;
    }
    let mut command = Command::new(&launch.program);
    command.stdin(Stdio::null()).env_clear().envs(environment);
    if let Some((name, arguments)) = launch.argv.split_first() {
        command.arg0(name).args(arguments);
    }
    Err(LaunchError::Exec(command.exec()))
}

/// Does in its new namespaces what makes them the container's.
fn become_contained(launch: &LaunchArgs) -> Result<(), LaunchError> {
    let process = &launch.process;
    // ORDER: the file is opened where it lies; there may be none of that name among the container's mounts.
    let status = launch.status.as_ref().map(File::create).transpose().map_err(LaunchError::Status)?;
    if let Some(around) = launch.around {
        let which = Enter { mounts: process.enter_mounts, pids: process.enter_pids, ipc: process.enter_ipc };
        linux::enter(around, which).map_err(LaunchError::Enter)?;
        if process.enter_mounts && process.own_mounts {
            linux::own_mounts().map_err(LaunchError::Enter)?;
        }
    }
    if process.own_mounts {
        // ORDER: before any mount, which would be the machine's too.
        linux::receive_only().map_err(LaunchError::Propagation)?;
    }
    for Mount { kind, target, options } in &process.mounts {
        let request = MountRequest {
            kind: kind.clone(),
            target: target.into(),
            options: options.clone(),
            // Shared memory may hold code.
            exec: kind == "tmpfs",
        };
        linux::apply(&request).map_err(|error| LaunchError::Mount(kind.clone(), target.clone(), error))?;
    }
    for Rlimit { name, numbers } in &process.rlimits {
        let (soft, hard) = numbers.unzip();
        linux::set_rlimit(name, soft, hard).map_err(|error| LaunchError::Rlimit(name.clone(), error))?;
    }
    // This process has one thread, and comes back as the child.
    match status {
        Some(status) => linux::become_watched(status).map_err(LaunchError::Init)?,
        None if process.own_pids => linux::become_init().map_err(LaunchError::Init)?,
        None => {}
    }
    Ok(())
}

/// Reads the environment, up to and with the word.
fn read_environment() -> io::Result<Vec<(String, String)>> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    parse_environment(&input).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn parse_environment(input: &[u8]) -> Option<Vec<(String, String)>> {
    let body = input.strip_suffix(GO)?;
    let entries = body.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    entries
        .map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
        .map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// The helper's whole input: the environment and the word to begin. None where the environment cannot be one.
#[must_use]
pub fn input(environment: &[(String, String)]) -> Option<Vec<u8>> {
    let mut input = Vec::new();
    for (name, value) in environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return None;
        }
        input.extend_from_slice(format!("{name}={value}\0").as_bytes());
    }
    input.extend_from_slice(GO);
    Some(input)
}

// ORDER: groups before the user; without root's rights they could not be changed any more.
fn switch_user(name: &str) -> Result<(), String> {
    let account = users::lookup(name).map_err(|error| error.to_string())?;
    if account.uid == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let groups: Vec<Gid> = account.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    // These change one thread, and this process has one.
    set_thread_groups(&groups).map_err(|errno| io::Error::from(errno).to_string())?;
    set_thread_gid(Gid::from_raw(account.gid)).map_err(|errno| io::Error::from(errno).to_string())?;
    set_thread_uid(Uid::from_raw(account.uid)).map_err(|errno| io::Error::from(errno).to_string())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_the_command_line() {
        let args = LaunchArgs {
            directory: "/sand box".into(),
            user: Some("ann".to_owned()),
            process: Process {
                own_mounts: true,
                own_pids: true,
                own_ipc: true,
                enter_mounts: true,
                enter_pids: true,
                enter_ipc: true,
                mounts: vec![Mount {
                    kind: "proc".to_owned(),
                    target: "/proc".to_owned(),
                    options: String::new(),
                }],
                rlimits: vec![
                    Rlimit { name: "CORE".to_owned(), numbers: None },
                    Rlimit { name: "NOFILE".to_owned(), numbers: Some((1, 2)) },
                ],
                oom_score_adj: None,
            },
            around: Some(77),
            status: Some("/run/status".into()),
            program: "/bin/sh".into(),
            argv: ["sh", "-c", "echo -- hi"].map(OsString::from).to_vec(),
        };
        assert_eq!(LaunchArgs::parse(args.to_command_line()).unwrap(), args);
        let process = Process::default();
        let plain = LaunchArgs { user: None, around: None, status: None, process, argv: vec![], ..args };
        assert_eq!(LaunchArgs::parse(plain.to_command_line()).unwrap(), plain);
        for broken in [
            &["--user"][..],
            &["--directory", "/"],
            &["--nosuch", "x", "--", "y"],
            &["--"],
            &["--rlimit", "CORE", "1", "x", "--", "y"],
        ] {
            assert!(LaunchArgs::parse(broken.iter().map(OsString::from)).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn the_environment_survives_the_pipe() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let environment = vec![pair("A", "1=2\nx"), pair("B", "")];
        let bytes = input(&environment).unwrap();
        assert_eq!(parse_environment(&bytes), Some(environment));
        // A parent that died in the middle.
        assert_eq!(parse_environment(&bytes[..bytes.len() - 1]), None);
        assert_eq!(parse_environment(b""), None);
        for broken in [pair("", "x"), pair("A=B", "x"), pair("A", "x\0y")] {
            assert_eq!(input(&[broken]), None);
        }
    }
}
