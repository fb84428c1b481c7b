//! The groups that volumes are given to: `--volume_gid_range`.

use std::ops::RangeInclusive;

use anyhow::{Context as _, bail, ensure};
use containerizer::{Facts, Isolation, Isolator};
use resources::Resources;

use crate::flags::AgentFlags;

/// What every message begins with.
const FAILED: &str = "Failed to initialize volume gid manager";

/// The groups that there are to give; None where volumes have no groups. COMPAT(mesos): the texts.
pub(crate) fn from_flags(
    flags: &AgentFlags,
    isolation: &Isolation,
    facts: &Facts,
) -> anyhow::Result<Option<Vec<RangeInclusive<u32>>>> {
    let Some(text) = &flags.volume_gid_range else { return Ok(None) };
    ensure!(facts.root, "{FAILED}: Volume gid manager requires root privileges");
    // Groups outside of those of a container cannot be among its own.
    ensure!(
        !isolation.has(Isolator::NamespacesUser),
        "{FAILED}: --volume_gid_range cannot be used with the isolator 'namespaces/user'"
    );
    gids(text).map(Some).context(FAILED)
}

fn gids(text: &str) -> anyhow::Result<Vec<RangeInclusive<u32>>> {
    let unread = || format!("Failed to parse volume gid range '{text}'");
    let parsed = Resources::parse(&format!("gids:{text}"), "*").with_context(unread)?.to_protos();
    let mut found = Vec::new();
    for resource in &parsed {
        let Some(ranges) = &resource.ranges else {
            let kind = resource.r#type().as_str_name();
            bail!("Invalid volume gid range type {kind}, expecting RANGES");
        };
        for range in &ranges.range {
            let invalid = |why: &str| format!("Invalid volume gid range '{text}': {why}");
            let end = u32::try_from(range.end).ok().filter(|end| *end != u32::MAX);
            let end = end.with_context(|| invalid("a group's number is too large"))?;
            let begin = u32::try_from(range.begin).with_context(unread)?;
            ensure!(begin != 0, invalid("0 is the group of root"));
            found.push(begin..=end);
        }
    }
    ensure!(!found.is_empty(), "Empty volume gid range");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_or_refused() {
        assert_eq!(gids("[10000-20000,7-7]").unwrap(), [7..=7, 10_000..=20_000]);
        for (text, expected) in [
            ("x", "Failed to parse volume gid range 'x'"),
            ("7", "Invalid volume gid range type SCALAR, expecting RANGES"),
            ("[0-9]", "Invalid volume gid range '[0-9]': 0 is the group of root"),
            ("[1-4294967295]", "Invalid volume gid range '[1-4294967295]': a group's number is too large"),
            ("[]", "Empty volume gid range"),
        ] {
            assert_eq!(gids(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
