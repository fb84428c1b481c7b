//! The containerizer: what may be asked of containers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use launch_plan::{GpuPool, Ids, Isolator};
use proto::mesos::v1::{ContainerStatus, Resource, ResourceStatistics};
use rustix::process::Signal;
use tokio::sync::{Notify, mpsc};
use types::ContainerId;

use crate::config::{Config, Limits};
use crate::container;
use crate::docker_volumes::DockerVolumes;
use crate::entries::{NewEntry, Shared, root_of};
use crate::nested_sandbox::remove_sandbox;
use crate::networks::Networks;
use crate::notice::Notice;
use crate::nursery::Nursery;
use crate::observed::{self, Observed};
use crate::process::signal_command;
use crate::projects::{self, ProjectCounts};
use crate::runtime::Remains;
use crate::spec::Spec;
use crate::traffic;
use crate::usage;
use crate::volume_gids::VolumeGidCounts;
use crate::volumes::{self, Volume};

/// Runs containers. Clones are the same containerizer: one for the loop that orders, others for readers of statistics.
///
/// Dropping it leaves its containers alone; they are there for the next agent to adopt. Its methods need a tokio
/// runtime.
#[derive(Clone)]
pub struct Containerizer {
    pub(crate) shared: Arc<Shared>,
}

impl Containerizer {
    /// A containerizer that tells of its containers through `notices`. A full channel holds containers up, never loses
    /// a notice.
    #[must_use]
    pub fn new(config: Config, notices: mpsc::Sender<Notice>) -> Self {
        let observed = Observed::new(&config);
        let perf = config.perf.clone().filter(|_| config.settings.isolation.has(Isolator::CgroupsPerfEvent));
        let ids = Mutex::new(Ids::new(config.settings.security.ids));
        let containers = Mutex::default();
        let networks = Arc::new(Networks::new(config.networks.clone()));
        let docker_volumes = Arc::new(DockerVolumes::new(config.docker_volumes.clone()));
        projects::begin(config.projects.as_ref());
        let nursery = Nursery::new(config.launcher_binary.clone());
        let gone = Notify::new();
        let gpus = Mutex::new(GpuPool::new(&config.settings.gpus.offered));
        let shared = Shared {
            gpus,
            ids,
            nursery,
            config,
            notices,
            containers,
            observed,
            gone,
            networks,
            docker_volumes,
        };
        let shared = Arc::new(shared);
        if let Some(perf) = perf {
            // It ends by itself when nobody has the containerizer any more.
            drop(tokio::spawn(observed::sample(Arc::downgrade(&shared), perf)));
        }
        Self { shared }
    }

    /// Launches a container. An id that is taken already is refused by a `Failed`.
    pub fn launch(&self, spec: Spec) {
        let shared = Arc::clone(&self.shared);
        let entry = NewEntry {
            is_by_name: spec.by_name.is_some(),
            shares_pids: spec.shares_pids(),
            directory: spec.directory.clone(),
            resources: spec.resources.clone(),
            limits: spec.limits.clone(),
            volumes: spec.volumes.clone(),
        };
        match self.shared.enter(&spec.container, entry) {
            Ok(destroy) => drop(tokio::spawn(container::launch(shared, spec, destroy))),
            Err(message) => drop(tokio::spawn(async move {
                shared.notify(Notice::Failed { container: spec.container, message }).await;
            })),
        }
    }

    /// Picks up a container that an earlier agent launched, by the process it wrote down. One that is gone is
    /// launched and exited.
    pub fn adopt(&self, container: ContainerId, pid: Option<u32>, directory: String) {
        let shared = Arc::clone(&self.shared);
        // Its volumes and limits are told once its executor is back.
        let entry = NewEntry {
            is_by_name: shared.config.is_by_name(&container),
            directory: directory.clone().into(),
            ..NewEntry::default()
        };
        if let Ok(destroy) = self.shared.adopt(&container, entry) {
            shared.keep_ids(&container);
            shared.recover_gpus(&container);
            drop(tokio::spawn(container::adopt(shared, container, pid, directory, destroy)));
        }
    }

    /// Ends all processes of a container, whatever it does. Its notice follows; false if it is not known.
    pub fn destroy(&self, container: &ContainerId) -> bool {
        let containers = self.shared.lock();
        let entry = containers.get(container);
        entry.is_some_and(|entry| entry.destroy.send(true).is_ok())
    }

