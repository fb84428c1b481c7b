//! Which containers need groups for paths in the sandbox of the container around them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use launch_plan::{Isolator, Persistent};
use proto::mesos::v1::volume::source::{Type, sandbox_path};
use proto::mesos::v1::{ContainerInfo, Volume};
use rustix::fs::fstat;
use types::ContainerId;

use super::{Kind, VolumeGids};
use crate::config::Config;
use crate::entries::{Shared, root_of};
use crate::spec::Spec;
use crate::users::Account;

/// A path in a sandbox that a container asks for.
struct Asked {
    /// The directory below which no link is followed.
    below: PathBuf,
    path: PathBuf,
}

/// Whether paths in the sandbox around are mounts in a container: links there lead through a sandbox that is closed to
/// others than its owner.
pub(crate) fn mounts_sandbox_paths(config: &Config) -> bool {
    config.volume_gids.is_some() && config.settings.isolation.has(Isolator::FilesystemLinux)
}

/// Frees the groups of the paths in a container's sandbox, since it has ended.
pub(crate) async fn release(shared: &Shared, container: &ContainerId) {
    let Some(gids) = shared.config.volume_gids.clone() else { return };
    let Some(sandbox) = shared.directory_of(container).filter(|it| gids.has_below(it)) else { return };
    let releasing = tokio::task::spawn_blocking(move || gids.release(&sandbox));
    let released = releasing.await.unwrap_or_else(|_| Err("it panicked".to_owned()));
    if let Err(error) = released {
        tracing::error!(%container, error, "Failed to deallocate gid when destroying container");
    }
}

/// The groups of the paths in the sandbox around that a container asks for, where its user is neither root nor their
/// owner.
pub(crate) async fn groups_of_sandbox_paths(
    shared: &Arc<Shared>,
    spec: &Spec,
    account: Option<&Account>,
) -> Result<Vec<u32>, String> {
    let (Some(gids), Some(info), Some(parent), Some(uid)) = (
        shared.config.volume_gids.clone(),
        &spec.info,
        spec.container.parent.as_deref(),
        account.map(|account| account.uid).filter(|uid| *uid != 0),
    ) else {
        return Ok(Vec::new());
    };
    if !mounts_sandbox_paths(&shared.config) {
        return Ok(Vec::new());
    }
    let (Some(sandbox), Some(outermost)) =
        (shared.directory_of(parent), shared.directory_of(root_of(parent)))
    else {
        return Ok(Vec::new());
    };
    let asked = asked(info, &sandbox, &outermost, &shared.volumes_of(parent));
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let giving = tokio::task::spawn_blocking(move || give(&gids, &asked, uid));
    giving.await.unwrap_or_else(|_| Err("Giving volumes to groups panicked".to_owned()))
}

fn give(gids: &VolumeGids, asked: &[Asked], uid: u32) -> Result<Vec<u32>, String> {
    let mut groups = Vec::new();
    for Asked { below, path } in asked {
        let failed = |error: io::Error| format!("Failed to stat '{}': {error}", path.display());
        let opened = linux::open_below(below, path).map_err(failed)?;
        let owner = fstat(&opened).map_err(|errno| failed(errno.into()))?;
        if owner.st_uid != uid {
            groups.push(gids.allocate(path, &opened, Kind::SandboxPath)?);
        }
    }
    Ok(groups)
}

fn asked(info: &ContainerInfo, sandbox: &Path, outermost: &Path, volumes: &[Persistent]) -> Vec<Asked> {
    let paths = info.volumes.iter().filter_map(of_parent);
    let find = |path: &str| {
        // What the sandbox has as a link is taken from where that leads, whatever became of the link.
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        match volumes.iter().find(|volume| volume.name == first) {
            Some(volume) => Asked {
                below: PathBuf::from(&volume.source),
                path: if rest.is_empty() {
                    PathBuf::from(&volume.source)
                } else {
                    Path::new(&volume.source).join(rest)
                },
            },
            None => Asked { below: outermost.to_owned(), path: sandbox.join(path) },
        }
    };
    paths.map(find).collect()
}

fn of_parent(volume: &Volume) -> Option<&str> {
    let source = volume.source.as_ref().filter(|source| source.r#type() == Type::SandboxPath)?;
    let path = source.sandbox_path.as_ref().filter(|it| it.r#type() == sandbox_path::Type::Parent)?;
    Some(&path.path)
}
