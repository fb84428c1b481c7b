//! Which containers the daemon runs for this agent, and what may be asked of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use containerizer::{Containerizer, Limits, Notice, Spec};
use docker::{Auth, Client, container_name};
use fetcher::Fetcher;
use proto::mesos::internal::ContainerDnsInfo;
use proto::mesos::v1::{CommandInfo, ContainerInfo, ContainerStatus, Resource, ResourceStatistics, TaskInfo};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use types::ContainerId;

use crate::launch::Sandbox;
use crate::pulls::{Counted, Pulls};
use crate::removal::Removals;
use crate::usage::{self, Known};
use crate::{amounts, ending, launch};

/// Notices of the processes beside containers that wait to be passed on.
const NOTICES_MAX: usize = 256;

/// What all containers share.
#[derive(Clone, Debug)]
pub struct Config {
    /// The daemon.
    pub client: Client,
    /// The program that has the Docker executor as `docker-executor`: ours.
    pub launcher_binary: PathBuf,
    /// `--launcher_dir`, as executors are told.
    pub launcher_dir: String,
    /// Where a container sees its sandbox.
    pub sandbox_directory: String,
    /// How long what ended is kept.
    pub remove_delay: Duration,
    /// How long a container that is destroyed may take to end by itself.
    pub stop_timeout: Duration,
    /// Whether containers that no agent knows are ended.
    pub kill_orphans: bool,
    /// Passwords for registries.
    pub auth: Option<Auth>,
    /// Name servers by network, as the flag gave them.
    pub dns: Option<(String, ContainerDnsInfo)>,
    /// Whether cpus are a bound even where some are free.
    pub enable_cfs: bool,
    /// All memory of the machine.
    pub machine_memory_bytes: u64,
    /// Where the machine has cgroups: by controller, and version 2 under no name.
    pub hierarchies: BTreeMap<String, String>,
}

/// One container to be.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What is common to all containers. Its program is left alone; its user owns what is fetched.
    pub spec: Spec,
    /// What the container is.
    pub info: ContainerInfo,
    /// What runs in it, if it is an executor's.
    pub command: CommandInfo,
    /// The task that is the container, if it is a task's.
    pub task: Option<TaskInfo>,
}

/// Runs containers by the Docker daemon. Clones are the same containerizer.
///
/// Dropping it leaves its containers alone. Its methods need a tokio runtime.
#[derive(Clone)]
pub struct DockerContainerizer {
    shared: Arc<Shared>,
}

/// What the containerizer and its containers' tasks have in common.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) fetcher: Arc<Fetcher>,
    /// Runs the processes beside containers.
    pub(crate) beside: Containerizer,
    pub(crate) removals: Removals,
    pub(crate) pulls: Counted,
    notices: mpsc::Sender<Notice>,
    /// A lock, since statistics are read off the loop that gives orders; held for a look-up at a time.
    containers: Mutex<BTreeMap<ContainerId, Entry>>,
    /// Tells of each container that is over.
    gone: Notify,
    runtime: Handle,
}

/// What is known of one container.
pub(crate) struct Entry {
    /// What the daemon calls it.
    pub(crate) name: String,
    /// Whether a command task is in it, whose amounts the framework cannot change.
    pub(crate) is_task: bool,
    phase: Phase,
    /// Whether somebody asked for its end.
    killed: bool,
    /// Its first process, once somebody wanted to know.
    pid: Option<u32>,
    resources: Vec<Resource>,
    limits: Limits,
    /// The memory that it may use by now.
    pub(crate) memory_bytes: Option<u64>,
}

enum Phase {
    /// Files are fetched, the image is pulled. Told when to stop.
    Preparing(watch::Sender<bool>),
    /// The process beside it begins.
    Launching,
    /// That has begun.
    Running,
}

