//! The launch helper as a program of its own, for tests of this crate: `mesos-containerizer containerizer launch ...`.

use std::process::ExitCode;

fn main() -> ExitCode {
    containerizer::launch_helper::main(std::env::args_os().skip(3))
}
