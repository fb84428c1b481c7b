//! What `mesos execute` says of the task's container: by which containerizer, from which image, with which capabilities.

use anyhow::{Context as _, bail, ensure};
use proto::json::{self, Names};
use proto::mesos::v1::container_info::{DockerInfo, MesosInfo, Type, docker_info::Network};
use proto::mesos::v1::{CapabilityInfo, ContainerInfo, Image, LinuxInfo, NetworkInfo, TtyInfo, image};

use super::flags::ExecuteFlags;

/// The container of the task; none where nothing is said of it.
pub(super) fn of(flags: &ExecuteFlags) -> anyhow::Result<Option<ContainerInfo>> {
    match flags.containerizer.as_str() {
        "docker" => docker(flags).map(Some),
        // The flag's rule lets nothing else through.
        _ => mesos(flags),
    }
}

/// Under the Mesos containerizer.
fn mesos(flags: &ExecuteFlags) -> anyhow::Result<Option<ContainerInfo>> {
    let read = |flag: &str, text: &Option<flags::Json>| {
        let read = |text: &flags::Json| {
            let info: CapabilityInfo = json::from_slice(text.0.as_bytes())?;
            // Names that are none are left out of a message.
            let listed: serde_json::Value = serde_json::from_str(&text.0)?;
            let listed = listed["capabilities"].as_array().map_or(0, Vec::len);
            ensure!(listed == info.capabilities.len(), "it names an unknown capability");
            Ok(info)
        };
        let is_none =
            || format!("--{flag} is not a list of capabilities, such as {{\"capabilities\":[\"NET_RAW\"]}}");
        text.as_ref().map(read).transpose().with_context(is_none)
    };
    let effective = read("effective_capabilities", &flags.effective_capabilities)?;
    let bounding = read("bounding_capabilities", &flags.bounding_capabilities)?;
    let linux_info = (effective.is_some() || bounding.is_some()).then(|| LinuxInfo {
        effective_capabilities: effective,
        bounding_capabilities: bounding,
        ..LinuxInfo::default()
    });
    let image = flags.docker_image.as_ref().map(|name| Image {
        r#type: image::Type::Docker.into(),
        docker: Some(image::Docker { name: name.clone(), ..image::Docker::default() }),
        ..Image::default()
    });
    if linux_info.is_none() && image.is_none() && !flags.tty {
        return Ok(None);
    }
    Ok(Some(ContainerInfo {
        r#type: Type::Mesos.into(),
        mesos: image.map(|image| MesosInfo { image: Some(image) }),
        linux_info,
        tty_info: flags.tty.then(TtyInfo::default),
        ..ContainerInfo::default()
    }))
}

/// Under the Docker containerizer.
fn docker(flags: &ExecuteFlags) -> anyhow::Result<ContainerInfo> {
    let image = flags.docker_image.clone().context("'Docker' containerizer requires docker image name")?;
    ensure!(!flags.tty, "'Docker' containerizer does not allow attaching a TTY");
    let names: Vec<&str> =
        flags.networks.iter().flat_map(|names| names.split(',')).filter(|name| !name.is_empty()).collect();
    let network = match names.as_slice() {
        [] => None,
        [name] => Some(*name),
        _ => bail!("'Docker' containerizer can only support a single network"),
    };
    let volumes = match &flags.volumes {
        Some(json) => json::list_from_slice(json.0.as_bytes(), Names::V1).context("--volumes")?,
        None => Vec::new(),
    };
    Ok(ContainerInfo {
        r#type: Type::Docker.into(),
        volumes,
        docker: Some(DockerInfo {
            image,
            network: network.map(|_| Network::User.into()),
            ..DockerInfo::default()
        }),
        network_infos: network
            .map(|name| NetworkInfo { name: Some(name.to_owned()), ..NetworkInfo::default() })
            .into_iter()
            .collect(),
        ..ContainerInfo::default()
    })
}

#[cfg(test)]
mod tests {
    use flags::FlagSet as _;

    use super::*;

    fn check(given: &[(&str, &str)], expected: Result<Option<&str>, &str>) {
        let mut flags = ExecuteFlags::default();
        for (name, value) in given {
            flags.set(name, value, None).unwrap();
        }
        let made = of(&flags).map_err(|error| format!("{error:#}"));
        let made = made.map(|made| made.map(|made| json::to_string(&made, Names::V1)));
        match (&made, &expected) {
            (Ok(made), Ok(expected)) => assert_eq!(made.as_deref(), *expected),
            (Err(error), Err(expected)) => assert_eq!(error, expected),
            _ => panic!("{made:?}, not {expected:?}"),
        }
    }

    #[test]
    fn docker_needs_an_image_and_takes_a_network() {
        let docker = ("containerizer", "docker");
        check(&[], Ok(None));
        check(
            &[("docker_image", "a")],
            Ok(Some(
                r#"{"type":"MESOS","mesos":{"image":{"type":"DOCKER","docker":{"name":"a"},"cached":true}}}"#,
            )),
        );
        check(&[docker], Err("'Docker' containerizer requires docker image name"));
        check(
            &[docker, ("docker_image", "a")],
            Ok(Some(r#"{"type":"DOCKER","docker":{"image":"a","network":"HOST","privileged":false}}"#)),
        );
        check(
            &[docker, ("docker_image", "a"), ("networks", "n")],
            Ok(Some(
                r#"{"type":"DOCKER","docker":{"image":"a","network":"USER","privileged":false},"network_infos":[{"name":"n"}]}"#,
            )),
        );
        check(
            &[docker, ("docker_image", "a"), ("networks", "n,m")],
            Err("'Docker' containerizer can only support a single network"),
        );
    }
}
