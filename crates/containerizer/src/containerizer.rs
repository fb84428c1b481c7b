//! The containerizer: which containers there are, and what may be asked of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fetcher::Fetcher;
use proto::mesos::slave::ContainerTermination;
use proto::mesos::v1::command_info::Uri;
use proto::mesos::v1::{ContainerStatus, Resource, ResourceStatistics};
use tokio::sync::{mpsc, watch};
use types::ContainerId;

use crate::container;
use crate::process::Signs;
use crate::program::Program;
use crate::usage;

/// What all containers share.
pub struct Config {
    /// The program that has the launch helper as `containerizer launch`: ours.
    pub launcher_binary: PathBuf,
    /// Brings containers their files.
    pub fetcher: Arc<Fetcher>,
}

/// One container to be.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its id, which no other container has or had.
    pub container: ContainerId,
    /// Its sandbox, which exists and belongs to its user: the command's working directory.
    pub directory: PathBuf,
    /// Whom it runs as; none for the agent's own user.
    pub user: Option<String>,
    /// What to fetch first.
    pub uris: Vec<Uri>,
    /// What to run.
    pub program: Program,
    /// The whole environment. `MESOS_SANDBOX` with the sandbox in it is how stray processes are found.
    pub environment: Vec<(String, String)>,
    /// All it may use.
    pub resources: Vec<Resource>,
    /// Where to write the pid of its first process before that begins.
    pub forked_pid_path: Option<PathBuf>,
}

/// What became of a container. A launch has one `Launched` or `Failed`; what was launched has one `Exited`.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Its command begins.
    Launched {
        /// Which container.
        container: ContainerId,
        /// The command's process; 0 for an adopted container of which none is known.
        pid: u32,
    },
    /// Its command did not begin, and nothing of it is left but its sandbox.
    Failed {
        /// Which container.
        container: ContainerId,
        /// Why.
        message: String,
    },
    /// It ended, and nothing of it is left but its sandbox.
    Exited {
        /// Which container.
        container: ContainerId,
        /// How. The status is missing where another process was its parent.
        termination: Box<ContainerTermination>,
    },
}

/// Runs containers. Clones are the same containerizer: one for the loop that orders, others for readers of statistics.
///
/// Dropping it leaves its containers alone; they are there for the next agent to adopt. Its methods need a tokio
/// runtime.
#[derive(Clone)]
pub struct Containerizer {
    shared: Arc<Shared>,
}

/// What the containerizer and its containers' tasks have in common.
pub(crate) struct Shared {
    pub(crate) config: Config,
    notices: mpsc::Sender<Notice>,
    /// A lock, since statistics are read off the loop that gives orders; held for a look-up at a time.
    containers: Mutex<BTreeMap<ContainerId, Entry>>,
}

struct Entry {
    destroy: watch::Sender<bool>,
    /// The helper that was spawned, while the launch is under way.
    spawned: Option<(u32, Option<u64>)>,
    /// What its processes are known by, once it runs.
    signs: Option<Signs>,
    resources: Vec<Resource>,
}

impl Containerizer {
    /// A containerizer that tells of its containers through `notices`. A full channel holds containers up, never loses
    /// a notice.
    #[must_use]
    pub fn new(config: Config, notices: mpsc::Sender<Notice>) -> Self {
        Self { shared: Arc::new(Shared { config, notices, containers: Mutex::default() }) }
    }

    /// Launches a container. An id that is taken already is refused by a `Failed`.
    pub fn launch(&self, spec: Spec) {
        let shared = Arc::clone(&self.shared);
        match self.shared.enter(&spec.container, spec.resources.clone()) {
            Some(destroy) => drop(tokio::spawn(container::launch(shared, spec, destroy))),
            None => drop(tokio::spawn(async move {
                let message = format!("Container '{}' already started", spec.container);
                shared.notify(Notice::Failed { container: spec.container, message }).await;
            })),
        }
    }

    /// Picks up a container that an earlier agent launched, by the process it wrote down. One that is gone is
    /// launched and exited.
    pub fn adopt(&self, container: ContainerId, pid: Option<u32>, directory: String) {
        let shared = Arc::clone(&self.shared);
        if let Some(destroy) = self.shared.enter(&container, Vec::new()) {
            drop(tokio::spawn(container::adopt(shared, container, pid, directory, destroy)));
        }
    }

    /// Ends all processes of a container, whatever it does. Its notice follows; false if it is not known.
    pub fn destroy(&self, container: &ContainerId) -> bool {
        let containers = self.shared.lock();
        let entry = containers.get(container);
        entry.is_some_and(|entry| entry.destroy.send(true).is_ok())
    }

    /// Gives a container other resources. Without isolators that only changes the limits that are reported.
    pub fn update(&self, container: &ContainerId, resources: Vec<Resource>) {
        if let Some(entry) = self.shared.lock().get_mut(container) {
            entry.resources = resources;
        }
    }

    /// What a container uses. None if it does not run. Reads `/proc`, so it belongs on a thread that may block.
    #[must_use]
    pub fn usage(&self, container: &ContainerId) -> Option<ResourceStatistics> {
        let (signs, resources) = {
            let containers = self.shared.lock();
            let entry = containers.get(container)?;
            (entry.signs.clone()?, entry.resources.clone())
        };
        Some(usage::statistics(&signs, &resources))
    }

    /// What is known of a container. None if it does not run.
    #[must_use]
    pub fn status(&self, container: &ContainerId) -> Option<ContainerStatus> {
        let signs = self.shared.lock().get(container)?.signs.clone()?;
        Some(ContainerStatus {
            container_id: Some(container.into()),
            executor_pid: (signs.leader != 0).then_some(signs.leader),
            ..ContainerStatus::default()
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
        containers.iter().filter(|(_, entry)| entry.signs.is_none()).map(|(id, _)| id.clone()).collect()
    }

    /// The fetcher's numbers.
    #[must_use]
    pub fn fetcher_metrics(&self) -> fetcher::Metrics {
        self.shared.config.fetcher.metrics()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Entry>> {
        // Nothing is left half done under this lock, so a panic elsewhere does not spoil it.
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a container. None if the id is taken.
    fn enter(&self, container: &ContainerId, resources: Vec<Resource>) -> Option<watch::Receiver<bool>> {
        let mut containers = self.lock();
        if containers.contains_key(container) {
            return None;
        }
        let (destroy, ordered) = watch::channel(false);
        containers.insert(container.clone(), Entry { destroy, spawned: None, signs: None, resources });
        Some(ordered)
    }

    /// Notes the launch helper's process and start.
    pub(crate) fn spawn_began(&self, container: &ContainerId, pid: u32, started: Option<u64>) {
        if let Some(entry) = self.lock().get_mut(container) {
            entry.spawned = Some((pid, started));
        }
    }

    pub(crate) fn spawned(&self, container: &ContainerId) -> Option<(u32, Option<u64>)> {
        self.lock().get(container)?.spawned
    }

    pub(crate) fn running(&self, container: &ContainerId, signs: Signs) {
        if let Some(entry) = self.lock().get_mut(container) {
            entry.signs = Some(signs);
        }
    }

    pub(crate) fn forget(&self, container: &ContainerId) {
        self.lock().remove(container);
    }

    pub(crate) async fn notify(&self, notice: Notice) {
        // Nobody listens any more when the agent stops; the containers live on without it.
        let _ = self.notices.send(notice).await;
    }
}

impl std::fmt::Debug for Containerizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Containerizer").field("containers", &self.containers()).finish()
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("launcher_binary", &self.launcher_binary).finish_non_exhaustive()
    }
}
