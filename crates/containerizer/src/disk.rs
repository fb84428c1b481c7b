//! `disk/du`: how much a sandbox holds, looked at now and then, and the end of a container that holds too much.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use launch_plan::Isolator;
use proto::mesos::slave::ContainerLimitation;
use proto::mesos::v1::{Resource, task_status};
use types::ContainerId;

use crate::entries::Shared;

const MEGABYTE: u64 = 1024 * 1024;

/// Looks until the sandbox holds more than it may, and that is to be enforced.
pub(crate) async fn watch(shared: &Arc<Shared>, container: &ContainerId) -> ContainerLimitation {
    if !shared.config.settings.isolation.has(Isolator::DiskDu) {
        return std::future::pending().await;
    }
    let settings = shared.config.disk;
    loop {
        if let Some(sandbox) = shared.directory_of(container) {
            // What is looked at may be large; dropping this future leaves the look to end by itself.
            let looked = tokio::task::spawn_blocking(move || usage(&sandbox)).await;
            if let Ok(used) = looked {
                shared.disk_used(container, used);
                let quota = shared.amounts(container).and_then(|(resources, _)| quota(&resources));
                if let Some((quota, resources)) = quota.filter(|(quota, _)| settings.enforce && used > *quota)
                {
                    return limitation(used, quota, resources);
                }
            }
        }
        tokio::time::sleep(settings.interval).await;
    }
}

fn limitation(used: u64, quota: u64, resources: Vec<Resource>) -> ContainerLimitation {
    ContainerLimitation {
        resources,
        message: Some(format!("Disk usage ({}) exceeds quota ({})", bytes(used), bytes(quota))),
        reason: Some(task_status::Reason::ContainerLimitationDisk.into()),
    }
}

/// What a sandbox may hold, and the resources that say so. Volumes are not of the sandbox.
pub(crate) fn quota(resources: &[Resource]) -> Option<(u64, Vec<Resource>)> {
    let of_sandbox = |it: &&Resource| {
        it.name == "disk" && it.disk.as_ref().is_none_or(|disk| disk.volume.is_none()) && it.scalar.is_some()
    };
    let found: Vec<Resource> = resources.iter().filter(of_sandbox).cloned().collect();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is wanted"
    )]
    let megabytes =
        found.iter().filter_map(|it| it.scalar.as_ref()).map(|scalar| scalar.value).sum::<f64>() as u64;
    (!found.is_empty()).then_some((megabytes.saturating_mul(MEGABYTE), found))
}

/// The bytes that a directory takes on its disk, as `du` counts them: links are not followed, a file of several names
/// counts once, other file systems are not entered. What goes away meanwhile is skipped.
pub(crate) fn usage(root: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(root) else { return 0 };
    let (mut blocks, mut seen, mut open) = (top.blocks(), BTreeSet::new(), vec![PathBuf::from(root)]);
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != top.dev()
                || (metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert(metadata.ino()))
            {
                continue;
            }
            blocks += metadata.blocks();
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    blocks * 512
}

/// An amount in the largest unit that loses nothing.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")];
    let unit = units.iter().find(|(shift, _)| bytes != 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| format!("{bytes}B"), |(shift, name)| format!("{}{name}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_lose_nothing() {
        for (amount, text) in
            [(0, "0B"), (1023, "1023B"), (2048, "2KB"), (64 * MEGABYTE, "64MB"), (1 << 30, "1GB")]
        {
            assert_eq!(bytes(amount), text);
        }
    }

    #[test]
    fn links_count_once_and_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let empty = usage(directory.path());
        fs::write(directory.path().join("a"), vec![1; 100_000]).unwrap();
        let one = usage(directory.path());
        assert!(one >= empty + 100_000, "{one}");
        fs::hard_link(directory.path().join("a"), directory.path().join("b")).unwrap();
        std::os::unix::fs::symlink("/usr", directory.path().join("c")).unwrap();
        assert!(usage(directory.path()) < one + 10_000);
        assert_eq!(usage(&directory.path().join("missing")), 0);
    }
}
