//! The GPUs of this machine, found by what Nvidia's driver shows in `/proc` and `/dev`, and who holds them.
//!
//! Who holds which is kept under the runtime directory for an agent that comes after this one died:
//! `<runtime_dir>/containers/<id>/gpus`, a line such as `195:0` each.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use launch_plan::{DeviceNode, Gpu, GpuPool, Gpus, Isolator, gpus_of, regrant_gpus};
use proto::mesos::v1::Resource;
use types::ContainerId;

use crate::entries::{Shared, root_of};
use crate::steps;

/// Everybody in a container may use its devices as the container may.
const MODE: u32 = 0o666;

/// The devices that every container may use; without the last one the driver works.
const CONTROLS: [&str; 3] = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"];

/// What was found of Nvidia's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundGpus {
    /// The GPUs, in the order of their places on the bus.
    pub gpus: Vec<Gpu>,
    /// All but which of them are offered.
    pub rest: Gpus,
}

/// Looks for GPUs in the machine whose files are below `root`, which is `/` but in tests. Blocks.
pub fn find_gpus(root: &Path) -> Result<FoundGpus, String> {
    let version = root.join("proc/driver/nvidia/version");
    let version = fs::read_to_string(&version)
        .map_err(|error| format!("The Nvidia driver is not loaded: '{}': {error}", version.display()))?;
    let dev = root.join("dev");
    let gpus = minors(root)?.into_iter().map(|minor| device(&dev, &format!("nvidia{minor}")));
    let gpus = gpus.collect::<Result<Vec<_>, _>>()?;
    let mut controls = Vec::new();
    for name in CONTROLS {
        match device(&dev, name) {
            Ok(control) => controls.push(control),
            Err(_) if name == CONTROLS[2] => {}
            Err(error) => return Err(error),
        }
    }
    let nodes = nodes(&dev).map_err(|error| format!("Failed to list '{}': {error}", dev.display()))?;
    let rest = Gpus { offered: BTreeSet::new(), controls, nodes, driver: driver(root, &version) };
    Ok(FoundGpus { gpus, rest })
}

/// The minor numbers of the GPUs. Each has a directory named by its place on the bus.
fn minors(root: &Path) -> Result<Vec<u32>, String> {
    let directory = root.join("proc/driver/nvidia/gpus");
    let failed = |path: &Path, error: io::Error| format!("Failed to read '{}': {error}", path.display());
    let entries = fs::read_dir(&directory).map_err(|error| failed(&directory, error))?;
    let mut places: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    places.sort();
    let minor = |place: &PathBuf| {
        let path = place.join("information");
        let text = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
        let value = text.lines().find_map(|line| line.strip_prefix("Device Minor:"));
        let minor = value.and_then(|value| value.trim().parse().ok());
        minor.ok_or_else(|| format!("'{}' does not tell the device's minor number", path.display()))
    };
    places.iter().map(minor).collect()
}

fn device(dev: &Path, name: &str) -> Result<Gpu, String> {
    let path = dev.join(name);
    let why = |why: String| format!("Failed to obtain device ID for '{}': {why}", path.display());
    let metadata = fs::metadata(&path).map_err(|error| why(error.to_string()))?;
    if !metadata.file_type().is_char_device() {
        return Err(why("Not a device of characters".to_owned()));
    }
    let number = metadata.rdev();
    Ok(Gpu { major: rustix::fs::major(number), minor: rustix::fs::minor(number) })
}

/// All of the driver's devices. COMPAT(mesos): not those in directories such as `nvidia-caps`.
fn nodes(dev: &Path) -> io::Result<Vec<DeviceNode>> {
    let mut names: Vec<String> = fs::read_dir(dev)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("nvidia"))
        .collect();
    names.sort();
    let node = |name: &String| {
        let Gpu { major, minor } = device(dev, name).ok()?;
        Some(DeviceNode { path: format!("/dev/{name}"), characters: true, major, minor, mode: MODE })
    };
    Ok(names.iter().filter_map(node).collect())
}

