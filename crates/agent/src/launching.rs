//! Between the core and the containerizer: launches in its words, its notices in the core's.

use std::path::Path;

use agent_core::{Event, LaunchSpec, VolumeMount};
use containerizer::{Notice, Program, Spec, Volume};
use proto::mesos::v1::{ContainerStatus, container_info};
use tokio::sync::mpsc;

use crate::reactor::Input;

/// The name under which our binary is the command executor.
const COMMAND_EXECUTOR: &str = "mesos-executor";

/// What the containerizer shall launch, or why nothing can run this.
pub(crate) fn spec(launch: LaunchSpec, launcher_binary: &Path) -> Result<Spec, String> {
    if let Some(container) = &launch.container_info {
        let has_image = container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some());
        if container.r#type() == container_info::Type::Docker || has_image {
            return Err("None of the enabled containerizers could create a container for the provided \
                        TaskInfo/ExecutorInfo message: images come with a later version"
                .to_owned());
        }
    }
    let mut program = Program::of(&launch.command).map_err(|error| error.to_string())?;
    // One binary is all our programs; it need not lie in the launcher directory under each name.
    let own = program.argv.first().is_some_and(|name| name == COMMAND_EXECUTOR);
    if launch.task.is_some() && own && !Path::new(&program.path).exists() {
        program.path = launcher_binary.into();
    }
    Ok(Spec {
        container: launch.container,
        directory: launch.directory.into(),
        user: launch.user,
        uris: launch.command.uris,
        program,
        environment: launch.environment,
        resources: launch.resources,
        volumes: volumes(launch.volumes),
        limits: launch.limits,
        info: launch.container_info,
        is_command_task: launch.task.is_some(),
        forked_pid_path: launch.forked_pid_path.map(Into::into),
    })
}

/// Volumes in the containerizer's words.
pub(crate) fn volumes(mounts: Vec<VolumeMount>) -> Vec<Volume> {
    let one = |mount: VolumeMount| Volume {
        id: mount.id,
        source: mount.source.into(),
        name: mount.container_path,
        shared: mount.shared,
    };
    mounts.into_iter().map(one).collect()
}

/// Carries notices to the core until either side is gone.
pub(crate) async fn forward(mut notices: mpsc::Receiver<Notice>, inputs: mpsc::Sender<Input>) {
    while let Some(notice) = notices.recv().await {
        let event = match notice {
            Notice::Launched { container, pid } => Event::ContainerLaunched {
                container,
                status: Box::new(ContainerStatus {
                    executor_pid: (pid != 0).then_some(pid),
                    ..ContainerStatus::default()
                }),
            },
            Notice::Failed { container, message } => Event::ContainerFailed { container, message },
            Notice::Exited { container, termination } => Event::ContainerExited { container, termination },
        };
        if inputs.send(Input::Event(event)).await.is_err() {
            return;
        }
    }
}
