//! The call that launches a task's container.

use machine::Rng;
use proto::mesos::v1::agent::call::LaunchContainer;
use proto::mesos::v1::environment::Variable;
use proto::mesos::v1::volume::source::{self, sandbox_path};
use proto::mesos::v1::{ContainerInfo, TaskInfo, Volume, container_info, volume};
use types::{ContainerId, Uuid};

/// A new container in this executor's.
pub(super) fn container_id(rng: &mut Rng, around: &ContainerId) -> ContainerId {
    ContainerId { value: Uuid::random(rng).to_string().into(), parent: Some(around.clone().into()) }
}

/// How a task is launched in that container.
pub(super) fn call(container: &ContainerId, task: &TaskInfo, container_ip: Option<&str>) -> LaunchContainer {
    let mut command = task.command.clone().unwrap_or_default();
    let variables = &mut command.environment.get_or_insert_default().variables;
    let mut set = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), Some(value.to_owned()));
        variables.push(Variable { name, value, ..Variable::default() });
    };
    if let Some(ip) = container_ip {
        set("MESOS_CONTAINER_IP", ip);
    }
    let allocation = task.resources.iter().find_map(|resource| resource.allocation_info.as_ref());
    set("MESOS_ALLOCATION_ROLE", allocation.map_or("", |allocation| allocation.role()));
    LaunchContainer {
        container_id: container.into(),
        command: Some(command),
        resources: task.resources.clone(),
        container: container_info(task),
        limits: task.limits.clone().into_iter().collect(),
    }
}

/// How the task wants to be contained. Volumes of its resources are in this executor's sandbox, and shown from there.
fn container_info(task: &TaskInfo) -> Option<ContainerInfo> {
    let mut info = task.container.clone();
    let volumes = task.resources.iter().filter_map(|resource| resource.disk.as_ref()?.volume.as_ref());
    for shown in volumes {
        let info = info.get_or_insert_with(|| ContainerInfo {
            r#type: container_info::Type::Mesos.into(),
            ..ContainerInfo::default()
        });
        info.volumes.push(Volume {
            mode: shown.mode,
            container_path: shown.container_path.clone(),
            source: Some(volume::Source {
                r#type: Some(source::Type::SandboxPath.into()),
                sandbox_path: Some(source::SandboxPath {
                    r#type: Some(sandbox_path::Type::Parent.into()),
                    path: shown.container_path.clone(),
                }),
                ..volume::Source::default()
            }),
            ..Volume::default()
        });
    }
    info
}
