//! Volumes whose source is a path of the machine: what must be there before a container can see it.

use std::fs;
use std::path::{Component, Path};

use proto::mesos::v1::volume::source::Type;
use proto::mesos::v1::{ContainerInfo, Volume};

/// Makes sources that do not exist, where that is allowed: below the `allowed` directories. Blocks.
pub(crate) fn prepare(info: &ContainerInfo, allowed: &[String]) -> Result<(), String> {
    info.volumes.iter().filter_map(path_of).try_for_each(|path| make(path, allowed))
}

/// Whether there is anything for [`prepare`] to do.
pub(crate) fn are_in(info: &ContainerInfo) -> bool {
    info.volumes.iter().any(|volume| path_of(volume).is_some())
}

fn path_of(volume: &Volume) -> Option<&str> {
    let source = volume.source.as_ref().filter(|source| source.r#type() == Type::HostPath);
    let path = source.and_then(|source| source.host_path.as_ref()).map(|source| &source.path);
    path.or(volume.host_path.as_ref()).map(String::as_str).filter(|path| path.starts_with('/'))
}

fn make(path: &str, allowed: &[String]) -> Result<(), String> {
    if Path::new(path).exists() {
        return Ok(());
    }
    if allowed.is_empty() {
        return Err(format!("Path '{path}' in HOST_PATH volume does not exist"));
    }
    // No `..` leads out of what is allowed.
    let is_plain = Path::new(path).components().all(|part| part != Component::ParentDir);
    if !is_plain || !allowed.iter().any(|above| Path::new(path).starts_with(above)) {
        return Err(format!(
            "Path '{path}' in HOST_PATH volume does not exist and is not whitelisted for creation: it is not below any of \
             {allowed:?}"
        ));
    }
    // COMPAT(mesos): always a directory.
    fs::create_dir_all(path).map_err(|error| format!("Failed to create the host path at '{path}': {error}"))
}

#[cfg(test)]
mod tests {
    use proto::mesos::v1::volume::{Source, source};

    use super::*;

    #[test]
    fn sources_are_made_where_that_is_allowed() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path).to_str().unwrap().to_owned();
        let check = |path: &str, allowed: &[String]| {
            let host_path = Some(source::HostPath { path: path.to_owned(), mount_propagation: None });
            let source = Source { r#type: Some(Type::HostPath.into()), host_path, ..Source::default() };
            let volume = Volume { source: Some(source), ..Volume::default() };
            let info = ContainerInfo { volumes: vec![volume], ..ContainerInfo::default() };
            assert!(are_in(&info));
            prepare(&info, allowed)
        };
        let allowed = [at("data")];
        assert!(check(&at("data/a/b"), &[]).unwrap_err().ends_with("in HOST_PATH volume does not exist"));
        check(&at("data/a/b"), &allowed).unwrap();
        assert!(home.path().join("data/a/b").is_dir());
        for elsewhere in ["other", "data/../other", "database"] {
            assert!(check(&at(elsewhere), &allowed).unwrap_err().contains("not whitelisted for creation"));
        }
        check("/etc/passwd", &[]).unwrap();
    }
}
