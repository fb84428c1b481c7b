//! Effects and records on one line each, for golden files and debug logs.

use std::collections::BTreeMap;
use std::fmt;

use proto::json::{Json, Names, to_string};

use crate::checkpoint::Record;
use crate::effect::{ContainerSpec, Effect, Level, RanBy};
use crate::volumes::VolumeMount;

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { to, message } => write!(f, "send {to} {message}"),
            Self::Link { pid, reconnect } => {
                write!(f, "link {pid}{}", if *reconnect { " anew" } else { "" })
            }
            Self::Redetect => f.write_str("redetect"),
            Self::Reply { request, reply } => {
                write!(f, "reply {} {} {:?}", request.0, reply.status.code(), reply.text)
            }
            Self::Answer { request, answer } => write!(f, "answer {} {}", request.0, v1(&**answer)),
            Self::OpenStream { stream } => write!(f, "open {}", stream.0),
            Self::RefuseStream { stream, reply } => {
                write!(f, "refuse {} {} {:?}", stream.0, reply.status.code(), reply.text)
            }
            Self::ExecutorEvent { stream, event } => write!(f, "event {} {}", stream.0, v1(&**event)),
            Self::CloseStream { stream } => write!(f, "close {}", stream.0),
            Self::Checkpoint(record) => write!(f, "checkpoint {record}"),
            Self::SyncVolumes { create, remove } => {
                f.write_str("volumes")?;
                for directory in create {
                    write!(f, " create {}", directory.path)?;
                }
                for directory in remove {
                    write!(f, " {} {}", if directory.is_mount { "empty" } else { "delete" }, directory.path)?;
                }
                Ok(())
            }
            Self::CreateSandbox(sandbox) => {
                write!(f, "create {} for {}", sandbox.path, sandbox.user.as_deref().unwrap_or("-"))
            }
            Self::AttachSandbox(sandbox) => write!(f, "attach {}", sandbox.path),
            Self::Launch(spec) => {
                let (user, task) = (spec.user.as_deref().unwrap_or("-"), spec.task.as_ref());
                write!(f, "launch {} in {} for {user}", spec.container, spec.directory)?;
                write!(f, " task {}", task.map_or("-", |task| &task.task_id.value))?;
                write!(f, " executor {}", v1(&spec.executor_info))?;
                write!(f, "{}{}", Limits(&spec.limits), Volumes(&spec.volumes))
            }
            Self::CreateNestedSandbox { path, user } => {
                write!(f, "create {path} for {}", user.as_deref().unwrap_or("-"))
            }
            Self::LaunchContainer(spec) => show_container(f, spec),
            Self::Signal { container, signal } => write!(f, "signal {signal} {container}"),
            Self::RemoveContainer { request, container, directory } => {
                write!(f, "remove {container} in {directory} for {}", request.0)
            }
            Self::Adopt { container, pid, directory, ran_by } => {
                let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
                let whose = match ran_by {
                    RanBy::Mesos => "",
                    RanBy::Docker { is_task: true } => " (a task of Docker's)",
                    RanBy::Docker { is_task: false } => " (an executor of Docker's)",
                };
                write!(f, "adopt {container} pid {pid} in {directory}{whose}")
            }
            Self::UpdateContainer { container, resources, limits, volumes } => {
                let resources: Vec<String> = resources.iter().map(v1).collect();
                let (limits, volumes) = (Limits(limits), Volumes(volumes));
                write!(f, "update {container} [{}]{limits}{volumes}", resources.join(","))
            }
            Self::Destroy { container } => write!(f, "destroy {container}"),
            Self::RemovePath { path } => write!(f, "remove {path}"),
            Self::Log { level: Level::Info, text } => write!(f, "info {text}"),
            Self::Log { level: Level::Warning, text } => write!(f, "warn {text}"),
            Self::Exit { failure, message } => {
                write!(f, "exit {} {message}", if *failure { "failure" } else { "success" })
            }
        }
    }
}

impl fmt::Display for Record {
    /// The path below the work directory, and what is written there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path("").trim_start_matches('/'))?;
        match self {
            Self::AgentInfo(info) => write!(f, " {}", v0(&**info)),
            Self::LatestAgent(id) => write!(f, " -> {id}"),
            Self::NoAgent => f.write_str(" gone"),
            Self::FrameworkInfo(_, info) => write!(f, " {}", v0(&**info)),
            Self::FrameworkPid(_, Some(pid)) | Self::LibprocessPid(_, pid) => write!(f, " {pid}"),
            Self::FrameworkPid(_, None) => f.write_str(" -"),
            Self::ExecutorInfo(_, info) => write!(f, " {}", v0(&**info)),
            Self::CommandTask(_, yes) => write!(f, " {yes}"),
            Self::LatestRun(at) => write!(f, " -> {}", at.container),
            Self::HttpMarker(_) | Self::Sentinel(_) => Ok(()),
            Self::TaskInfo(_, task) => write!(f, " {}", v0(&**task)),
            Self::TaskUpdate(_, _, update) => write!(f, " {}", v0(&**update)),
            Self::ResourceStateTarget(state) => {
                write!(f, " {} operations {}", list(&state.resources), list(&state.operations))
            }
            Self::ResourcesTarget(resources) => write!(f, " {}", list(resources)),
            Self::CommitResources | Self::CommitResourceState => f.write_str(" <- target"),
            Self::OperationUpdate(_, _, update) => write!(f, " {}", v0(&**update)),
            Self::DrainConfig(_, config) => write!(f, " {}", v0(config)),
            Self::NoOperation(..) | Self::NoDrainConfig(_) => f.write_str(" gone"),
            Self::BootId(boot) => write!(f, " {boot}"),
        }
    }
}

/// The limits of a container, if it has any.
struct Limits<'a>(&'a BTreeMap<String, proto::mesos::v1::value::Scalar>);

impl fmt::Display for Limits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, limit)| write!(f, " {name} limit {}", limit.value))
    }
}

fn show_container(f: &mut fmt::Formatter<'_>, spec: &ContainerSpec) -> fmt::Result {
    let user = spec.user.as_deref().unwrap_or("-");
    write!(f, "launch {} in {} for {user} command {}", spec.container, spec.directory, v1(&spec.command))?;
    if let Some(directory) = &spec.working_directory {
        write!(f, " at {directory}")?;
    }
    for (name, value) in &spec.environment {
        write!(f, " {name}={value}")?;
    }
    if let Some(info) = &spec.container_info {
        write!(f, " container {}", v1(info))?;
    }
    write!(f, "{}{}", Limits(&spec.limits), if spec.is_session { " session" } else { "" })
}

/// The volumes of a container, if it has any.
struct Volumes<'a>(&'a [VolumeMount]);

impl fmt::Display for Volumes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for volume in self.0 {
            write!(f, " volume {} -> {}", volume.container_path, volume.source)?;
        }
        Ok(())
    }
}

fn list<T: Json>(messages: &[T]) -> String {
    format!("[{}]", messages.iter().map(v0).collect::<Vec<_>>().join(","))
}

fn v0<T: Json>(message: &T) -> String {
    to_string(message, Names::V0)
}

fn v1<T: Json>(message: &T) -> String {
    to_string(message, Names::V1)
}
