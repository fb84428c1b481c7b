//! Volumes whose source is a path in a sandbox: a container's own, or that of the container around it. Containers of
//! one executor share files that way.
//!
//! Both sandboxes belong to users who may put links in them at any time. No step here follows one.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path};

use proto::mesos::v1::volume::source::{self, Type, sandbox_path};
use proto::mesos::v1::{ContainerInfo, Volume};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, fchown, mkdirat, openat, statat, symlinkat};
use rustix::io::Errno;

use crate::nested_sandbox;
use crate::users::Account;

/// Which paths are mounts in the container, and so no links.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mounts {
    /// Whether it has a root of its own: then links have mounts where they lead to, and what has an absolute path has
    /// nothing else.
    pub(crate) own: bool,
    /// Whether what is in the sandbox around is.
    pub(crate) around: bool,
}

/// Links the volumes into the sandbox `own`. `parent` is the sandbox of the container around it.
pub(crate) fn link(
    info: &ContainerInfo,
    own: &Path,
    parent: Option<&Path>,
    owner: Option<&Account>,
    mounts: Mounts,
) -> Result<(), String> {
    for volume in &info.volumes {
        let Some(source) = source_of(volume) else { continue };
        let base = match source.r#type() {
            sandbox_path::Type::Self_ => own,
            sandbox_path::Type::Parent => parent
                .ok_or("PARENT type in 'SandboxPath' volume is not supported for top-level containers")?,
            sandbox_path::Type::Unknown => return Err("Unknown 'SandboxPath' type".to_owned()),
        };
        let from = steps(&source.path).ok_or_else(|| {
            format!("Path '{}' in 'SandboxPath' volume is not a path below the sandbox", source.path)
        })?;
        // What has an absolute path is found in the container's own root.
        if mounts.own && volume.container_path.starts_with('/') {
            make(base, &from, owner).map_err(|error| {
                format!("Failed to create '{}': {error}", base.join(&source.path).display())
            })?;
            continue;
        }
        let Some(at) = steps(&volume.container_path) else {
            return Err(format!(
                "The 'container_path' '{}' of a 'SandboxPath' volume is not a path below the sandbox, and other \
                 places are not supported",
                volume.container_path
            ));
        };
        let failed = |error: io::Error| {
            format!(
                "Failed to link '{}' to '{}': {error}",
                volume.container_path,
                base.join(&source.path).display()
            )
        };
        make(base, &from, owner).map_err(failed)?;
        if !mounts.own && mounts.around && source.r#type() == sandbox_path::Type::Parent {
            continue;
        }
        let (name, above) = at.split_last().expect("a path has a name");
        let directory = open_below(own, above, owner).map_err(failed)?;
        match symlinkat(base.join(&source.path), &directory, *name) {
            Ok(()) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
    Ok(())
}

fn source_of(volume: &Volume) -> Option<&source::SandboxPath> {
    let source = volume.source.as_ref().filter(|source| source.r#type() == Type::SandboxPath)?;
    source.sandbox_path.as_ref()
}

/// The names of a relative path. None for one that leads elsewhere, or nowhere.
fn steps(path: &str) -> Option<Vec<&str>> {
    let mut steps = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => steps.push(name.to_str()?),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
        }
    }
    (!steps.is_empty()).then_some(steps)
}

/// Makes a directory below `base` unless something of that name is there: a persistent volume is a link.
fn make(base: &Path, steps: &[&str], owner: Option<&Account>) -> io::Result<()> {
    let (name, above) = steps.split_last().expect("a path has a name");
    let directory = open_below(base, above, owner)?;
    match statat(&directory, *name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(()),
        Err(Errno::NOENT) => step_into(&directory, name, owner).map(drop),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a directory below `base`, and makes what is missing of the way.
fn open_below(base: &Path, steps: &[&str], owner: Option<&Account>) -> io::Result<OwnedFd> {
    let mut directory = nested_sandbox::open(base)?;
    for name in steps {
        directory = step_into(&directory, name, owner)?;
    }
    Ok(directory)
}

fn step_into(directory: &OwnedFd, name: &str, owner: Option<&Account>) -> io::Result<OwnedFd> {
    let made = match mkdirat(directory, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(errno.into()),
    };
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = openat(directory.as_fd(), name, flags, Mode::empty())?;
    if let (true, Some(owner)) = (made, owner) {
        fchown(&opened, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn info(kind: sandbox_path::Type, path: &str, container_path: &str) -> ContainerInfo {
        let source = proto::mesos::v1::volume::Source {
            r#type: Some(Type::SandboxPath.into()),
            sandbox_path: Some(source::SandboxPath { r#type: Some(kind.into()), path: path.to_owned() }),
            ..Default::default()
        };
        let volume =
            Volume { container_path: container_path.to_owned(), source: Some(source), ..Volume::default() };
        ContainerInfo { volumes: vec![volume], ..ContainerInfo::default() }
    }

    #[test]
    fn paths_of_the_parent_are_shared() {
        let directory = tempfile::tempdir().unwrap();
        let (parent, own) = (directory.path().join("p"), directory.path().join("p/containers/c"));
        fs::create_dir_all(&own).unwrap();
        let check = |info: &ContainerInfo| link(info, &own, Some(&parent), None, Mounts::default());
        check(&info(sandbox_path::Type::Parent, "shared/deep", "a/data")).unwrap();
        fs::write(own.join("a/data/x"), "seen").unwrap();
        assert_eq!(fs::read_to_string(parent.join("shared/deep/x")).unwrap(), "seen");
        // Something that is there already is linked to as it is.
        std::os::unix::fs::symlink("/nowhere", parent.join("volume")).unwrap();
        check(&info(sandbox_path::Type::Parent, "volume", "volume")).unwrap();
        assert_eq!(fs::read_link(own.join("volume")).unwrap(), parent.join("volume"));
        check(&info(sandbox_path::Type::Self_, "mine", "alias")).unwrap();
        assert!(own.join("mine").is_dir());
    }

    #[test]
    fn no_way_leads_out() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("own");
        fs::create_dir_all(&own).unwrap();
        std::os::unix::fs::symlink("/tmp", directory.path().join("link")).unwrap();
        let check = |path: &str, at: &str| {
            let info = info(sandbox_path::Type::Parent, path, at);
            link(&info, &own, Some(directory.path()), None, Mounts::default()).unwrap_err()
        };
        for path in ["../x", "/etc", "", "a/../../b"] {
            assert!(check(path, "x").ends_with("is not a path below the sandbox"), "{path}");
        }
        assert!(check("x", "/data").contains("other places are not supported"));
        assert!(check("link/x", "x").contains("Failed to link 'x'"), "a link on the way");
        let alone = link(&info(sandbox_path::Type::Parent, "x", "x"), &own, None, None, Mounts::default());
        assert!(alone.unwrap_err().contains("top-level"));
    }
}
