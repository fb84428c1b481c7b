//! The plan of one container, and the writes that resize one.

use std::collections::BTreeSet;

use proto::mesos::v1::{ContainerInfo, LinuxInfo};
use seccomp::Profile;
use thiserror::Error;
use types::ContainerId;

use crate::amounts::Amounts;
use crate::controllers;
use crate::facts::{Device, Facts, Settings};
use crate::ids::UserNamespace;
use crate::isolation::{Isolator, Launcher};
use crate::isolators;
use crate::isolators::gpu_nvidia::Gpu;
use crate::root::{Bind, Layered, Layers, Persistent, Root, SecretFile};
use crate::security::Privileges;

/// What a container wants of its isolators.
#[derive(Clone, Debug)]
pub struct Container<'a> {
    /// Its id.
    pub id: &'a ContainerId,
    /// How much it may use.
    pub amounts: Amounts,
    /// How its framework or task wants it contained.
    pub info: Option<&'a ContainerInfo>,
    /// Whether its executor was made for one command task.
    pub is_command_task: bool,
    /// The container around it whose cgroups it uses, but for the freezer's.
    pub shares_cgroups_of: Option<&'a ContainerId>,
    /// Whether it only looks into the container around it, and shares all namespaces with that.
    pub is_session: bool,
    /// Who its command runs as, and so may make cgroups of its own.
    pub owner: Option<u32>,
    /// The profile that `linux/seccomp` applies, as [`SeccompChoice`](crate::SeccompChoice) says which.
    pub seccomp: Option<&'a Profile>,
    /// Its sandbox, as the machine sees it.
    pub sandbox: &'a str,
    /// The outermost sandbox around that, whose owner may write there. None where it is the outermost itself.
    pub sandbox_root: Option<&'a str>,
    /// The persistent volumes that its sandbox has links to.
    pub volumes: &'a [Persistent],
    /// Where drivers have mounted the volumes of Docker that it asks for, in the order of these.
    pub docker_volumes: &'a [String],
    /// What was provided for the images that it asks for as volumes, in the order of these.
    pub image_volumes: &'a [Rootfs],
    /// Whether paths in the sandbox around it are mounts, also without a root of its own.
    pub mounts_sandbox_paths: bool,
    /// The sandbox of the container around it, and the volumes there.
    pub around: Option<(&'a str, &'a [Persistent])>,
    /// The root of its own, if it has one.
    pub root: Option<&'a Rootfs>,
    /// Whether the container around it has a root of its own.
    pub around_has_root: bool,
    /// Whether it shares process ids with the machine: it, and all that are around it, ask for that.
    pub sees_all_processes: bool,
    /// The first of the ids that `namespaces/user` gives it.
    pub ids: Option<u32>,
    /// The nearest container around it that has networks of its own.
    pub network_of: Option<&'a ContainerId>,
    /// Its GPUs, or those of the outermost container around it.
    pub gpus: &'a [Gpu],
}

/// The files of a root, as they were provided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rootfs {
    /// Where the root is or will be, as the machine sees it.
    pub path: String,
    /// What it is made of, where it is not there yet.
    pub layers: Option<Layers>,
    /// Whether its image asks for the driver of GPUs.
    pub wants_gpu_driver: bool,
}

/// Everything that is done for a container but its files and its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do before its first process, in this order.
    pub steps: Vec<Step>,
    /// The cgroups that its first process joins before it goes on, in this order.
    pub cgroups: Vec<String>,
    /// The cgroup that its first process begins in: version 2.
    pub born_in: Option<String>,
    /// What its first process then finds or does.
    pub process: Process,
}

