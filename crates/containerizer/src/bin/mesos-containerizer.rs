//! The helpers as a program of their own, for tests of this crate: `mesos-containerizer containerizer launch ...`.

use std::process::ExitCode;

fn main() -> ExitCode {
    containerizer::launch_helper::dispatch(std::env::args_os().skip(2)).unwrap_or(ExitCode::from(2))
}
