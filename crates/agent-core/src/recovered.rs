//! What a restarted agent finds on its disk, assembled from the files.
//!
//! The shell hands over every file and link below `meta/slaves/<latest>`; what
//! cannot be read is counted in [`Recovered::errors`] and left out, so that the
//! shell may refuse to start (`--strict`) or go on without.

use std::collections::BTreeMap;

use prost::Message;
use proto::mesos::internal::StatusUpdateRecord;
use proto::mesos::v1;
use resources::format::upgrade_all;
use types::{ContainerId, Pid};

use crate::checkpoint::unframe;

/// The agent's state on disk. The default is that of a new machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// This agent, with its id. None where it never registered, or starts anew.
    pub agent: Option<v1::AgentInfo>,
    /// The machine rebooted since: no container lives.
    pub rebooted: bool,
    /// The frameworks that checkpoint, by id.
    pub frameworks: Vec<RecoveredFramework>,
    /// What could not be read, in words.
    pub errors: Vec<String>,
}

/// A framework on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredFramework {
    /// `framework.info`.
    pub info: v1::FrameworkInfo,
    /// `framework.pid`, unless the framework speaks HTTP.
    pub pid: Option<Pid>,
    /// Its executors, by id.
    pub executors: Vec<RecoveredExecutor>,
}

/// An executor on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredExecutor {
    /// `executor.info`.
    pub info: v1::ExecutorInfo,
    /// Whether the agent made it for one command task.
    pub command_task: bool,
    /// Its runs, by container.
    pub runs: Vec<RecoveredRun>,
}

/// One run of an executor on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecoveredRun {
    /// The container's value.
    pub container: String,
    /// Whether `runs/latest` leads here.
    pub latest: bool,
    /// Whether the run is over and all its updates were acknowledged.
    pub completed: bool,
    /// Whether the executor speaks v1.
    pub http: bool,
    /// The process forked for it.
    pub forked_pid: Option<u32>,
    /// Its driver's address.
    pub libprocess_pid: Option<Pid>,
    /// Its tasks, by id, each with its updates and acknowledgements in order.
    pub tasks: Vec<(v1::Task, Vec<StatusUpdateRecord>)>,
}

/// A file or link below the agent's directory in `meta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file's bytes.
    File(Vec<u8>),
    /// Where a symbolic link leads.
    Link(String),
}

impl Recovered {
    /// Assembles the state from the files below `meta/slaves/<agent>`, by their paths
    /// relative to it (`frameworks/F/framework.info`).
    #[must_use]
    pub fn from_files(files: &BTreeMap<String, Entry>, rebooted: bool) -> Self {
        let mut reader = Reader { files, errors: Vec::new() };
        let mut agent: Option<v1::AgentInfo> = reader.message("slave.info");
        agent.iter_mut().for_each(|agent| upgrade_all(&mut agent.resources));
        let frameworks = if agent.is_some() {
            let ids = reader.children("frameworks/");
            ids.iter().filter_map(|id| reader.framework(&format!("frameworks/{id}/"))).collect()
        } else {
            Vec::new()
        };
        Self { agent, rebooted, frameworks, errors: reader.errors }
    }
}

struct Reader<'a> {
    files: &'a BTreeMap<String, Entry>,
    errors: Vec<String>,
}

impl Reader<'_> {
    /// The names directly below `prefix`, which ends in a slash.
    fn children(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for path in self.files.range(prefix.to_owned()..).map(|(path, _)| path) {
            let Some(rest) = path.strip_prefix(prefix) else { break };
            let name = rest.split('/').next().unwrap_or_default();
            if names.last().is_none_or(|last| last != name) {
                names.push(name.to_owned());
            }
        }
        names.dedup();
        names
    }

    fn bytes(&self, path: &str) -> Option<&[u8]> {
        match self.files.get(path) {
            Some(Entry::File(bytes)) => Some(bytes),
            Some(Entry::Link(_)) | None => None,
        }
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.bytes(path).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim)
    }

    /// The first record of a file. An empty file is a crash before the first sync, and none.
    fn message<M: Message + Default>(&mut self, path: &str) -> Option<M> {
        let bytes = self.bytes(path)?;
        if bytes.is_empty() {
            return None;
        }
        let decoded = unframe(bytes).first().and_then(|record| M::decode(*record).ok());
        if decoded.is_none() {
            self.errors.push(format!("Failed to read '{path}'"));
        }
        decoded
    }

    fn framework(&mut self, at: &str) -> Option<RecoveredFramework> {
        let info = self.message(&format!("{at}framework.info"))?;
        let pid = self.text(&format!("{at}framework.pid")).and_then(|text| text.parse().ok());
        let ids = self.children(&format!("{at}executors/"));
        let executors = ids.iter().filter_map(|id| self.executor(&format!("{at}executors/{id}/"))).collect();
        Some(RecoveredFramework { info, pid, executors })
    }

    fn executor(&mut self, at: &str) -> Option<RecoveredExecutor> {
        let mut info: v1::ExecutorInfo = self.message(&format!("{at}executor.info"))?;
        upgrade_all(&mut info.resources);
        let command_task = self.text(&format!("{at}executor_generated_for_command_task")) == Some("1");
        let latest = match self.files.get(&format!("{at}runs/latest")) {
            Some(Entry::Link(target)) => target.rsplit('/').next().map(str::to_owned),
            Some(Entry::File(_)) | None => None,
        };
        let containers = self.children(&format!("{at}runs/"));
        let runs = containers
            .iter()
            .filter(|container| *container != "latest")
            .map(|container| {
                let mut run = self.run(&format!("{at}runs/{container}/"), container);
                run.latest = latest.as_deref() == Some(container);
                run
            })
            .collect();
        Some(RecoveredExecutor { info, command_task, runs })
    }

    fn run(&mut self, at: &str, container: &str) -> RecoveredRun {
        let ids = self.children(&format!("{at}tasks/"));
        RecoveredRun {
            container: container.to_owned(),
            latest: false,
            completed: self.files.contains_key(&format!("{at}executor.sentinel")),
            http: self.files.contains_key(&format!("{at}http.marker")),
            forked_pid: self.text(&format!("{at}pids/forked.pid")).and_then(|text| text.parse().ok()),
            libprocess_pid: self.text(&format!("{at}pids/libprocess.pid")).and_then(|text| text.parse().ok()),
            tasks: ids.iter().filter_map(|id| self.task(&format!("{at}tasks/{id}/"))).collect(),
        }
    }

    fn task(&mut self, at: &str) -> Option<(v1::Task, Vec<StatusUpdateRecord>)> {
        let mut task: v1::Task = self.message(&format!("{at}task.info"))?;
        upgrade_all(&mut task.resources);
        let path = format!("{at}task.updates");
        // A torn last record was never acted upon, so it is no loss.
        let records = self.bytes(&path).map(unframe).unwrap_or_default();
        let mut updates = Vec::with_capacity(records.len());
        for record in records {
            let Ok(update) = StatusUpdateRecord::decode(record) else {
                self.errors.push(format!("Failed to read '{path}'"));
                break;
            };
            updates.push(update);
        }
        Some((task, updates))
    }
}

impl RecoveredRun {
    /// The run's container.
    #[must_use]
    pub fn container_id(&self) -> ContainerId {
        ContainerId::root(self.container.as_str())
    }
}
