//! Our containerizer as the agent uses it, one container after the other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use containerizer::{Config, Containerizer, Isolation, Limits, Notice, Program, Settings, Spec, facts};
use fetcher::Fetcher;
use proto::mesos::v1::{Resource, value};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use types::ContainerId;

/// What containers of the contest are isolated by: all cgroups that the machine has, and three namespaces.
pub(crate) const ISOLATION: &str = "filesystem/linux,cgroups/all,namespaces/pid,namespaces/ipc";

/// A containerizer of its own.
pub(crate) struct Ours {
    runtime: Runtime,
    containerizer: Containerizer,
    notices: mpsc::Receiver<Notice>,
    home: PathBuf,
    program: PathBuf,
    /// Where its containers' cgroups are, in each hierarchy once.
    pub(crate) parents: Vec<PathBuf>,
}

impl Ours {
    pub(crate) fn new(isolation: &str, home: &Path, root: &str, program: &Path) -> anyhow::Result<Self> {
        let facts = facts();
        let isolation = Isolation::parse(isolation, Some("linux"), &facts)?;
        let settings = Settings { cgroups_root: root.to_owned(), ..Settings::new(isolation) };
        let fetcher = Fetcher::new(fetcher::Config {
            cache_dir: home.join("cache"),
            cache_bytes_max: 1 << 20,
            stall_timeout: Duration::from_secs(5),
            frameworks_home: String::new(),
            hadoop: None,
            limits: fetcher::Limits::default(),
        })
        .context("the fetcher")?;
        let parents = facts.hierarchies.values().map(|hierarchy| Path::new(hierarchy).join(root));
        let mut parents: Vec<_> = parents.collect();
        parents.sort();
        parents.dedup();
        let config = Config {
            settings,
            facts,
            runtime_dir: Some(home.join("run")),
            ..Config::posix(e2e::binary(), Arc::new(fetcher))
        };
        let (sender, notices) = mpsc::channel(16);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let containerizer = Containerizer::new(config, sender);
        Ok(Self {
            runtime,
            containerizer,
            notices,
            home: home.to_owned(),
            program: program.to_owned(),
            parents,
        })
    }

    /// Launches a container, waits for its end and until nothing is left of it.
    pub(crate) fn launch(&mut self, id: &str, argv: &[&str]) -> anyhow::Result<()> {
        self.start(id, argv, 0.5)?;
        self.ended(Some(0))
    }

    /// Starts a container of so many cpus; its first process.
    pub(crate) fn start(&mut self, id: &str, argv: &[&str], cpus: f64) -> anyhow::Result<u32> {
        let directory = self.home.join("sandboxes").join(id);
        fs::create_dir_all(&directory)?;
        let sandbox = directory.to_string_lossy().into_owned();
        let spec = Spec {
            container: ContainerId::root(id),
            directory,
            user: None,
            uris: Vec::new(),
            program: Program {
                path: self.program.clone().into(),
                argv: argv.iter().map(OsString::from).collect(),
            },
            environment: vec![("PATH".to_owned(), "/bin".to_owned()), ("MESOS_SANDBOX".to_owned(), sandbox)],
            resources: vec![scalar("cpus", cpus), scalar("mem", 64.0)],
            limits: Limits::new(),
            volumes: Vec::new(),
            info: None,
            is_command_task: false,
            image: None,
            forked_pid_path: None,
            by_name: None,
        };
        let _runs = self.runtime.enter();
        self.containerizer.launch(spec);
        match self.notices.blocking_recv().context("the containerizer is gone")? {
            Notice::Launched { pid, .. } => Ok(pid),
            other => bail!("a container did not start: {other:?}"),
        }
    }

    /// Ends a container.
    pub(crate) fn destroy(&mut self, id: &str) -> anyhow::Result<()> {
        let _runs = self.runtime.enter();
        self.containerizer.destroy(&ContainerId::root(id));
        self.ended(None)
    }

    /// Waits until a container is over, with this wait status if one is given.
    fn ended(&mut self, status: Option<i32>) -> anyhow::Result<()> {
        match self.notices.blocking_recv().context("the containerizer is gone")? {
            Notice::Exited { termination, .. } if status.is_none() || termination.status == status => Ok(()),
            other => bail!("a container ended so: {other:?}"),
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        for parent in &self.parents {
            // What is still in use tells of a launch that failed, and that has been told.
            let _ = linux::Cgroup::at(parent).destroy(Duration::from_secs(5));
        }
    }
}

fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value }),
        ..Resource::default()
    }
}

/// The counts of what a run must not leave behind: mounts, cgroups below `root`, processes of this machine with `sign` in
/// their environment.
pub(crate) fn left_behind(root: &str, sign: &str) -> BTreeMap<String, usize> {
    let mut left = BTreeMap::new();
    for hierarchy in facts().hierarchies.values() {
        let cgroups = below(&Path::new(hierarchy).join(root));
        if cgroups > 0 {
            left.insert(format!("cgroups in {hierarchy}"), cgroups);
        }
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().filter(|entry| {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        !environment.is_empty() && contains(&environment, sign.as_bytes())
    });
    let processes = processes.count();
    if processes > 0 {
        left.insert("processes".to_owned(), processes);
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mounts.lines().filter(|line| line.contains(sign)).count();
    if mounts > 0 {
        left.insert("mounts".to_owned(), mounts);
    }
    left
}

/// Cgroups below one.
fn below(cgroup: &Path) -> usize {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_dir()).map(|entry| 1 + below(&entry.path())).sum()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
