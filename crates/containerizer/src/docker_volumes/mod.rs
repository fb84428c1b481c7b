//! `docker/volume`: volumes that Docker's volume drivers mount, by the program `dvdcli` of others.
//!
//! What is kept of a container's volumes, so that a later agent can have them unmounted, too:
//!
//! ```text
//! <root>/<container>/volumes    {"volumes":[{"driver":"...","name":"..."}]}
//! ```
//! **Invariant:** who has a volume is known, and on disk, before it is mounted. It is unmounted once nobody has it any
//! more, and never while its driver is at work on mounting it.

mod driver;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::mesos::v1::volume::source::Type;
use proto::mesos::v1::{ContainerInfo, Volume};
use serde_json::{Value, json};
use types::ContainerId;

use self::driver::Failure;
use crate::networks::{container_of_name, which};
use crate::users::Account;

/// The program that speaks with drivers.
const PROGRAM: &str = "dvdcli";

/// How long it may take to mount a volume, as in Mesos.
const MOUNT_PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take to unmount one, as in Mesos.
const UNMOUNT_PATIENCE: Duration = Duration::from_secs(600);

/// How volumes of Docker are mounted.
#[derive(Clone, Debug)]
pub struct DockerVolumeSettings {
    /// The program that speaks with drivers.
    pub program: PathBuf,
    /// `--docker_volume_checkpoint_dir`: where it is kept which volumes containers have.
    pub root: PathBuf,
    /// `--docker_volume_chown`: whether a volume's mount point is given to the container's user.
    pub chown: bool,
    /// How long it may take to mount a volume.
    pub mount_patience: Duration,
    /// How long it may take to unmount one.
    pub unmount_patience: Duration,
}

/// A volume, as its driver knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    driver: String,
    name: String,
}

/// What became of a volume that a container asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is mounted, or may be.
    Held,
    /// Its driver says that it could not mount it.
    Refused,
}

#[derive(Debug)]
struct Wanted {
    name: Name,
    options: BTreeMap<String, String>,
}

/// The volumes, and who has them.
#[derive(Debug, Default)]
pub(crate) struct DockerVolumes {
    settings: Option<Arc<DockerVolumeSettings>>,
    /// A lock, since every container's task enters and removes its own; held for a look-up at a time.
    holders: Mutex<BTreeMap<ContainerId, BTreeMap<Name, State>>>,
    /// One call of a driver at a time for each volume.
    turns: Mutex<BTreeMap<Name, Arc<tokio::sync::Mutex<()>>>>,
}

impl DockerVolumeSettings {
    /// Finds the program in these directories, divided by colons, and makes the directory that all is kept in. Blocks.
    pub fn new(directories: &str, root: &Path, chown: bool) -> Result<Self, String> {
        let program = which(PROGRAM, directories)
            .ok_or_else(|| format!("The 'docker/volume' isolator cannot get {PROGRAM} command"))?;
        let made = fs::create_dir_all(root).and_then(|()| fs::canonicalize(root));
        let root = made.map_err(|error| {
            let root = root.display();
            format!("Failed to create docker volume information root directory at '{root}': {error}")
        })?;
        Ok(Self { program, root, chown, mount_patience: MOUNT_PATIENCE, unmount_patience: UNMOUNT_PATIENCE })
    }

    /// COMPAT(mesos): the name of the directory is the container's id. That of one in another has those around it
    /// before, since ids are only known to differ in there.
    fn place(&self, container: &ContainerId) -> PathBuf {
        self.root.join(container.to_string())
    }
}

impl DockerVolumes {
    /// Those that an earlier agent has left are held at once, so that none is unmounted while another container is
    /// still to be picked up. Blocks for some small files.
    pub(crate) fn new(settings: Option<DockerVolumeSettings>) -> Self {
        let holders = settings.as_ref().map(|settings| kept(&settings.root)).unwrap_or_default();
        Self { settings: settings.map(Arc::new), holders: Mutex::new(holders), turns: Mutex::default() }
    }

