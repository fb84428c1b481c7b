//! `--isolation` and `--launcher`: which isolators there are, in which order they act, and what they ask of each other.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::controllers;
use crate::facts::Facts;

/// What starts and ends the processes of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// Sessions and descent; nothing of the kernel's help.
    Posix,
    /// Namespaces, and a cgroup that lists every process.
    Linux,
}

/// An isolator, in the order in which they prepare a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolator {
    /// `filesystem/posix`
    FilesystemPosix,
    /// `filesystem/linux`
    FilesystemLinux,
    /// `posix/cpu`
    PosixCpu,
    /// `posix/mem`
    PosixMem,
    /// `posix/rlimits`
    PosixRlimits,
    /// `cgroups/blkio`; on version 2 the controller io.
    CgroupsBlkio,
    /// `cgroups/cpu`: the controllers cpu and cpuacct.
    CgroupsCpu,
    /// `cgroups/cpuset`
    CgroupsCpuset,
    /// `cgroups/devices`
    CgroupsDevices,
    /// `cgroups/hugetlb`
    CgroupsHugetlb,
    /// `cgroups/mem`
    CgroupsMem,
    /// `cgroups/net_cls`
    CgroupsNetCls,
    /// `cgroups/net_prio`
    CgroupsNetPrio,
    /// `cgroups/perf_event`
    CgroupsPerfEvent,
    /// `cgroups/pids`
    CgroupsPids,
    /// `linux/capabilities`
    LinuxCapabilities,
    /// `linux/devices`
    LinuxDevices,
    /// `linux/nnp`
    LinuxNnp,
    /// `namespaces/ipc`
    NamespacesIpc,
    /// `namespaces/pid`
    NamespacesPid,
    /// `namespaces/user`, which Mesos has not.
    NamespacesUser,
    /// `docker/runtime`
    DockerRuntime,
    /// `volume/sandbox_path`
    VolumeSandboxPath,
    /// `volume/host_path`
    VolumeHostPath,
    /// `volume/image`
    VolumeImage,
    /// `volume/secret`
    VolumeSecret,
    /// `docker/volume`
    DockerVolume,
    /// `disk/du`
    DiskDu,
    /// `disk/xfs`
    DiskXfs,
    /// `linux/seccomp`
    LinuxSeccomp,
    /// `gpu/nvidia`
    GpuNvidia,
    /// `network/cni`
    NetworkCni,
    /// `network/ports`
    NetworkPorts,
}

const ALL: &[Isolator] = &[
    Isolator::FilesystemPosix,
    Isolator::FilesystemLinux,
    Isolator::PosixCpu,
    Isolator::PosixMem,
    Isolator::PosixRlimits,
    Isolator::CgroupsBlkio,
    Isolator::CgroupsCpu,
    Isolator::CgroupsCpuset,
    Isolator::CgroupsDevices,
    Isolator::CgroupsHugetlb,
    Isolator::CgroupsMem,
    Isolator::CgroupsNetCls,
    Isolator::CgroupsNetPrio,
    Isolator::CgroupsPerfEvent,
    Isolator::CgroupsPids,
    Isolator::LinuxCapabilities,
    Isolator::LinuxDevices,
    Isolator::LinuxNnp,
    Isolator::NamespacesIpc,
    Isolator::NamespacesPid,
    Isolator::NamespacesUser,
    Isolator::DockerRuntime,
    Isolator::VolumeSandboxPath,
    Isolator::VolumeHostPath,
    Isolator::VolumeImage,
    Isolator::VolumeSecret,
    Isolator::DockerVolume,
    Isolator::DiskDu,
    Isolator::DiskXfs,
    Isolator::LinuxSeccomp,
    Isolator::GpuNvidia,
    Isolator::NetworkCni,
    Isolator::NetworkPorts,
];

