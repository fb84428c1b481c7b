//! Between the core and the containerizer: launches in its words, its notices in the core's.

use std::path::Path;

use agent_core::{ContainerSpec, Event, LaunchSpec, RecoveredContainer, VolumeMount};
use containerizer::{ByName, CommandError, Notice, OfImage, Program, Remains, Spec, Volume};
use proto::mesos::slave::{ContainerClass, ContainerConfig};
use proto::mesos::v1::environment::Variable;
use proto::mesos::v1::{CommandInfo, ContainerInfo, ContainerStatus, Environment, executor_info};
use tokio::sync::mpsc;
use types::{check_variables, secret_names, variable_value};

use crate::reactor::Input;

/// The name under which our binary is the command executor.
const COMMAND_EXECUTOR: &str = "mesos-executor";

/// The name under which it is the executor of task groups.
const DEFAULT_EXECUTOR: &str = "mesos-default-executor";

/// What the containerizer shall launch, or why nothing can run this.
pub(crate) fn spec(launch: LaunchSpec, launcher_binary: &Path) -> Result<Spec, String> {
    let asked = launch.executor_info.command.as_ref();
    check_variables(asked.and_then(|command| command.environment.as_ref()))?;
    // For the executor of a command the image has a say in the task's.
    let task_command = launch.task.as_ref().and_then(|task| task.command.as_ref());
    let image = of_image(launch.container_info.as_ref(), task_command.unwrap_or(&launch.command));
    let mut program = program_of(&launch.command, image.as_ref().filter(|_| launch.task.is_none()))?;
    // One binary is all our programs; it need not lie in the launcher directory under each name.
    let called = |name: &str| program.argv.first().is_some_and(|own| own == name);
    let own = match launch.executor_info.r#type() {
        executor_info::Type::Default => called(DEFAULT_EXECUTOR),
        executor_info::Type::Custom | executor_info::Type::Unknown => {
            launch.task.is_some() && called(COMMAND_EXECUTOR)
        }
    };
    if own && !Path::new(&program.path).exists() {
        program.path = launcher_binary.into();
    }
    Ok(Spec {
        container: launch.container,
        directory: launch.directory.into(),
        user: launch.user,
        uris: launch.command.uris,
        program,
        image,
        environment: launch.environment,
        resources: launch.resources,
        volumes: volumes(launch.volumes),
        limits: launch.limits,
        info: launch.container_info,
        is_command_task: launch.task.is_some(),
        forked_pid_path: launch.forked_pid_path.map(Into::into),
        by_name: None,
    })
}

/// What Docker's shall launch.
pub(crate) fn docker(mut launch: LaunchSpec) -> docker_containerizer::Launch {
    // COMPAT(mesos): Docker's containers are not given secrets, which everybody who asks Docker would see.
    let asked = launch.command.environment.as_ref();
    launch.environment.retain(|(name, _)| !secret_names(asked).any(|secret| secret == name));
    docker_containerizer::Launch {
        info: launch.container_info.clone().unwrap_or_default(),
        command: launch.command.clone(),
        spec: Spec {
            container: launch.container,
            directory: launch.directory.into(),
            user: launch.user,
            uris: launch.command.uris,
            // It knows better what to run.
            program: Program { path: Default::default(), argv: Vec::new() },
            image: None,
            environment: launch.environment,
            resources: launch.resources,
            volumes: volumes(launch.volumes),
            limits: launch.limits,
            info: None,
            is_command_task: launch.task.is_some(),
            forked_pid_path: launch.forked_pid_path.map(Into::into),
            by_name: None,
        },
        task: launch.task,
    }
}

/// The same for a container that was asked for by name.
pub(crate) fn container(launch: ContainerSpec) -> Result<Spec, String> {
    let asked = launch.command.environment.as_ref();
    check_variables(asked)?;
    let image = of_image(launch.container_info.as_ref(), &launch.command);
    let program = program_of(&launch.command, image.as_ref())?;
    let variable = |(name, value): &(String, String)| Variable {
        name: name.clone(),
        value: Some(value.clone()),
        ..Variable::default()
    };
    // A session has what is around it in its environment, with the secrets of that. The next agent ends it, and needs none.
    let kept = launch
        .environment
        .iter()
        .filter(|(name, _)| !launch.is_session && !secret_names(asked).any(|secret| secret == name));
    let variables = kept.map(variable).collect();
    let given = asked.iter().flat_map(|environment| &environment.variables);
    let given = given.filter_map(|it| Some((it.name.clone(), variable_value(it)?.to_owned())));
    let own: Vec<_> = given.collect();
    let class = if launch.is_session { ContainerClass::Debug } else { ContainerClass::Default };
    let config = ContainerConfig {
        directory: launch.directory.clone(),
        user: launch.user.clone(),
        command_info: CommandInfo { environment: Some(Environment { variables }), ..launch.command.clone() },
        container_info: launch.container_info.clone().map(without_secrets),
        resources: launch.resources.clone(),
        limits: launch.limits.clone().into_iter().collect(),
        container_class: Some(class.into()),
        ..ContainerConfig::default()
    };
    Ok(Spec {
        container: launch.container,
        directory: launch.directory.into(),
        user: launch.user,
        uris: launch.command.uris,
        program,
        image,
        environment: launch.environment,
        resources: launch.resources,
        volumes: Vec::new(),
        limits: launch.limits,
        info: launch.container_info,
        is_command_task: false,
        forked_pid_path: None,
        by_name: Some(ByName {
            config,
            working_directory: launch.working_directory.map(Into::into),
            is_session: launch.is_session,
            asked: own,
        }),
    })
}

