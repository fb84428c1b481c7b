//! The daemons: flags, log, and the loop until somebody stops it.

use std::io::{self, Write};
use std::process::ExitCode;

use agent::AgentFlags;
use anyhow::bail;
use flags::{FlagSet, Input, LoggingFlags};
use master::MasterFlags;

use crate::say;

/// `mesos master`.
pub(crate) fn master(arguments: Vec<String>) -> anyhow::Result<ExitCode> {
    let (mut flags, mut logging) = (MasterFlags::default(), LoggingFlags::default());
    if let Some(code) = load("mesos master", arguments, &mut [&mut flags, &mut logging])? {
        return Ok(code);
    }
    if flags.version {
        return version();
    }
    let runtime = runtime()?;
    let outcome = runtime.block_on(master::run(flags, logging));
    // What still waits for somebody outside is not waited for: a master that must end does so at once.
    runtime.shutdown_background();
    outcome?;
    Ok(ExitCode::SUCCESS)
}

/// `mesos agent`.
pub(crate) fn agent(arguments: Vec<String>) -> anyhow::Result<ExitCode> {
    let (mut flags, mut logging) = (AgentFlags::default(), LoggingFlags::default());
    if let Some(code) = load("mesos agent", arguments, &mut [&mut flags, &mut logging])? {
        return Ok(code);
    }
    if flags.version {
        return version();
    }
    runtime()?.block_on(agent::run(flags, logging))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a daemon's flags. With a code the program is over: help was asked for, or a flag was wrong.
pub(crate) fn load(
    program: &str,
    arguments: Vec<String>,
    sets: &mut [&mut dyn FlagSet],
) -> anyhow::Result<Option<ExitCode>> {
    let loaded = match flags::load(&Input::of_process(program, arguments), sets) {
        Ok(loaded) => loaded,
        Err(error) => {
            say(&error.usage);
            return Ok(Some(ExitCode::from(1)));
        }
    };
    if let Some(help) = loaded.help {
        write!(io::stdout(), "{help}")?;
        return Ok(Some(ExitCode::SUCCESS));
    }
    for warning in &loaded.warnings {
        say(&format!("{program}: {warning}"));
    }
    if let Some(stray) = loaded.rest.first() {
        bail!("'{stray}' is not a flag of {program}; see {program} --help");
    }
    Ok(None)
}

/// The threads of a daemon: one steps the core, the others serve connections.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn version() -> anyhow::Result<ExitCode> {
    writeln!(io::stdout(), "mesos {} (mesos-rs {})", daemon::VERSION.mesos, daemon::VERSION.own)?;
    Ok(ExitCode::SUCCESS)
}
