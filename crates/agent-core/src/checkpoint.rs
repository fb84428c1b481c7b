//! What the agent keeps on disk, file by file, in the layout and bytes of Mesos.
//!
//! A protobuf record is a native-endian `u32` length and the message; a task's
//! updates are an append-only sequence of them; addresses are text; markers are
//! empty files; resources are in the form of before reservations could be refined,
//! so that an older agent may take over (as observed of Mesos). [`Recovered`](crate::Recovered) reads all of it back.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use proto::mesos::internal::{StatusUpdateRecord, UpdateOperationStatusRecord};
use proto::mesos::v1;
use types::{AgentId, ContainerId, ExecutorId, FrameworkId, Pid, TaskId, Uuid};

/// What a record must outlive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outlives {
    /// The agent's process. No run outlives its machine, so that what is kept of one need not either.
    Process,
    /// The machine: a loss of power.
    Machine,
}

/// One thing to keep on disk.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// `slave.info`: this agent, with its id.
    AgentInfo(Box<v1::AgentInfo>),
    /// `meta/slaves/latest`: which agent id this machine has.
    LatestAgent(AgentId),
    /// `meta/slaves/latest` goes: the next start is that of a new agent.
    NoAgent,
    /// `framework.info`.
    FrameworkInfo(FrameworkPath, Box<v1::FrameworkInfo>),
    /// `framework.pid`: its driver's address; none for a framework over HTTP.
    FrameworkPid(FrameworkPath, Option<Pid>),
    /// `executor.info`.
    ExecutorInfo(ExecutorPath, Box<v1::ExecutorInfo>),
    /// `executor_generated_for_command_task`: whether the agent made it for one command task.
    CommandTask(ExecutorPath, bool),
    /// `runs/latest`: which run of an executor is the current one; it makes the run's
    /// directory too.
    LatestRun(RunPath),
    /// `http.marker`: the executor speaks v1.
    HttpMarker(RunPath),
    /// `pids/libprocess.pid`: the executor's driver's address.
    LibprocessPid(RunPath, Pid),
    /// `executor.sentinel`: the run is over and all its updates are acknowledged.
    Sentinel(RunPath),
    /// `task.info`.
    TaskInfo(RunPath, Box<v1::Task>),
    /// One more record of `task.updates`.
    TaskUpdate(RunPath, TaskId, Box<StatusUpdateRecord>),
    /// `resources_and_operations.target`: reservations, volumes and operations as they are to be.
    ResourceStateTarget(Box<ResourceState>),
    /// `resources_and_operations.state`: the target is reached.
    CommitResourceState,
    /// `resources.target`: reservations and volumes as they are to be, for agents of before operations had feedback.
    ResourcesTarget(Vec<v1::Resource>),
    /// `resources.info`: the target is reached.
    CommitResources,
    /// One more record of `operation.updates`.
    OperationUpdate(AgentId, Uuid, Box<UpdateOperationStatusRecord>),
    /// The directory of an operation's updates goes.
    NoOperation(AgentId, Uuid),
    /// `drain.config`: the agent lets its tasks go.
    DrainConfig(AgentId, v1::DrainConfig),
    /// `drain.config` goes: it has let them go.
    NoDrainConfig(AgentId),
    /// `meta/boot_id`: what the kernel calls the boot in which an agent has recovered. No process of another lives.
    BootId(String),
}

/// The message of `resources_and_operations.state`.
#[derive(Clone, PartialEq, Message)]
pub struct ResourceState {
    /// Operations whose last status is not acknowledged yet.
    #[prost(message, repeated, tag = "1")]
    pub operations: Vec<v1::Operation>,
    /// Reservations and volumes that operations made.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<v1::Resource>,
}

/// Where a framework's files are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameworkPath {
    /// The agent they belong to.
    pub agent: AgentId,
    /// The framework.
    pub framework: FrameworkId,
}

/// Where an executor's files are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExecutorPath {
    /// Its framework's place.
    pub framework: FrameworkPath,
    /// The executor.
    pub executor: ExecutorId,
}

/// Where the files of one run of an executor are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunPath {
    /// Its executor's place.
    pub executor: ExecutorPath,
    /// The run's container.
    pub container: ContainerId,
}

/// What to do to a record's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Write a temporary file, rename it over the old one.
    Replace(Bytes),
    /// Append.
    Append(Bytes),
    /// Make it if it does not exist, empty.
    Touch,
    /// Make the directory `target` with its parents, then put a symbolic link to it in
    /// place of the old one.
    Link {
        /// The directory, an absolute path.
        target: String,
    },
    /// Delete it if it exists.
    Remove,
    /// Delete the directory with all that is in it, if it exists.
    RemoveDirectory,
    /// Put the file `from` in its place.
    Rename {
        /// The other file, an absolute path.
        from: String,
    },
}