impl DockerContainerizer {
    /// A containerizer that tells of its containers through `notices`. A full channel holds containers up, never loses
    /// a notice. `names` are what an earlier agent's containers are called.
    #[must_use]
    pub fn new(config: Config, fetcher: Arc<Fetcher>, notices: mpsc::Sender<Notice>) -> Self {
        let (beside_notices, queue) = mpsc::channel(NOTICES_MAX);
        let posix = containerizer::Config::posix(config.launcher_binary.clone(), Arc::clone(&fetcher));
        let shared = Arc::new(Shared {
            removals: Removals::start(config.client.clone()),
            pulls: Counted::default(),
            config,
            fetcher,
            beside: Containerizer::new(posix, beside_notices),
            notices,
            containers: Mutex::default(),
            gone: Notify::new(),
            runtime: Handle::current(),
        });
        drop(tokio::spawn(pass_on(Arc::downgrade(&shared), queue)));
        Self { shared }
    }

    /// Launches a container. An id that is taken already is refused by a `Failed`.
    pub fn launch(&self, launch: Launch) {
        let shared = Arc::clone(&self.shared);
        let container = launch.spec.container.clone();
        let (stop, stopped) = watch::channel(false);
        let entry = Entry {
            is_task: launch.task.is_some(),
            phase: Phase::Preparing(stop),
            resources: launch.spec.resources.clone(),
            limits: launch.spec.limits.clone(),
            ..Entry::new(&container)
        };
        let refusal = if container.parent.is_some() {
            Some("Nested containers are not supported".to_owned())
        } else {
            shared.enter(&container, entry).err()
        };
        drop(match refusal {
            None => tokio::spawn(launch::launch(shared, launch, stopped)),
            Some(message) => {
                tokio::spawn(async move { shared.notify(Notice::Failed { container, message }).await })
            }
        });
    }

    /// Picks up a container of an earlier agent, by the process beside it.
    pub fn adopt(&self, container: ContainerId, pid: Option<u32>, directory: String, is_task: bool) {
        let entry = Entry { is_task, phase: Phase::Launching, ..Entry::new(&container) };
        if self.shared.enter(&container, entry).is_ok() {
            self.shared.beside.adopt(container, pid, directory);
        }
    }

    /// Ends a container, whatever it does. Its notice follows; false if it is not known.
    pub fn destroy(&self, container: &ContainerId) -> bool {
        let mut containers = self.shared.lock();
        let Some(entry) = containers.get_mut(container) else { return false };
        entry.killed = true;
        match &entry.phase {
            Phase::Preparing(stop) => stop.send(true).is_ok(),
            Phase::Launching | Phase::Running => self.shared.beside.destroy(container),
        }
    }

    /// Learns what the daemon has of an earlier agent, and ends what is not `known`. The agent may go on when this
    /// returns.
    pub async fn recover(&self, known: &std::collections::BTreeSet<ContainerId>) -> Result<(), String> {
        crate::orphans::recover(&self.shared, known).await
    }

    /// Gives a container other amounts. Where the daemon cannot a `UpdateFailed` follows.
    pub fn update(&self, container: &ContainerId, resources: Vec<Resource>, limits: Limits) {
        let (is_task, runs) = {
            let mut containers = self.shared.lock();
            let Some(entry) = containers.get_mut(container) else { return };
            if entry.resources == resources && entry.limits == limits {
                return;
            }
            (entry.resources, entry.limits) = (resources, limits);
            (entry.is_task, matches!(entry.phase, Phase::Running))
        };
        // COMPAT(mesos): a task's container has what the task has.
        if !is_task && runs {
            drop(tokio::spawn(amounts::update(Arc::clone(&self.shared), container.clone())));
        }
    }

    /// What a container uses. None if it does not run. Asks the daemon the first time, so it belongs on a thread that
    /// may block.
    #[must_use]
    pub fn usage(&self, container: &ContainerId) -> Option<ResourceStatistics> {
        let (name, pid, known) = {
            let containers = self.shared.lock();
            let entry = containers.get(container).filter(|entry| matches!(entry.phase, Phase::Running))?;
            let known = Known {
                resources: entry.resources.clone(),
                limits: entry.limits.clone(),
                is_task: entry.is_task,
            };
            (entry.name.clone(), entry.pid, known)
        };
        let pid = match pid {
            Some(pid) => pid,
            None => {
                let inspected =
                    self.shared.runtime.block_on(self.shared.config.client.inspect(&name)).ok()?;
                let entry_pid = inspected.pid?;
                self.shared.lock().get_mut(container)?.pid = Some(entry_pid);
                entry_pid
            }
        };
        usage::statistics(&self.shared.config, pid, &known)
    }

