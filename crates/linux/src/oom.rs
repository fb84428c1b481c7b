//! Word of a memory cgroup that ran out of memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
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

/// The file of a version 2 cgroup that counts what became of its own memory, not of that of cgroups below it.
const EVENTS_V2: &str = "memory.events.local";

/// A file that `poll` tells of (`POLLPRI`) when an event of a version 2 cgroup's memory was counted, or when the cgroup
/// is removed. [`ooms_v2`] says whether its limit was what was reached.
pub fn listen_v2(memory: &Cgroup) -> io::Result<File> {
    let mut file = File::open(memory.path().join(EVENTS_V2))?;
    // What was read once is told of when it changes.
    file.read_to_string(&mut String::new())?;
    Ok(file)
}

/// How often the memory of a version 2 cgroup was exhausted. `listener` is read again from its beginning, so that it
/// tells of the next event.
pub fn ooms_v2(listener: &File) -> io::Result<u64> {
    let mut text = String::new();
    let mut listener = listener;
    listener.seek(SeekFrom::Start(0))?;
    listener.read_to_string(&mut text)?;
    Ok(parse_flat_keyed(&text).get("oom").copied().unwrap_or(0))
}

/// How many processes of the cgroup the kernel killed for want of memory. None where it does not say.
#[must_use]
pub fn oom_kills(memory: &Cgroup) -> Option<u64> {
    let text = memory.read("memory.oom_control").or_else(|_| memory.read("memory.events")).ok()?;
    parse_flat_keyed(&text).get("oom_kill").copied()
}
