//! What a restarted agent finds on its disk, assembled from the files.
//!
//! The shell hands over every file and link below `meta/slaves/<latest>`, and those of `meta/resources`; what
//! cannot be read is counted in [`Recovered::errors`] and left out, so that the
//! shell may refuse to start (`--strict`) or go on without.

use std::collections::BTreeMap;
use std::str::FromStr;

use prost::Message;
use proto::mesos::internal::{StatusUpdateRecord, UpdateOperationStatusRecord};
use proto::mesos::slave::ContainerTermination;
use proto::mesos::v1;
use resources::format::upgrade_all;
use resources::{Resource, Resources};
use types::{AgentId, ContainerId, Pid, Uuid};

use crate::checkpoint::{ResourceState, unframe, whole_records_bytes};
use crate::volumes;

/// The agent's state on disk. The default is that of a new machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// This agent, with its id. None where it never registered, or starts anew.
    pub agent: Option<v1::AgentInfo>,
    /// The machine rebooted since: no container lives.
    pub rebooted: bool,
    /// What the kernel calls this boot, to be noted once recovery is over. None where it does not tell, or it is noted.
    pub boot: Option<String>,
    /// Other agents that this machine was, of which something is left.
    pub former: Vec<AgentId>,
    /// Directories of frameworks, executors and runs of this agent of which nothing else is known, below its own: those of
    /// frameworks that do not checkpoint, and those whose removal was cut short.
    pub leftovers: Vec<String>,
    /// The frameworks that checkpoint, by id.
    pub frameworks: Vec<RecoveredFramework>,
    /// Reservations, volumes and operations. They outlive the agent's id.
    pub resources: RecoveredResources,
    /// What was said and heard of operations, by operation.
    pub operation_updates: Vec<(Uuid, Vec<UpdateOperationStatusRecord>)>,
    /// What the agent was told when it began to drain.
    pub drain: Option<v1::DrainConfig>,
    /// Containers that were asked for by name and of which something is left. The shell knows them from the runtime
    /// directory, which is no part of the files below `meta`.
    pub nested: Vec<RecoveredContainer>,
    /// What could not be read, in words.
    pub errors: Vec<String>,
    /// The files that did not reach the disk whole before the machine went down, as paths below the agent's directory:
    /// nothing that outlives it. The shell deletes them, or they would be errors once the machine has not rebooted.
    pub lost: Vec<String>,
}

/// A container that an earlier agent was asked for by name.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredContainer {
    /// Its id.
    pub container: ContainerId,
    /// Its sandbox.
    pub directory: String,
    /// Whom it runs as.
    pub user: Option<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// Its first process, if it got that far.
    pub pid: Option<u32>,
    /// How it ended, if it had.
    pub ended: Option<ContainerTermination>,
    /// Whether it was a session, which ends with the agent that it was opened at.
    pub is_session: bool,
}

/// Reservations, volumes and operations on disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecoveredResources {
    /// What was reached last.
    pub committed: Vec<v1::Resource>,
    /// What was to be reached when the agent died.
    pub target: Option<Vec<v1::Resource>>,
    /// The operations that belong to it.
    pub operations: Vec<v1::Operation>,
}

impl RecoveredResources {
    /// What there must be: the target, once it was written down.
    #[must_use]
    pub fn intended(&self) -> &[v1::Resource] {
        self.target.as_deref().unwrap_or(&self.committed)
    }