    fn holders(&self) -> MutexGuard<'_, BTreeMap<ContainerId, BTreeMap<Name, State>>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is locked while a driver is at work on a volume.
    fn turn(&self, name: &Name) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(name.clone()).or_default())
    }

    /// Those who have volumes and are not `known`: containers of an earlier agent.
    pub(crate) fn orphans(&self, known: impl Fn(&ContainerId) -> bool) -> BTreeSet<ContainerId> {
        self.holders().keys().filter(|container| !known(container)).cloned().collect()
    }

    /// Mounts the volumes that a container asks for. Returns where they are, in their order.
    ///
    /// A launch that is given up does not interrupt it: a driver that was begun is heard to its end.
    pub(crate) async fn mount(
        self: &Arc<Self>,
        container: &ContainerId,
        info: &ContainerInfo,
        user: Option<&Account>,
    ) -> Result<Vec<String>, String> {
        let Some(settings) = self.settings.clone() else { return Ok(Vec::new()) };
        let wanted = wanted(container, info)?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let held = wanted.iter().map(|wanted| (wanted.name.clone(), State::Held)).collect();
        // ORDER: on disk before the driver is called; without it nobody would know that there is something to be undone.
        keep(&settings.place(container), &held)?;
        self.holders().insert(container.clone(), held);
        let owner = user.filter(|user| settings.chown && user.uid != 0).map(|user| (user.uid, user.gid));
        let (volumes, container) = (Arc::clone(self), container.clone());
        let mounting = tokio::spawn(async move {
            let mut paths = Vec::new();
            for wanted in &wanted {
                paths.push(volumes.mount_one(&settings, &container, wanted, owner).await?);
            }
            Ok(paths)
        });
        mounting.await.unwrap_or_else(|_| Err("Mounting the Docker volumes panicked".to_owned()))
    }

    async fn mount_one(
        &self,
        settings: &DockerVolumeSettings,
        container: &ContainerId,
        wanted: &Wanted,
        owner: Option<(u32, u32)>,
    ) -> Result<String, String> {
        let name = &wanted.name;
        let turn = self.turn(name);
        let _turn = turn.lock().await;
        let is_held = self.holders().get(container).is_some_and(|held| held.contains_key(name));
        if !is_held {
            return Err("Container is being destroyed during mounting its volumes".to_owned());
        }
        let path = driver::mount(settings, name, &wanted.options).await.map_err(|failure| {
            if let (Failure::Refused(_), Some(held)) = (&failure, self.holders().get_mut(container)) {
                held.insert(name.clone(), State::Refused);
            }
            failure.into_message()
        })?;
        tracing::info!(%container, driver = name.driver, name = name.name, path, "mounted a Docker volume");
        if let Some((uid, gid)) = owner {
            chown(&path, Some(uid), Some(gid)).map_err(|error| {
                format!("Failed to set '{uid}' as the docker volume '{path}' owner: {error}")
            })?;
        }
        Ok(path)
    }

    /// Takes a container's volumes from it, and has those unmounted that nobody else has. What could not be unmounted
    /// is left for a later agent to try again.
    pub(crate) async fn release(&self, container: &ContainerId) {
        let Some(settings) = self.settings.clone() else { return };
        let Some(held) = self.holders().get(container).cloned() else { return };
        let mut is_clean = true;
        for name in held.keys() {
            if let Err(message) = self.unmount_one(&settings, container, name).await {
                let (driver, name) = (&name.driver, &name.name);
                tracing::error!(%container, driver, name, message, "cannot unmount a Docker volume");
                is_clean = false;
            }
        }
        if is_clean && let Err(error) = fs::remove_dir_all(settings.place(container)) {
            tracing::error!(%container, %error, "cannot forget the Docker volumes of a container");
        }
        self.holders().remove(container);
    }

    async fn unmount_one(
        &self,
        settings: &DockerVolumeSettings,
        container: &ContainerId,
        name: &Name,
    ) -> Result<(), String> {
        let turn = self.turn(name);
        let _turn = turn.lock().await;
        let state = {
            let mut holders = self.holders();
            let state = holders.get_mut(container).and_then(|held| held.remove(name));
            state.filter(|_| !holders.values().any(|held| held.contains_key(name)))
        };
        match state {
            Some(State::Held) => driver::unmount(settings, name).await,
            // COMPAT(mesos): its driver is told, but there is most likely nothing.
            Some(State::Refused) => driver::unmount(settings, name).await.or(Ok(())),
            None => Ok(()),
        }
    }
}

/// The volumes of Docker among those that a container asks for.
fn wanted(container: &ContainerId, info: &ContainerInfo) -> Result<Vec<Wanted>, String> {
    let mut all: Vec<Wanted> = Vec::new();
    for volume in &info.volumes {
        // These come first, and leave the source alone.
        let is_other = volume.host_path.is_some() || volume.image.is_some();
        if let Some(wanted) = one(container, volume).filter(|_| !is_other) {
            let wanted = wanted?;
            let Name { driver, name } = &wanted.name;
            if all.iter().any(|other| other.name == wanted.name) {
                return Err(format!(
                    "Found duplicate docker volume with driver '{driver}' and name '{name}'"
                ));
            }
            all.push(wanted);
        }
    }
    Ok(all)
}

fn one(container: &ContainerId, volume: &Volume) -> Option<Result<Wanted, String>> {
    let source = volume.source.as_ref().filter(|source| source.r#type() == Type::DockerVolume)?;
    let Some(asked) = &source.docker_volume else {
        return Some(Err(format!("'docker_volume' of the volume at '{}' is not set", volume.container_path)));
    };
    let name = asked.name.clone();
    let Some(driver) = asked.driver.clone() else {
        return Some(Err(format!(
            "The volume driver is not specified for volume '{name}' with container {container}"
        )));
    };
    let options = asked.driver_options.iter().flat_map(|options| &options.parameter);
    let options = options.map(|option| (option.key.clone(), option.value.clone())).collect();
    Some(Ok(Wanted { name: Name { driver, name }, options }))
}

/// Notes what a container has.
fn keep(place: &Path, held: &BTreeMap<Name, State>) -> Result<(), String> {
    let volumes = held.keys().map(|it| json!({"driver": it.driver, "name": it.name}));
    let text = json!({"volumes": volumes.collect::<Vec<Value>>()}).to_string();
    let (path, temporary) = (place.join("volumes"), place.join("volumes.tmp"));
    let write = || -> io::Result<()> {
        fs::create_dir_all(place)?;
        fs::write(&temporary, text)?;
        fs::rename(&temporary, &path)
    };
    write().map_err(|error| format!("Failed to checkpoint docker volumes at '{}': {error}", path.display()))
}

/// What was noted of all containers. One of which nothing can be read has no volumes: nothing was mounted for it.
fn kept(root: &Path) -> BTreeMap<ContainerId, BTreeMap<Name, State>> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.map(|name| (container_of_name(&name), read(&root.join(&name)))).collect()
}

fn read(place: &Path) -> BTreeMap<Name, State> {
    let path = place.join("volumes");
    let value: Option<Value> = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(value) = value else {
        tracing::warn!(path = %path.display(), "cannot read which Docker volumes a container has");
        return BTreeMap::new();
    };
    let volumes = value.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let text = |volume: &Value, key: &str| Some(volume.get(key)?.as_str()?.to_owned());
    let name = |volume| Some(Name { driver: text(volume, "driver")?, name: text(volume, "name")? });
    volumes.filter_map(name).map(|name| (name, State::Held)).collect()
}
