//! What a container needs and what the machine has, turned into ordered steps with their undo.
//!
//! Pure: nothing here touches the machine. `containerizer` carries a [`Plan`] out, step by step; where one fails, it
//! undoes those before it in reverse. What each isolator wants is a file of its own under `isolators/`.
//!
//! ```text
//! --isolation -> Isolation ---+
//! machine ------> Facts ------+-> plan() -> Plan { steps, cgroups, process }
//! container ----> Container --+-> resize() -> writes
//! ```

mod amounts;
mod controllers;
mod facts;
mod ids;
mod isolation;
mod isolators;
mod net_cls;
mod number_pool;
mod plan;
mod root;
mod security;
mod show;

pub use crate::amounts::{Amounts, Limit};
pub use crate::facts::{Device, Facts, Settings, Unified};
pub use crate::ids::{IDS_EACH, IdRange, IdRangeError, Ids, UserNamespace};
pub use crate::isolation::{Isolation, IsolationError, Isolator, Launcher};
pub use crate::isolators::docker_runtime::ImageConfig;
pub use crate::isolators::gpu_nvidia::{Gpu, GpuChange, GpuPool, Gpus, gpus_of, regrant as regrant_gpus};
pub use crate::isolators::linux_seccomp::SeccompChoice;
pub use crate::isolators::network_cni::{Network, host_name, networks, place as network_place};
pub use crate::net_cls::{NetClsError, NetClsHandles, NetClsRange, NoHandle};
pub use crate::number_pool::NumberPool;
pub use crate::plan::{Container, Mount, Plan, Process, Refusal, Rlimit, Rootfs, Step, Undo, plan, resize};
pub use crate::root::{
    Bind, Device as RootDevice, DeviceNode, FITTINGS, Fitting, Layered, Layers, MASKED, Persistent, Root,
    SHARED_MEMORY, SecretFile, SharedMemory, Special,
};
pub use crate::security::{Granted, Privileges, Security};
