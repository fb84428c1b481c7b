//! What containers need of the kernel, and nothing of Mesos: cgroups, a spawn that makes namespaces, mounts, limits.
//!
//! It is the one crate with `unsafe`, in the files that say so. Everything here blocks for a moment at most, or until
//! a deadline that the caller gives; waiting is for descriptors (pidfd, eventfd) that a caller's loop can watch.

mod bpf;
mod capabilities;
mod cgroup;
mod device_rules;
mod enter;
mod fork;
mod guise;
mod hierarchies;
mod init;
mod into_cgroup;
mod mountinfo;
mod mounts;
mod network;
mod oom;
mod perf;
mod pressure;
mod project_quota;
mod read_only;
mod rlimits;
mod root;
mod seccomp;
mod session;
mod spawn;
mod stat;
mod terminal;
mod user_namespace;

pub use crate::bpf::limit_devices;
pub use crate::capabilities::{Held, bound, bounding, held, hold, keep_over_exec, keep_permitted};
pub use crate::cgroup::{Cgroup, DestroyError};
pub use crate::device_rules::{DeviceRule, NoRule};
pub use crate::enter::{Enter, enter, own_mounts};
pub use crate::fork::fork_to_parent;
pub use crate::guise::{Guise, replace_environment};
pub use crate::hierarchies::Hierarchies;
pub use crate::init::{become_init, become_watched};
pub use crate::mountinfo::{Mount, parse_mountinfo};
pub use crate::mounts::{MountRequest, apply, bind, by_descriptor, overlay, receive_only};
pub use crate::network::{
    is_namespace, keep_network, loopback_up, release_namespace, set_host_name, share_mounts_below,
};
pub use crate::oom::{listen_v1, listen_v2, oom_kills, ooms_v2};
pub use crate::perf::{PerfCounter, PerfEvent, online_cpus};
pub use crate::pressure::{count_of, listen_pressure_v1};
pub use crate::project_quota::{ProjectQuotas, ProjectUsage, assign_project, project_of};
pub use crate::read_only::make_read_only;
pub use crate::rlimits::set_rlimit;
pub use crate::root::{Node, Root, open_below};
pub use crate::seccomp::{SeccompInstruction, load_seccomp, seccomp_is_supported};
pub use crate::session::in_session_of_its_own;
pub use crate::spawn::{Namespaces, Spawn, Spawned, status_of};
pub use crate::stat::parse_flat_keyed;
pub use crate::terminal::{Terminal, set_window_size, take_terminal};
pub use crate::user_namespace::{enter_user_namespace, map_ids, user_namespace};
