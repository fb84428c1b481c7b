//! Counters of what processes of a cgroup do: `perf_event_open`.
#![expect(unsafe_code, reason = "perf_event_open has no safe form")]

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::cgroup::Cgroup;

/// What to count, as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerfEvent {
    /// `PERF_TYPE_...`: hardware 0, software 1, caches 3.
    pub kind: u32,
    /// Which one of the kind.
    pub config: u64,
}

/// `struct perf_event_attr` as it was at first; the kernel takes what it lacks for zero.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    config1: u64,
}

/// The time that it was wanted, and the time that there was a counter for it.
const FORMAT_TIMES: u64 = 3;
const FLAG_PID_CGROUP: u64 = 4;
const FLAG_CLOEXEC: u64 = 8;

/// A counter that counts, of one cpu.
#[derive(Debug)]
pub struct PerfCounter(File);

impl PerfCounter {
    /// Counts from now on. The cgroup is one of the controller perf_event, or of version 2.
    pub fn open(cgroup: &Cgroup, event: PerfEvent, cpu: u32) -> io::Result<Self> {
        let directory = rustix::fs::open(cgroup.path(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let attributes = Attributes {
            kind: event.kind,
            size: u32::try_from(size_of::<Attributes>()).map_err(io::Error::other)?,
            config: event.config,
            read_format: FORMAT_TIMES,
            ..Attributes::default()
        };
        // SAFETY: the attributes are as long as they say and outlive the call, which only reads them.
        let result = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                std::ptr::from_ref(&attributes),
                directory.as_raw_fd(),
                cpu,
                -1,
                FLAG_PID_CGROUP | FLAG_CLOEXEC,
            )
        };
        let descriptor = i32::try_from(result).ok().filter(|it| *it >= 0);
        let descriptor = descriptor.ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the kernel made this descriptor for us, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }.into()))
    }

    /// The count so far. Where counters are fewer than events it is what it would have been with one all the time.
    pub fn read(&self) -> io::Result<u64> {
        let mut bytes = [0; 24];
        (&self.0).read_exact(&mut bytes)?;
        let number = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| bytes[at * 8 + byte]));
        let (count, wanted, counted) = (number(0), number(1), number(2));
        if counted == 0 || counted >= wanted {
            return Ok(count);
        }
        let scaled = u128::from(count) * u128::from(wanted) / u128::from(counted);
        Ok(u64::try_from(scaled).unwrap_or(u64::MAX))
    }
}

/// The cpus that run, from a list such as `0-2,5`.
pub fn online_cpus() -> io::Result<Vec<u32>> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    parse_cpus(text.trim()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_cpus(list: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(parse_cpus("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_cpus("0"), Some(vec![0]));
        assert_eq!(parse_cpus("x"), None);
        assert!(!online_cpus().unwrap().is_empty());
    }
}
