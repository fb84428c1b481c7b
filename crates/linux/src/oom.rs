//! Word of a memory cgroup that ran out of memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

use crate::cgroup::Cgroup;
use crate::stat::parse_flat_keyed;

/// A descriptor that becomes readable when the memory of a version 1 cgroup is exhausted, or when the cgroup is
/// removed.
pub fn listen_v1(memory: &Cgroup) -> io::Result<OwnedFd> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = File::open(memory.path().join("memory.oom_control"))?;
    memory.write("cgroup.event_control", &format!("{} {}", event.as_raw_fd(), control.as_raw_fd()))?;
    Ok(event)
}

/// How many processes of the cgroup the kernel killed for want of memory. None where it does not say.
#[must_use]
pub fn oom_kills(memory: &Cgroup) -> Option<u64> {
    let text = memory.read("memory.oom_control").or_else(|_| memory.read("memory.events")).ok()?;
    parse_flat_keyed(&text).get("oom_kill").copied()
}
