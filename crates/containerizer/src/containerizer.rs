//! The containerizer: which containers there are, and what may be asked of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fetcher::Fetcher;
use launch_plan::{Amounts, Facts, GpuPool, Ids, Isolation, Isolator, Persistent, Settings, Step, resize};
use proto::mesos::slave::ContainerConfig;
use proto::mesos::v1::command_info::Uri;
use proto::mesos::v1::{ContainerInfo, ContainerStatus, Resource, ResourceStatistics, value};
use rustix::process::Signal;
use tokio::sync::{Notify, mpsc, watch};
use types::ContainerId;

use crate::cgroups::Cgroups;
use crate::container;
use crate::docker_volumes::{DockerVolumeSettings, DockerVolumes};
use crate::first::First;
use crate::io::{Carrier, Logger};
use crate::network_ports::PortSettings;
use crate::networks::{NetworkSettings, Networks};
use crate::notice::Notice;
use crate::observed::{self, Observed, PerfSettings};
use crate::prepared::{Inherited, OfImage};
use crate::process::{Signs, command_of, kill_all, signal_command};
use crate::program::Program;
use crate::provisioner::Provisioner;
use crate::runtime::Remains;
use crate::steps;
use crate::traffic;
use crate::usage;
use crate::volumes::{self, Volume};

/// What all containers share.
pub struct Config {
    /// The program that has the launch helper as `containerizer launch`: ours.
    pub launcher_binary: PathBuf,
    /// Brings containers their files.
    pub fetcher: Arc<Fetcher>,
    /// How containers are kept apart.
    pub settings: Settings,
    /// What this machine has for that.
    pub facts: Facts,
    /// Where it is kept which containers there are, for an agent that comes after this one died. None keeps nothing.
    pub runtime_dir: Option<PathBuf>,
    /// How long the end of a container may take.
    pub destroy_timeout: Duration,
    /// How sandboxes are held to their size, with `disk/du`.
    pub disk: DiskSettings,
    /// Whether processes and threads are counted in statistics.
    pub counts_processes: bool,
    /// Where containers' seccomp profiles are.
    pub seccomp_config_dir: Option<PathBuf>,
    /// Makes roots for containers with images. Without it there are none.
    pub provisioner: Option<Arc<Provisioner>>,
    /// What holds the files of what containers print to a size, where something does.
    pub logger: Option<Logger>,
    /// What is sampled of containers, with `cgroups/perf_event`.
    pub perf: Option<PerfSettings>,
    /// How ports are watched, with `network/ports`.
    pub ports: PortSettings,
    /// The networks that containers may ask for by name.
    pub networks: Option<NetworkSettings>,
    /// How volumes of Docker are mounted, with `docker/volume`.
    pub docker_volumes: Option<DockerVolumeSettings>,
}

/// How sandboxes are held to their size.
#[derive(Clone, Copy, Debug)]
pub struct DiskSettings {
    /// How often they are looked at.
    pub interval: Duration,
    /// Whether a container whose sandbox is too large ends.
    pub enforce: bool,
}

/// What bounds a container from above, by the resource's name, where that is not its request.
pub type Limits = BTreeMap<String, value::Scalar>;

impl Config {
    /// Containers of the posix launcher, kept apart by nothing.
    #[must_use]
    pub fn posix(launcher_binary: PathBuf, fetcher: Arc<Fetcher>) -> Self {
        Self {
            launcher_binary,
            fetcher,
            settings: Settings::new(Isolation::posix()),
            facts: Facts::default(),
            runtime_dir: None,
            destroy_timeout: Duration::from_secs(60),
            disk: DiskSettings { interval: Duration::from_secs(15), enforce: false },
            counts_processes: false,
            seccomp_config_dir: None,
            provisioner: None,
            logger: None,
            perf: None,
            ports: PortSettings { interval: Duration::from_secs(30), enforce: false, isolated: None },
            networks: None,
            docker_volumes: None,
        }
    }
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
    /// What to run. A container of an image runs what the image and the command there say, unless it is the executor
    /// of a command task.
    pub program: Program,
    /// The image that its root is made of. Without one it sees the machine's.
    pub image: Option<OfImage>,
    /// The whole environment. `MESOS_SANDBOX` with the sandbox in it is how stray processes are found.
    pub environment: Vec<(String, String)>,
    /// All it may use.
    pub resources: Vec<Resource>,
    /// The volumes among them, to be seen in the sandbox.
    pub volumes: Vec<Volume>,
    /// What bounds it above that.
    pub limits: Limits,
    /// How it wants to be contained.
    pub info: Option<ContainerInfo>,
    /// Whether it runs the executor of one command task.
    pub is_command_task: bool,
    /// Where to write the pid of its first process before that begins.
    pub forked_pid_path: Option<PathBuf>,
    /// More of one that was asked for by name: it is in another container, or stands alone.
    pub by_name: Option<ByName>,
}

