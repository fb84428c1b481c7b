//! `gpu/nvidia`: which GPUs a container has. Whole ones, given to outermost containers; those in them share theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::mesos::v1::Resource;
use types::ContainerId;

use crate::amounts::sum_milli;
use crate::facts::{Device, Facts, Settings};
use crate::isolators::docker_runtime::ImageConfig;
use crate::plan::{Container, Plan, Refusal, Step, cgroup};
use crate::root::{Bind, DeviceNode};

/// Where containers with images see the driver's libraries and programs.
const DRIVER: &str = "/usr/local/nvidia";

/// Where images of CUDA have libraries for other drivers.
const CUDA_COMPAT: &str = "/usr/local/cuda/compat";

/// A GPU, by the number of its driver and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gpu {
    /// The number of its driver.
    pub major: u32,
    /// Its number there.
    pub minor: u32,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What there is for containers with GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpus {
    /// The GPUs that are offered.
    pub offered: BTreeSet<Gpu>,
    /// The driver's other devices, which every container may use.
    pub controls: Vec<Gpu>,
    /// The nodes of all of these, and of GPUs that are not offered.
    pub nodes: Vec<DeviceNode>,
    /// The directory of the driver's libraries and programs, if the machine has one.
    pub driver: Option<String>,
}

/// Which container has which GPUs.
#[derive(Clone, Debug, Default)]
pub struct GpuPool {
    free: BTreeSet<Gpu>,
    held: BTreeMap<ContainerId, BTreeSet<Gpu>>,
}

/// What becomes of a container's GPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuChange {
    /// Those that it has now.
    pub granted: BTreeSet<Gpu>,
    /// Those that it has no more.
    pub taken: BTreeSet<Gpu>,
}

impl GpuPool {
    /// All are free.
    #[must_use]
    pub fn new(all: &BTreeSet<Gpu>) -> Self {
        Self { free: all.clone(), held: BTreeMap::new() }
    }

    /// Lets a container have so many.
    pub fn resize(&mut self, container: &ContainerId, count: usize) -> Result<GpuChange, Refusal> {
        let mut change = GpuChange::default();
        let has = self.of(container);
        if let Some(additional) = count.checked_sub(has.len()) {
            let free = self.free.len();
            if free < additional {
                let why = format!("Requested {additional} gpus but only {free} available");
                return Err(Refusal(why));
            }
            change.granted = self.free.iter().copied().take(additional).collect();
        } else {
            change.taken = has.iter().copied().take(has.len() - count).collect();
        }
        self.free = &(&self.free - &change.granted) | &change.taken;
        let now = &(&has | &change.granted) - &change.taken;
        match now.is_empty() {
            true => drop(self.held.remove(container)),
            false => drop(self.held.insert(container.clone(), now)),
        }
        Ok(change)
    }

    /// A container had these before the agent began. What is no GPU any more, or another's, is left out.
    pub fn recover(&mut self, container: &ContainerId, gpus: &BTreeSet<Gpu>) {
        let gpus = &self.free & gpus;
        self.free = &self.free - &gpus;
        if !gpus.is_empty() {
            self.held.entry(container.clone()).or_default().extend(gpus);
        }
    }

    /// A container is over.
    pub fn release(&mut self, container: &ContainerId) {
        self.free.extend(self.held.remove(container).unwrap_or_default());
    }

    /// What a container has.
    #[must_use]
    pub fn of(&self, container: &ContainerId) -> BTreeSet<Gpu> {
        self.held.get(container).cloned().unwrap_or_default()
    }
}

/// How many GPUs there are among resources.
pub fn gpus_of(resources: &[Resource]) -> Result<usize, Refusal> {
    let milli = sum_milli(resources, "gpus").unwrap_or(0);
    if !milli.is_multiple_of(1000) {
        return Err(Refusal("The 'gpus' resource must be an unsigned integer".to_owned()));
    }
    Ok(usize::try_from(milli / 1000).unwrap_or(usize::MAX))
}

/// The writes that let a container that runs use other GPUs. Not on version 2.
#[must_use]
pub fn regrant(settings: &Settings, facts: &Facts, container: &ContainerId, change: &GpuChange) -> Vec<Step> {
    let Some(path) = cgroup(settings, facts, "devices", container).filter(|_| facts.unified.is_none()) else {
        return Vec::new();
    };
    let write = |file, gpu: &Gpu| Step::Write { path: path.clone(), file, value: gpu.entry("rw") };
    let taken = change.taken.iter().map(|gpu| write("devices.deny", gpu));
    taken.chain(change.granted.iter().map(|gpu| write("devices.allow", gpu))).collect()
}