/// Something done to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a cgroup.
    CreateCgroup {
        /// Its directory.
        path: String,
    },
    /// Give a cgroup's directory, not its files, to a user.
    Own {
        /// The cgroup's directory.
        path: String,
        /// The user's id.
        uid: u32,
    },
    /// Copy a file of a cgroup from the cgroup above, and do so for that one first if it has none either.
    Inherit {
        /// The cgroup's directory.
        path: String,
        /// The file's name.
        file: &'static str,
        /// The hierarchy's directory, which has a value.
        top: String,
    },
    /// Switch controllers on for what is below a cgroup of version 2, and so for those above it that lack them.
    Delegate {
        /// The cgroup's directory.
        path: String,
        /// The controllers.
        controllers: BTreeSet<&'static str>,
        /// The hierarchy's directory.
        top: String,
    },
    /// Let processes of a cgroup of version 2, and of those below it, use these devices and no others.
    LimitDevices {
        /// The cgroup's directory.
        path: String,
        /// The devices.
        allowed: Vec<Device>,
    },
    /// Write a file of a cgroup.
    Write {
        /// The cgroup's directory.
        path: String,
        /// The file's name.
        file: &'static str,
        /// What to write.
        value: String,
    },
}

/// What takes a step back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undo {
    /// Kill what is in a cgroup and remove it.
    DestroyCgroup {
        /// Its directory.
        path: String,
    },
}

/// The first process of a container, from its clone to its command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Whether it has mounts of its own.
    pub own_mounts: bool,
    /// Whether it has process ids of its own. Then an init stays, and the command is its child.
    pub own_pids: bool,
    /// Whether it has message queues, semaphores and shared memory of its own.
    pub own_ipc: bool,
    /// Whether it begins with the mounts of the container around it.
    pub enter_mounts: bool,
    /// Whether it shares the process ids of the container around it.
    pub enter_pids: bool,
    /// Whether it shares message queues, semaphores and shared memory with the container around it.
    pub enter_ipc: bool,
    /// Its own root. Mounts are in it then, unless they are those of another process that stays outside.
    pub root: Option<Root>,
    /// Whether it has network interfaces of its own.
    pub own_network: bool,
    /// Whether it has a host name of its own.
    pub own_uts: bool,
    /// Whether it shares the network interfaces of the container around it.
    pub enter_network: bool,
    /// Whether it shares the host name of the container around it.
    pub enter_uts: bool,
    /// What the host is called in there.
    pub host_name: Option<String>,
    /// The directory with the `hosts`, `hostname` and perhaps `resolv.conf` that it sees in `/etc`.
    pub network_files: Option<String>,
    /// Mounts to be made, in this order.
    pub mounts: Vec<Mount>,
    /// Directories that layers are mounted at, before anything there is seen elsewhere.
    pub layered: Vec<Layered>,
    /// Paths of the machine that are seen there, too; after the mounts, in this order.
    pub binds: Vec<Bind>,
    /// Files with secrets, in the order of the volumes that ask for them.
    pub secrets: Vec<SecretFile>,
    /// Resource limits to be set.
    pub rlimits: Vec<Rlimit>,
    /// How early it is killed when the machine runs out of memory, as `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// What it may do.
    pub privileges: Privileges,
    /// Its users, where they are its own.
    pub user_namespace: Option<UserNamespace>,
}

/// A new file system in the container's own mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its type.
    pub kind: String,
    /// Where.
    pub target: String,
    /// Its options.
    pub options: String,
}

/// A resource limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// Its name, such as `NOFILE`.
    pub name: String,
    /// The numbers, soft and hard; none for no limit.
    pub numbers: Option<(u64, u64)>,
}

/// Why a container cannot be had here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Process {
    /// Whether it takes over anything of the container around it.
    #[must_use]
    pub const fn enters(&self) -> bool {
        self.enter_mounts || self.enter_pids || self.enter_ipc || self.enter_network || self.enter_uts
    }
}

impl Step {
    /// What takes it back, once the container is over or where a later step failed.
    #[must_use]
    pub fn undo(&self) -> Option<Undo> {
        match self {
            Self::CreateCgroup { path } => Some(Undo::DestroyCgroup { path: path.clone() }),
            // These are gone with their cgroup.
            Self::Own { .. }
            | Self::Inherit { .. }
            | Self::Delegate { .. }
            | Self::LimitDevices { .. }
            | Self::Write { .. } => None,
        }
    }
}

