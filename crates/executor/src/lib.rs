//! Our executors: that of one task's command, that of one task's Docker container, and that of task groups.
//!
//! The agent starts them as `mesos executor` or `mesos default-executor` in a sandbox and tells them the rest by
//! `MESOS_*` variables. Decisions are made by [`executor_core`] (the tasks) and [`client_core::executor`] (the session with the
//! agent); this crate carries them out: processes, checks, HTTP.

mod agent;
mod arguments;
mod chance;
mod checks;
mod command;
mod docker;
mod pods;
mod reactor;
mod session;
mod settings;

use std::process::ExitCode;
use std::sync::Arc;

pub use docker::main as docker_main;
pub use executor_core::signal_name;
use settings::Settings;

/// Which executor to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// That of one task with a command: `mesos-executor`.
    Command,
    /// That of task groups: `mesos-default-executor`.
    Default,
}

/// Runs until the tasks are over and their last updates acknowledged. `arguments` are what the agent says there; what it
/// says in the environment is taken from that.
///
/// Everything it says goes to standard error, which is the `stderr` file of its sandbox.
pub fn main(kind: Kind, arguments: &[String]) -> ExitCode {
    let settings = match Settings::from_environment(|name| std::env::var(name).ok()) {
        // COMPAT(mesos): the name of the argument.
        Ok(settings) => Settings {
            has_terminal: arguments.iter().any(|argument| argument.starts_with("--tty_slave_path=")),
            ..settings
        },
        Err(error) => {
            say(&format!("{error:#}"));
            say("executors are started by an agent, not by people; to run a task use 'mesos execute --help'");
            return ExitCode::from(2);
        }
    };
    let arguments = match arguments::Arguments::parse(arguments.iter().cloned()) {
        Ok(arguments) => arguments,
        Err(error) => {
            say(&format!("{error:#}"));
            return ExitCode::from(2);
        }
    };
    // One thread serves a few tasks; a container pays for each more.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = match (runtime, kind) {
        (Ok(runtime), Kind::Command) => {
            runtime.block_on(reactor::run(settings, reactor::Work::Command(Arc::new(arguments))))
        }
        (Ok(runtime), Kind::Default) => runtime.block_on(pods::run(settings)),
        (Err(error), _) => {
            say(&format!("cannot start: {error}"));
            1
        }
    };
    ExitCode::from(code)
}

/// Writes a line to the task's standard error.
fn say(line: &str) {
    use std::io::Write as _;
    // A full disk must not stop the task from being reported on.
    let _ = writeln!(std::io::stderr(), "mesos-executor: {line}");
}
