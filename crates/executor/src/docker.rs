//! The Docker executor: the executor of one task that is a container of the Docker daemon's.
//!
//! The agent starts it as `mesos docker-executor` with the flags of Apache Mesos's. It makes the task's container, shows
//! what that prints as its own output, and reports on it. With `--run` it is less: it runs a container that was made
//! already, which is an executor of somebody's, and exits as that does.

mod container;
mod flags;
mod probes;

use std::process::ExitCode;
use std::time::Duration;

use ::docker::Client;
use ::flags::{Input, Unknown};

pub(crate) use self::container::{Container, Making, Running};
use self::flags::DockerFlags;
pub(crate) use self::probes::{check, health_check};
use crate::reactor::Work;
use crate::settings::Settings;
use crate::{reactor, say};

/// Runs until the container is over.
pub fn main(arguments: Vec<String>) -> ExitCode {
    let mut flags = DockerFlags::default();
    // What is in the environment is for the task, and not for these flags.
    let input = Input {
        prefix: None,
        unknown: Unknown::Ignore,
        ..Input::of_process("mesos docker-executor", arguments)
    };
    match ::flags::load(&input, &mut [&mut flags]) {
        Ok(loaded) => {
            if let Some(help) = loaded.help {
                say(&help);
                return ExitCode::SUCCESS;
            }
        }
        Err(error) => {
            say(&error.usage);
            return ExitCode::from(1);
        }
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("cannot start: {error}"));
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(run(&flags));
    // Nothing that still waits for the daemon is waited for.
    runtime.shutdown_background();
    ExitCode::from(code)
}

async fn run(flags: &DockerFlags) -> u8 {
    let client = Client::new(&flags.docker_socket);
    if flags.run {
        return container::run_made(&Container { client, name: flags.container.clone() }, flags.tty).await;
    }
    let making = match Making::new(client, flags) {
        Ok(making) => making,
        Err(why) => {
            say(&why);
            return 1;
        }
    };
    match Settings::from_environment(|name| std::env::var(name).ok()) {
        Ok(mut settings) => {
            // COMPAT(mesos): the larger of both.
            let stop = flags.stop_timeout.map_or(Duration::ZERO, ::flags::Duration::to_std);
            settings.shutdown_grace = settings.shutdown_grace.max(stop);
            reactor::run(settings, Work::Container(Box::new(making))).await
        }
        Err(error) => {
            say(&format!("{error:#}"));
            2
        }
    }
}
