//! `disk/xfs`: each sandbox is a project of its own, whose size the file system counts and bounds.
//!
//! A project's number stays taken until its sandbox is deleted, since what lies there still belongs to it; then its quota
//! is cleared and the number is free. Containers in containers have their sandboxes within, and count to the same project.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use launch_plan::ProjectIds;
use linux::{ProjectQuotas, ProjectUsage, assign_project, project_of};
use proto::mesos::slave::ContainerLimitation;
use proto::mesos::v1::{Resource, ResourceStatistics, task_status, value};
use types::ContainerId;

use crate::disk::{bytes, quota};
use crate::entries::Shared;

/// Where sandboxes are, below the working directory. COMPAT(mesos): the layout.
const SANDBOXES: [&str; 8] = ["slaves", "*", "frameworks", "*", "executors", "*", "runs", "*"];
const STANDALONE: [&str; 2] = ["containers", "*"];

/// What is done about a sandbox that grows too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaPolicy {
    /// Nothing; it is counted.
    Account,
    /// Writing fails.
    Bound,
    /// Its container ends. Writing fails only so many bytes above, so that there is time to see it.
    Kill {
        /// How many.
        headroom: u64,
    },
}

/// How sandboxes are held to their size by XFS.
#[derive(Clone, Debug)]
pub struct ProjectSettings {
    /// The agent's working directory, with all sandboxes below.
    pub work_dir: PathBuf,
    /// The numbers that projects may have.
    pub ids: Vec<RangeInclusive<u32>>,
    /// What is done about those that are too large.
    pub policy: QuotaPolicy,
    /// How often sandboxes that were deleted are looked for.
    pub interval: Duration,
}

/// The projects of an agent's sandboxes.
#[derive(Debug)]
pub struct Projects {
    settings: ProjectSettings,
    quotas: ProjectQuotas,
    state: Mutex<State>,
    /// Held by whoever frees numbers, so that nobody frees one that was given anew.
    freeing: Mutex<()>,
}

#[derive(Debug)]
struct State {
    ids: ProjectIds,
    /// The sandbox of each number that is taken.
    places: BTreeMap<u32, PathBuf>,
    /// The numbers of the containers that there are.
    of: BTreeMap<ContainerId, u32>,
}

