//! `disk/xfs`: each sandbox is a project of its own, whose size the file system counts and bounds.
//!
//! A project's number stays taken until its sandbox is deleted, since what lies there still belongs to it; then its quota
//! is cleared and the number is free. Containers in containers have their sandboxes within, and count to the same project;
//! so does what a container writes in a root that overlayfs makes of layers. Persistent volumes are projects of their own:
//! see [`volumes`].

mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use launch_plan::{NumberPool, Rootfs};
use linux::{ProjectQuotas, ProjectUsage, assign_project, project_of};
use proto::mesos::slave::ContainerLimitation;
use proto::mesos::v1::resource::DiskInfo;
use proto::mesos::v1::{Resource, ResourceStatistics, task_status, value};
use types::ContainerId;

use self::volumes::Held;
use crate::disk::{bytes, quota};
use crate::entries::{Shared, root_of};
use crate::volumes::Volume;

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
    /// The directories of disks of type PATH, with persistent volumes below.
    pub disks: Vec<PathBuf>,
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
    /// The file systems, by a directory on each. The first is the working directory's.
    disks: Vec<(PathBuf, ProjectQuotas)>,
    state: Mutex<State>,
    /// Held by whoever frees numbers, so that nobody frees one that was given anew.
    freeing: Mutex<()>,
}

#[derive(Debug)]
struct State {
    ids: NumberPool,
    /// The sandbox or the volume of each number that is taken.
    places: BTreeMap<u32, PathBuf>,
    /// The numbers of the containers that there are.
    of: BTreeMap<ContainerId, u32>,
    /// Their persistent volumes.
    volumes: BTreeMap<ContainerId, Vec<Held>>,
}

/// How many numbers there are to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectCounts {
    /// Taken or not.
    pub total: u64,
    /// Those that nobody has.
    pub free: u64,
}

