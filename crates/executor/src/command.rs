//! The task's command as a process: started in a session of its own, signalled as a whole, waited for.

use std::collections::BTreeMap;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use containerizer::launch_helper::{DEFAULT_PATH, LaunchArgs, Stdin, input};
use containerizer::{Planned, Program};
use executor_core::{Exit, Start};
use proto::mesos::v1::CommandInfo;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use types::variable_value;

use crate::arguments::Arguments;

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    /// The leader of the command's session.
    pub(crate) pid: u32,
}

/// Starts the command, with this executor's environment overlaid by the command's own. A terminal that is this
/// executor's output controls the command.
///
/// A command with a root of its own goes there, which only root can do, and so it may have a user of its own.
pub(crate) async fn start(
    start: &Start,
    arguments: &Arguments,
    has_terminal: bool,
) -> anyhow::Result<Running> {
    let rootfs = arguments.rootfs.as_ref();
    let program = Program::of(&start.command)?;
    let environment = environment(start, arguments);
    let mut process = Planned::default();
    process.privileges.capabilities = arguments.granted();
    if !has_terminal
        && rootfs.is_none()
        && process == Planned::default()
        && let Some(child) = start_directly(&program, &environment)
    {
        return running(child);
    }
    let directory = match rootfs {
        Some(_) => arguments.directory().into(),
        None => std::env::current_dir().context("the sandbox is gone")?.into_os_string(),
    };
    let launch = LaunchArgs {
        process,
        around: None,
        enter_root: rootfs.map(Into::into),
        status: None,
        directory,
        user: rootfs.and(arguments.user.clone()),
        groups: arguments.groups.clone(),
        program: program.path,
        argv: program.argv,
        stdin: if has_terminal { Stdin::Terminal } else { Stdin::Nothing },
    };
    let launcher = std::env::current_exe().context("the executor does not find its own binary")?;
    let mut command = Command::new(launcher);
    command.args(["containerizer", "launch"]).args(launch.to_command_line());
    let environment = input(&environment).context("A variable of the task's environment cannot be set")?;
    let mut child = command.stdin(Stdio::piped()).spawn().context("Failed to launch the task's command")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that died already shows in its exit status.
        let _ = stdin.write_all(&environment).await;
    }
    running(child)
}

/// Spares the launch helper where it would only start a session and find the program: the command of most tasks. What
/// does not start is left to the helper, which says why in the task's own output.
fn start_directly(program: &Program, environment: &[(String, String)]) -> Option<Child> {
    let mut command = std::process::Command::new(&program.path);
    if let Some((name, arguments)) = program.argv.split_first() {
        command.arg0(name).args(arguments);
    }
    command.stdin(Stdio::null()).env_clear().envs(environment.iter().cloned());
    if !environment.iter().any(|(name, _)| name == "PATH") {
        command.env("PATH", DEFAULT_PATH);
    }
    linux::in_session_of_its_own(&mut command);
    Command::from(command).spawn().ok()
}

fn running(child: Child) -> anyhow::Result<Running> {
    let pid = child.id().context("the command ended before it began")?;
    Ok(Running { child, pid })
}

impl Running {
    /// Waits for the command's end.
    pub(crate) async fn ended(mut self) -> Exit {
        match self.child.wait().await {
            Ok(status) => exit_of(status),
            Err(error) => Exit::Unknown(error.to_string()),
        }
    }
}

/// The task's environment: this executor's own, the role, and what the command brings, which has the last word.
fn environment(start: &Start, arguments: &Arguments) -> Vec<(String, String)> {
    let mut environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    environment.extend(arguments.task_environment.iter().cloned());
    environment.insert("MESOS_ALLOCATION_ROLE".to_owned(), start.allocation_role.clone());
    let brought = variables(&start.command).map(|(name, value)| (name.to_owned(), value.to_owned()));
    environment.extend(brought);
    environment.into_iter().collect()
}

/// The variables that a command brings, secrets too. One that cannot be resolved is left out.
pub(crate) fn variables(command: &CommandInfo) -> impl Iterator<Item = (&str, &str)> {
    command
        .environment
        .iter()
        .flat_map(|environment| &environment.variables)
        .filter_map(|variable| Some((variable.name.as_str(), variable_value(variable)?)))
}

fn exit_of(status: ExitStatus) -> Exit {
    if let Some(code) = status.code() {
        return Exit::Exited(code);
    }
    match status.signal() {
        Some(signal) => Exit::Signaled { signal, core_dumped: status.core_dumped() },
        None => Exit::Unknown(status.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits() {
        assert_eq!(exit_of(ExitStatus::from_raw(3 << 8)), Exit::Exited(3));
        assert_eq!(exit_of(ExitStatus::from_raw(9)), Exit::Signaled { signal: 9, core_dumped: false });
        assert_eq!(
            exit_of(ExitStatus::from_raw(11 | 0x80)),
            Exit::Signaled { signal: 11, core_dumped: true }
        );
    }
}
