//! The flags of `disk/xfs`.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use containerizer::{Isolation, Isolator, ProjectSettings, QuotaPolicy};
use resources::Resources;

use crate::detect;
use crate::flags::AgentFlags;

/// How XFS is to hold sandboxes to their size; None where it is not to. COMPAT(mesos): the texts.
pub(crate) fn from_flags(
    flags: &AgentFlags,
    isolation: &Isolation,
) -> anyhow::Result<Option<ProjectSettings>> {
    if !isolation.has(Isolator::DiskXfs) {
        return Ok(None);
    }
    let policy = match (flags.enforce_container_disk_quota, flags.xfs_kill_containers) {
        (false, _) => QuotaPolicy::Account,
        (true, false) => QuotaPolicy::Bound,
        (true, true) => QuotaPolicy::Kill { headroom: flags.xfs_quota_headroom.0 },
    };
    let work_dir = PathBuf::from(&flags.work_dir);
    let disks = detect::path_disks(flags.resources.as_deref(), &flags.default_role)?;
    Ok(Some(ProjectSettings {
        disks: disks.into_iter().map(|disk| work_dir.join(disk)).collect(),
        work_dir,
        ids: ids(&flags.xfs_project_range)?,
        policy,
        interval: flags.disk_watch_interval.to_std(),
    }))
}

fn ids(text: &str) -> anyhow::Result<Vec<RangeInclusive<u32>>> {
    let unread = || format!("Failed to parse XFS project range '{text}'");
    let parsed = Resources::parse(&format!("projects:{text}"), "*").with_context(unread)?.to_protos();
    let mut found = Vec::new();
    for resource in &parsed {
        let Some(ranges) = &resource.ranges else {
            let kind = resource.r#type().as_str_name();
            bail!("Invalid XFS project resource type {kind}, expecting RANGES");
        };
        for range in &ranges.range {
            let end = u32::try_from(range.end);
            let end = end.with_context(|| format!("Project ID {}  is out of range", range.end))?;
            let begin = u32::try_from(range.begin).with_context(unread)?;
            if begin == 0 {
                bail!("XFS project ID range contains illegal 0 value");
            }
            found.push(begin..=end);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_or_refused() {
        assert_eq!(ids("[5000-10000]").unwrap(), [5000..=10000]);
        assert_eq!(ids("[1-2,9-9]").unwrap(), [1..=2, 9..=9]);
        for (text, expected) in [
            ("x-y]", "Failed to parse XFS project range 'x-y]'"),
            ("[0-9]", "XFS project ID range contains illegal 0 value"),
            ("[1-4294967296]", "Project ID 4294967296  is out of range"),
            ("7", "Invalid XFS project resource type SCALAR, expecting RANGES"),
        ] {
            assert_eq!(ids(text).unwrap_err().to_string(), expected);
        }
    }
}
