//! The one binary, `mesos`: master, agent, cluster in one process, and the tools for people.

mod api;
mod daemons;
mod dispatch;
mod drain;
mod exec;
mod execute;
mod explain;
mod input;
mod leader;
mod local;
mod maintenance;
mod quota;
mod registry;
mod reserve;
mod sandbox;
mod table;
mod terminal;
mod tool;
mod volume;
mod weights;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use containerizer::launch_helper::Begun;
use dispatch::Program;
use mimalloc::MiMalloc;

/// A master allocates and frees some hundred small things for each task, many on another thread than that which freed them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    run(std::env::args_os().collect())
}

/// Is the program that the arguments say, its own name first.
fn run(arguments: Vec<OsString>) -> ExitCode {
    let (program, arguments) = dispatch::dispatch(arguments);
    let outcome = match program {
        Program::Master => daemons::master(texts(arguments)),
        Program::Agent => daemons::agent(texts(arguments)),
        Program::Local => local::main(texts(arguments)),
        Program::Execute => execute::main("mesos execute", texts(arguments)),
        Program::Executor => return executor::main(executor::Kind::Command, &texts(arguments)),
        Program::DefaultExecutor => return executor::main(executor::Kind::Default, &texts(arguments)),
        Program::DockerExecutor => return executor::docker_main(texts(arguments)),
        Program::Containerizer => return containerizer_main(arguments),
        Program::CniPortMapper => return containerizer::port_mapper::main(),
        Program::Tool => tool::main(arguments),
    };
    outcome.unwrap_or_else(|error| {
        say(&format!("mesos: {error:#}"));
        ExitCode::from(1)
    })
}

fn containerizer_main(arguments: Vec<OsString>) -> ExitCode {
    match containerizer::launch_helper::dispatch(arguments, is_executor) {
        Some(Begun::Over(code)) => code,
        Some(Begun::Ours(arguments)) => run(arguments),
        None => {
            say("mesos containerizer is started by an agent; its words are 'launch', 'io' and 'nursery'");
            ExitCode::from(2)
        }
    }
}

/// Whether a launch helper goes on as the program that is called so, rather than start this file once more. Executors
/// are most of what helpers are for.
fn is_executor(arguments: &[OsString]) -> bool {
    match dispatch::dispatch(arguments.iter().cloned()).0 {
        Program::Executor | Program::DefaultExecutor => true,
        Program::Master
        | Program::Agent
        | Program::Local
        | Program::Execute
        | Program::DockerExecutor
        | Program::Containerizer
        | Program::CniPortMapper
        | Program::Tool => false,
    }
}

/// Arguments of a program whose flags are text. What is not UTF-8 is shown with its odd bytes replaced.
fn texts(arguments: Vec<OsString>) -> Vec<String> {
    arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// Writes a line to the terminal, beside the output proper.
fn say(line: &str) {
    // A closed terminal is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}
