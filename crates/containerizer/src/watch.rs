//! The limits of a container that end it when they are reached.

use std::sync::Arc;

use proto::mesos::slave::{ContainerLimitation, ContainerTermination};
use proto::mesos::v1::TaskState;
use types::ContainerId;

use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::disk;
use crate::entries::Shared;
use crate::memory_watch::MemoryWatch;
use crate::network_ports;
use crate::projects;

/// What is watched of one container.
pub(crate) struct Watch {
    cgroups: Option<Cgroups>,
    memory: Option<MemoryWatch>,
}

impl Watch {
    /// Listens from now on. A cgroup that is none is not listened to.
    pub(crate) fn new(config: &Config, cgroups: Option<Cgroups>) -> Self {
        let memory = cgroups.as_ref().and_then(|cgroups| cgroups.memory(config));
        let is_v2 = config.facts.unified.is_some();
        let memory = memory.map(|memory| MemoryWatch::new(memory, is_v2));
        Self { cgroups, memory }
    }

    /// Waits until a limit is reached; forever if none is.
    pub(crate) async fn reached(&self, shared: &Arc<Shared>, container: &ContainerId) -> ContainerLimitation {
        tokio::select! {
            limitation = self.out_of_memory() => limitation,
            limitation = disk::watch(shared, container) => limitation,
            limitation = projects::watch(shared, container) => limitation,
            limitation = network_ports::watch(shared, container) => limitation,
        }
    }

    async fn out_of_memory(&self) -> ContainerLimitation {
        let Some(memory) = &self.memory else { return std::future::pending().await };
        memory.exhausted().await;
        // ORDER: at once, so that no executor reports the end of a killed task without its reason.
        if let Some(cgroups) = &self.cgroups {
            cgroups.stop();
        }
        memory.limitation()
    }

    /// Whether the kernel has killed for want of memory: for a container that ended before it was told of.
    pub(crate) fn at_end(&self) -> Option<ContainerLimitation> {
        let memory = self.memory.as_ref()?;
        memory.was_exhausted().then(|| memory.limitation())
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
