//! Cgroups of a test's own: their name, what is in them, and their end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

const PATIENCE: Duration = Duration::from_secs(60);

/// A cgroup in each hierarchy, below which an agent puts its containers. Dropping it ends what is left in them, so that
/// it is to be dropped after the agent.
#[derive(Debug)]
pub struct Cgroups {
    name: String,
}

impl Cgroups {
    /// One with a name that no other process has.
    #[must_use]
    pub fn new(test: &str) -> Self {
        Self { name: format!("mesos-e2e-{}-{test}", std::process::id()) }
    }

    /// The flags of an agent with the launcher that makes cgroups.
    #[must_use]
    pub fn flags(&self) -> [String; 2] {
        ["--launcher=linux".to_owned(), format!("--cgroups_root={}", self.name)]
    }

    /// The containers that there are cgroups of, one path per hierarchy.
    #[must_use]
    pub fn containers(&self) -> Vec<PathBuf> {
        let below =
            self.roots().into_iter().flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
        below.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    fn roots(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(top).into_iter().flatten().flatten().map(|entry| entry.path());
        hierarchies.chain([top.to_owned()]).map(|hierarchy| hierarchy.join(&self.name)).collect()
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // The deepest go first.
        let mut cgroups: Vec<PathBuf> = self.roots().iter().flat_map(|root| below(root)).collect();
        cgroups.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
        let lists = cgroups.iter().map(|path| fs::read_to_string(path.join("cgroup.procs")));
        for pid in lists.flatten().flat_map(|list| list.lines().map(str::to_owned).collect::<Vec<_>>()) {
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for path in cgroups {
            // A process that was just killed holds its cgroup a moment longer.
            let gone = || fs::remove_dir(&path).is_ok() || !path.exists();
            eventually("a cgroup is removed", PATIENCE, || gone().then_some(()));
        }
        for root in self.roots() {
            // Most hierarchies have none.
            let _ = fs::remove_dir(root);
        }
    }
}

fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    directories.flat_map(|path| [below(&path), vec![path]].concat()).collect()
}