    /// Sends a signal to a container's command, on a thread of its own. One whose command has not begun is destroyed.
    pub fn signal(&self, container: &ContainerId, signal: i32) {
        let Some(named) = Signal::from_named_raw(signal) else {
            tracing::warn!(%container, signal, "cannot send a signal without a name");
            return;
        };
        let (leader, is_by_name) = {
            let containers = self.shared.lock();
            let Some(entry) = containers.get(container) else { return };
            (entry.signs.as_ref().map_or(0, |signs| signs.leader), entry.is_by_name)
        };
        let (containerizer, container) = (self.clone(), container.clone());
        drop(tokio::task::spawn_blocking(move || {
            if leader == 0 || !signal_command(leader, is_by_name, named) {
                containerizer.destroy(&container);
            }
        }));
    }

    /// Waits until there is no such container.
    pub async fn until_gone(&self, container: &ContainerId) {
        loop {
            // ORDER: listened to from here on, so that an end after the look is not missed.
            let gone = self.shared.gone.notified();
            if !self.shared.lock().contains_key(container) {
                return;
            }
            gone.await;
        }
    }

    /// What an earlier agent over the same runtime directory has left of containers that were asked for by name.
    /// Blocks.
    #[must_use]
    pub fn remains(&self) -> Vec<Remains> {
        self.shared.config.remains()
    }

    /// Deletes the sandbox of a container that ended, and what is kept of it. Blocks. Returns why it could not.
    pub fn remove(&self, container: &ContainerId, sandbox: &Path) -> Result<(), String> {
        let config = &self.shared.config;
        if let Some(place) = config.place(container) {
            remove_sandbox(&place)
                .map_err(|error| format!("Failed to remove the runtime directory: {error}"))?;
        }
        remove_sandbox(sandbox).map_err(|error| format!("Failed to remove the sandbox directory: {error}"))
    }

    /// Destroys what an earlier agent over the same runtime directory has left that is not `known`.
    pub fn destroy_orphans(&self, known: &BTreeSet<ContainerId>) {
        let shared = Arc::clone(&self.shared);
        // ORDER: who is an orphan is settled before the first launch of this agent makes marks of its own.
        let orphans = shared.config.orphans(known);
        let roots = shared.config.roots_left(known);
        let is_known =
            |it: &ContainerId| known.contains(root_of(it)) || shared.config.is_standalone(root_of(it));
        let in_networks = shared.networks.orphans(is_known);
        let with_volumes = shared.docker_volumes.orphans(is_known);
        let gids = shared.config.volume_gids.clone();
        let with_gids = gids.as_ref().map(|gids| gids.orphans(|id| is_known(&ContainerId::root(id))));
        let with_gids = with_gids.unwrap_or_default();
        if orphans.is_empty()
            && roots.is_empty()
            && in_networks.is_empty()
            && with_volumes.is_empty()
            && with_gids.is_empty()
        {
            return;
        }
        // Their end may take long, and nobody waits for it.
        drop(tokio::spawn(async move {
            let config = Arc::clone(&shared);
            let destroyed =
                tokio::task::spawn_blocking(move || config.config.destroy_orphans(&orphans, &roots));
            if destroyed.await.is_ok() {
                for container in &in_networks {
                    shared.networks.detach(container).await;
                }
                for container in &with_volumes {
                    shared.docker_volumes.release(container).await;
                }
                if let Some(gids) = gids {
                    drop(tokio::task::spawn_blocking(move || gids.release_all(&with_gids)).await);
                }
            }
        }));
    }