    /// Why an agent with these flags cannot have what was checkpointed.
    pub fn check(&self, configured: &[v1::Resource], work_dir: &str) -> Result<(), String> {
        let configured = Resources::from_checked_protos(configured);
        let checkpointed = Resources::from_checked_protos(self.intended());
        let total = configured.with_checkpointed(&checkpointed).map_err(|why| why.to_string());
        let checked = total.and_then(|total| volumes::directories(work_dir, &total));
        checked.map(|_| ()).map_err(|why| {
            format!(
                "Checkpointed resources {checkpointed} are incompatible with agent resources {configured}: {why}"
            )
        })
    }
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
    /// relative to it (`frameworks/F/framework.info`), and those below `meta/resources`, by
    /// their paths relative to `meta` (`resources/resources.info`).
    #[must_use]
    pub fn from_files(files: &BTreeMap<String, Entry>, rebooted: bool) -> Self {
        let mut reader = Reader { files, rebooted, errors: Vec::new(), lost: Vec::new() };
        let mut agent: Option<v1::AgentInfo> = reader.message("slave.info");
        agent.iter_mut().for_each(|agent| upgrade_all(&mut agent.resources));
        let frameworks = if agent.is_some() {
            let ids = reader.children("frameworks/");
            ids.iter().filter_map(|id| reader.framework(&format!("frameworks/{id}/"))).collect()
        } else {
            Vec::new()
        };
        let resources = reader.resources();
        let operation_updates = reader.operation_updates();
        let drain = reader.message("drain.config").filter(|_| agent.is_some());
        let Reader { errors, mut lost, .. } = reader;
        lost.sort_unstable();
        lost.dedup();
        Self {
            agent,
            rebooted,
            frameworks,
            resources,
            operation_updates,
            drain,
            errors,
            lost,
            ..Self::default()
        }
    }

    /// What is left for an agent that begins anew on this machine.
    #[must_use]
    pub fn for_new_agent(self) -> Self {
        let mut former = self.former;
        former.extend(self.agent.and_then(|agent| agent.id).as_ref().map(AgentId::from));
        Self { resources: self.resources, boot: self.boot, former, ..Self::default() }
    }

    /// The containers that may live: what else is found of containers is an orphan.
    pub fn containers(&self) -> impl Iterator<Item = ContainerId> + '_ {
        let executors = self.frameworks.iter().flat_map(|framework| &framework.executors);
        let runs = executors.flat_map(|executor| &executor.runs);
        let live = runs.filter(|run| !self.rebooted && run.latest && !run.completed);
        live.map(RecoveredRun::container_id)
    }
}

