//! The helpers as a program of their own, for tests of this crate: `mesos-containerizer containerizer launch ...`.

use std::process::ExitCode;

use containerizer::launch_helper::{Begun, dispatch};

fn main() -> ExitCode {
    match dispatch(std::env::args_os().skip(2), |_| false) {
        Some(Begun::Over(code)) => code,
        Some(Begun::Ours(_)) | None => ExitCode::from(2),
    }
}
