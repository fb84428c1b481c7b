//! What the containerizer tells of its containers.

use proto::mesos::slave::ContainerTermination;
use proto::mesos::v1::NetworkInfo;
use types::ContainerId;

/// What became of a container. A launch has one `Launched` or `Failed`; what was launched has one `Exited`.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Its command begins.
    Launched {
        /// Which container.
        container: ContainerId,
        /// The command's process; 0 for an adopted container of which none is known.
        pid: u32,
        /// The networks that it is in, where it is not in that of the machine.
        networks: Vec<NetworkInfo>,
    },
    /// Its command did not begin, and nothing of it is left but its sandbox.
    Failed {
        /// Which container.
        container: ContainerId,
        /// Why.
        message: String,
    },
    /// It ended, and nothing of it is left but its sandbox.
    Exited {
        /// Which container.
        container: ContainerId,
        /// How. The status is missing where another process was its parent.
        termination: Box<ContainerTermination>,
    },
    /// It runs, but not with what it was given later.
    UpdateFailed {
        /// Which container.
        container: ContainerId,
        /// Why.
        message: String,
    },
}