impl Projects {
    /// Has quotas enforced, and takes note of the projects that sandboxes have already. Blocks. Says why there can be no
    /// quotas. COMPAT(mesos): the texts.
    pub fn prepare(settings: ProjectSettings) -> Result<Self, String> {
        let place = settings.work_dir.display();
        let quotas = ProjectQuotas::open(&settings.work_dir)
            .map_err(|error| format!("Failed to access '{place}': {error}"))?
            .ok_or_else(|| format!("'{place}' is not an XFS filesystem"))?;
        quotas
            .enable()
            .map_err(|error| format!("Failed to enable XFS project quotas on '{place}': {error}"))?;
        let enabled = quotas.are_enabled();
        if !enabled.map_err(|error| format!("Failed to get quota status for '{place}': {error}"))? {
            return Err(format!("XFS project quotas are not enabled on '{place}'"));
        }
        let mut state = State {
            ids: ProjectIds::new(settings.ids.clone()),
            places: BTreeMap::new(),
            of: BTreeMap::new(),
        };
        for sandbox in [&SANDBOXES[..], &STANDALONE].iter().flat_map(|it| below(&settings.work_dir, it)) {
            let project = project_of(&sandbox).map_err(|error| {
                format!("Failed to get XFS attributes for '{}': {error}", sandbox.display())
            })?;
            if let Some(project) = project {
                state.ids.keep(project);
                state.places.insert(project, sandbox);
            }
        }
        Ok(Self { settings, quotas, state: Mutex::new(state), freeing: Mutex::new(()) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a sandbox a project of its own, unless it is one. Blocks.
    fn assign(&self, container: &ContainerId, sandbox: &Path) -> Result<u32, String> {
        let known = project_of(sandbox).ok().flatten();
        if known.is_none() && !self.lock().ids.has_free() {
            self.reclaim();
        }
        let project = {
            let mut state = self.lock();
            let known = known.filter(|id| state.places.get(id).is_some_and(|place| place == sandbox));
            let taken = known.or_else(|| state.ids.take());
            let project = taken.ok_or("Failed to assign project ID, range exhausted")?;
            state.places.insert(project, sandbox.to_owned());
            state.of.insert(container.clone(), project);
            project
        };
        if known != Some(project) {
            // One whose sandbox was deleted while there was no agent may have had limits.
            self.quotas
                .limit(project, 0, 0)
                .map_err(|error| format!("Failed to clear quota for project {project}: {error}"))?;
            assign_project(sandbox, project)
                .map_err(|error| format!("Failed to assign project {project}: {error}"))?;
        }
        Ok(project)
    }

    /// Bounds a container's project as its resources say. Those without disk say nothing.
    fn hold(&self, container: &ContainerId, resources: &[Resource]) -> Result<(), String> {
        let Some(project) = self.lock().of.get(container).copied() else { return Ok(()) };
        let Some((soft, _)) = quota(resources) else { return Ok(()) };
        let failed = |why: String| format!("Failed to update quota for project {project}: {why}");
        let (soft, hard) = match self.settings.policy {
            QuotaPolicy::Account => (0, 0),
            QuotaPolicy::Bound if soft == 0 => {
                return Err(failed("Quota hard limit must be greater than 0".to_owned()));
            }
            QuotaPolicy::Kill { .. } if soft == 0 => {
                return Err(failed("Quota soft limit must be greater than 0".to_owned()));
            }
            QuotaPolicy::Bound => (soft, soft),
            QuotaPolicy::Kill { headroom } => (soft, soft.saturating_add(headroom)),
        };
        self.quotas.limit(project, soft, hard).map_err(|error| failed(error.to_string()))
    }

    fn usage(&self, container: &ContainerId) -> Option<ProjectUsage> {
        let project = self.lock().of.get(container).copied()?;
        let usage = self.quotas.usage(project).inspect_err(|error| {
            tracing::warn!(%container, project, %error, "cannot learn what a sandbox holds");
        });
        usage.ok().flatten()
    }

    /// Tells of a container what its sandbox holds and may hold.
    pub(crate) fn fill(
        &self,
        container: &ContainerId,
        resources: &[Resource],
        statistics: &mut ResourceStatistics,
    ) {
        if !self.lock().of.contains_key(container) {
            return;
        }
        statistics.disk_limit_bytes = Some(quota(resources).map_or(0, |(limit, _)| limit));
        statistics.disk_used_bytes = self.usage(container).map(|usage| usage.used);
    }

    /// A container is over. Its number stays taken while there is its sandbox.
    fn forget(&self, container: &ContainerId) {
        self.lock().of.remove(container);
    }

    /// Frees the numbers of sandboxes that were deleted. Blocks.
    fn reclaim(&self) {
        let _one = self.freeing.lock().unwrap_or_else(PoisonError::into_inner);
        let places: Vec<(u32, PathBuf)> = {
            let state = self.lock();
            let live: BTreeSet<u32> = state.of.values().copied().collect();
            let left = state.places.iter().filter(|(id, _)| !live.contains(id));
            left.map(|(id, place)| (*id, place.clone())).collect()
        };
        for (project, place) in places {
            if fs::symlink_metadata(&place).is_ok() {
                continue;
            }
            if let Err(error) = self.quotas.limit(project, 0, 0) {
                tracing::error!(project, %error, "cannot clear a project's quota");
            }
            let mut state = self.lock();
            state.places.remove(&project);
            state.ids.give_back(project);
        }
    }
}

/// Begins to look for sandboxes that were deleted.
pub(crate) fn begin(projects: Option<&Arc<Projects>>) {
    if let Some(projects) = projects {
        // It ends by itself when nobody has the projects any more.
        drop(tokio::spawn(reclaim(Arc::downgrade(projects), projects.settings.interval)));
    }
}

/// Looks for them, again and again until nobody has the projects any more.
async fn reclaim(projects: Weak<Projects>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Some(projects) = projects.upgrade() else { return };
        if tokio::task::spawn_blocking(move || projects.reclaim()).await.is_err() {
            tracing::error!("looking for deleted sandboxes panicked");
        }
    }
}

impl Shared {
    /// Makes a container's sandbox a project, and bounds it.
    pub(crate) async fn assign_project(&self, container: &ContainerId) -> Result<(), String> {
        let Some(projects) = self.config.projects.clone().filter(|_| container.parent.is_none()) else {
            return Ok(());
        };
        let Some(sandbox) = self.directory_of(container) else { return Ok(()) };
        let id = container.clone();
        let assigning = tokio::task::spawn_blocking(move || projects.assign(&id, &sandbox));
        let project = assigning.await.map_err(|_| "Assigning a project panicked".to_owned())??;
        tracing::info!(%container, project, "a sandbox is a project");
        // ORDER: after there is a project; an update meanwhile had none to bound.
        self.hold_to_quota(container)
    }

    /// Bounds a container's sandbox as its resources say.
    pub(crate) fn hold_to_quota(&self, container: &ContainerId) -> Result<(), String> {
        let Some(projects) = &self.config.projects else { return Ok(()) };
        let (resources, _) = self.amounts(container).unwrap_or_default();
        projects.hold(container, &resources)
    }

    /// A container is over.
    pub(crate) fn forget_project(&self, container: &ContainerId) {
        if let Some(projects) = &self.config.projects {
            projects.forget(container);
        }
    }
}

/// Looks until a container's sandbox holds more than it may, where that is its end.
pub(crate) async fn watch(shared: &Arc<Shared>, container: &ContainerId) -> ContainerLimitation {
    let kills = |it: &&Arc<Projects>| matches!(it.settings.policy, QuotaPolicy::Kill { .. });
    let Some(projects) = shared.config.projects.as_ref().filter(kills) else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(shared.config.disk.interval).await;
        let exceeded = |usage: &ProjectUsage| usage.soft != 0 && usage.used > usage.soft;
        if let Some(usage) = projects.usage(container).filter(exceeded) {
            return limitation(usage);
        }
    }
}

fn limitation(usage: ProjectUsage) -> ContainerLimitation {
    let megabytes = u32::try_from(usage.used >> 20).unwrap_or(u32::MAX);
    let resource = Resource {
        name: "disk".to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: f64::from(megabytes) }),
        ..Resource::default()
    };
    let (used, soft) = (bytes(usage.used), bytes(usage.soft));
    ContainerLimitation {
        resources: vec![resource],
        message: Some(format!("Disk usage ({used}) exceeded quota ({soft})")),
        reason: Some(task_status::Reason::ContainerLimitationDisk.into()),
    }
}

