//! The nursery itself: `mesos containerizer nursery`.
//!
//! It has one thread, and does nothing that a child should not find done: no random numbers, no files, no signals.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;

use linux::Guise;

use super::wire::{self, REQUEST_BYTES, Request};

/// Forks for each request, until the agent is gone. Returns in each child with its command line, which is a helper's
/// from then on; none when all is over.
pub(crate) fn serve() -> Option<Vec<OsString>> {
    // Signals from the terminal of an agent that somebody tries by hand are not for this.
    let _ = rustix::process::setsid();
    // What is shown of a child is for people, and for an agent that looks for its own after a restart: where the kernel
    // cannot show another command line, there is no nursery.
    let guise = Guise::read().ok().filter(|guise| guise.show_own().is_ok())?;
    let socket = io::stdin().as_fd().try_clone_to_owned().ok()?;
    let mut body = vec![0; REQUEST_BYTES];
    loop {
        let (bytes, descriptors) = wire::receive(socket.as_fd(), &mut body).ok()?;
        if bytes == 0 {
            return None;
        }
        let request = wire::parse(body.get(..bytes)?, descriptors)?;
        let cgroup = request.cgroup.as_ref().map(std::os::fd::AsFd::as_fd);
        match linux::fork_to_parent(request.namespaces, cgroup) {
            Ok(None) => return begin(&guise, request),
            Ok(Some(spawned)) => wire::answer(socket.as_fd(), &Ok(spawned)).ok()?,
            Err(error) => wire::answer(socket.as_fd(), &Err(error)).ok()?,
        }
    }
}

/// What a child finds after an exec: its descriptors and no others, and its command line. None if that cannot be.
fn begin(guise: &Guise, request: Request) -> Option<Vec<OsString>> {
    let [stdin, stdout, stderr] = &request.stdio;
    rustix::stdio::dup2_stdin(stdin).ok()?;
    rustix::stdio::dup2_stdout(stdout).ok()?;
    rustix::stdio::dup2_stderr(stderr).ok()?;
    guise.show(&request.argv, &[]).ok()?;
    Some(request.argv)
}
