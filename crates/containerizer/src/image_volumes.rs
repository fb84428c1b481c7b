//! `volume/image`: images that containers have as volumes.

use std::path::Path;

use launch_plan::Rootfs;
use proto::mesos::v1::container_info;
use proto::mesos::v1::{ContainerInfo, Image};

use crate::entries::Shared;
use crate::spec::Spec;

/// Makes a root of each image that a container asks for as a volume, in the order of the volumes. Returns why that
/// cannot be: one line for each that failed. COMPAT(mesos): the texts.
pub(crate) async fn provide(shared: &Shared, spec: &Spec) -> Result<Vec<Rootfs>, String> {
    let Some(info) = &spec.info else { return Ok(Vec::new()) };
    let images = wanted(info, spec.image.is_some())?;
    if images.is_empty() {
        return Ok(Vec::new());
    }
    if spec.by_name.as_ref().is_some_and(|by_name| by_name.is_session) {
        return Err("Image volume is not supported for DEBUG containers".to_owned());
    }
    let (mut made, mut failed) = (Vec::new(), Vec::new());
    for image in images {
        let provided = match &shared.config.provisioner {
            Some(provisioner) => provisioner.provision_volume(&spec.container, image).await,
            None => Err(format!("Unsupported container image type: {}", image.r#type().as_str_name())),
        };
        match provided {
            Ok(rootfs) => made.push(rootfs),
            Err(why) => failed.push(why),
        }
    }
    match failed.is_empty() {
        true => Ok(made),
        false => Err(failed.join("\n")),
    }
}

/// The images among the volumes.
fn wanted(info: &ContainerInfo, has_root: bool) -> Result<Vec<&Image>, String> {
    let mut images = Vec::new();
    for volume in info.volumes.iter().filter(|volume| volume.host_path.is_none()) {
        let Some(image) = &volume.image else { continue };
        if info.r#type() != container_info::Type::Mesos {
            return Err("Can only prepare image volumes for a MESOS container".to_owned());
        }
        let at = &volume.container_path;
        if !has_root && at.starts_with('/') && !Path::new(at).exists() {
            return Err(format!("Absolute container path '{at}' does not exist"));
        }
        images.push(image);
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::Volume;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_refused_before_it_is_made() {
        let volume = |at: &str| Volume {
            container_path: at.to_owned(),
            image: Some(Image::default()),
            ..Volume::default()
        };
        let info = |kind: container_info::Type, at: &str| ContainerInfo {
            r#type: kind.into(),
            volumes: vec![Volume::default(), volume(at)],
            ..ContainerInfo::default()
        };
        let check = |kind, at: &str, has_root| wanted(&info(kind, at), has_root).map(|images| images.len());
        let (mesos, docker) = (container_info::Type::Mesos, container_info::Type::Docker);
        assert_eq!(check(mesos, "data", false), Ok(1));
        assert_eq!(check(mesos, "/no/such", true), Ok(1));
        assert_eq!(check(mesos, "/proc", false), Ok(1));
        let refused = "Absolute container path '/no/such' does not exist";
        assert_eq!(check(mesos, "/no/such", false), Err(refused.to_owned()));
        let refused = "Can only prepare image volumes for a MESOS container";
        assert_eq!(check(docker, "data", false), Err(refused.to_owned()));
    }
}
