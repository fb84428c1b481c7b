//! The root of a container that has one of its own: what is mounted, made and hidden in it, in which order.
//!
//! COMPAT(mesos): the mounts, their options, the devices and the hidden paths are those that containers with images
//! have there.

use crate::plan::Mount;

/// The root of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// Where it is, as the machine sees it.
    pub path: String,
    /// What it is made of, where it is not there yet.
    pub layers: Option<Layers>,
    /// What its processes share memory by.
    pub shared_memory: SharedMemory,
    /// Whether it can see what the kernel tells of the machine's inside.
    pub unmasked: bool,
    /// Whether it is only made, and left to another process to enter.
    pub is_for_another: bool,
    /// Devices beside those that every root has.
    pub devices: Vec<DeviceNode>,
}

/// A device of the machine that a container has a node of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// Where, below `/dev`.
    pub path: String,
    /// Whether it is one of characters; otherwise it is one of blocks.
    pub characters: bool,
    /// The number of its driver.
    pub major: u32,
    /// Its number there.
    pub minor: u32,
    /// Who may use it, such as `0o666`.
    pub mode: u32,
}

/// Layers to be mounted on each other by overlayfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// A directory of links `0`, `1` and so on to the layers, the lowest first. Beside it are `upperdir` and `workdir`.
    pub links: String,
    /// How many there are.
    pub count: usize,
}

/// Layers that are mounted at a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layered {
    /// The directory, as the machine sees it.
    pub path: String,
    /// The layers.
    pub layers: Layers,
}

/// What is at `/dev/shm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedMemory {
    /// Its own, with these options.
    Own(String),
    /// The machine's.
    Machine,
}

impl Default for SharedMemory {
    fn default() -> Self {
        Self::Own("mode=1777".to_owned())
    }
}

/// A path of the machine that a container sees, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// Where it is on the machine.
    pub source: String,
    /// The directory above it within which nobody but the agent decides what leads where, if that is not all of the
    /// way: no link below it is followed.
    pub below: Option<String>,
    /// The directory that the target is below, with no link leading out of it. None for the root.
    pub inside: Option<String>,
    /// Where it is seen: below the container's root, if it has one of its own.
    pub target: String,
    /// Whether there must be something already.
    pub must_exist: bool,
    /// Whether it can only be read there.
    pub read_only: bool,
}

/// A file of a container that is in memory alone. What is in it is no matter of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFile {
    /// The directory that it is below, with no link leading out of it. None for the root.
    pub inside: Option<String>,
    /// Where it is.
    pub target: String,
    /// Whether there must be a file already, which it hides.
    pub must_exist: bool,
}

/// A persistent volume, which a sandbox has a link to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistent {
    /// Its directory.
    pub source: String,
    /// The link's name.
    pub name: String,
}

/// Something to be done for a root, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitting {
    /// Mount a new file system.
    Mount(Special),
    /// Let nothing be written at a path, if there is such.
    ReadOnly(&'static str),
    /// Make a device.
    Device(Device),
    /// Make a symbolic link.
    Link {
        /// Where.
        path: &'static str,
        /// To what.
        target: &'static str,
    },
}

/// A file system of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Special {
    /// Its type.
    pub kind: &'static str,
    /// Where.
    pub target: &'static str,
    /// Its options.
    pub options: &'static str,
    /// Whether devices on it can be used.
    pub devices: bool,
    /// Whether nothing on it can be changed.
    pub read_only: bool,
}

/// A device of characters that everybody may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Where.
    pub path: &'static str,
    /// The number of its driver.
    pub major: u32,
    /// Its number there.
    pub minor: u32,
}

/// All that each root has. Shared memory and the sandbox come after it, then what isolators show, then the masks.
pub const FITTINGS: &[Fitting] = &[
    mount("proc", "/proc", "", false, false),
    Fitting::ReadOnly("/proc/bus"),
    Fitting::ReadOnly("/proc/fs"),
    Fitting::ReadOnly("/proc/irq"),
    Fitting::ReadOnly("/proc/sys"),
    Fitting::ReadOnly("/proc/sysrq-trigger"),
    mount("sysfs", "/sys", "", false, true),
    mount("tmpfs", "/sys/fs/cgroup", "mode=755", false, false),
    mount("tmpfs", "/dev", "mode=755", true, false),
    // The group of terminals has this number everywhere.
    mount("devpts", "/dev/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5", true, false),
    device("/dev/full", 1, 7),
    device("/dev/null", 1, 3),
    device("/dev/random", 1, 8),
    device("/dev/tty", 5, 0),
    device("/dev/urandom", 1, 9),
    device("/dev/zero", 1, 5),
    link("/dev/fd", "/proc/self/fd"),
    link("/dev/stdin", "/proc/self/fd/0"),
    link("/dev/stdout", "/proc/self/fd/1"),
    link("/dev/stderr", "/proc/self/fd/2"),
    link("/dev/ptmx", "pts/ptmx"),
];

/// Paths that tell of the machine, hidden where they are.
pub const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

/// Where memory is shared.
pub const SHARED_MEMORY: &str = "/dev/shm";

const fn mount(
    kind: &'static str,
    target: &'static str,
    options: &'static str,
    devices: bool,
    read_only: bool,
) -> Fitting {
    Fitting::Mount(Special { kind, target, options, devices, read_only })
}

const fn device(path: &'static str, major: u32, minor: u32) -> Fitting {
    Fitting::Device(Device { path, major, minor })
}

const fn link(path: &'static str, target: &'static str) -> Fitting {
    Fitting::Link { path, target }
}

impl Root {
    /// The file system at [`SHARED_MEMORY`], if it is one of its own.
    #[must_use]
    pub fn own_shared_memory(&self) -> Option<Mount> {
        match &self.shared_memory {
            SharedMemory::Own(options) => Some(Mount {
                kind: "tmpfs".to_owned(),
                target: SHARED_MEMORY.to_owned(),
                options: options.clone(),
            }),
            SharedMemory::Machine => None,
        }
    }

    /// What is hidden in it.
    #[must_use]
    pub fn masked(&self) -> &'static [&'static str] {
        if self.unmasked { &[] } else { MASKED }
    }
}
