//! The command executor: runs one task's command and reports on it.
//!
//! The agent starts it as `mesos executor` in the task's sandbox and tells it the rest by `MESOS_*` variables.
//! Decisions are made by [`executor_core`] (the task) and [`client_core::executor`] (the session with the
//! agent); this crate carries them out: processes, checks, HTTP.

mod checks;
mod command;
mod reactor;
mod settings;

use std::process::ExitCode;

pub use executor_core::signal_name;
use settings::Settings;

/// Runs until the task is over and its last update acknowledged.
///
/// Everything it says goes to standard error, which is the task's `stderr` file.
pub fn main() -> ExitCode {
    let settings = match Settings::from_environment(|name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(error) => {
            say(&format!("{error:#}"));
            say(
                "mesos executor is started by an agent, not by people; to run a task use 'mesos execute --help'",
            );
            return ExitCode::from(2);
        }
    };
    // One thread serves one task; a container pays for each more.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = match runtime {
        Ok(runtime) => runtime.block_on(reactor::run(settings)),
        Err(error) => {
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