/// The directories at a path in which a star is any name. Links are none.
fn below(top: &Path, names: &[&str]) -> Vec<PathBuf> {
    let mut found = vec![top.to_owned()];
    for name in names {
        let entries = |place: PathBuf| match *name {
            "*" => fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path()).collect(),
            name => vec![place.join(name)],
        };
        let is_directory = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
        found = found.into_iter().flat_map(entries).filter(is_directory).collect();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandboxes_are_found_and_links_are_none() {
        let directory = tempfile::tempdir().unwrap();
        let runs = directory.path().join("slaves/s/frameworks/f/executors/e/runs");
        fs::create_dir_all(runs.join("one")).unwrap();
        std::os::unix::fs::symlink("one", runs.join("latest")).unwrap();
        assert_eq!(below(directory.path(), &SANDBOXES), [runs.join("one")]);
        assert!(below(directory.path(), &STANDALONE).is_empty());
    }

    #[test]
    fn another_file_system_is_refused() {
        let settings = ProjectSettings {
            work_dir: "/proc".into(),
            ids: Vec::new(),
            policy: QuotaPolicy::Account,
            interval: Duration::from_secs(60),
        };
        assert_eq!(Projects::prepare(settings).unwrap_err(), "'/proc' is not an XFS filesystem");
    }
}