pub(crate) fn prepare(settings: &Settings, facts: &Facts, container: &Container<'_>, plan: &mut Plan) {
    let gpus = &settings.gpus;
    // What shares the cgroups of another container has its GPUs.
    if container.shares_cgroups_of.is_none() {
        // COMPAT(mesos): the driver's tools work in a container without GPUs, too.
        let controls = gpus.controls.iter().map(|control| control.entry("rwm"));
        let entries = controls.chain(container.gpus.iter().map(|gpu| gpu.entry("rw")));
        allow(cgroup(settings, facts, "devices", container.id), entries, plan);
    }
    let wants_driver = container.root.is_some_and(|root| root.wants_gpu_driver);
    if let Some(root) = &mut plan.process.root {
        // COMPAT(mesos): all of them, whether it may use them or not.
        root.devices.extend(gpus.nodes.iter().cloned());
        let driver = gpus.driver.clone().filter(|_| wants_driver);
        plan.process.binds.extend(driver.map(|source| Bind {
            source,
            target: DRIVER.to_owned(),
            read_only: true,
            ..Bind::default()
        }));
    }
}

/// Lengthens the list of devices that `cgroups/devices` has begun.
fn allow(path: Option<String>, entries: impl Iterator<Item = String>, plan: &mut Plan) {
    let list = plan.steps.iter_mut().find_map(|step| match step {
        Step::LimitDevices { allowed, .. } => Some(allowed),
        Step::CreateCgroup { .. }
        | Step::Own { .. }
        | Step::Inherit { .. }
        | Step::Delegate { .. }
        | Step::Write { .. } => None,
    });
    match (list, path) {
        (Some(allowed), _) => allowed.extend(entries.map(Device)),
        (None, Some(path)) => plan.steps.extend(entries.map(|value| Step::Write {
            path: path.clone(),
            file: "devices.allow",
            value,
        })),
        (None, None) => {}
    }
}

impl Gpu {
    fn entry(self, access: &str) -> String {
        format!("c {}:{} {access}", self.major, self.minor)
    }
}

impl ImageConfig {
    /// Whether the image asks for the driver, by the variable that Nvidia's images have.
    #[must_use]
    pub fn wants_gpu_driver(&self) -> bool {
        let value = self.env.iter().find_map(|pair| pair.strip_prefix("NVIDIA_VISIBLE_DEVICES="));
        value.is_some_and(|value| !matches!(value, "" | "void"))
    }

    /// Has the driver found where containers see it.
    pub fn add_gpu_driver(&mut self) {
        self.add_to_path("PATH", &[format!("{DRIVER}/bin")]);
        let libraries = [CUDA_COMPAT.to_owned(), format!("{DRIVER}/lib"), format!("{DRIVER}/lib64")];
        self.add_to_path("LD_LIBRARY_PATH", &libraries);
    }

    fn add_to_path(&mut self, name: &str, more: &[String]) {
        let is = |pair: &String| pair.split_once('=').is_some_and(|(known, _)| known == name);
        let value = self.env.iter().rfind(|pair| is(pair)).and_then(|pair| pair.split_once('='));
        let value = value.map(|(_, value)| value).unwrap_or_default();
        let mut paths: Vec<String> =
            value.split(':').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        for path in more {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        self.env.retain(|pair| !is(pair));
        self.env.push(format!("{name}={}", paths.join(":")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(minors: &[u32]) -> BTreeSet<Gpu> {
        minors.iter().map(|minor| Gpu { major: 195, minor: *minor }).collect()
    }

    #[test]
    fn each_gpu_is_one_containers() {
        let mut pool = GpuPool::new(&gpus(&[0, 1, 2]));
        let [a, b] = ["a", "b"].map(ContainerId::root);
        pool.recover(&b, &gpus(&[1, 7]));
        assert_eq!(pool.of(&b), gpus(&[1]));
        assert_eq!(pool.resize(&a, 2).unwrap().granted, gpus(&[0, 2]));
        let refused = pool.resize(&b, 3).unwrap_err();
        assert_eq!(refused.to_string(), "Requested 2 gpus but only 0 available");
        assert_eq!(pool.of(&b), gpus(&[1]));
        let less = pool.resize(&a, 1).unwrap();
        assert_eq!((less.taken, less.granted), (gpus(&[0]), gpus(&[])));
        assert_eq!(pool.resize(&b, 2).unwrap().granted, gpus(&[0]));
        pool.release(&b);
        assert_eq!(pool.resize(&a, 3).unwrap().granted, gpus(&[0, 1]));
    }

    #[test]
    fn images_ask_for_the_driver() {
        let asks = |env: &str| ImageConfig { env: vec![env.to_owned()], ..ImageConfig::default() };
        for (env, wants) in [
            ("NVIDIA_VISIBLE_DEVICES=all", true),
            ("NVIDIA_VISIBLE_DEVICES=void", false),
            ("NVIDIA_VISIBLE_DEVICES=", false),
            ("PATH=/bin", false),
        ] {
            assert_eq!(asks(env).wants_gpu_driver(), wants, "{env}");
        }
        let mut image = asks("PATH=/bin");
        image.add_gpu_driver();
        image.add_gpu_driver();
        let libraries =
            "LD_LIBRARY_PATH=/usr/local/cuda/compat:/usr/local/nvidia/lib:/usr/local/nvidia/lib64";
        assert_eq!(image.env, ["PATH=/bin:/usr/local/nvidia/bin", libraries]);
    }
}
