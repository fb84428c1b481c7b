//! What is said of one container that is to be.

use std::path::PathBuf;

use proto::mesos::slave::ContainerConfig;
use proto::mesos::v1::command_info::Uri;
use proto::mesos::v1::{ContainerInfo, Resource};
use types::ContainerId;

use crate::config::Limits;
use crate::prepared::OfImage;
use crate::program::Program;
use crate::volumes::Volume;

/// One container to be.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its id, which no other container has or had.
    pub container: ContainerId,
    /// Its sandbox, which exists and belongs to its user: the command's working directory.
    pub directory: PathBuf,
    /// Whom it runs as; none for the agent's own user.
    pub user: Option<String>,
    /// What to fetch first.
    pub uris: Vec<Uri>,
    /// What to run. A container of an image runs what the image and the command there say, unless it is the executor
    /// of a command task.
    pub program: Program,
    /// The image that its root is made of. Without one it sees the machine's.
    pub image: Option<OfImage>,
    /// The whole environment. `MESOS_SANDBOX` with the sandbox in it is how stray processes are found.
    pub environment: Vec<(String, String)>,
    /// All it may use.
    pub resources: Vec<Resource>,
    /// The volumes among them, to be seen in the sandbox.
    pub volumes: Vec<Volume>,
    /// What bounds it above that.
    pub limits: Limits,
    /// How it wants to be contained.
    pub info: Option<ContainerInfo>,
    /// Whether it runs the executor of one command task.
    pub is_command_task: bool,
    /// Where to write the pid of its first process before that begins.
    pub forked_pid_path: Option<PathBuf>,
    /// More of one that was asked for by name: it is in another container, or stands alone.
    pub by_name: Option<ByName>,
}

impl Spec {
    /// Whether it asks to share process ids with what is around it.
    pub(crate) fn shares_pids(&self) -> bool {
        let linux = self.info.as_ref().and_then(|info| info.linux_info.as_ref());
        linux.is_some_and(|linux| linux.share_pid_namespace())
    }
}

/// What else is known of a container that was asked for by name.
#[derive(Clone, Debug)]
pub struct ByName {
    /// What is kept of it for a later agent.
    pub config: ContainerConfig,
    /// Where its command begins, if that is not its sandbox.
    pub working_directory: Option<PathBuf>,
    /// Whether it only looks into the container around it, and shares everything with that.
    pub is_session: bool,
    /// What was asked for of its environment. A session has that over what it takes from the container around it.
    pub asked: Vec<(String, String)>,
}