/// What is kept of a container for a later agent has no secrets in it.
fn without_secrets(mut info: ContainerInfo) -> ContainerInfo {
    let sources = info.volumes.iter_mut().filter_map(|volume| volume.source.as_mut());
    sources.filter_map(|source| source.secret.as_mut()).for_each(|secret| secret.value = None);
    info
}

/// The image that a container asks for, and the command that this has a say in.
fn of_image(info: Option<&ContainerInfo>, command: &CommandInfo) -> Option<OfImage> {
    let image = info?.mesos.as_ref()?.image.clone()?;
    Some(OfImage { image, command: command.clone() })
}

/// What is run, where no image has a say in it.
fn program_of(command: &CommandInfo, image: Option<&OfImage>) -> Result<Program, String> {
    match (Program::of(command), image) {
        (Ok(program), _) => Ok(program),
        (Err(CommandError::NoExecutable | CommandError::NoShellCommand), Some(_)) => Ok(Program::default()),
        (Err(error), _) => Err(error.to_string()),
    }
}

/// What an earlier agent has left of containers that were asked for by name, in the core's words.
pub(crate) fn recovered(remains: Vec<Remains>) -> Vec<RecoveredContainer> {
    let one = |remains: Remains| {
        let given = remains.config.command_info.environment.unwrap_or_default();
        RecoveredContainer {
            container: remains.container,
            directory: remains.config.directory,
            user: remains.config.user,
            environment: given
                .variables
                .into_iter()
                .map(|variable| (variable.name, variable.value.unwrap_or_default()))
                .collect(),
            pid: remains.pid,
            ended: remains.termination,
            is_session: remains.is_session,
        }
    };
    remains.into_iter().map(one).collect()
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
            Notice::Launched { container, pid, networks } => Event::ContainerLaunched {
                container,
                status: Box::new(ContainerStatus {
                    executor_pid: (pid != 0).then_some(pid),
                    network_infos: networks,
                    ..ContainerStatus::default()
                }),
            },
            Notice::Failed { container, message } => Event::ContainerFailed { container, message },
            Notice::UpdateFailed { container, message } => {
                Event::ContainerUpdateFailed { container, message }
            }
            Notice::Exited { container, termination } => Event::ContainerExited { container, termination },
        };
        if inputs.send(Input::Event(event)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::{Secret, environment::variable, secret};
    use types::ContainerId;

    use super::*;

    fn launch(kind: secret::Type, is_session: bool) -> Result<Spec, String> {
        let value = (kind == secret::Type::Value).then(|| secret::Value { data: "hush".into() });
        let reference =
            value.is_none().then(|| secret::Reference { name: "vault".to_owned(), ..Default::default() });
        let hidden = Variable {
            name: "TOKEN".to_owned(),
            r#type: Some(variable::Type::Secret.into()),
            secret: Some(Secret { r#type: Some(kind.into()), value, reference }),
            ..Variable::default()
        };
        container(ContainerSpec {
            container: ContainerId::root("c"),
            directory: "/d".to_owned(),
            working_directory: None,
            user: None,
            command: CommandInfo {
                value: Some("true".to_owned()),
                environment: Some(Environment { variables: vec![hidden] }),
                ..CommandInfo::default()
            },
            environment: vec![("A".to_owned(), "b".to_owned()), ("TOKEN".to_owned(), "hush".to_owned())],
            resources: Vec::new(),
            limits: Default::default(),
            container_info: None,
            is_session,
        })
    }

    #[test]
    fn secrets_are_set_but_not_kept() {
        for is_session in [false, true] {
            let spec = launch(secret::Type::Value, is_session).expect("a container");
            assert_eq!(spec.environment.len(), 2);
            let kept = spec.by_name.expect("a record").config.command_info.environment;
            let kept: Vec<_> = kept.expect("variables").variables.into_iter().map(|it| it.name).collect();
            assert_eq!(kept, if is_session { Vec::new() } else { vec!["A"] });
        }
        let refused = launch(secret::Type::Reference, false).expect_err("a reference");
        assert_eq!(refused, "Default secret resolver cannot resolve references");
    }
}
