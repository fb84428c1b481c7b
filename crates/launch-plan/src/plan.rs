//! The plan of one container, and the writes that resize one.

use proto::mesos::v1::{ContainerInfo, LinuxInfo};
use thiserror::Error;
use types::ContainerId;

use crate::amounts::Amounts;
use crate::facts::{Facts, Settings};
use crate::isolation::{Isolator, Launcher};
use crate::isolators;

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
}

/// Everything that is done for a container but its files and its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do before its first process, in this order.
    pub steps: Vec<Step>,
    /// The cgroups that its first process joins before it goes on, in this order.
    pub cgroups: Vec<String>,
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
    /// Mounts to be made, in this order.
    pub mounts: Vec<Mount>,
    /// Resource limits to be set.
    pub rlimits: Vec<Rlimit>,
    /// How early it is killed when the machine runs out of memory, as `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
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

impl Step {
    /// What takes it back, once the container is over or where a later step failed.
    #[must_use]
    pub fn undo(&self) -> Option<Undo> {
        match self {
            Self::CreateCgroup { path } => Some(Undo::DestroyCgroup { path: path.clone() }),
            // These are gone with their cgroup.
            Self::Own { .. } | Self::Inherit { .. } | Self::Write { .. } => None,
        }
    }
}

impl Plan {
    /// What takes the whole plan back: the undo of its steps, in reverse.
    #[must_use]
    pub fn undo(&self) -> Vec<Undo> {
        self.steps.iter().rev().filter_map(Step::undo).collect()
    }

    /// Its cgroup in the freezer's hierarchy, which lists all of its processes. None without the Linux launcher.
    #[must_use]
    pub fn freezer(settings: &Settings, facts: &Facts, container: &ContainerId) -> Option<String> {
        match settings.isolation.launcher() {
            Launcher::Posix => None,
            Launcher::Linux => cgroup(settings, facts, "freezer", container),
        }
    }

    /// Where a container's cgroups are that an agent with other settings may have made: one per hierarchy, the
    /// freezer's first.
    #[must_use]
    pub fn places(settings: &Settings, facts: &Facts, container: &ContainerId) -> Vec<String> {
        let mut places: Vec<String> = Self::freezer(settings, facts, container).into_iter().collect();
        if places.is_empty() {
            return places;
        }
        for controller in facts.hierarchies.keys().filter(|name| CONTROLLERS.contains(&name.as_str())) {
            let place = cgroup(settings, facts, controller, container);
            places.extend(place.filter(|place| !places.contains(place)));
        }
        places
    }
}

/// The controllers whose hierarchies an agent makes cgroups in.
const CONTROLLERS: &[&str] = &["cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"];

impl Container<'_> {
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
    let hierarchy = facts.hierarchies.get(controller)?;
    Some(format!("{hierarchy}/{}/{}", settings.cgroups_root, names.join("/")))
}

/// What is to be done for a container.
pub fn plan(settings: &Settings, facts: &Facts, container: &Container<'_>) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    if settings.isolation.launcher() == Launcher::Linux {
        isolators::cgroups(settings, facts, container, &mut plan);
    }
    for isolator in settings.isolation.isolators() {
        match isolator {
            // These only look at what runs, or run beside it.
            Isolator::FilesystemPosix | Isolator::PosixCpu | Isolator::PosixMem | Isolator::DiskDu => {}
            Isolator::FilesystemLinux => isolators::filesystem_linux::prepare(container, &mut plan),
            Isolator::PosixRlimits => isolators::posix_rlimits::prepare(container, &mut plan)?,
            // What it shares is as the other one wants it.
            Isolator::CgroupsCpu
            | Isolator::CgroupsCpuset
            | Isolator::CgroupsDevices
            | Isolator::CgroupsMem
                if container.shares_cgroups_of.is_some() => {}
            Isolator::CgroupsCpu => {
                let path = place(settings, facts, "cpu", container)?;
                plan.steps.extend(isolators::cgroups_cpu::limit(settings, &container.amounts, &path)?);
            }
            Isolator::CgroupsCpuset => {
                let path = place(settings, facts, "cpuset", container)?;
                isolators::cgroups_cpuset::prepare(facts, &path, &mut plan);
            }
            Isolator::CgroupsDevices => {
                let path = place(settings, facts, "devices", container)?;
                isolators::cgroups_devices::prepare(settings, &path, &mut plan);
            }
            Isolator::CgroupsMem => {
                let path = place(settings, facts, "memory", container)?;
                plan.steps.extend(isolators::cgroups_mem::limit(settings, &container.amounts, &path, None)?);
                plan.process.oom_score_adj = isolators::cgroups_mem::first_to_die(facts, container);
            }
            // It counts, and limits nothing.
            Isolator::CgroupsPids => {}
            Isolator::NamespacesIpc => isolators::namespaces_ipc::prepare(settings, container, &mut plan)?,
            Isolator::NamespacesPid => isolators::namespaces_pid::prepare(settings, container, &mut plan)?,
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
                    steps.extend(isolators::cgroups_cpu::limit(settings, amounts, &path)?);
                }
            }
            Isolator::CgroupsMem => {
                if let Some(path) = cgroup(settings, facts, "memory", container) {
                    steps.extend(isolators::cgroups_mem::limit(
                        settings,
                        amounts,
                        &path,
                        memory_limit_bytes,
                    )?);
                }
            }
            Isolator::FilesystemPosix
            | Isolator::FilesystemLinux
            | Isolator::PosixCpu
            | Isolator::PosixMem
            | Isolator::PosixRlimits
            | Isolator::CgroupsCpuset
            | Isolator::CgroupsDevices
            | Isolator::CgroupsPids
            | Isolator::NamespacesIpc
            | Isolator::NamespacesPid
            | Isolator::DiskDu => {}
        }
    }
    Ok(steps)
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
