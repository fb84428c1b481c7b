//! The limits of a container that end it when they are reached.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use linux::Cgroup;
use proto::mesos::slave::{ContainerLimitation, ContainerTermination};
use proto::mesos::v1::{Resource, TaskState, task_status, value};
use tokio::io::unix::AsyncFd;
use types::ContainerId;

use crate::cgroups::Cgroups;
use crate::containerizer::{Config, Shared};
use crate::disk;

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// What is watched of one container.
pub(crate) struct Watch {
    cgroups: Option<Cgroups>,
    memory: Option<Cgroup>,
    oom: Option<AsyncFd<OwnedFd>>,
}

impl Watch {
    /// Listens from now on. A cgroup that is none is not listened to.
    pub(crate) fn new(config: &Config, cgroups: Option<Cgroups>) -> Self {
        let memory = cgroups.as_ref().and_then(|cgroups| cgroups.memory(config));
        let oom = memory.as_ref().and_then(|memory| match linux::listen_v1(memory) {
            #[expect(
                deprecated,
                reason = "an `OwnedFd` stays open as long as it lives, which is all that `register` asks for"
            )]
            Ok(event) => AsyncFd::new(event).ok(),
            Err(error) => {
                tracing::warn!(cgroup = %memory.path().display(), %error, "cannot listen for OOM events");
                None
            }
        });
        Self { cgroups, memory, oom }
    }

    /// Waits until a limit is reached; forever if none is.
    pub(crate) async fn reached(&self, shared: &Arc<Shared>, container: &ContainerId) -> ContainerLimitation {
        tokio::select! {
            limitation = self.out_of_memory() => limitation,
            limitation = disk::watch(shared, container) => limitation,
        }
    }

    async fn out_of_memory(&self) -> ContainerLimitation {
        if let (Some(memory), Some(oom)) = (&self.memory, &self.oom)
            && oom.readable().await.is_ok()
        {
            // ORDER: at once, so that no executor reports the end of a killed task without its reason.
            if let Some(cgroups) = &self.cgroups {
                cgroups.stop();
            }
            return limitation(memory);
        }
        std::future::pending().await
    }

    /// Whether the kernel has killed for want of memory: for a container that ended before it was told of.
    pub(crate) fn at_end(&self) -> Option<ContainerLimitation> {
        let memory = self.memory.as_ref()?;
        let killed = linux::oom_kills(memory).is_some_and(|kills| kills > 0);
        killed.then(|| limitation(memory))
    }
}

/// COMPAT(mesos): the text and its line breaks.
fn limitation(memory: &Cgroup) -> ContainerLimitation {
    let number = |file: &str| memory.read(file).ok()?.trim().parse::<u64>().ok();
    let used = number("memory.max_usage_in_bytes");
    let mut message = "Memory limit exceeded: ".to_owned();
    if let Some(limit) = number("memory.limit_in_bytes") {
        message += &format!("Requested: {} ", disk::bytes(limit));
    }
    if let Some(used) = used {
        message += &format!("Maximum Used: {}\n", disk::bytes(used));
    }
    if let Ok(stat) = memory.read("memory.stat") {
        message += &format!("\nMEMORY STATISTICS: \n{stat}\n");
    }
    ContainerLimitation {
        resources: vec![scalar("mem", used.unwrap_or(0) as f64 / MEGABYTE)],
        message: Some(message),
        reason: Some(task_status::Reason::ContainerLimitationMemory.into()),
    }
}

fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: (value * 1000.0).round() / 1000.0 }),
        ..Resource::default()
    }
}

/// What is said of a container that reached a limit.
pub(crate) fn termination(
    status: Option<i32>,
    limitation: Option<ContainerLimitation>,
) -> ContainerTermination {
    let Some(limitation) = limitation else { return ContainerTermination { status, ..Default::default() } };
    ContainerTermination {
        status,
        state: Some(TaskState::TaskFailed.into()),
        reason: limitation.reason,
        message: limitation.message,
        limited_resources: limitation.resources,
    }
}