    /// Gives a container other resources and limits, and its sandbox the volumes among them. Where the volumes change,
    /// this belongs on a thread that may block. Returns why it could not, for people.
    pub fn update(
        &self,
        container: &ContainerId,
        resources: Vec<Resource>,
        limits: Limits,
        volumes: Vec<Volume>,
    ) -> Result<(), String> {
        let (directory, before, begun) = {
            let mut containers = self.shared.lock();
            let Some(entry) = containers.get_mut(container) else { return Ok(()) };
            (entry.resources, entry.limits) = (resources, limits);
            // Noted before it is so: another container must not take a volume as its own meanwhile.
            let before = std::mem::replace(&mut entry.volumes, volumes.clone());
            (entry.directory.clone(), before, entry.first.is_some() || entry.runs)
        };
        // Before that its plan is made of what it has then.
        if begun {
            self.shared.resize(container)?;
        }
        self.shared.hold_to_quota(container)?;
        let gids = self.shared.config.volume_gids.as_deref();
        let in_use = |volume: &Volume| self.shared.in_use(container, volume);
        // What runs already cannot get into a group any more.
        volumes::relink(&directory, &before, &volumes, gids, in_use).map(drop)
    }

    /// Whether a container's sandbox shows exactly these volumes.
    #[must_use]
    pub fn shows(&self, container: &ContainerId, volumes: &[Volume]) -> bool {
        self.shared.lock().get(container).is_none_or(|entry| entry.volumes == volumes)
    }

    /// What a container uses. None if it does not run. Reads `/proc`, so it belongs on a thread that may block.
    #[must_use]
    pub fn usage(&self, container: &ContainerId) -> Option<ResourceStatistics> {
        let (signs, used) = {
            let containers = self.shared.lock();
            let entry = containers.get(container).filter(|entry| entry.runs)?;
            let used = usage::Known {
                resources: entry.resources.clone(),
                limits: entry.limits.clone(),
                disk_used: entry.disk_used,
            };
            (entry.signs.clone()?, used)
        };
        let mut statistics = usage::statistics(&self.shared.config, &signs, &used);
        self.shared.observed.fill(container, &mut statistics);
        if let Some(projects) = &self.shared.config.projects {
            projects.fill(container, &used.resources, &mut statistics);
        }
        if self.shared.networks.counts_traffic()
            && let Some(attached) = self.shared.networks.of(container)
        {
            traffic::count(&mut statistics, signs.leader, &attached.interfaces);
        }
        Some(statistics)
    }

    /// What is known of a container. None if it does not run.
    #[must_use]
    pub fn status(&self, container: &ContainerId) -> Option<ContainerStatus> {
        let containers = self.shared.lock();
        let signs = containers.get(container).filter(|entry| entry.runs)?.signs.as_ref()?;
        Some(ContainerStatus {
            container_id: Some(container.into()),
            executor_pid: (signs.leader != 0).then_some(signs.leader),
            cgroup_info: self.shared.observed.status(container),
            network_infos: self.shared.networks.of(container).unwrap_or_default().infos,
        })
    }

    /// The containers there are, launching and running.
    #[must_use]
    pub fn containers(&self) -> Vec<ContainerId> {
        self.shared.lock().keys().cloned().collect()
    }

    /// Those of them whose launch is under way.
    #[must_use]
    pub fn launching(&self) -> Vec<ContainerId> {
        let containers = self.shared.lock();
        containers.iter().filter(|(_, entry)| !entry.runs).map(|(id, _)| id.clone()).collect()
    }

    /// How many projects there are to give to sandboxes and volumes, with `disk/xfs`.
    #[must_use]
    pub fn project_counts(&self) -> Option<ProjectCounts> {
        self.shared.config.projects.as_ref().map(|projects| projects.counts())
    }

    /// How many groups there are to give to volumes, with `--volume_gid_range`.
    #[must_use]
    pub fn volume_gid_counts(&self) -> Option<VolumeGidCounts> {
        self.shared.config.volume_gids.as_ref().map(|gids| gids.counts())
    }

    /// Takes note of the groups that an earlier agent gave to volumes, before anything else is done with containers.
    /// Blocks.
    pub fn recover_volume_gids(&self, rebooted: bool) -> Result<(), String> {
        self.shared.config.volume_gids.as_ref().map_or(Ok(()), |gids| gids.recover(rebooted))
    }

    /// A persistent volume is gone, and needs no group any more. Blocks.
    pub fn release_volume_gid(&self, volume: &Path) -> Result<(), String> {
        self.shared.config.volume_gids.as_ref().map_or(Ok(()), |gids| gids.release(volume))
    }

    /// The fetcher's numbers.
    #[must_use]
    pub fn fetcher_metrics(&self) -> fetcher::Metrics {
        self.shared.config.fetcher.metrics()
    }
}