impl Projects {
    /// Has quotas enforced, and takes note of the projects that sandboxes have already. Blocks. Says why there can be no
    /// quotas. COMPAT(mesos): the texts.
    pub fn prepare(settings: ProjectSettings) -> Result<Self, String> {
        let places = std::iter::once(&settings.work_dir).chain(&settings.disks);
        let disks =
            places.map(|place| Ok((place.clone(), quotas_at(place)?))).collect::<Result<_, String>>()?;
        let mut state = State {
            ids: NumberPool::new(settings.ids.clone()),
            places: BTreeMap::new(),
            of: BTreeMap::new(),
            volumes: BTreeMap::new(),
        };
        let sandboxes = [&SANDBOXES[..], &STANDALONE].into_iter();
        let sandboxes = sandboxes.flat_map(|it| below(&settings.work_dir, it));
        for place in sandboxes.chain(volumes::all(&settings)) {
            let project = project_of(&place).map_err(|error| {
                format!("Failed to get XFS attributes for '{}': {error}", place.display())
            })?;
            if let Some(project) = project {
                state.ids.keep(project);
                state.places.insert(project, place);
            }
        }
        Ok(Self { settings, disks, state: Mutex::new(state), freeing: Mutex::new(()) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many numbers there are.
    pub(crate) fn counts(&self) -> ProjectCounts {
        let state = self.lock();
        ProjectCounts { total: state.ids.total(), free: state.ids.free() }
    }

    /// The quotas of the file system that a directory is on.
    fn quotas(&self, place: &Path) -> &ProjectQuotas {
        let above = self.disks.iter().filter(|(disk, _)| place.starts_with(disk));
        let nearest = above.max_by_key(|(disk, _)| disk.as_os_str().len());
        &nearest.unwrap_or(&self.disks[0]).1
    }

    /// Makes a sandbox a project of its own, unless it is one. Blocks.
    fn assign(&self, container: &ContainerId, sandbox: &Path) -> Result<u32, String> {
        let project = self.settle(sandbox)?;
        self.lock().of.insert(container.clone(), project);
        Ok(project)
    }

    /// The project of a directory, which is made one of its own unless it is one. Blocks.
    fn settle(&self, place: &Path) -> Result<u32, String> {
        let known = project_of(place).ok().flatten();
        if known.is_none() && !self.lock().ids.has_free() {
            self.reclaim();
        }
        let project = {
            let mut state = self.lock();
            let known = known.filter(|id| state.places.get(id).is_some_and(|known| known == place));
            let taken = known.or_else(|| state.ids.take());
            let project = taken.ok_or("Failed to assign project ID, range exhausted")?;
            state.places.insert(project, place.to_owned());
            project
        };
        if known != Some(project) {
            // One whose directory was deleted while there was no agent may have had limits.
            self.quotas(place)
                .limit(project, 0, 0)
                .map_err(|error| format!("Failed to clear quota for project {project}: {error}"))?;
            assign_project(place, project)
                .map_err(|error| format!("Failed to assign project {project}: {error}"))?;
        }
        Ok(project)
    }

    /// Bounds a container's project as its resources say. Those without disk say nothing.
    fn hold(&self, container: &ContainerId, resources: &[Resource]) -> Result<(), String> {
        let Some(project) = self.lock().of.get(container).copied() else { return Ok(()) };
        let Some((bytes, _)) = quota(resources) else { return Ok(()) };
        self.bound(&self.settings.work_dir, project, bytes)
    }

    /// Bounds a project on the file system of a directory.
    fn bound(&self, place: &Path, project: u32, bytes: u64) -> Result<(), String> {
        let failed = |why: String| format!("Failed to update quota for project {project}: {why}");
        let (soft, hard) = match self.settings.policy {
            QuotaPolicy::Account => (0, 0),
            QuotaPolicy::Bound if bytes == 0 => {
                return Err(failed("Quota hard limit must be greater than 0".to_owned()));
            }
            QuotaPolicy::Kill { .. } if bytes == 0 => {
                return Err(failed("Quota soft limit must be greater than 0".to_owned()));
            }
            QuotaPolicy::Bound => (bytes, bytes),
            QuotaPolicy::Kill { headroom } => (bytes, bytes.saturating_add(headroom)),
        };
        self.quotas(place).limit(project, soft, hard).map_err(|error| failed(error.to_string()))
    }

    fn usage(&self, container: &ContainerId) -> Option<ProjectUsage> {
        let project = self.lock().of.get(container).copied()?;
        self.usage_of(&self.settings.work_dir, project)
    }

    fn usage_of(&self, place: &Path, project: u32) -> Option<ProjectUsage> {
        let usage = self.quotas(place).usage(project).inspect_err(|error| {
            tracing::warn!(project, %error, "cannot learn what a project holds");
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
        self.fill_volumes(container, statistics);
    }

    /// A container is over. Its number stays taken while there is its sandbox.
    fn forget(&self, container: &ContainerId) {
        let mut state = self.lock();
        state.of.remove(container);
        state.volumes.remove(container);
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
            if let Err(error) = self.quotas(&place).limit(project, 0, 0) {
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
    /// Makes a container's sandbox a project, and its volumes, and bounds them.
    pub(crate) async fn assign_project(self: &Arc<Self>, container: &ContainerId) -> Result<(), String> {
        let Some(projects) = self.config.projects.clone().filter(|_| container.parent.is_none()) else {
            return Ok(());
        };
        let Some(sandbox) = self.directory_of(container) else { return Ok(()) };
        let (shared, id) = (Arc::clone(self), container.clone());
        let assigning = tokio::task::spawn_blocking(move || {
            let project = projects.assign(&id, &sandbox)?;
            tracing::info!(container = %id, project, "a sandbox is a project");
            // ORDER: after there is a project; an update meanwhile had none to bound.
            shared.hold_to_quota(&id)
        });
        assigning.await.map_err(|_| "Assigning a project panicked".to_owned())?
    }

    /// Bounds a container's sandbox and volumes as its resources say. Blocks where a volume is new.
    pub(crate) fn hold_to_quota(&self, container: &ContainerId) -> Result<(), String> {
        let Some(projects) = self.config.projects.as_ref().filter(|_| container.parent.is_none()) else {
            return Ok(());
        };
        let (resources, _) = self.amounts(container).unwrap_or_default();
        let held = projects.hold(container, &resources);
        let held = held.and_then(|()| projects.hold_volumes(container, &resources, &self.shown(container)));
        if self.directory_of(container).is_none() {
            // ORDER: it was over before, and so forgotten.
            projects.forget(container);
        }
        held
    }

    /// Lets what is written in a container's root count as its sandbox, or that of the outermost container around it.
    pub(crate) async fn assign_root_project(
        &self,
        container: &ContainerId,
        roots: impl IntoIterator<Item = &Rootfs>,
    ) -> Result<(), String> {
        let Some(projects) = self.config.projects.clone() else { return Ok(()) };
        let Some(project) = projects.lock().of.get(root_of(container)).copied() else { return Ok(()) };
        let layers = roots.into_iter().filter_map(|root| root.layers.as_ref());
        let scratch = layers.filter_map(|layers| Path::new(&layers.links).parent().map(Path::to_owned));
        for place in scratch.collect::<Vec<_>>() {
            let assigning = tokio::task::spawn_blocking(move || assign_project(&place, project));
            let assigned = assigning.await.map_err(|_| "Assigning a project panicked".to_owned())?;
            assigned.map_err(|error| format!("Failed to assign project {project}: {error}"))?;
        }
        Ok(())
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
            return limitation(usage, None);
        }
        let volumes = projects.usage_of_volumes(container);
        if let Some((volume, usage)) = volumes.into_iter().find(|(_, usage)| exceeded(usage)) {
            return limitation(usage, Some(volume));
        }
    }
}

fn limitation(usage: ProjectUsage, volume: Option<DiskInfo>) -> ContainerLimitation {
    let megabytes = u32::try_from(usage.used >> 20).unwrap_or(u32::MAX);
    let persistence = volume.as_ref().and_then(|volume| volume.persistence.as_ref());
    let which = persistence.map(|it| format!(" for volume '{}'", it.id)).unwrap_or_default();
    let resource = Resource {
        name: "disk".to_owned(),
        disk: volume,
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: f64::from(megabytes) }),
        ..Resource::default()
    };
    let (used, soft) = (bytes(usage.used), bytes(usage.soft));
    ContainerLimitation {
        resources: vec![resource],
        message: Some(format!("Disk usage ({used}) exceeded quota ({soft}){which}")),
        reason: Some(task_status::Reason::ContainerLimitationDisk.into()),
    }
}

/// Has quotas enforced on the file system that a directory is on. COMPAT(mesos): the texts.
fn quotas_at(directory: &Path) -> Result<ProjectQuotas, String> {
    let place = directory.display();
    let quotas = ProjectQuotas::open(directory)
        .map_err(|error| format!("Failed to access '{place}': {error}"))?
        .ok_or_else(|| format!("'{place}' is not an XFS filesystem"))?;
    quotas.enable().map_err(|error| format!("Failed to enable XFS project quotas on '{place}': {error}"))?;
    let enabled = quotas.are_enabled();
    if !enabled.map_err(|error| format!("Failed to get quota status for '{place}': {error}"))? {
        return Err(format!("XFS project quotas are not enabled on '{place}'"));
    }
    Ok(quotas)
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
            disks: Vec::new(),
            ids: Vec::new(),
            policy: QuotaPolicy::Account,
            interval: Duration::from_secs(60),
        };
        assert_eq!(Projects::prepare(settings).unwrap_err(), "'/proc' is not an XFS filesystem");
    }
}