impl Plan {
    /// What takes the whole plan back: the undo of its steps, in reverse.
    #[must_use]
    pub fn undo(&self) -> Vec<Undo> {
        self.steps.iter().rev().filter_map(Step::undo).collect()
    }

    /// Its cgroup in the freezer's hierarchy, or its one cgroup of version 2: it and those below it list all of its
    /// processes. None without the Linux launcher.
    #[must_use]
    pub fn freezer(settings: &Settings, facts: &Facts, container: &ContainerId) -> Option<String> {
        match settings.isolation.launcher() {
            Launcher::Posix => None,
            Launcher::Linux => cgroup(settings, facts, "freezer", container),
        }
    }

    /// The cgroups above those of all containers, one per hierarchy that isolators or the launcher work with.
    #[must_use]
    pub fn roots(settings: &Settings, facts: &Facts) -> BTreeSet<String> {
        let root = &settings.cgroups_root;
        if let Some(unified) = &facts.unified {
            return BTreeSet::from([format!("{}/{root}", unified.path)]);
        }
        let controllers = settings.isolation.isolators().flat_map(|isolator| isolator.controllers());
        let hierarchies = controllers.chain(&["freezer"]).filter_map(|it| facts.hierarchies.get(*it));
        hierarchies.map(|hierarchy| format!("{hierarchy}/{root}")).collect()
    }

    /// The controllers of version 2 that the isolators work with.
    #[must_use]
    pub fn unified_controllers(settings: &Settings) -> BTreeSet<&'static str> {
        settings.isolation.isolators().flat_map(controllers::unified).collect()
    }

    /// Where a container's cgroups are that an agent with other settings may have made: one per hierarchy, the
    /// freezer's first.
    #[must_use]
    pub fn places(settings: &Settings, facts: &Facts, container: &ContainerId) -> Vec<String> {
        let mut places: Vec<String> = Self::freezer(settings, facts, container).into_iter().collect();
        if places.is_empty() {
            return places;
        }
        if facts.unified.is_some() {
            return places;
        }
        for controller in facts.hierarchies.keys().filter(|name| controllers::is_ours(name)) {
            let place = cgroup(settings, facts, controller, container);
            places.extend(place.filter(|place| !places.contains(place)));
        }
        places
    }
}

impl<'a> Container<'a> {
    /// One that asks for nothing but what its information says.
    #[must_use]
    pub fn plain(id: &'a ContainerId, info: Option<&'a ContainerInfo>) -> Self {
        Self {
            id,
            amounts: Amounts::default(),
            info,
            is_command_task: false,
            shares_cgroups_of: None,
            is_session: false,
            owner: None,
            seccomp: None,
            sandbox: "",
            sandbox_root: None,
            volumes: &[],
            docker_volumes: &[],
            image_volumes: &[],
            mounts_sandbox_paths: false,
            around: None,
            root: None,
            around_has_root: false,
            sees_all_processes: false,
            ids: None,
            network_of: None,
            gpus: &[],
        }
    }

    /// Who its command runs as, as the machine sees it.
    pub(crate) fn owner_outside(&self) -> Option<u32> {
        Some(self.owner?.saturating_add(self.ids.unwrap_or(0)))
    }

    /// What its `linux_info` says.
    pub(crate) fn linux(&self) -> Option<&LinuxInfo> {
        self.info?.linux_info.as_ref()
    }

    /// Whether it is in another container.
    pub(crate) fn is_nested(&self) -> bool {
        self.id.parent.is_some()
    }
}

/// The directory of a container's cgroup. None where the hierarchy is not mounted.
///
/// COMPAT(mesos): a nested container's is below its parent's, with a `mesos` between.
pub(crate) fn cgroup(
    settings: &Settings,
    facts: &Facts,
    controller: &str,
    container: &ContainerId,
) -> Option<String> {
    let mut names = vec![container.value.to_string()];
    let mut parent = container.parent.as_deref();
    while let Some(container) = parent {
        names.extend(["mesos".to_owned(), container.value.to_string()]);
        parent = container.parent.as_deref();
    }
    names.reverse();
    let hierarchy = match &facts.unified {
        Some(unified) => &unified.path,
        None => facts.hierarchies.get(controller)?,
    };
    Some(format!("{hierarchy}/{}/{}", settings.cgroups_root, names.join("/")))
}