/// Old names, and what they stand for.
const ALIASES: &[(&str, &[Isolator])] = &[
    ("process", &[Isolator::PosixCpu, Isolator::PosixMem]),
    ("cgroups", &[Isolator::CgroupsCpu, Isolator::CgroupsMem]),
    ("posix/disk", &[Isolator::DiskDu]),
    // Always there, whether it is named or not.
    ("environment_secret", &[]),
];

/// The isolator that shares one address among containers, which is not to be had.
const PORT_MAPPING: &str = "network/port_mapping";

/// Every cgroup controller that can be found on this machine.
const EVERY_CGROUP: &str = "cgroups/all";

/// Nothing would keep containers from GPUs that are not theirs.
const NO_DEVICES: &str = "The 'cgroups/devices' or 'cgroups/all' isolator must be enabled in order to use the \
     'gpu/nvidia' isolator";

/// Why no containerizer can be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IsolationError {
    /// A name that is not known, or not to be had.
    #[error("Unknown or unsupported isolator '{0}'")]
    UnknownIsolator(String),
    /// A launcher that is none.
    #[error("Unknown or unsupported launcher: {0}")]
    UnknownLauncher(String),
    /// The Linux launcher where it cannot work.
    #[error("Failed to create launcher: Failed to create Linux launcher: {0}")]
    NoLinuxLauncher(String),
    /// More than one owner of the file system.
    #[error("Using multiple filesystem isolators simultaneously is disallowed")]
    TwoFilesystems,
    /// Both count what a sandbox holds.
    #[error("Using multiple disk isolators simultaneously is disallowed")]
    TwoDisks,
    /// More than one owner of the networks.
    #[error("Using multiple network isolators simultaneously is disallowed")]
    TwoNetworks,
    /// One that Mesos has only where it was built for it.
    #[error(
        "Unknown or unsupported isolator 'network/port_mapping': use 'network/cni' with a network whose type is \
         'mesos-cni-port-mapper' to give containers ports of the machine, or 'network/ports' to hold them to their own"
    )]
    PortMapping,
    /// An isolator lacks something.
    #[error("Failed to create isolator '{name}': {reason}")]
    Impossible {
        /// Its name.
        name: &'static str,
        /// What is missing.
        reason: String,
    },
}

/// The isolators of an agent and its launcher, known to go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    isolators: BTreeSet<Isolator>,
    launcher: Launcher,
}

impl Isolator {
    /// Its name, as `--isolation` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FilesystemPosix => "filesystem/posix",
            Self::FilesystemLinux => "filesystem/linux",
            Self::PosixCpu => "posix/cpu",
            Self::PosixMem => "posix/mem",
            Self::PosixRlimits => "posix/rlimits",
            Self::CgroupsBlkio => "cgroups/blkio",
            Self::CgroupsCpu => "cgroups/cpu",
            Self::CgroupsCpuset => "cgroups/cpuset",
            Self::CgroupsDevices => "cgroups/devices",
            Self::CgroupsHugetlb => "cgroups/hugetlb",
            Self::CgroupsMem => "cgroups/mem",
            Self::CgroupsNetCls => "cgroups/net_cls",
            Self::CgroupsNetPrio => "cgroups/net_prio",
            Self::CgroupsPerfEvent => "cgroups/perf_event",
            Self::CgroupsPids => "cgroups/pids",
            Self::LinuxCapabilities => "linux/capabilities",
            Self::LinuxDevices => "linux/devices",
            Self::LinuxNnp => "linux/nnp",
            Self::NamespacesIpc => "namespaces/ipc",
            Self::NamespacesPid => "namespaces/pid",
            Self::NamespacesUser => "namespaces/user",
            Self::DockerRuntime => "docker/runtime",
            Self::VolumeSandboxPath => "volume/sandbox_path",
            Self::VolumeHostPath => "volume/host_path",
            Self::VolumeImage => "volume/image",
            Self::VolumeSecret => "volume/secret",
            Self::DockerVolume => "docker/volume",
            Self::DiskDu => "disk/du",
            Self::DiskXfs => "disk/xfs",
            Self::LinuxSeccomp => "linux/seccomp",
            Self::GpuNvidia => "gpu/nvidia",
            Self::NetworkCni => "network/cni",
            Self::NetworkPorts => "network/ports",
        }
    }

    /// The cgroup controllers that it works with, by their names on version 1.
    #[must_use]
    pub const fn controllers(self) -> &'static [&'static str] {
        match self {
            Self::CgroupsBlkio => &["blkio"],
            Self::CgroupsCpu => &["cpu", "cpuacct"],
            Self::CgroupsCpuset => &["cpuset"],
            Self::CgroupsDevices => &["devices"],
            Self::CgroupsHugetlb => &["hugetlb"],
            Self::CgroupsMem => &["memory"],
            Self::CgroupsNetCls => &["net_cls"],
            Self::CgroupsNetPrio => &["net_prio"],
            Self::CgroupsPerfEvent => &["perf_event"],
            Self::CgroupsPids => &["pids"],
            Self::FilesystemPosix
            | Self::FilesystemLinux
            | Self::PosixCpu
            | Self::PosixMem
            | Self::PosixRlimits
            | Self::LinuxCapabilities
            | Self::LinuxDevices
            | Self::LinuxNnp
            | Self::NamespacesIpc
            | Self::NamespacesPid
            | Self::NamespacesUser
            | Self::DockerRuntime
            | Self::VolumeSandboxPath
            | Self::VolumeHostPath
            | Self::VolumeImage
            | Self::VolumeSecret
            | Self::DockerVolume
            | Self::DiskDu
            | Self::DiskXfs
            | Self::LinuxSeccomp
            | Self::GpuNvidia
            | Self::NetworkCni
            | Self::NetworkPorts => &[],
        }
    }
}