struct Reader<'a> {
    files: &'a BTreeMap<String, Entry>,
    rebooted: bool,
    errors: Vec<String>,
    lost: Vec<String>,
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

    /// A file is no record. What is kept of a run need not outlive the machine.
    fn failed(&mut self, path: &str) {
        let missed = self.rebooted && path.starts_with("frameworks/");
        if missed {
            self.lost.push(path.to_owned());
        } else {
            self.errors.push(format!("Failed to read '{path}'"));
        }
    }

    /// What is below a file that a loss of power took can never be read, and had not to outlive it: but with a new file
    /// in that place it would be found.
    fn give_up<T>(&mut self, at: &str) -> Option<T> {
        if self.rebooted {
            let below = self.files.range(at.to_owned()..).map(|(path, _)| path);
            self.lost.extend(below.take_while(|path| path.starts_with(at)).cloned());
        }
        None
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

    /// What a file says in words; an empty one is a crash before the first sync, and none.
    fn word<T: FromStr>(&mut self, path: &str) -> Option<T> {
        let bytes = self.bytes(path).filter(|bytes| !bytes.is_empty())?;
        let word = std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok());
        if word.is_none() {
            self.failed(path);
        }
        word
    }

    /// The first record of a file. An empty file is a crash before the first sync, and none.
    fn message<M: Message + Default>(&mut self, path: &str) -> Option<M> {
        let bytes = self.bytes(path)?;
        if bytes.is_empty() {
            return None;
        }
        let decoded = unframe(bytes).first().and_then(|record| M::decode(*record).ok());
        if decoded.is_none() {
            self.failed(path);
        }
        decoded
    }

    /// The file of resources and operations, or those of an agent of before there was one.
    fn resources(&mut self) -> RecoveredResources {
        let errors = self.errors.len();
        let committed = self.resource_state("resources/resources_and_operations.state");
        let target = self.resource_state("resources/resources_and_operations.target");
        if self.errors.len() > errors {
            // Half of it is worth nothing.
            return RecoveredResources::default();
        }
        if committed.is_some() || target.is_some() {
            let newest = target.as_ref().or(committed.as_ref());
            return RecoveredResources {
                operations: newest.map(|state| state.operations.clone()).unwrap_or_default(),
                target: target.map(|state| state.resources),
                committed: committed.map(|state| state.resources).unwrap_or_default(),
            };
        }
        let committed = self.resource_list("resources/resources.info");
        let target = self.resource_list("resources/resources.target");
        if self.errors.len() > errors {
            return RecoveredResources::default();
        }
        RecoveredResources { committed: committed.unwrap_or_default(), target, operations: Vec::new() }
    }

    fn resource_state(&mut self, path: &str) -> Option<ResourceState> {
        let mut state: ResourceState = self.message(path)?;
        upgrade_all(&mut state.resources);
        let bad = state.resources.iter().find_map(|resource| Resource::from_proto(resource).err());
        if let Some(why) = bad {
            self.errors.push(format!("Failed to read '{path}': {why}"));
        }
        Some(state)
    }

    fn resource_list(&mut self, path: &str) -> Option<Vec<v1::Resource>> {
        let bytes = self.bytes(path)?;
        let resources: Result<Vec<v1::Resource>, _> =
            unframe(bytes).into_iter().map(v1::Resource::decode).collect();
        let whole = whole_records_bytes(bytes) == bytes.len();
        let mut resources = resources.ok().filter(|_| whole).unwrap_or_else(|| {
            self.errors.push(format!("Failed to read '{path}'"));
            Vec::new()
        });
        upgrade_all(&mut resources);
        Some(resources)
    }

    fn operation_updates(&mut self) -> Vec<(Uuid, Vec<UpdateOperationStatusRecord>)> {
        let mut all = Vec::new();
        for name in self.children("operations/") {
            let path = format!("operations/{name}/operation.updates");
            match name.parse() {
                Ok(uuid) => all.push((uuid, self.records(&path))),
                Err(_) => self.errors.push(format!("Failed to read '{path}': '{name}' is not a UUID")),
            }
        }
        all
    }

    /// The records of a log up to the first that cannot be read. A torn last one was never acted upon, so it is no
    /// loss.
    fn records<M: Message + Default>(&mut self, path: &str) -> Vec<M> {
        let mut all = Vec::new();
        for record in self.bytes(path).map(unframe).unwrap_or_default() {
            let Ok(record) = M::decode(record) else {
                self.failed(path);
                break;
            };
            all.push(record);
        }
        all
    }

    fn framework(&mut self, at: &str) -> Option<RecoveredFramework> {
        let Some(info) = self.message(&format!("{at}framework.info")) else { return self.give_up(at) };
        let pid = self.text(&format!("{at}framework.pid")).and_then(|text| text.parse().ok());
        let ids = self.children(&format!("{at}executors/"));
        let executors = ids.iter().filter_map(|id| self.executor(&format!("{at}executors/{id}/"))).collect();
        Some(RecoveredFramework { info, pid, executors })
    }

    fn executor(&mut self, at: &str) -> Option<RecoveredExecutor> {
        let Some(mut info) = self.message::<v1::ExecutorInfo>(&format!("{at}executor.info")) else {
            return self.give_up(at);
        };
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
            forked_pid: self.word(&format!("{at}pids/forked.pid")),
            libprocess_pid: self.word(&format!("{at}pids/libprocess.pid")),
            tasks: ids.iter().filter_map(|id| self.task(&format!("{at}tasks/{id}/"))).collect(),
        }
    }

    fn task(&mut self, at: &str) -> Option<(v1::Task, Vec<StatusUpdateRecord>)> {
        let Some(mut task) = self.message::<v1::Task>(&format!("{at}task.info")) else {
            return self.give_up(at);
        };
        upgrade_all(&mut task.resources);
        let updates = self.records(&format!("{at}task.updates"));
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
