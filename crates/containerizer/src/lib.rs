//! Runs containers: the launchers, the isolators and the life of each container.
//!
//! A container is a sandbox directory, processes in cgroups and namespaces of their own, or in a session at least, and
//! two files with what they print. This crate fetches a
//! container's files, starts its command, waits for its end and ends what is left of it. It decides nothing about
//! tasks and keeps nothing that must survive the agent but the pid that it is told to write down.
//!
//! ```text
//! launch: FETCHING -> ISOLATING -> RUNNING -> DESTROYING -> one Notice
//! ```
//! What isolators want is a plan (`launch-plan`): its steps come before the launch helper is spawned, its cgroups are
//! joined while that waits for the word to begin, and the rest the helper does itself.

mod agent_subsystems;
mod blkio;
mod called;
mod cgroup_usage;
mod cgroup_usage_v2;
mod cgroups;
mod config;
mod container;
mod containerizer;
mod debug;
mod disk;
mod docker_volumes;
mod entries;
mod fetching;
mod first;
mod gpus;
mod handed_on;
mod host_paths;
mod ids;
mod image_volumes;
pub mod io;
pub mod launch_helper;
mod machine;
mod memory_watch;
mod nested_sandbox;
mod network_ports;
mod networks;
mod notice;
mod nursery;
mod observed;
mod orphans;
mod outputs;
mod perf_events;
pub mod port_mapper;
mod prepared;
mod process;
mod program;
mod projects;
pub mod provisioner;
mod runtime;
mod sandbox_paths;
mod seccomp_profiles;
mod sessions;
mod spec;
mod steps;
mod traffic;
mod usage;
pub mod users;
mod volume_gids;
mod volumes;
mod watch;

pub use launch_plan::{
    Device, Facts, IdRange, ImageConfig, Isolation, IsolationError, Isolator, Launcher, NetClsError,
    NetClsRange, Security, Settings, Unified,
};
pub use launch_plan::{DeviceNode, Gpu, Gpus, Granted, Process as Planned};
pub use seccomp::{Arch, Machine, Profile as SeccompProfile};

pub use crate::agent_subsystems::enter_agent_subsystems;
pub use crate::config::{Config, DiskSettings, Limits};
pub use crate::containerizer::Containerizer;
pub use crate::docker_volumes::DockerVolumeSettings;
pub use crate::fetching::{Fetching, fetch};
pub use crate::gpus::{FoundGpus, find_gpus};
pub use crate::machine::{enter_agent_cgroup, facts, prepare_cgroups};
pub use crate::nested_sandbox::{create_nested_sandbox, remove_sandbox};
pub use crate::network_ports::PortSettings;
pub use crate::networks::NetworkSettings;
pub use crate::notice::Notice;
pub use crate::observed::PerfSettings;
pub use crate::perf_events::{Countable, parse_perf_events};
pub use crate::prepared::OfImage;
pub use crate::process::signal_session;
pub use crate::program::{CommandError, Program};
pub use crate::projects::{ProjectCounts, ProjectSettings, Projects, QuotaPolicy};
pub use crate::provisioner::Provisioner;
pub use crate::runtime::Remains;
pub use crate::seccomp_profiles::read_seccomp_profile;
pub use crate::sessions::has_other_root;
pub use crate::spec::{ByName, Spec};
pub use crate::volume_gids::{VolumeGidCounts, VolumeGids};
pub use crate::volumes::Volume;