/// What is to be done for a container.
pub fn plan(settings: &Settings, facts: &Facts, container: &Container<'_>) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    if container.root.is_some() && !settings.isolation.has(Isolator::FilesystemLinux) {
        return Err(Refusal("'filesystem/linux' must be used to enable images".to_owned()));
    }
    if !settings.isolation.has(Isolator::FilesystemLinux) && isolators::volumes::needs_mounts(container) {
        return Err(Refusal(
            "'filesystem/linux' must be used to enable HOST_PATH, SECRET, DOCKER_VOLUME and image volumes"
                .to_owned(),
        ));
    }
    match (settings.isolation.launcher(), &facts.unified) {
        (Launcher::Posix, _) => {}
        (Launcher::Linux, None) => isolators::cgroups(settings, facts, container, &mut plan),
        (Launcher::Linux, Some(unified)) => {
            isolators::unified::cgroup(settings, facts, unified, container, &mut plan);
        }
    }
    for isolator in settings.isolation.isolators() {
        match isolator {
            // These only look at what runs, or run beside it.
            Isolator::FilesystemPosix
            | Isolator::PosixCpu
            | Isolator::PosixMem
            | Isolator::DiskDu
            | Isolator::DiskXfs
            | Isolator::NetworkPorts => {}
            // What the image says is heeded where the command is made.
            Isolator::DockerRuntime => {}
            // They come with the mounts, named or not.
            Isolator::VolumeSandboxPath
            | Isolator::VolumeHostPath
            | Isolator::VolumeImage
            | Isolator::VolumeSecret
            | Isolator::DockerVolume => {}
            Isolator::FilesystemLinux => {
                isolators::filesystem_linux::prepare(settings, container, &mut plan)?
            }
            Isolator::PosixRlimits => isolators::posix_rlimits::prepare(container, &mut plan)?,
            // What it shares is as the other one wants it.
            Isolator::CgroupsCpu
            | Isolator::CgroupsCpuset
            | Isolator::CgroupsDevices
            | Isolator::CgroupsMem
                if container.shares_cgroups_of.is_some() => {}
            Isolator::CgroupsCpu => {
                let path = place(settings, facts, "cpu", container)?;
                plan.steps.extend(cpu_limit(settings, facts, &container.amounts, &path)?);
            }
            // Below a cgroup of version 2 all may use what that may.
            Isolator::CgroupsCpuset if facts.unified.is_some() => {}
            Isolator::CgroupsCpuset => {
                let path = place(settings, facts, "cpuset", container)?;
                isolators::cgroups_cpuset::prepare(facts, &path, &mut plan);
            }
            Isolator::CgroupsDevices => {
                let path = place(settings, facts, "devices", container)?;
                isolators::cgroups_devices::prepare(settings, facts, &path, &mut plan);
            }
            Isolator::CgroupsMem => {
                let path = place(settings, facts, "memory", container)?;
                plan.steps.extend(memory_limit(settings, facts, &container.amounts, &path, None)?);
                plan.process.oom_score_adj = isolators::cgroups_mem::first_to_die(facts, container);
            }
            // These count, and limit nothing.
            Isolator::CgroupsBlkio
            | Isolator::CgroupsHugetlb
            | Isolator::CgroupsNetCls
            | Isolator::CgroupsNetPrio
            | Isolator::CgroupsPerfEvent
            | Isolator::CgroupsPids => {}
            Isolator::LinuxCapabilities => {
                isolators::linux_capabilities::prepare(settings, facts, container, &mut plan)?;
            }
            Isolator::LinuxDevices => isolators::linux_devices::prepare(settings, &mut plan),
            Isolator::LinuxNnp => isolators::linux_nnp::prepare(&mut plan),
            Isolator::LinuxSeccomp => isolators::linux_seccomp::prepare(container.seccomp, facts, &mut plan)?,
            Isolator::NamespacesIpc => isolators::namespaces_ipc::prepare(settings, container, &mut plan)?,
            Isolator::NamespacesPid => isolators::namespaces_pid::prepare(settings, container, &mut plan)?,
            Isolator::NamespacesUser => isolators::namespaces_user::prepare(container, &mut plan)?,
            Isolator::GpuNvidia => isolators::gpu_nvidia::prepare(settings, facts, container, &mut plan),
            Isolator::NetworkCni => isolators::network_cni::prepare(settings, container, &mut plan)?,
        }
    }
    Ok(plan)
}

