//! What `mesos execute` says of the task's container: by which containerizer, from which image, with which capabilities.

use anyhow::{Context as _, bail, ensure};
use proto::json::{self, Names};
use proto::mesos::v1::container_info::{DockerInfo, MesosInfo, Type, docker_info::Network};
use proto::mesos::v1::{
    CapabilityInfo, ContainerInfo, Image, Label, Labels, LinuxInfo, NetworkInfo, RLimitInfo, TtyInfo, Volume,
    image,
};

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
    let rlimits = |json: &flags::Json| json::from_slice::<RLimitInfo>(json.0.as_bytes());
    let container = ContainerInfo {
        r#type: Type::Mesos.into(),
        volumes: volumes(flags)?,
        mesos: image(flags)?.map(|image| MesosInfo { image: Some(image) }),
        linux_info,
        rlimit_info: flags.rlimits.as_ref().map(rlimits).transpose().context("--rlimits")?,
        tty_info: flags.tty.then(TtyInfo::default),
        ..ContainerInfo::default()
    };
    let empty = ContainerInfo { r#type: Type::Mesos.into(), ..ContainerInfo::default() };
    Ok((container != empty).then_some(container))
}

/// The image of a container of the Mesos containerizer.
fn image(flags: &ExecuteFlags) -> anyhow::Result<Option<Image>> {
    let label = |key: &str, value: &str| Label { key: key.to_owned(), value: Some(value.to_owned()) };
    match (&flags.docker_image, &flags.appc_image) {
        (Some(_), Some(_)) => bail!("Flags '--docker-image' and '--appc-image' are both set"),
        (Some(name), None) => Ok(Some(Image {
            r#type: image::Type::Docker.into(),
            docker: Some(image::Docker { name: name.clone(), ..image::Docker::default() }),
            ..Image::default()
        })),
        // COMPAT(mesos): the labels are always these.
        (None, Some(name)) => Ok(Some(Image {
            r#type: image::Type::Appc.into(),
            appc: Some(image::Appc {
                name: name.clone(),
                labels: Some(Labels { labels: vec![label("os", "linux"), label("arch", "amd64")] }),
                ..image::Appc::default()
            }),
            ..Image::default()
        })),
        (None, None) => Ok(None),
    }
}

fn volumes(flags: &ExecuteFlags) -> anyhow::Result<Vec<Volume>> {
    match &flags.volumes {
        Some(json) => json::list_from_slice(json.0.as_bytes(), Names::V1).context("--volumes"),
        None => Ok(Vec::new()),
    }
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
    Ok(ContainerInfo {
        r#type: Type::Docker.into(),
        volumes: volumes(flags)?,
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

    #[test]
    fn the_mesos_containerizer_takes_volumes_and_limits() {
        check(
            &[
                ("volumes", r#"[{"container_path":"/c","host_path":"/h","mode":"RO"}]"#),
                ("rlimits", r#"{"rlimits":[{"type":"RLMT_NOFILE","soft":10,"hard":20}]}"#),
            ],
            Ok(Some(
                r#"{"type":"MESOS","volumes":[{"container_path":"/c","host_path":"/h","mode":"RO"}],"rlimit_info":{"rlimits":[{"type":"RLMT_NOFILE","hard":20,"soft":10}]}}"#,
            )),
        );
        check(
            &[("appc_image", "a")],
            Ok(Some(
                r#"{"type":"MESOS","mesos":{"image":{"type":"APPC","appc":{"name":"a","labels":{"labels":[{"key":"os","value":"linux"},{"key":"arch","value":"amd64"}]}},"cached":true}}}"#,
            )),
        );
        let both = [("appc_image", "a"), ("docker_image", "b")];
        check(&both, Err("Flags '--docker-image' and '--appc-image' are both set"));
    }
}