impl FrameworkPath {
    /// `<root>/slaves/<agent>/frameworks/<framework>`, where the root is the work directory
    /// for sandboxes and its `meta` for records.
    #[must_use]
    pub fn under(&self, root: &str) -> String {
        format!("{root}/slaves/{}/frameworks/{}", self.agent, self.framework)
    }
}

impl ExecutorPath {
    /// `.../executors/<executor>`
    #[must_use]
    pub fn under(&self, root: &str) -> String {
        format!("{}/executors/{}", self.framework.under(root), self.executor)
    }
}

impl RunPath {
    /// `.../runs/<container>`
    #[must_use]
    pub fn under(&self, root: &str) -> String {
        format!("{}/runs/{}", self.executor.under(root), self.container.value)
    }

    /// The run's `pids/forked.pid`, which the containerizer writes.
    #[must_use]
    pub fn forked_pid(&self, work_dir: &str) -> String {
        format!("{}/pids/forked.pid", self.under(&meta(work_dir)))
    }
}

/// The directory of all records.
#[must_use]
pub fn meta(work_dir: &str) -> String {
    format!("{work_dir}/meta")
}

impl Record {
    /// The absolute path of the file.
    #[must_use]
    pub fn path(&self, work_dir: &str) -> String {
        let meta = &meta(work_dir);
        match self {
            Self::AgentInfo(info) => {
                let id = info.id.as_ref().map_or("", |id| &id.value);
                format!("{meta}/slaves/{id}/slave.info")
            }
            Self::LatestAgent(_) | Self::NoAgent => format!("{meta}/slaves/latest"),
            Self::FrameworkInfo(at, _) => format!("{}/framework.info", at.under(meta)),
            Self::FrameworkPid(at, _) => format!("{}/framework.pid", at.under(meta)),
            Self::ExecutorInfo(at, _) => format!("{}/executor.info", at.under(meta)),
            Self::CommandTask(at, _) => format!("{}/executor_generated_for_command_task", at.under(meta)),
            Self::LatestRun(at) => format!("{}/runs/latest", at.executor.under(meta)),
            Self::HttpMarker(at) => format!("{}/http.marker", at.under(meta)),
            Self::LibprocessPid(at, _) => format!("{}/pids/libprocess.pid", at.under(meta)),
            Self::Sentinel(at) => format!("{}/executor.sentinel", at.under(meta)),
            Self::TaskInfo(at, task) => format!("{}/tasks/{}/task.info", at.under(meta), task.task_id.value),
            Self::TaskUpdate(at, task, _) => format!("{}/tasks/{task}/task.updates", at.under(meta)),
            Self::ResourceStateTarget(_) => format!("{meta}/resources/resources_and_operations.target"),
            Self::CommitResourceState => format!("{meta}/resources/resources_and_operations.state"),
            Self::ResourcesTarget(_) => format!("{meta}/resources/resources.target"),
            Self::CommitResources => format!("{meta}/resources/resources.info"),
            Self::OperationUpdate(agent, uuid, _) => {
                format!("{meta}/slaves/{agent}/operations/{uuid}/operation.updates")
            }
            Self::NoOperation(agent, uuid) => format!("{meta}/slaves/{agent}/operations/{uuid}"),
            Self::DrainConfig(agent, _) | Self::NoDrainConfig(agent) => {
                format!("{meta}/slaves/{agent}/drain.config")
            }
            Self::BootId(_) => format!("{meta}/boot_id"),
        }
    }

    /// What it must outlive. The last word on a task is one that its framework waits for also after a loss of power; all
    /// else of a run is about processes that are gone then. (Mesos syncs none of these.)
    #[must_use]
    pub fn outlives(&self) -> Outlives {
        match self {
            Self::AgentInfo(_)
            | Self::LatestAgent(_)
            | Self::NoAgent
            | Self::ResourceStateTarget(_)
            | Self::CommitResourceState
            | Self::ResourcesTarget(_)
            | Self::CommitResources
            | Self::OperationUpdate(..)
            | Self::NoOperation(..)
            | Self::DrainConfig(..)
            | Self::NoDrainConfig(_) => Outlives::Machine,
            Self::TaskUpdate(_, _, record) => match &record.update {
                Some(update) if types::is_terminal(update.status.state()) => Outlives::Machine,
                Some(_) | None => Outlives::Process,
            },
            Self::FrameworkInfo(..)
            | Self::FrameworkPid(..)
            | Self::ExecutorInfo(..)
            | Self::CommandTask(..)
            | Self::LatestRun(_)
            | Self::HttpMarker(_)
            | Self::LibprocessPid(..)
            | Self::Sentinel(_)
            | Self::TaskInfo(..)
            // What is lost of it with the machine would not be that of the next boot either.
            | Self::BootId(_) => Outlives::Process,
        }
    }

