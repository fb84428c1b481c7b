//! Word of a memory cgroup of version 1 that finds it hard to get more memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

use crate::cgroup::Cgroup;

/// A counter of a cgroup's moments of memory pressure, at that level or above: `low`, `medium` or `critical`.
pub fn listen_pressure_v1(memory: &Cgroup, level: &str) -> io::Result<OwnedFd> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let file = File::open(memory.path().join("memory.pressure_level"))?;
    memory.write("cgroup.event_control", &format!("{} {} {level}", event.as_raw_fd(), file.as_raw_fd()))?;
    Ok(event)
}

/// How often it was told of since this was asked for last.
pub fn count_of(event: impl AsFd) -> io::Result<u64> {
    let mut bytes = [0; 8];
    match rustix::io::read(event, &mut bytes) {
        Ok(_) => Ok(u64::from_ne_bytes(bytes)),
        Err(rustix::io::Errno::AGAIN) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}
