//! Which containers there are, and what is known of each. Shared by the containerizer and its containers' tasks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use launch_plan::{Amounts, GpuPool, Ids, Persistent, Step, resize};
use proto::mesos::v1::Resource;
use tokio::sync::{Notify, mpsc, watch};
use types::ContainerId;

use crate::cgroups::Cgroups;
use crate::config::{Config, Limits};
use crate::docker_volumes::DockerVolumes;
use crate::first::First;
use crate::io::Carrier;
use crate::networks::Networks;
use crate::notice::Notice;
use crate::nursery::Nursery;
use crate::observed::Observed;
use crate::process::{Signs, command_of, kill_all};
use crate::sessions::Inherited;
use crate::steps;
use crate::volumes::Volume;

/// What the containerizer and its containers' tasks have in common.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) notices: mpsc::Sender<Notice>,
    /// A lock, since statistics are read off the loop that gives orders; held for a look-up at a time.
    pub(crate) containers: Mutex<BTreeMap<ContainerId, Entry>>,
    /// Whose users are whom outside.
    pub(crate) ids: Mutex<Ids>,
    /// Makes their first processes.
    pub(crate) nursery: Nursery,
    /// What no file of their cgroups says.
    pub(crate) observed: Observed,
    /// Tells of each container that is over.
    pub(crate) gone: Notify,
    /// The networks that containers are in. Shared with the tasks that join them, which outlive a launch.
    pub(crate) networks: Arc<Networks>,
    /// The volumes of Docker that containers have. Shared likewise.
    pub(crate) docker_volumes: Arc<DockerVolumes>,
    /// Who holds which GPUs.
    pub(crate) gpus: Mutex<GpuPool>,
}

/// What is known of a container before there is anything of it.
#[derive(Default)]
pub(crate) struct NewEntry {
    pub(crate) is_by_name: bool,
    pub(crate) shares_pids: bool,
    pub(crate) directory: PathBuf,
    pub(crate) resources: Vec<Resource>,
    pub(crate) limits: Limits,
    pub(crate) volumes: Vec<Volume>,
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

pub(crate) struct Entry {
    /// Whether a process stays beside its command, and what is kept of it outlives it.
    pub(crate) is_by_name: bool,
    /// Whether it asks to share process ids with the machine, and so do those around it.
    pub(crate) sees_all_processes: bool,
    /// What a session in it takes over, if its files are not the machine's.
    pub(crate) inherited: Option<Inherited>,
    pub(crate) destroy: watch::Sender<bool>,
    /// Its first process, once it was started by this agent.
    pub(crate) first: Option<First>,
    /// What its processes are known by, once there may be any.
    pub(crate) signs: Option<Signs>,
    /// Whether its launch is over.
    pub(crate) runs: bool,
    /// Its sandbox.
    pub(crate) directory: PathBuf,
    pub(crate) resources: Vec<Resource>,
    pub(crate) limits: Limits,
    pub(crate) volumes: Vec<Volume>,
    /// What its sandbox held when it was last looked at, in bytes.
    pub(crate) disk_used: Option<u64>,
    /// The first of its users' ids, outside, if they are its own.
    pub(crate) ids: Option<u32>,
    /// Who carries its input and output, if that is not files.
    pub(crate) carrier: Option<Carrier>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Entry>> {
        // Nothing is left half done under this lock, so a panic elsewhere does not spoil it.
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a container. Says why that cannot be: the id is taken, or there is nothing for it to be in.
    pub(crate) fn enter(
        &self,
        container: &ContainerId,
        new: NewEntry,
    ) -> Result<watch::Receiver<bool>, String> {
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
    pub(crate) fn adopt(
        &self,
        container: &ContainerId,
        new: NewEntry,
    ) -> Result<watch::Receiver<bool>, String> {
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

    /// The persistent volumes that a container has.
    pub(crate) fn shown(&self, container: &ContainerId) -> Vec<Volume> {
        self.lock().get(container).map(|entry| entry.volumes.clone()).unwrap_or_default()
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
    pub(crate) fn resize(&self, container: &ContainerId) -> Result<(), String> {
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
        // ORDER: whoever bounds its project meanwhile sees that it is gone.
        self.forget_project(container);
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