    /// What is known of a container. None if it does not run.
    #[must_use]
    pub fn status(&self, container: &ContainerId) -> Option<ContainerStatus> {
        self.shared.beside.status(container)
    }

    /// Whether there is this container, or the one around it.
    #[must_use]
    pub fn has(&self, container: &ContainerId) -> bool {
        let mut outermost = container;
        while let Some(parent) = outermost.parent.as_deref() {
            outermost = parent;
        }
        self.shared.lock().contains_key(outermost)
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
        let launching = containers.iter().filter(|(_, entry)| !matches!(entry.phase, Phase::Running));
        launching.map(|(id, _)| id.clone()).collect()
    }

    /// The images that were pulled so far.
    #[must_use]
    pub fn pulls(&self) -> Pulls {
        self.shared.pulls.so_far()
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
}

impl Entry {
    fn new(container: &ContainerId) -> Self {
        Self {
            name: container_name(&container.value),
            is_task: false,
            phase: Phase::Launching,
            killed: false,
            pid: None,
            resources: Vec::new(),
            limits: Limits::new(),
            memory_bytes: None,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Entry>> {
        // Nothing is left half done under this lock, so a panic elsewhere does not spoil it.
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, container: &ContainerId, mut entry: Entry) -> Result<(), String> {
        let mut containers = self.lock();
        if containers.contains_key(container) {
            return Err("Container already started".to_owned());
        }
        if let Some(name) = self.removals.old_name(container) {
            entry.name = name;
        }
        containers.insert(container.clone(), entry);
        Ok(())
    }

    /// What the daemon calls a container.
    pub(crate) fn name(&self, container: &ContainerId) -> Option<String> {
        self.lock().get(container).map(|entry| entry.name.clone())
    }

    /// What a container has now.
    pub(crate) fn amounts(&self, container: &ContainerId) -> Option<(Vec<Resource>, Limits)> {
        let containers = self.lock();
        containers.get(container).map(|entry| (entry.resources.clone(), entry.limits.clone()))
    }

    /// Looks at one container, and may change it.
    pub(crate) fn with<T>(&self, container: &ContainerId, look: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.lock().get_mut(container).map(look)
    }

    /// Starts the process beside a container, unless its end was asked for meanwhile.
    pub(crate) fn begin(&self, spec: Spec) -> Result<(), Sandbox> {
        let mut containers = self.lock();
        // ORDER: under the lock, so that an order to end it comes before or after, and is never lost between.
        match containers.get_mut(&spec.container) {
            Some(entry) if !entry.killed => {
                entry.phase = Phase::Launching;
                self.beside.launch(spec);
                Ok(())
            }
            Some(_) | None => Err(Sandbox(spec.directory)),
        }
    }

    /// Whether somebody asked for a container's end.
    pub(crate) fn was_killed(&self, container: &ContainerId) -> bool {
        self.lock().get(container).is_some_and(|entry| entry.killed)
    }

    /// A container is over.
    pub(crate) fn forget(&self, container: &ContainerId) {
        self.lock().remove(container);
        self.gone.notify_waiters();
    }

    pub(crate) async fn notify(&self, notice: Notice) {
        // Nobody listens any more when the agent stops; the containers live on without it.
        let _ = self.notices.send(notice).await;
    }
}

/// Passes on what is told of the processes beside containers, until nobody has containers any more.
async fn pass_on(shared: std::sync::Weak<Shared>, mut queue: mpsc::Receiver<Notice>) {
    while let Some(notice) = queue.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        match notice {
            Notice::Launched { ref container, .. } => {
                shared.with(container, |entry| entry.phase = Phase::Running);
                shared.notify(notice).await;
            }
            // Their ends take the daemon's time, and none waits for another.
            Notice::Failed { container, message } => {
                drop(tokio::spawn(ending::failed(shared, container, message)));
            }
            Notice::Exited { container, termination } => {
                drop(tokio::spawn(ending::exited(shared, container, termination)));
            }
            Notice::UpdateFailed { .. } => shared.notify(notice).await,
        }
    }
}

impl std::fmt::Debug for DockerContainerizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerContainerizer").field("containers", &self.containers()).finish()
    }
}
