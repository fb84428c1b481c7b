//! Where the cgroup hierarchies are: version 1, version 2, or both side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::mountinfo::{Mount, parse_mountinfo};

/// The hierarchies of this machine, as this process sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Version 1: where each controller is mounted. Controllers that are mounted together share a path; named
    /// hierarchies are here as `name=systemd`.
    pub v1: BTreeMap<String, PathBuf>,
    /// Version 2: where the unified hierarchy is mounted.
    pub unified: Option<PathBuf>,
}

/// The mount options of a hierarchy that name no controller.
const NO_CONTROLLER: &[&str] =
    &["rw", "ro", "xattr", "clone_children", "noprefix", "release_agent", "cpuset_v2_mode", "favordynmods"];

impl Hierarchies {
    /// Looks at this process's mounts.
    pub fn detect() -> io::Result<Self> {
        Ok(Self::of(&parse_mountinfo(&fs::read("/proc/self/mountinfo")?)))
    }

    /// Those among `mounts`. Of several mounts of a hierarchy the first whole one counts.
    #[must_use]
    pub fn of(mounts: &[Mount]) -> Self {
        let mut found = Self::default();
        // A container sees a part of a hierarchy where the whole is not to be had.
        let whole = |mount: &&Mount| mount.root == Path::new("/");
        for mount in mounts.iter().filter(whole).chain(mounts.iter().filter(|mount| !whole(mount))) {
            match mount.kind.as_str() {
                "cgroup2" => {
                    found.unified.get_or_insert_with(|| mount.target.clone());
                }
                "cgroup" => {
                    let names = mount.super_options.iter().map(String::as_str);
                    for name in
                        names.filter(|name| !NO_CONTROLLER.contains(name) && !name.contains("release_agent="))
                    {
                        found.v1.entry(name.to_owned()).or_insert_with(|| mount.target.clone());
                    }
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchies(lines: &[&str]) -> Hierarchies {
        Hierarchies::of(&parse_mountinfo(lines.join("\n").as_bytes()))
    }

    fn check(lines: &[&str], v1: &[(&str, &str)], unified: Option<&str>) {
        let expected = Hierarchies {
            v1: v1.iter().map(|(name, path)| ((*name).to_owned(), PathBuf::from(path))).collect(),
            unified: unified.map(PathBuf::from),
        };
        assert_eq!(hierarchies(lines), expected);
    }

    #[test]
    fn hierarchies_are_found() {
        check(&["1 2 0:1 / / rw - ext4 /dev/vda rw"], &[], None);
        check(
            &["30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate"],
            &[],
            Some("/sys/fs/cgroup"),
        );
        check(
            &[
                "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755",
                "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
                "33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd",
                "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
            ],
            &[
                ("cpu", "/sys/fs/cgroup/cpu,cpuacct"),
                ("cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
                ("name=systemd", "/sys/fs/cgroup/systemd"),
            ],
            Some("/sys/fs/cgroup/unified"),
        );
    }

    #[test]
    fn a_part_of_a_hierarchy_counts_only_where_the_whole_is_missing() {
        let part = "32 31 0:29 /docker/a /mnt/cpu rw - cgroup cgroup rw,cpu";
        check(&[part], &[("cpu", "/mnt/cpu")], None);
        check(
            &[part, "33 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"],
            &[("cpu", "/sys/fs/cgroup/cpu")],
            None,
        );
    }
}