impl Isolation {
    /// Reads both flags. Without a launcher's name it is that of Linux where that can be used.
    pub fn parse(isolation: &str, launcher: Option<&str>, facts: &Facts) -> Result<Self, IsolationError> {
        let launcher = match launcher {
            Some("linux") => Launcher::Linux,
            Some("posix") => Launcher::Posix,
            Some(other) => return Err(IsolationError::UnknownLauncher(other.to_owned())),
            None if facts.why_no_linux_launcher().is_none() => Launcher::Linux,
            None => Launcher::Posix,
        };
        if let (Launcher::Linux, Some(why)) = (launcher, facts.why_no_linux_launcher()) {
            return Err(IsolationError::NoLinuxLauncher(why));
        }
        let mut isolators = BTreeSet::new();
        for name in isolation.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            isolators.extend(named(name, facts)?);
        }
        if isolation.split(',').any(|name| name.trim() == PORT_MAPPING) {
            let two = isolators.contains(&Isolator::NetworkCni);
            return Err(if two { IsolationError::TwoNetworks } else { IsolationError::PortMapping });
        }
        if isolators.contains(&Isolator::DiskDu) && isolators.contains(&Isolator::DiskXfs) {
            return Err(IsolationError::TwoDisks);
        }
        let filesystems = [Isolator::FilesystemPosix, Isolator::FilesystemLinux];
        match filesystems.iter().filter(|isolator| isolators.contains(isolator)).count() {
            0 => drop(isolators.insert(Isolator::FilesystemPosix)),
            1 => {}
            _ => return Err(IsolationError::TwoFilesystems),
        }
        // COMPAT(mesos): containers are in the machine's network or in that which they name, whoever asked for it.
        isolators.insert(Isolator::NetworkCni);
        let isolation = Self { isolators, launcher };
        for isolator in isolation.isolators() {
            if let Some(reason) = isolation.why_not(isolator, facts) {
                return Err(IsolationError::Impossible { name: isolator.name(), reason });
            }
        }
        Ok(isolation)
    }

    /// No isolation at all: processes, and a look at what they use.
    #[must_use]
    pub fn posix() -> Self {
        let isolators =
            [Isolator::FilesystemPosix, Isolator::PosixCpu, Isolator::PosixMem, Isolator::NetworkCni];
        Self { isolators: BTreeSet::from(isolators), launcher: Launcher::Posix }
    }

    /// The isolators, in the order in which they act.
    pub fn isolators(&self) -> impl Iterator<Item = Isolator> + '_ {
        self.isolators.iter().copied()
    }

    /// Whether this isolator is among them.
    #[must_use]
    pub fn has(&self, isolator: Isolator) -> bool {
        self.isolators.contains(&isolator)
    }

    /// The launcher.
    #[must_use]
    pub const fn launcher(&self) -> Launcher {
        self.launcher
    }

    /// What an isolator asks for that is not there.
    fn why_not(&self, isolator: Isolator, facts: &Facts) -> Option<String> {
        let linux = self.launcher == Launcher::Linux;
        if !linux && !isolator.controllers().is_empty() {
            return Some("The 'linux' launcher must be used to enable cgroups".to_owned());
        }
        if let Some(missing) = controllers::missing(isolator, facts) {
            return Some(missing);
        }
        let here = [
            (
                Isolator::LinuxCapabilities,
                facts.root,
                "Linux capabilities isolator requires root permissions",
            ),
            (Isolator::DiskXfs, facts.root, "The XFS disk isolator requires running as root."),
            (Isolator::LinuxDevices, facts.root, "Linux devices isolator requires root permissions"),
            (Isolator::DockerVolume, facts.root, "The 'docker/volume' isolator requires root permissions"),
            (Isolator::LinuxSeccomp, facts.root, "Linux Seccomp isolator requires root permissions"),
            (Isolator::LinuxSeccomp, facts.seccomp.is_some(), "Seccomp is not supported by the kernel"),
        ];
        if let Some((_, _, lacking)) = here.iter().find(|(of, given, _)| *of == isolator && !given) {
            return Some((*lacking).to_owned());
        }
        let (launcher, filesystem) = match isolator {
            Isolator::FilesystemLinux => {
                (Some("'linux' launcher must be used to enable the linux filesystem"), None)
            }
            Isolator::NamespacesIpc => (
                Some("The 'linux' launcher must be used to enable the IPC namespace"),
                Some("'filesystem/linux' must be used to enable IPC namespace"),
            ),
            Isolator::NamespacesPid => (
                Some("'linux' launcher must be used to enable pid namespace"),
                Some("'filesystem/linux' must be used to enable pid namespace"),
            ),
            Isolator::LinuxDevices => {
                (Some("'linux' launcher must be used"), Some("'filesystem/linux' isolator must be used"))
            }
            Isolator::NamespacesUser => (
                Some("'linux' launcher must be used to enable user namespace"),
                Some("'filesystem/linux' must be used to enable user namespace"),
            ),
            Isolator::VolumeImage => {
                let filesystem = "'filesystem/linux' must be enabled to create the volume image isolator";
                (Some(filesystem), Some(filesystem))
            }
            Isolator::DockerVolume => (
                Some(
                    "The 'docker/volume' isolator requires mount namespace support: use the 'linux' launcher",
                ),
                Some("'filesystem/linux' must be used to enable Docker volumes"),
            ),
            Isolator::GpuNvidia => {
                if !self.has(Isolator::CgroupsDevices) {
                    return Some(NO_DEVICES.to_owned());
                }
                let filesystem = "The 'filesystem/linux' isolator must be enabled in order to use the 'gpu/nvidia' isolator";
                (None, Some(filesystem))
            }
            Isolator::NetworkPorts => {
                (Some("The 'network/ports' isolator requires the 'linux' launcher"), None)
            }
            Isolator::FilesystemPosix
            | Isolator::PosixCpu
            | Isolator::PosixMem
            | Isolator::PosixRlimits
            | Isolator::CgroupsBlkio
            | Isolator::CgroupsCpu
            | Isolator::CgroupsCpuset
            | Isolator::CgroupsDevices
            | Isolator::CgroupsHugetlb
            | Isolator::CgroupsMem
            | Isolator::CgroupsNetCls
            | Isolator::CgroupsNetPrio
            | Isolator::CgroupsPerfEvent
            | Isolator::CgroupsPids
            | Isolator::DockerRuntime
            | Isolator::VolumeSandboxPath
            | Isolator::VolumeHostPath
            | Isolator::VolumeSecret
            | Isolator::LinuxCapabilities
            | Isolator::LinuxNnp
            | Isolator::DiskDu
            | Isolator::DiskXfs
            | Isolator::LinuxSeccomp
            | Isolator::NetworkCni => (None, None),
        };
        let missing = match (linux, self.has(Isolator::FilesystemLinux)) {
            (false, _) => launcher,
            (true, false) => filesystem,
            (true, true) => None,
        };
        missing.map(str::to_owned)
    }
}