    /// The files without which this one cannot be read back. One that outlives the machine takes them with it.
    #[must_use]
    pub fn rests_on(&self, work_dir: &str) -> Vec<String> {
        let meta = &meta(work_dir);
        match self {
            Self::TaskUpdate(run, task, _) => vec![
                format!("{}/framework.info", run.executor.framework.under(meta)),
                format!("{}/executor.info", run.executor.under(meta)),
                format!("{}/tasks/{task}/task.info", run.under(meta)),
            ],
            _ => Vec::new(),
        }
    }

    /// What to do to the file. Its directory is made first, with its parents.
    #[must_use]
    pub fn write(&self, work_dir: &str) -> Write {
        match self {
            Self::AgentInfo(info) => {
                let mut info = (**info).clone();
                downgrade(&mut info.resources);
                Write::Replace(frame(&info))
            }
            Self::LatestAgent(id) => Write::Link { target: format!("{}/slaves/{id}", meta(work_dir)) },
            Self::FrameworkInfo(_, info) => Write::Replace(frame(&**info)),
            Self::NoAgent => Write::Remove,
            // COMPAT(mesos): the address of nobody prints as "@0.0.0.0:0".
            Self::FrameworkPid(_, pid) => Write::Replace(Bytes::from(
                pid.as_ref().map_or_else(|| "@0.0.0.0:0".to_owned(), ToString::to_string),
            )),
            Self::ExecutorInfo(_, info) => {
                let mut info = (**info).clone();
                downgrade(&mut info.resources);
                Write::Replace(frame(&info))
            }
            Self::CommandTask(_, yes) => Write::Replace(Bytes::from_static(if *yes { b"1" } else { b"0" })),
            Self::LatestRun(at) => Write::Link { target: at.under(&meta(work_dir)) },
            Self::HttpMarker(_) | Self::Sentinel(_) => Write::Touch,
            Self::LibprocessPid(_, pid) => Write::Replace(Bytes::from(pid.to_string())),
            Self::TaskInfo(_, task) => {
                let mut task = (**task).clone();
                downgrade(&mut task.resources);
                Write::Replace(frame(&task))
            }
            Self::TaskUpdate(_, _, update) => Write::Append(frame(&**update)),
            // COMPAT(mesos): the newer file has its resources in the newer form.
            Self::ResourceStateTarget(state) => Write::Replace(frame(&**state)),
            Self::ResourcesTarget(resources) => {
                let mut resources = resources.clone();
                downgrade(&mut resources);
                Write::Replace(resources.iter().flat_map(frame).collect())
            }
            Self::CommitResourceState => {
                Write::Rename { from: Self::ResourceStateTarget(Box::default()).path(work_dir) }
            }
            Self::CommitResources => Write::Rename { from: Self::ResourcesTarget(Vec::new()).path(work_dir) },
            Self::OperationUpdate(_, _, record) => Write::Append(frame(&**record)),
            Self::NoOperation(..) => Write::RemoveDirectory,
            Self::DrainConfig(_, config) => Write::Replace(frame(config)),
            Self::NoDrainConfig(_) => Write::Remove,
            Self::BootId(boot) => Write::Replace(Bytes::from(boot.clone())),
        }
    }
}

/// Brings resources into the form that masters and agents of every age read. Refined
/// reservations have no such form and stay as they are, as with C++ agents.
pub(crate) fn downgrade(resources: &mut [v1::Resource]) {
    for resource in resources {
        let mut old = resource.clone();
        if resources::format::convert(&mut old, resources::Format::PreRefinement).is_ok() {
            *resource = old;
        }
    }
}

/// A record as it lies in a file: its length as a native-endian `u32`, and its bytes.
pub(crate) fn frame(message: &impl Message) -> Bytes {
    let size = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(size + 4);
    bytes.put_u32_ne(u32::try_from(size).expect("a record is far below 4 GiB"));
    message.encode(&mut bytes).expect("the buffer grows");
    bytes.freeze()
}

/// Cuts a file into its records. The tail that a crash left in the middle of one is left out.
pub(crate) fn unframe(bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    let mut rest = bytes;
    while let Some((record, tail)) = split_record(rest) {
        records.push(record);
        rest = tail;
    }
    records
}

