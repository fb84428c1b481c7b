//! What is the same for all containers of an agent: the machine and the flags.

use std::collections::{BTreeMap, BTreeSet};

use seccomp::Machine;
use types::Capabilities;

use crate::isolation::Isolation;
use crate::isolators::gpu_nvidia::Gpus;
use crate::net_cls::NetClsRange;
use crate::security::Security;

/// What this machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether the agent is root.
    pub root: bool,
    /// Version 1 of cgroups: where each controller is mounted.
    pub hierarchies: BTreeMap<String, String>,
    /// Version 2 of cgroups, where that is what the machine works with. Then nothing of version 1 is used.
    pub unified: Option<Unified>,
    /// All memory of the machine, in bytes.
    pub memory_bytes: u64,
    /// The capabilities that the agent has, and can give.
    pub capabilities: Capabilities,
    /// Those that files it executes can bring.
    pub bounding: Capabilities,
    /// What seccomp profiles are compiled for; none where there is no seccomp, or no table of system calls.
    pub seccomp: Option<Machine>,
}

/// The one hierarchy of version 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unified {
    /// Where it is mounted.
    pub path: String,
    /// The controllers that it has.
    pub controllers: BTreeSet<String>,
}

/// What the flags say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `--isolation` and `--launcher`.
    pub isolation: Isolation,
    /// `--cgroups_root`: the cgroup above those of all containers.
    pub cgroups_root: String,
    /// `--cgroups_enable_cfs`: whether cpus are a hard limit.
    pub enable_cfs: bool,
    /// `--cgroups_limit_swap`: whether swap counts as memory.
    pub limit_swap: bool,
    /// `--revocable_cpu_low_priority`: whether revocable cpus come last.
    pub revocable_cpu_low_priority: bool,
    /// `--allowed_devices`, each as the devices controller has it.
    pub allowed_devices: Vec<Device>,
    /// `--cgroups_net_cls_primary_handle` and `--cgroups_net_cls_secondary_handles`; none leaves it to the operator.
    pub net_cls: Option<NetClsRange>,
    /// `--default_container_shm_size`, in bytes.
    pub default_shm_bytes: Option<u64>,
    /// `--sandbox_directory`: where a container with a root of its own sees its sandbox.
    pub sandbox_directory: String,
    /// `--host_path_volume_force_creation`: below which directories the sources of volumes are made.
    pub host_path_force_creation: Vec<String>,
    /// `--docker_ignore_runtime`: whether what an image says of its command is not heeded.
    pub ignore_image_config: bool,
    /// `--disallow_sharing_agent_ipc_namespace`
    pub own_ipc_always: bool,
    /// `--disallow_sharing_agent_pid_namespace`
    pub own_pid_always: bool,
    /// What containers' processes may do.
    pub security: Security,
    /// Where `network/cni` keeps the things of containers' networks. None where no networks are configured.
    pub networks_root: Option<String>,
    /// What there is for `gpu/nvidia`.
    pub gpus: Gpus,
}

/// An entry of a list of devices, such as `c 1:3 rwm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device(pub String);

impl Facts {
    /// What the Linux launcher lacks here, if anything.
    #[must_use]
    pub fn why_no_linux_launcher(&self) -> Option<String> {
        if !self.root {
            return Some("it needs root permissions".to_owned());
        }
        // COMPAT(mesos): version 2 has what a freezer is for in every cgroup.
        let can_stop = self.unified.is_some() || self.hierarchies.contains_key("freezer");
        (!can_stop).then(|| "the 'freezer' subsystem is not mounted".to_owned())
    }
}

impl Settings {
    /// The settings of an agent whose flags are all at their defaults, with this isolation.
    #[must_use]
    pub fn new(isolation: Isolation) -> Self {
        Self {
            isolation,
            cgroups_root: "mesos".to_owned(),
            enable_cfs: false,
            limit_swap: false,
            revocable_cpu_low_priority: true,
            allowed_devices: Vec::new(),
            net_cls: None,
            default_shm_bytes: None,
            sandbox_directory: "/mnt/mesos/sandbox".to_owned(),
            host_path_force_creation: Vec::new(),
            ignore_image_config: false,
            own_ipc_always: false,
            own_pid_always: false,
            security: Security::default(),
            networks_root: None,
            gpus: Gpus::default(),
        }
    }
}