impl Spec {
    /// Whether it asks to share process ids with what is around it.
    fn shares_pids(&self) -> bool {
        let linux = self.info.as_ref().and_then(|info| info.linux_info.as_ref());
        linux.is_some_and(|linux| linux.share_pid_namespace())
    }
}

/// What else is known of a container that was asked for by name.
#[derive(Clone, Debug)]
pub struct ByName {
    /// What is kept of it for a later agent.
    pub config: ContainerConfig,
    /// Where its command begins, if that is not its sandbox.
    pub working_directory: Option<PathBuf>,
    /// Whether it only looks into the container around it, and shares everything with that.
    pub is_session: bool,
}

/// Runs containers. Clones are the same containerizer: one for the loop that orders, others for readers of statistics.
///
/// Dropping it leaves its containers alone; they are there for the next agent to adopt. Its methods need a tokio
/// runtime.
#[derive(Clone)]
pub struct Containerizer {
    pub(crate) shared: Arc<Shared>,
}

/// What the containerizer and its containers' tasks have in common.
pub(crate) struct Shared {
    pub(crate) config: Config,
    notices: mpsc::Sender<Notice>,
    /// A lock, since statistics are read off the loop that gives orders; held for a look-up at a time.
    containers: Mutex<BTreeMap<ContainerId, Entry>>,
    /// Whose users are whom outside.
    pub(crate) ids: Mutex<Ids>,
    /// What no file of their cgroups says.
    pub(crate) observed: Observed,
    /// Tells of each container that is over.
    gone: Notify,
    /// The networks that containers are in. Shared with the tasks that join them, which outlive a launch.
    pub(crate) networks: Arc<Networks>,
    /// The volumes of Docker that containers have. Shared likewise.
    pub(crate) docker_volumes: Arc<DockerVolumes>,
    /// Who holds which GPUs.
    pub(crate) gpus: Mutex<GpuPool>,
}

/// What is known of a container before there is anything of it.
#[derive(Default)]
struct NewEntry {
    is_by_name: bool,
    shares_pids: bool,
    directory: PathBuf,
    resources: Vec<Resource>,
    limits: Limits,
    volumes: Vec<Volume>,
}

impl NewEntry {
    fn into(
        self,
        containers: &mut BTreeMap<ContainerId, Entry>,
        container: &ContainerId,
    ) -> Result<watch::Receiver<bool>, String> {
        if containers.contains_key(container) {
            return Err(format!("Container '{container}' already started"));
        }
        let (destroy, ordered) = watch::channel(false);
        let around = container.parent.as_deref();
        let around_does = around.is_none_or(|id| containers.get(id).is_some_and(|it| it.sees_all_processes));
        let entry = Entry {
            is_by_name: self.is_by_name,
            sees_all_processes: self.shares_pids && around_does,
            inherited: None,
            destroy,
            first: None,
            signs: None,
            runs: false,
            directory: self.directory,
            resources: self.resources,
            limits: self.limits,
            volumes: self.volumes,
            disk_used: None,
            carrier: None,
            ids: None,
        };
        containers.insert(container.clone(), entry);
        Ok(ordered)
    }
}

