//! Which containers this agent's machine may still have something of: a mark for each under the runtime directory.
//!
//! Containers of an agent that died are adopted where its records name them. What has a mark and no record is an orphan,
//! and is destroyed. Cgroups without a mark may be those of another agent on this machine, and are left alone.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use fail_point::fail_point;
use types::ContainerId;

use crate::cgroups::Cgroups;
use crate::config::Config;
use crate::entries::root_of;
use crate::process::{Process, Signs, kill_now};

impl Config {
    fn marks(&self) -> Option<PathBuf> {
        Some(self.runtime_dir.as_ref()?.join("containers"))
    }

    /// Kills what is left of containers in an orphan that no cgroup names.
    fn kill_nested(&self, orphan: &ContainerId) {
        let below = self.remains().into_iter().filter(|remains| root_of(&remains.container) == orphan);
        for (container, pid) in below.filter_map(|remains| Some((remains.container, remains.pid?))) {
            if let Some(process) = Process::read(pid).filter(|_| self.is_watcher(pid, &container)) {
                let signs = Signs {
                    leader: pid,
                    started: Some(process.started),
                    // No process has this one, since every sandbox has a path.
                    sandbox: String::new(),
                    cgroups: None,
                };
                kill_now(&signs, self.destroy_timeout);
            }
        }
    }

    /// Removes what was provided for a container that has ended. Blocks.
    pub(crate) fn remove_root(&self, container: &ContainerId) {
        if let Some(provisioner) = &self.provisioner {
            provisioner.destroy(container);
        }
    }

    /// Marks a container, before anything is made for it.
    pub(crate) fn mark(&self, container: &ContainerId) -> io::Result<()> {
        match self.place(container) {
            Some(place) => fs::create_dir_all(place),
            None => Ok(()),
        }
    }

    /// Takes the mark away, once nothing is left.
    pub(crate) fn unmark(&self, container: &ContainerId) {
        let Some(mark) = self.place(container) else { return };
        match fs::remove_dir_all(&mark) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(mark = %mark.display(), %error, "cannot forget a container");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Who has a mark and is not `known`.
    pub(crate) fn orphans(&self, known: &BTreeSet<ContainerId>) -> Vec<ContainerId> {
        let Some(entries) = self.marks().and_then(|marks| fs::read_dir(marks).ok()) else {
            return Vec::new();
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let orphan = |id: &ContainerId| !known.contains(id) && !self.is_standalone(id);
        names.map(ContainerId::root).filter(orphan).collect()
    }

    /// Which containers have roots without being `known`. The others' are taken note of.
    pub(crate) fn roots_left(&self, known: &BTreeSet<ContainerId>) -> Vec<ContainerId> {
        let Some(provisioner) = &self.provisioner else { return Vec::new() };
        provisioner.recover(|root| known.contains(root) || self.is_standalone(root))
    }

    /// Destroys them, and then the roots. Blocks.
    pub(crate) fn destroy_orphans(&self, orphans: &[ContainerId], roots: &[ContainerId]) {
        for orphan in orphans {
            tracing::info!(container = %orphan, "destroying an orphaned container");
            self.kill_nested(orphan);
            let left = Cgroups::of(self, orphan).map(|cgroups| cgroups.destroy()).unwrap_or_default();
            match left.is_empty() {
                true => self.unmark(orphan),
                false => tracing::error!(container = %orphan, pids = ?left, "an orphan cannot be killed"),
            }
            fail_point("recovery.orphan_destroyed");
        }
        for root in roots {
            tracing::info!(container = %root, "removing the root of an orphaned container");
            self.remove_root(root);
        }
    }
}