/// The directory of the driver's libraries: as Mesos lays it out, or the one that is installed.
fn driver(root: &Path, version: &str) -> Option<String> {
    let is_version =
        |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    let version = version.split_whitespace().find(is_version);
    let laid_out = version.map(|it| root.join(format!("var/run/mesos/isolators/gpu/nvidia_{it}")));
    let mut places = laid_out.into_iter().chain([root.join("usr/local/nvidia")]);
    places.find(|place| place.is_dir()).map(|place| place.to_string_lossy().into_owned())
}

impl Shared {
    fn isolates_gpus(&self) -> bool {
        self.config.settings.isolation.has(Isolator::GpuNvidia)
    }

    fn gpus(&self) -> std::sync::MutexGuard<'_, GpuPool> {
        // Each change is one assignment after another that cannot fail.
        self.gpus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a container the GPUs among its resources. One in another container has the outermost one's.
    pub(crate) fn hold_gpus(&self, container: &ContainerId, has: &[Resource]) -> Result<Vec<Gpu>, String> {
        if !self.isolates_gpus() {
            return Ok(Vec::new());
        }
        let mut pool = self.gpus();
        if container.parent.is_none() {
            let count = gpus_of(has).map_err(|refusal| refusal.to_string())?;
            pool.resize(container, count).map_err(|refusal| refusal.to_string())?;
        }
        Ok(pool.of(root_of(container)).into_iter().collect())
    }

    /// Notes which GPUs a container has, where its mark is.
    pub(crate) fn note_gpus(&self, container: &ContainerId) -> Result<(), String> {
        if !self.isolates_gpus() || container.parent.is_some() {
            return Ok(());
        }
        let Some(place) = self.config.place(container) else { return Ok(()) };
        let line = |gpu: Gpu| format!("{}:{}\n", gpu.major, gpu.minor);
        let text: String = self.gpus().of(container).into_iter().map(line).collect();
        let temporary = place.join("gpus.tmp");
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, place.join("gpus")))
            .map_err(|error| format!("Failed to checkpoint the gpus: {error}"))
    }

    /// Lets a container that runs have the GPUs among its resources now.
    pub(crate) fn resize_gpus(&self, container: &ContainerId, has: &[Resource]) -> Result<(), String> {
        if !self.isolates_gpus() || container.parent.is_some() {
            return Ok(());
        }
        let count = gpus_of(has).map_err(|refusal| refusal.to_string())?;
        let now = self.gpus().of(container).len();
        if self.config.facts.unified.is_some() {
            // What its cgroup may use is settled there: it keeps what it has until it ends.
            return match count > now {
                true => Err(format!(
                    "The container has {now} gpus and cannot be given {count} while it runs, with version 2 of cgroups"
                )),
                false => Ok(()),
            };
        }
        if count == now {
            return Ok(());
        }
        let change = self.gpus().resize(container, count).map_err(|refusal| refusal.to_string())?;
        // ORDER: written before it is so, that a later agent knows of all that it may use.
        self.note_gpus(container)?;
        let config = &self.config;
        steps::carry_out(&regrant_gpus(&config.settings, &config.facts, container, &change))
    }

    /// A container of an earlier agent has the GPUs that are noted of it.
    pub(crate) fn recover_gpus(&self, container: &ContainerId) {
        if !self.isolates_gpus() || container.parent.is_some() {
            return;
        }
        let Some(place) = self.config.place(container) else { return };
        let text = fs::read_to_string(place.join("gpus")).unwrap_or_default();
        let gpu = |line: &str| {
            let (major, minor) = line.split_once(':')?;
            Some(Gpu { major: major.parse().ok()?, minor: minor.parse().ok()? })
        };
        self.gpus().recover(container, &text.lines().filter_map(gpu).collect());
    }

    /// A container is over.
    pub(crate) fn release_gpus(&self, container: &ContainerId) {
        if self.isolates_gpus() {
            self.gpus().release(container);
        }
    }
}
