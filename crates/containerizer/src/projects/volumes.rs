//! Persistent volumes: each is a project of its own, whose quota is the volume's size, for as long as its directory is
//! there. A volume on a MOUNT disk has that to itself, and is only counted.

use std::path::PathBuf;

use linux::ProjectUsage;
use proto::mesos::v1::resource::DiskInfo;
use proto::mesos::v1::resource::disk_info::source::Type;
use proto::mesos::v1::{DiskStatistics, Resource, ResourceStatistics};
use types::ContainerId;

use super::{ProjectSettings, Projects, Volume, below};
use crate::disk;

/// Where volumes are, below the working directory and the directories of PATH disks. COMPAT(mesos): the layout.
const VOLUMES: [&str; 4] = ["volumes", "roles", "*", "*"];

const MEGABYTE: f64 = 1_048_576.0;

/// A persistent volume of a container.
#[derive(Clone, Debug)]
pub(super) struct Held {
    place: PathBuf,
    /// None on a MOUNT disk.
    project: Option<u32>,
    /// How large it may be.
    bytes: u64,
    disk: DiskInfo,
}

/// The directories of all volumes that there are. Blocks.
pub(super) fn all(settings: &ProjectSettings) -> Vec<PathBuf> {
    let disks = std::iter::once(&settings.work_dir).chain(&settings.disks);
    disks.flat_map(|disk| below(disk, &VOLUMES)).collect()
}

impl Projects {
    /// Bounds a container's volumes by their sizes. Blocks.
    pub(super) fn hold_volumes(
        &self,
        container: &ContainerId,
        resources: &[Resource],
        volumes: &[Volume],
    ) -> Result<(), String> {
        let mut held = Vec::new();
        for volume in volumes {
            let Some((bytes, disk)) = size(volume, resources) else { continue };
            let project = match is_mount(&disk) {
                true => None,
                false => Some(self.settle(&volume.source)?),
            };
            if let Some(project) = project {
                self.bound(&volume.source, project, bytes)?;
            }
            held.push(Held { place: volume.source.clone(), project, bytes, disk });
        }
        let mut state = self.lock();
        match held.is_empty() {
            true => drop(state.volumes.remove(container)),
            false => drop(state.volumes.insert(container.clone(), held)),
        }
        Ok(())
    }

    fn held(&self, container: &ContainerId) -> Vec<Held> {
        self.lock().volumes.get(container).cloned().unwrap_or_default()
    }

    /// What the projects of a container's volumes hold.
    pub(super) fn usage_of_volumes(&self, container: &ContainerId) -> Vec<(DiskInfo, ProjectUsage)> {
        let usage = |held: Held| Some((held.disk, self.usage_of(&held.place, held.project?)?));
        self.held(container).into_iter().filter_map(usage).collect()
    }

    /// Tells of a container's volumes what they hold and may hold. Blocks.
    pub(super) fn fill_volumes(&self, container: &ContainerId, statistics: &mut ResourceStatistics) {
        let told = self.held(container).into_iter().map(|held| {
            let (used, limit) = match held.project {
                None => (Some(disk::usage(&held.place)), None),
                Some(project) => {
                    (self.usage_of(&held.place, project).map(|usage| usage.used), Some(held.bytes))
                }
            };
            DiskStatistics {
                persistence: held.disk.persistence,
                source: held.disk.source,
                used_bytes: used,
                limit_bytes: limit,
            }
        });
        statistics.disk_statistics.extend(told);
    }
}

/// What the resources say of a volume. Several tasks of a container may have a shared one.
fn size(volume: &Volume, resources: &[Resource]) -> Option<(u64, DiskInfo)> {
    let is_it = |disk: &DiskInfo| {
        disk.persistence.as_ref().is_some_and(|persistence| persistence.id == volume.id)
            && disk.volume.as_ref().is_some_and(|it| it.container_path == volume.name)
    };
    let found = resources.iter().find(|resource| resource.disk.as_ref().is_some_and(is_it))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is wanted"
    )]
    let bytes = (found.scalar.as_ref()?.value * MEGABYTE) as u64;
    Some((bytes, found.disk.clone()?))
}

fn is_mount(disk: &DiskInfo) -> bool {
    disk.source.as_ref().is_some_and(|source| source.r#type() == Type::Mount)
}
