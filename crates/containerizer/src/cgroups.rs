//! The cgroups of one container: where they are, who is in them, and their end.

use std::time::Duration;

use fail_point::fail_point;
use launch_plan::Plan;
use linux::{Cgroup, DestroyError};
use types::ContainerId;

use crate::config::Config;

/// The cgroups of a container of the Linux launcher.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    /// The freezer's, which lists every process; on version 2 the one that there is, with those below it.
    freezer: Cgroup,
    /// Those of the other hierarchies of version 1, whether they exist or not.
    others: Vec<Cgroup>,
    patience: Duration,
}

impl Cgroups {
    /// Where they are. None without the Linux launcher.
    pub(crate) fn of(config: &Config, container: &ContainerId) -> Option<Self> {
        let places = Plan::places(&config.settings, &config.facts, container);
        let mut places = places.into_iter().map(Cgroup::at);
        let freezer = places.next()?;
        Some(Self { freezer, others: places.collect(), patience: config.destroy_timeout })
    }

    /// Whether they were made: not for a container of the posix launcher.
    pub(crate) fn exist(&self) -> bool {
        self.freezer.exists()
    }

    /// Whether any but the freezer's was made.
    pub(crate) fn others_exist(&self) -> bool {
        self.others.iter().any(Cgroup::exists)
    }

    /// Whether the process is the container's.
    pub(crate) fn contain(&self, pid: u32) -> bool {
        self.processes().contains(&pid)
    }

    /// All processes of the container.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.freezer.all_processes().unwrap_or_default()
    }

    /// The one with all controllers, on version 2.
    pub(crate) fn unified(&self, config: &Config) -> Option<&Cgroup> {
        config.facts.unified.as_ref().map(|_| &self.freezer)
    }

    /// The one of version 1 with this controller, if there is one.
    pub(crate) fn with(&self, config: &Config, controller: &str) -> Option<Cgroup> {
        let hierarchy = config.facts.hierarchies.get(controller)?;
        self.others.iter().find(|cgroup| cgroup.path().starts_with(hierarchy) && cgroup.exists()).cloned()
    }

    /// The one that limits memory, if there is one.
    pub(crate) fn memory(&self, config: &Config) -> Option<Cgroup> {
        match self.unified(config) {
            Some(unified) => Some(unified).filter(|it| it.path().join("memory.max").exists()).cloned(),
            None => self.with(config, "memory"),
        }
    }

    /// How much memory it may use at most, as it is. More than there can be for no limit.
    pub(crate) fn memory_limit(&self, config: &Config) -> Option<u64> {
        let memory = self.memory(config)?;
        if self.unified(config).is_none() {
            return memory.read("memory.limit_in_bytes").ok()?.trim().parse().ok();
        }
        match memory.read("memory.max").ok()?.trim() {
            "max" => Some(u64::MAX),
            number => number.parse().ok(),
        }
    }

    /// Stops every process; only the end of the container may follow.
    pub(crate) fn stop(&self) {
        self.freezer.stop();
    }

    /// Removes the cgroups if the container is over, and nothing is left in any of them. False if there is more to do.
    /// Does not wait.
    pub(crate) fn remove_empty(&self) -> bool {
        // ORDER: the freezer's first; then the others are empty.
        std::iter::once(&self.freezer).chain(&self.others).all(|cgroup| {
            let removed = cgroup.remove_empty();
            if removed {
                fail_point("container.half_destroyed");
            }
            removed
        })
    }

    /// Kills every process and removes the cgroups. Returns the pids of those that would not die in time. Blocks.
    pub(crate) fn destroy(&self) -> Vec<u32> {
        // ORDER: the freezer's first; then the others are empty.
        for cgroup in std::iter::once(&self.freezer).chain(&self.others) {
            match cgroup.destroy(self.patience) {
                Ok(()) => fail_point("container.half_destroyed"),
                Err(DestroyError::Alive { pids, .. }) => return pids,
                Err(error @ DestroyError::Io { .. }) => tracing::error!(%error, "a cgroup is left behind"),
            }
        }
        Vec::new()
    }
}