/// How many bytes of a file of records are whole records. What follows is a write that a crash or a full disk cut
/// short; it must go before anything is appended, or nothing after it could be read.
#[must_use]
pub fn whole_records_bytes(bytes: &[u8]) -> usize {
    unframe(bytes).iter().map(|record| 4 + record.len()).sum()
}

fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_ne_bytes(*size)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunPath {
        let framework = FrameworkPath { agent: "m-S0".into(), framework: "m-0000".into() };
        RunPath {
            executor: ExecutorPath { framework, executor: "e".into() },
            container: ContainerId::root("c"),
        }
    }

    #[test]
    fn paths_are_those_of_mesos() {
        let base = "/w/meta/slaves/m-S0/frameworks/m-0000/executors/e/runs";
        let link = Record::LatestRun(run());
        assert_eq!(link.path("/w"), format!("{base}/latest"));
        assert_eq!(link.write("/w"), Write::Link { target: format!("{base}/c") });
        assert_eq!(Record::HttpMarker(run()).path("/w"), format!("{base}/c/http.marker"));
        assert_eq!(run().forked_pid("/w"), format!("{base}/c/pids/forked.pid"));
        let update = StatusUpdateRecord::default();
        assert_eq!(
            Record::TaskUpdate(run(), "t".into(), Box::new(update)).path("/w"),
            format!("{base}/c/tasks/t/task.updates")
        );
    }

    #[test]
    fn the_last_word_on_a_task_outlives_the_machine() {
        let update = |state: v1::TaskState| {
            let status = v1::TaskStatus { state: state.into(), ..v1::TaskStatus::default() };
            let update = proto::mesos::internal::StatusUpdate { status, ..Default::default() };
            let record = StatusUpdateRecord { update: Some(update), ..StatusUpdateRecord::default() };
            Record::TaskUpdate(run(), "t".into(), Box::new(record))
        };
        let acknowledged = Record::TaskUpdate(run(), "t".into(), Box::default());
        let state = Record::ResourceStateTarget(Box::default());
        assert_eq!(update(v1::TaskState::TaskRunning).outlives(), Outlives::Process);
        assert_eq!(acknowledged.outlives(), Outlives::Process);
        assert_eq!(Record::LatestRun(run()).outlives(), Outlives::Process);
        assert_eq!(state.outlives(), Outlives::Machine);
        let last = update(v1::TaskState::TaskFinished);
        assert_eq!(last.outlives(), Outlives::Machine);
        let framework = "/w/meta/slaves/m-S0/frameworks/m-0000";
        let below = format!("{framework}/executors/e");
        let files = [
            format!("{framework}/framework.info"),
            format!("{below}/executor.info"),
            format!("{below}/runs/c/tasks/t/task.info"),
        ];
        assert_eq!(last.rests_on("/w"), files);
    }

    #[test]
    fn resources_are_written_in_the_old_form() {
        let reservation = v1::resource::ReservationInfo {
            role: Some("prod".to_owned()),
            r#type: Some(v1::resource::reservation_info::Type::Static.into()),
            ..Default::default()
        };
        let resource = v1::Resource {
            name: "cpus".to_owned(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value: 1.0 }),
            reservations: vec![reservation],
            ..Default::default()
        };
        let info = v1::ExecutorInfo { resources: vec![resource.clone()], ..Default::default() };
        let Write::Replace(file) = Record::ExecutorInfo(run().executor, Box::new(info)).write("/w") else {
            panic!("records of info are replaced");
        };
        let mut read = v1::ExecutorInfo::decode(unframe(&file)[0]).expect("decodes");
        assert_eq!((read.resources[0].role(), read.resources[0].reservations.len()), ("prod", 0));
        resources::format::upgrade_all(&mut read.resources);
        assert_eq!(read.resources, [resource]);
    }

    #[test]
    fn records_are_cut_where_they_were_joined() {
        let one = frame(&v1::TaskId { value: "a".to_owned() });
        let mut file = one.to_vec();
        file.extend_from_slice(&frame(&v1::TaskId { value: "bc".to_owned() }));
        assert_eq!((unframe(&file).len(), whole_records_bytes(&file)), (2, file.len()));
        for cut in 1..6 {
            let torn = &file[..file.len() - cut];
            let records = unframe(torn);
            assert_eq!((records.len(), whole_records_bytes(torn)), (1, 7), "{cut}");
            assert_eq!(v1::TaskId::decode(records[0]).expect("decodes").value, "a");
        }
    }
}