/// The writes that give a container that runs other amounts. `memory_limit_bytes` is its hard limit as it is.
pub fn resize(
    settings: &Settings,
    facts: &Facts,
    container: &ContainerId,
    amounts: &Amounts,
    memory_limit_bytes: Option<u64>,
) -> Result<Vec<Step>, Refusal> {
    let mut steps = Vec::new();
    for isolator in settings.isolation.isolators() {
        match isolator {
            Isolator::CgroupsCpu => {
                if let Some(path) = cgroup(settings, facts, "cpu", container) {
                    steps.extend(cpu_limit(settings, facts, amounts, &path)?);
                }
            }
            Isolator::CgroupsMem => {
                if let Some(path) = cgroup(settings, facts, "memory", container) {
                    steps.extend(memory_limit(settings, facts, amounts, &path, memory_limit_bytes)?);
                }
            }
            Isolator::FilesystemPosix
            | Isolator::FilesystemLinux
            | Isolator::PosixCpu
            | Isolator::PosixMem
            | Isolator::PosixRlimits
            | Isolator::CgroupsBlkio
            | Isolator::CgroupsCpuset
            | Isolator::CgroupsDevices
            | Isolator::CgroupsHugetlb
            | Isolator::CgroupsNetCls
            | Isolator::CgroupsNetPrio
            | Isolator::CgroupsPerfEvent
            | Isolator::CgroupsPids
            | Isolator::NamespacesIpc
            | Isolator::NamespacesPid
            | Isolator::DockerRuntime
            | Isolator::VolumeSandboxPath
            | Isolator::VolumeHostPath
            | Isolator::VolumeImage
            | Isolator::VolumeSecret
            | Isolator::DockerVolume
            | Isolator::NamespacesUser
            | Isolator::LinuxCapabilities
            | Isolator::LinuxDevices
            | Isolator::LinuxNnp
            | Isolator::LinuxSeccomp
            | Isolator::DiskDu
            // Its GPUs are settled where it is known who holds which.
            | Isolator::GpuNvidia
            | Isolator::DiskXfs
            | Isolator::NetworkCni
            | Isolator::NetworkPorts => {}
        }
    }
    Ok(steps)
}

fn cpu_limit(
    settings: &Settings,
    facts: &Facts,
    amounts: &Amounts,
    path: &str,
) -> Result<Vec<Step>, Refusal> {
    match facts.unified {
        Some(_) => isolators::unified_cpu::limit(settings, amounts, path),
        None => isolators::cgroups_cpu::limit(settings, amounts, path),
    }
}

fn memory_limit(
    settings: &Settings,
    facts: &Facts,
    amounts: &Amounts,
    path: &str,
    now: Option<u64>,
) -> Result<Vec<Step>, Refusal> {
    match facts.unified {
        Some(_) => isolators::unified_mem::limit(settings, amounts, path, now),
        None => isolators::cgroups_mem::limit(settings, amounts, path, now),
    }
}

fn place(
    settings: &Settings,
    facts: &Facts,
    controller: &str,
    container: &Container<'_>,
) -> Result<String, Refusal> {
    let place = cgroup(settings, facts, controller, container.id);
    place.ok_or_else(|| Refusal(format!("The subsystem '{controller}' is not mounted")))
}
