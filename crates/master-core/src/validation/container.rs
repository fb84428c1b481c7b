//! Whether commands and containers are whole.

use proto::mesos::v1::environment::{Variable, variable};
use proto::mesos::v1::volume::source;
use proto::mesos::v1::{CommandInfo, ContainerInfo, Secret, Volume, container_info, secret};

pub(crate) fn command(command: &CommandInfo) -> Result<(), String> {
    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    variables.into_iter().try_for_each(environment_variable)
}

fn environment_variable(variable: &Variable) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("Environment variable '{}' {why}", variable.name));
    match variable.r#type() {
        variable::Type::Secret => {
            let Some(hidden) = &variable.secret else {
                return refuse("of type 'SECRET' must have a secret set");
            };
            if variable.value.is_some() {
                return refuse("of type 'SECRET' must not have a value set");
            }
            if let Err(why) = secret(hidden) {
                return refuse(&format!("specifies an invalid secret: {why}"));
            }
            if hidden.value.as_ref().is_some_and(|value| value.data.contains(&0)) {
                return refuse(
                    "specifies a secret containing null bytes, which is not allowed in the environment",
                );
            }
            Ok(())
        }
        variable::Type::Value if variable.value.is_none() => refuse("of type 'VALUE' must have a value set"),
        variable::Type::Value if variable.secret.is_some() => {
            refuse("of type 'VALUE' must not have a secret set")
        }
        variable::Type::Value => Ok(()),
        variable::Type::Unknown => Err("Environment variable of type 'UNKNOWN' is not allowed".to_owned()),
    }
}

fn secret(hidden: &Secret) -> Result<(), String> {
    match (hidden.r#type(), &hidden.reference, &hidden.value) {
        (secret::Type::Reference, None, _) => {
            Err("Secret of type REFERENCE must have the 'reference' field set".to_owned())
        }
        (secret::Type::Reference, Some(reference), Some(_)) => {
            Err(format!("Secret '{}' of type REFERENCE must not have the 'value' field set", reference.name))
        }
        (secret::Type::Value, _, None) => {
            Err("Secret of type VALUE must have the 'value' field set".to_owned())
        }
        (secret::Type::Value, Some(_), Some(_)) => {
            Err("Secret of type VALUE must not have the 'reference' field set".to_owned())
        }
        (secret::Type::Reference | secret::Type::Value | secret::Type::Unknown, _, _) => Ok(()),
    }
}

pub(crate) fn container(container: &ContainerInfo) -> Result<(), String> {
    for mounted in &container.volumes {
        volume(mounted).map_err(|why| format!("Invalid volume: {why}"))?;
    }
    if container.r#type() != container_info::Type::Docker {
        return Ok(());
    }
    let Some(docker) = &container.docker else {
        return Err("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo".to_owned());
    };
    if docker.parameters.iter().any(|parameter| parameter.key == "name") {
        return Err("Parameter in DockerInfo must not be 'name'".to_owned());
    }
    Ok(())
}

fn volume(volume: &Volume) -> Result<(), String> {
    let given = [volume.host_path.is_some(), volume.image.is_some(), volume.source.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 {
        return Err("Only one of them should be set: 'host_path', 'image' and 'source'".to_owned());
    }
    let Some(source) = &volume.source else { return Ok(()) };
    let missing = match source.r#type() {
        source::Type::DockerVolume if source.docker_volume.is_none() => {
            "'source.docker_volume' is not set for DOCKER_VOLUME volume"
        }
        source::Type::HostPath if source.host_path.is_none() => {
            "'source.host_path' is not set for HOST_PATH volume"
        }
        source::Type::SandboxPath if source.sandbox_path.is_none() => {
            "'source.sandbox_path' is not set for SANDBOX_PATH volume"
        }
        source::Type::Secret if source.secret.is_none() => "'source.secret' is not set for SECRET volume",
        source::Type::CsiVolume if source.csi_volume.is_none() => {
            "'source.csi_volume' is not set for CSI volume"
        }
        source::Type::CsiVolume
            if source.csi_volume.as_ref().is_some_and(|csi| csi.static_provisioning.is_none()) =>
        {
            "'source.csi_volume.static_provisioning' is not set for CSI volume"
        }
        source::Type::Unknown => "'source.type' is unknown",
        source::Type::DockerVolume
        | source::Type::HostPath
        | source::Type::SandboxPath
        | source::Type::Secret
        | source::Type::CsiVolume => return Ok(()),
    };
    Err(missing.to_owned())
}