struct Entry {
    /// Whether a process stays beside its command, and what is kept of it outlives it.
    is_by_name: bool,
    /// Whether it asks to share process ids with the machine, and so do those around it.
    sees_all_processes: bool,
    /// What a session in it takes over, if it has a root of its own.
    inherited: Option<Inherited>,
    destroy: watch::Sender<bool>,
    /// Its first process, once it was started by this agent.
    first: Option<First>,
    /// What its processes are known by, once there may be any.
    signs: Option<Signs>,
    /// Whether its launch is over.
    runs: bool,
    /// Its sandbox.
    directory: PathBuf,
    resources: Vec<Resource>,
    limits: Limits,
    volumes: Vec<Volume>,
    /// What its sandbox held when it was last looked at, in bytes.
    disk_used: Option<u64>,
    /// The first of its users' ids, outside, if they are its own.
    ids: Option<u32>,
    /// Who carries its input and output, if that is not files.
    carrier: Option<Carrier>,
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
        let gone = Notify::new();
        let gpus = Mutex::new(GpuPool::new(&config.settings.gpus.offered));
        let shared =
            Shared { gpus, ids, config, notices, containers, observed, gone, networks, docker_volumes };
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
        let remove = |path: &Path| match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
        if let Some(place) = config.place(container) {
            remove(&place).map_err(|error| format!("Failed to remove the runtime directory: {error}"))?;
        }
        remove(sandbox).map_err(|error| format!("Failed to remove the sandbox directory: {error}"))
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
        if orphans.is_empty() && roots.is_empty() && in_networks.is_empty() && with_volumes.is_empty() {
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
        volumes::relink(&directory, &before, &volumes, |volume| self.shared.in_use(container, volume))
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

    /// Makes room for a container. Says why that cannot be: the id is taken, or there is nothing for it to be in.
    fn enter(&self, container: &ContainerId, new: NewEntry) -> Result<watch::Receiver<bool>, String> {
        let mut containers = self.lock();
        if let Some(parent) = container.parent.as_deref() {
            let Some(around) = containers.get(parent) else {
                return Err(format!("Parent container {parent} does not exist"));
            };
            if *around.destroy.borrow() {
                return Err(format!("Parent container {parent} is in 'DESTROYING' state"));
            }
        }
        new.into(&mut containers, container)
    }

    /// The same for one that runs already.
    fn adopt(&self, container: &ContainerId, new: NewEntry) -> Result<watch::Receiver<bool>, String> {
        new.into(&mut self.lock(), container)
    }

    /// Whether a process stays beside its command.
    pub(crate) fn is_by_name(&self, container: &ContainerId) -> bool {
        self.lock().get(container).is_some_and(|entry| entry.is_by_name)
    }

    /// A container and all that are in it.
    pub(crate) fn with_those_within(&self, outermost: &ContainerId) -> Vec<ContainerId> {
        self.lock().keys().filter(|container| root_of(container) == outermost).cloned().collect()
    }

    /// The persistent volumes that a container's sandbox has links to.
    pub(crate) fn volumes_of(&self, container: &ContainerId) -> Vec<Persistent> {
        let containers = self.lock();
        containers
            .get(container)
            .map(|entry| entry.volumes.iter().map(Volume::persistent).collect())
            .unwrap_or_default()
    }

    /// The sandbox of a container.
    pub(crate) fn directory_of(&self, container: &ContainerId) -> Option<PathBuf> {
        self.lock().get(container).map(|entry| entry.directory.clone())
    }

    /// What a session in it takes over. None unless it has a root of its own.
    pub(crate) fn inherited(&self, container: &ContainerId) -> Option<Inherited> {
        if let Some(inherited) = self.lock().get(container)?.inherited.clone() {
            return Some(inherited);
        }
        // It was launched by an earlier agent, or it is the executor of a command task.
        let has_root = self.config.provisioner.as_ref().is_some_and(|it| it.has(container));
        has_root.then(|| Inherited::unknown(&self.config.settings.sandbox_directory))
    }

    /// Notes what sessions in it will take over.
    pub(crate) fn inherit(&self, container: &ContainerId, inherited: Inherited) {
        if let Some(entry) = self.lock().get_mut(container) {
            entry.inherited = Some(inherited);
        }
    }

    /// Whether it, and all that are around it, ask to share process ids with the machine.
    pub(crate) fn sees_all_processes(&self, container: &ContainerId) -> bool {
        self.lock().get(container).is_some_and(|entry| entry.sees_all_processes)
    }

    /// A process in the namespaces of a container. Scans `/proc` where a process stays beside the command.
    pub(crate) fn process_in(&self, container: &ContainerId) -> Option<u32> {
        let (leader, is_by_name) = {
            let containers = self.lock();
            let entry = containers.get(container)?;
            (entry.signs.as_ref()?.leader, entry.is_by_name)
        };
        let command = command_of(leader, is_by_name).map(|command| command.pid);
        command.or(Some(leader)).filter(|pid| *pid != 0)
    }

    /// The nearest container around this one that has cgroups of its own beside the freezer's.
    pub(crate) fn owner_of_cgroups<'a>(&self, container: &'a ContainerId) -> Option<&'a ContainerId> {
        let mut around = container.parent.as_deref()?;
        while let Some(above) = around.parent.as_deref() {
            if Cgroups::of(&self.config, around).is_some_and(|cgroups| cgroups.others_exist()) {
                break;
            }
            around = above;
        }
        Some(around)
    }

    /// Ends the containers in a container, which takes no more of them.
    async fn end_children(&self, container: &ContainerId) {
        let ended = async {
            loop {
                let gone = self.gone.notified();
                {
                    let containers = self.lock();
                    if let Some(entry) = containers.get(container) {
                        entry.destroy.send_replace(true);
                    }
                    let within = |id: &ContainerId| id.parent.as_deref() == Some(container);
                    let mut children = containers.iter().filter(|(id, _)| within(id)).peekable();
                    if children.peek().is_none() {
                        return;
                    }
                    for (_, child) in children {
                        child.destroy.send_replace(true);
                    }
                }
                gone.await;
            }
        };
        if tokio::time::timeout(self.config.destroy_timeout, ended).await.is_err() {
            tracing::error!(%container, "containers in a container do not end in time");
        }
    }

    /// Whether another container has the volume.
    pub(crate) fn in_use(&self, container: &ContainerId, volume: &Volume) -> bool {
        let containers = self.lock();
        let mut others = containers.iter().filter(|(id, _)| *id != container);
        others.any(|(_, entry)| entry.volumes.iter().any(|other| other.source == volume.source))
    }

    /// There may be something of the container from now on, known by these signs.
    pub(crate) fn made(&self, container: &ContainerId, signs: Signs) {
        if let Some(entry) = self.lock().get_mut(container) {
            entry.signs = Some(signs);
        }
    }

    /// Whether there may be something of the container.
    pub(crate) fn is_made(&self, container: &ContainerId) -> bool {
        self.lock().get(container).is_some_and(|entry| entry.signs.is_some())
    }

    /// Its input and output are carried by this.
    pub(crate) fn carried(&self, container: &ContainerId, carrier: Option<Carrier>) {
        if let Some(entry) = self.lock().get_mut(container) {
            entry.carrier = carrier;
        }
    }

    /// Who carries its input and output, if anybody does. None if there is no such container.
    pub(crate) fn carrier(&self, container: &ContainerId) -> Option<Option<Carrier>> {
        Some(self.lock().get(container)?.carrier.clone())
    }

    /// Its first process was started.
    pub(crate) fn started(&self, container: &ContainerId, first: First) {
        if let Some(entry) = self.lock().get_mut(container) {
            entry.first = Some(first);
        }
    }

    pub(crate) fn first(&self, container: &ContainerId) -> Option<First> {
        self.lock().get(container)?.first.clone()
    }

    /// The first of its ids.
    pub(crate) fn known_ids(&self, container: &ContainerId) -> Option<u32> {
        self.lock().get(container)?.ids
    }

    /// Notes them.
    pub(crate) fn set_ids(&self, container: &ContainerId, first: u32) {
        if let Some(entry) = self.lock().get_mut(container) {
            entry.ids = Some(first);
        }
    }

    /// Its launch is over.
    pub(crate) fn running(&self, container: &ContainerId) {
        if let Some(entry) = self.lock().get_mut(container) {
            entry.runs = true;
        }
    }

    /// It runs, and is looked at from now on.
    pub(crate) fn observe(&self, container: &ContainerId, is_adopted: bool) {
        let signs = self.lock().get(container).and_then(|entry| entry.signs.clone());
        if let Some(cgroups) = signs.and_then(|signs| signs.cgroups) {
            self.observed.begin(&self.config, container, &cgroups, is_adopted);
        }
    }

    /// What it has now.
    pub(crate) fn amounts(&self, container: &ContainerId) -> Option<(Vec<Resource>, Limits)> {
        let containers = self.lock();
        let entry = containers.get(container)?;
        Some((entry.resources.clone(), entry.limits.clone()))
    }

    /// Its sandbox.
    pub(crate) fn sandbox(&self, container: &ContainerId) -> Option<PathBuf> {
        Some(self.lock().get(container)?.directory.clone())
    }

    /// Notes how much its sandbox holds.
    pub(crate) fn disk_used(&self, container: &ContainerId, bytes: u64) {
        if let Some(entry) = self.lock().get_mut(container) {
            entry.disk_used = Some(bytes);
        }
    }

    /// Resizes a container if what it has is not what its plan was made of.
    pub(crate) fn resize_if_changed(
        &self,
        container: &ContainerId,
        planned: &(Vec<Resource>, Limits),
    ) -> Result<(), String> {
        match self.amounts(container) {
            Some(now) if now != *planned => self.resize(container),
            Some(_) | None => Ok(()),
        }
    }

    /// Gives its cgroups the amounts that it has now.
    fn resize(&self, container: &ContainerId) -> Result<(), String> {
        let config = &self.config;
        let (signs, amounts, has) = {
            let containers = self.lock();
            let Some(entry) = containers.get(container) else { return Ok(()) };
            let amounts = Amounts::of(&entry.resources, &entry.limits);
            (entry.signs.clone(), amounts, entry.resources.clone())
        };
        let Some(cgroups) = signs.and_then(|signs| signs.cgroups) else { return Ok(()) };
        let limit = cgroups.memory_limit(config);
        let steps = resize(&config.settings, &config.facts, container, &amounts, limit);
        let mut steps = steps.map_err(|refusal| refusal.to_string())?;
        // An agent with fewer isolators may have made it.
        steps.retain(
            |step| !matches!(step, Step::Write { path, file, .. } if !Path::new(path).join(file).exists()),
        );
        match steps::carry_out(&steps) {
            // It ended meanwhile, which is told by itself.
            Err(_) if !cgroups.exist() => Ok(()),
            outcome => outcome.and_then(|()| self.resize_gpus(container, &has)),
        }
    }

    /// Kills all of a container. Returns the pids of those that would not die in time.
    pub(crate) async fn kill(&self, container: &ContainerId) -> Vec<u32> {
        self.end_children(container).await;
        let signs = self.lock().get(container).and_then(|entry| entry.signs.clone());
        match signs {
            Some(signs) => kill_all(signs).await,
            None => Vec::new(),
        }
    }

    /// A container is over. Its mark stays for a later agent, unless it is `clean`: nothing is left of it.
    pub(crate) fn forget(&self, container: &ContainerId, clean: bool) {
        self.give_ids_back(container);
        self.release_gpus(container);
        if clean {
            self.config.unmark(container);
        }
        self.observed.forget(container);
        self.lock().remove(container);
        self.gone.notify_waiters();
    }

    pub(crate) async fn notify(&self, notice: Notice) {
        // Nobody listens any more when the agent stops; the containers live on without it.
        let _ = self.notices.send(notice).await;
    }
}

/// The outermost container around this one, which may be itself.
pub(crate) fn root_of(container: &ContainerId) -> &ContainerId {
    let mut container = container;
    while let Some(parent) = container.parent.as_deref() {
        container = parent;
    }
    container
}
