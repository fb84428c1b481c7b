//! Word of a container that has used all of the memory that it may use, from the kernel.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use linux::Cgroup;
use proto::mesos::slave::ContainerLimitation;
use proto::mesos::v1::{Resource, task_status, value};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::disk;

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// The memory of a container, listened to.
pub(crate) struct MemoryWatch {
    memory: Cgroup,
    listener: Listener,
}

/// Each version has its own way. What cannot be listened to is looked at when the container ends.
enum Listener {
    V1(Option<AsyncFd<OwnedFd>>),
    V2(Option<AsyncFd<Open>>),
}

/// An open file, as tokio wants one.
struct Open(File);

impl AsRawFd for Open {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl MemoryWatch {
    /// Listens to a cgroup from now on.
    pub(crate) fn new(memory: Cgroup, is_v2: bool) -> Self {
        let listener = match is_v2 {
            false => Listener::V1(told(&memory, linux::listen_v1(&memory).and_then(listen_v1))),
            true => Listener::V2(told(&memory, linux::listen_v2(&memory).and_then(listen_v2))),
        };
        Self { memory, listener }
    }

    /// Waits until its memory is exhausted; forever if that does not come.
    pub(crate) async fn exhausted(&self) {
        match &self.listener {
            Listener::V1(Some(event)) if event.readable().await.is_ok() => return,
            Listener::V2(Some(events)) if counted(events).await => return,
            Listener::V1(_) | Listener::V2(_) => {}
        }
        std::future::pending().await
    }

    /// Whether that was so: for a container that ended before it was told of.
    pub(crate) fn was_exhausted(&self) -> bool {
        match &self.listener {
            Listener::V1(_) => linux::oom_kills(&self.memory).is_some_and(|kills| kills > 0),
            Listener::V2(Some(events)) => linux::ooms_v2(&events.get_ref().0).is_ok_and(|count| count > 0),
            Listener::V2(None) => false,
        }
    }

    /// COMPAT(mesos): the text and its line breaks, as they are on version 1. On version 2 Mesos tells no numbers.
    pub(crate) fn limitation(&self) -> ContainerLimitation {
        let (limit, most) = match self.listener {
            Listener::V1(_) => ("memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            Listener::V2(_) => ("memory.max", "memory.peak"),
        };
        let number = |file: &str| self.memory.read(file).ok()?.trim().parse::<u64>().ok();
        let limit = number(limit);
        // Kernels before 5.19 do not say how much it was on version 2: as much as it could be.
        let used = number(most).or(limit);
        let mut message = "Memory limit exceeded: ".to_owned();
        if let Some(limit) = limit {
            message += &format!("Requested: {} ", disk::bytes(limit));
        }
        if let Some(used) = used {
            message += &format!("Maximum Used: {}\n", disk::bytes(used));
        }
        if let Ok(stat) = self.memory.read("memory.stat") {
            message += &format!("\nMEMORY STATISTICS: \n{stat}\n");
        }
        ContainerLimitation {
            resources: vec![megabytes(used.unwrap_or(0))],
            message: Some(message),
            reason: Some(task_status::Reason::ContainerLimitationMemory.into()),
        }
    }
}

fn megabytes(bytes: u64) -> Resource {
    let value = (bytes as f64 / MEGABYTE * 1000.0).round() / 1000.0;
    Resource {
        name: "mem".to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value }),
        ..Resource::default()
    }
}

fn told<T>(memory: &Cgroup, listener: io::Result<T>) -> Option<T> {
    let told = listener.inspect_err(|error| {
        tracing::warn!(cgroup = %memory.path().display(), %error, "cannot listen for OOM events");
    });
    told.ok()
}

#[expect(deprecated, reason = "an open file stays open as long as it lives, which is all that is asked for")]
fn listen_v1(event: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(event)
}

#[expect(deprecated, reason = "an open file stays open as long as it lives, which is all that is asked for")]
fn listen_v2(events: File) -> io::Result<AsyncFd<Open>> {
    AsyncFd::with_interest(Open(events), Interest::PRIORITY)
}

/// Waits until the kernel has counted an exhausted memory. False if it never will: the cgroup is gone.
async fn counted(events: &AsyncFd<Open>) -> bool {
    loop {
        let Ok(mut ready) = events.ready(Interest::PRIORITY).await else { return false };
        // ORDER: what is counted after this is told of again.
        ready.clear_ready();
        match linux::ooms_v2(&events.get_ref().0) {
            Ok(0) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}