/// The isolators that a name stands for.
fn named(name: &str, facts: &Facts) -> Result<Vec<Isolator>, IsolationError> {
    if name == PORT_MAPPING {
        return Ok(Vec::new());
    }
    if name == EVERY_CGROUP {
        let usable = |isolator: &Isolator| {
            let is_cgroup = !isolator.controllers().is_empty();
            let known = facts.unified.is_none() || controllers::is_known_to_unified(*isolator, false);
            is_cgroup && known && controllers::missing(*isolator, facts).is_none()
        };
        return Ok(ALL.iter().copied().filter(usable).collect());
    }
    if let Some((_, isolators)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Ok(isolators.to_vec());
    }
    let known = |it: &Isolator| facts.unified.is_none() || controllers::is_known_to_unified(*it, true);
    let found = ALL.iter().copied().find(|isolator| isolator.name() == name).filter(known);
    found.map(|isolator| vec![isolator]).ok_or_else(|| IsolationError::UnknownIsolator(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Unified;

    fn facts() -> Facts {
        let hierarchy = |name: &str| (name.to_owned(), format!("/cg/{name}"));
        Facts {
            root: true,
            hierarchies: ["cpu", "cpuacct", "memory", "freezer"].map(hierarchy).into(),
            ..Facts::default()
        }
    }

    fn check(isolation: &str, launcher: Option<&str>, expected: Result<&str, &str>) {
        let parsed = Isolation::parse(isolation, launcher, &facts());
        let shown = parsed.map_err(|error| error.to_string()).map(|isolation| {
            let names: Vec<&str> = isolation.isolators().map(Isolator::name).collect();
            format!("{:?}: {}", isolation.launcher(), names.join(" "))
        });
        assert_eq!(shown.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn flags_become_isolators_in_their_order() {
        check("posix/cpu,posix/mem", None, Ok("Linux: filesystem/posix posix/cpu posix/mem network/cni"));
        check("environment_secret", None, Ok("Linux: filesystem/posix network/cni"));
        check("process", Some("posix"), Ok("Posix: filesystem/posix posix/cpu posix/mem network/cni"));
        check(
            "cgroups, posix/disk",
            None,
            Ok("Linux: filesystem/posix cgroups/cpu cgroups/mem disk/du network/cni"),
        );
        check("cgroups/all", None, Ok("Linux: filesystem/posix cgroups/cpu cgroups/mem network/cni"));
        check(
            "namespaces/pid,filesystem/linux,cgroups/mem",
            None,
            Ok("Linux: filesystem/linux cgroups/mem namespaces/pid network/cni"),
        );
        check(
            "posix/cpu,network/ports,network/cni",
            None,
            Ok("Linux: filesystem/posix posix/cpu network/cni network/ports"),
        );
    }

    #[test]
    fn version_2_has_isolators_of_its_own() {
        let unified = |controllers: &[&str]| Facts {
            root: true,
            unified: Some(Unified {
                path: "/sys/fs/cgroup".to_owned(),
                controllers: controllers.iter().map(|it| (*it).to_owned()).collect(),
            }),
            ..Facts::default()
        };
        let parse = |isolation: &str, controllers: &[&str]| {
            Isolation::parse(isolation, None, &unified(controllers)).map_err(|error| error.to_string()).map(
                |it| {
                    assert_eq!(it.launcher(), Launcher::Linux);
                    it.isolators().map(Isolator::name).collect::<Vec<_>>().join(" ")
                },
            )
        };
        let all = "filesystem/posix cgroups/blkio cgroups/cpu cgroups/devices cgroups/perf_event network/cni";
        assert_eq!(parse("cgroups/all", &["cpu", "io"]).as_deref(), Ok(all));
        let chosen = "filesystem/posix cgroups/cpu cgroups/devices cgroups/mem network/cni";
        assert_eq!(parse("cgroups,cgroups/devices", &["cpu", "memory"]).as_deref(), Ok(chosen));
        let missing = "Failed to create isolator 'cgroups/pids': The controller 'pids' is not available in the cgroup '/sys/fs/cgroup'";
        assert_eq!(parse("cgroups/pids", &["cpu"]), Err(missing.to_owned()));
        for name in ["cgroups/blkio", "cgroups/net_cls", "cgroups/net_prio", "cgroups/io"] {
            let refused = format!("Unknown or unsupported isolator '{name}'");
            assert_eq!(parse(name, &["cpu", "io"]), Err(refused));
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        check("cgroups/nosuch", None, Err("Unknown or unsupported isolator 'cgroups/nosuch'"));
        check(
            "network/port_mapping,network/cni",
            None,
            Err("Using multiple network isolators simultaneously is disallowed"),
        );
        check(
            "network/ports",
            Some("posix"),
            Err(
                "Failed to create isolator 'network/ports': The 'network/ports' isolator requires the 'linux' launcher",
            ),
        );
        let refused = Isolation::parse("network/port_mapping", None, &facts()).unwrap_err().to_string();
        assert!(
            refused.starts_with("Unknown or unsupported isolator 'network/port_mapping': use"),
            "{refused}"
        );
        check("my/own", None, Err("Unknown or unsupported isolator 'my/own'"));
        check("posix/cpu", Some("windows"), Err("Unknown or unsupported launcher: windows"));
        check(
            "filesystem/posix,filesystem/linux",
            None,
            Err("Using multiple filesystem isolators simultaneously is disallowed"),
        );
        check("disk/du,disk/xfs", None, Err("Using multiple disk isolators simultaneously is disallowed"));
        let user = Facts { root: false, ..facts() };
        let refused = Isolation::parse("disk/xfs", Some("posix"), &user).unwrap_err().to_string();
        assert_eq!(
            refused,
            "Failed to create isolator 'disk/xfs': The XFS disk isolator requires running as root."
        );
        check(
            "namespaces/pid",
            None,
            Err(
                "Failed to create isolator 'namespaces/pid': 'filesystem/linux' must be used to enable pid namespace",
            ),
        );
        check(
            "cgroups/mem",
            Some("posix"),
            Err(
                "Failed to create isolator 'cgroups/mem': The 'linux' launcher must be used to enable cgroups",
            ),
        );
        check(
            "cgroups/pids",
            None,
            Err(
                "Failed to create isolator 'cgroups/pids': Failed to prepare hierarchy for the subsystem 'pids': it is not mounted",
            ),
        );
    }

    #[test]
    fn without_root_or_a_freezer_the_launcher_is_posix() {
        let mut facts = facts();
        facts.root = false;
        let isolation = Isolation::parse("posix/cpu", None, &facts).unwrap();
        assert_eq!(isolation.launcher(), Launcher::Posix);
        let refused = Isolation::parse("posix/cpu", Some("linux"), &facts).unwrap_err().to_string();
        assert_eq!(
            refused,
            "Failed to create launcher: Failed to create Linux launcher: it needs root permissions"
        );
        facts.root = true;
        facts.hierarchies.remove("freezer");
        let refused = Isolation::parse("posix/cpu", Some("linux"), &facts).unwrap_err().to_string();
        assert!(refused.ends_with("the 'freezer' subsystem is not mounted"), "{refused}");
    }
}
