//! What the agent wants done: the closed list of a core's outputs.
//!
//! Effects are carried out in the order of the buffer. To one peer or stream they
//! keep that order on the wire.

use std::collections::BTreeMap;

use proto::mesos::v1;
use types::{ContainerId, ExecutorId, FrameworkId, Pid};

use crate::checkpoint::Record;
use crate::event::{RequestId, StreamId};
use crate::message::Outgoing;
use crate::volumes::{VolumeDirectory, VolumeMount};

/// An output of the agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A libprocess message from `slave(1)`.
    Send {
        /// The peer.
        to: Pid,
        /// What to say.
        message: Outgoing,
    },
    /// Keep a persistent connection to the peer, and report when it breaks with
    /// [`Event::Exited`](crate::Event::Exited).
    Link {
        /// The peer.
        pid: Pid,
        /// Whether an existing connection is replaced, without a report: the peer
        /// may have restarted at its old address.
        reconnect: bool,
    },
    /// Forget the master and detect again, then send
    /// [`Event::MasterDetected`](crate::Event::MasterDetected).
    Redetect,
    /// The answer to a request.
    Reply {
        /// Which request.
        request: RequestId,
        /// What to answer.
        reply: Reply,
    },
    /// The answer to a request that has something to say, with 200.
    Answer {
        /// Which request.
        request: RequestId,
        /// What to answer, in the request's encoding.
        answer: Box<v1::agent::Response>,
    },
    /// An executor's subscription is taken: answer 200 and keep the stream open.
    OpenStream {
        /// Which stream.
        stream: StreamId,
    },
    /// An executor's subscription is refused: answer this instead of a stream.
    RefuseStream {
        /// Which stream.
        stream: StreamId,
        /// What to answer.
        reply: Reply,
    },
    /// An event for an executor's stream.
    ExecutorEvent {
        /// Which stream.
        stream: StreamId,
        /// What to say.
        event: Box<v1::executor::Event>,
    },
    /// Ends a stream after what was queued for it. No `StreamClosed` need follow;
    /// one that does is ignored.
    CloseStream {
        /// Which stream.
        stream: StreamId,
    },
    /// A barrier: this is written, so that it [outlives](Record::outlives) what it must, before any later effect of the
    /// buffer runs. If it
    /// fails the process must end, as it would lie to its peers otherwise.
    Checkpoint(Record),
    /// A barrier: make these directories if they are not there, with their parents; then delete those with all that is
    /// in them, a mount point but not itself. It may have been done before, in part or in whole. If it fails the
    /// process must end: it is tried again when the next one begins.
    SyncVolumes {
        /// The directories of new volumes.
        create: Vec<VolumeDirectory>,
        /// The directories of volumes that are gone.
        remove: Vec<VolumeDirectory>,
    },
    /// Make a sandbox directory with mode 0750, its parents, the `runs/latest` link beside
    /// it, and give it to `user`. From now on it is browsable under its path and under
    /// [`Sandbox::virtual_path`]. A failure is reported as the launch's.
    CreateSandbox(Sandbox),
    /// An existing sandbox is to be browsable, as after [`Effect::CreateSandbox`]: it was
    /// found on disk.
    AttachSandbox(Sandbox),
    /// Fetch, isolate and run. Answered by one [`Event::ContainerLaunched`](crate::Event::ContainerLaunched)
    /// or [`Event::ContainerFailed`](crate::Event::ContainerFailed).
    Launch(Box<LaunchSpec>),
    /// Make the sandbox of a container that was asked for by name: a directory with mode 0750 for `user`. A failure is
    /// reported as the launch's.
    CreateNestedSandbox {
        /// Its absolute path.
        path: String,
        /// Who owns it; none leaves it to the agent's own user.
        user: Option<String>,
    },
    /// Fetch, isolate and run what was asked for by name. Answered as [`Effect::Launch`] is.
    LaunchContainer(Box<ContainerSpec>),
    /// Send a signal to a container's command. One that is gone takes none.
    Signal {
        /// Which container.
        container: ContainerId,
        /// The signal's number, as the caller gave it.
        signal: i32,
    },
    /// Delete the sandbox of a container that ended, and what is kept of it for a later agent; then answer the request
    /// with 200, or 500 and why that failed.
    RemoveContainer {
        /// Which request.
        request: RequestId,
        /// Which container.
        container: ContainerId,
        /// Its sandbox.
        directory: String,
    },
    /// Pick up a container that the disk says was running before the agent restarted: wait
    /// for it. Answered as a launch is; one that is gone is launched and exited.
    Adopt {
        /// Which container.
        container: ContainerId,
        /// The process that was forked for it, in text form in the record, if it got that far.
        pid: Option<u32>,
        /// Its sandbox.
        directory: String,
        /// Whose it is.
        ran_by: RanBy,
    },
    /// Give a running container these resources from now on. Where that fails
    /// [`Event::ContainerUpdateFailed`](crate::Event::ContainerUpdateFailed) follows.
    UpdateContainer {
        /// Which container.
        container: ContainerId,
        /// All it has now.
        resources: Vec<v1::Resource>,
        /// The volumes among them.
        volumes: Vec<VolumeMount>,
        /// What bounds it above that, by the resource's name.
        limits: BTreeMap<String, v1::value::Scalar>,
    },
    /// End all processes of a container, whatever its phase.
    /// [`Event::ContainerExited`](crate::Event::ContainerExited) follows, or
    /// [`Event::ContainerFailed`](crate::Event::ContainerFailed) if it was being launched.
    Destroy {
        /// Which container.
        container: ContainerId,
    },
    /// Delete a directory of a past run with all below it; it is no longer browsable. The
    /// path is absolute. A failure is logged and counted, nothing more.
    RemovePath {
        /// What to delete.
        path: String,
    },
    /// A sentence for the operator's log.
    Log {
        /// How much it matters.
        level: Level,
        /// What to say.
        text: String,
    },
    /// The process must end now. No later effect follows.
    Exit {
        /// Whether it was asked to, or cannot go on.
        failure: bool,
        /// Why, for people.
        message: String,
    },
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What happened.
    Info,
    /// What should not have happened.
    Warning,
}

/// One run's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The absolute path: `<work_dir>/slaves/<agent>/frameworks/<framework>/executors/<executor>/runs/<container>`.
    pub path: String,
    /// Another name under which it is browsable:
    /// `/frameworks/<framework>/executors/<executor>/runs/latest`.
    pub virtual_path: String,
    /// Who owns it; none leaves it to the agent's own user.
    pub user: Option<String>,
}

/// Everything that is needed to launch one executor.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchSpec {
    /// Its container.
    pub container: ContainerId,
    /// Its framework.
    pub framework: FrameworkId,
    /// Its id.
    pub executor: ExecutorId,
    /// Its sandbox, made already: an absolute path, and the command's working directory.
    pub directory: String,
    /// Whom it runs as; none for the agent's own user.
    pub user: Option<String>,
    /// What to run and what to fetch before. Its own `environment` is in
    /// [`LaunchSpec::environment`] already, its `user` in [`LaunchSpec::user`].
    pub command: v1::CommandInfo,
    /// The whole environment, in order, each name once.
    pub environment: Vec<(String, String)>,
    /// All it may use: the executor's resources and those of its first tasks.
    pub resources: Vec<v1::Resource>,
    /// The volumes among them, which are to be seen in the sandbox.
    pub volumes: Vec<VolumeMount>,
    /// What bounds it above that, by the resource's name.
    pub limits: BTreeMap<String, v1::value::Scalar>,
    /// How the framework or the task wants it contained.
    pub container_info: Option<v1::ContainerInfo>,
    /// The executor, as the framework described it or as it was made for a command task.
    pub executor_info: v1::ExecutorInfo,
    /// The task it was made for, if it is a command executor.
    pub task: Option<v1::TaskInfo>,
    /// Where to write the forked process's id, durably, before it runs anything:
    /// an absolute path. None where the framework does not checkpoint.
    pub forked_pid_path: Option<String>,
}

/// Which containerizer has a container of an earlier agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RanBy {
    /// That of Mesos.
    Mesos,
    /// That of Docker.
    Docker {
        /// Whether the container is a task by itself.
        is_task: bool,
    },
}

/// Everything that is needed to launch a container that was asked for by name.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerSpec {
    /// Its id: below an executor's container, or standing alone.
    pub container: ContainerId,
    /// Its sandbox, made already.
    pub directory: String,
    /// Where its command begins; none for the sandbox.
    pub working_directory: Option<String>,
    /// Whom it runs as; none for the agent's own user.
    pub user: Option<String>,
    /// What to run and what to fetch before. Its `environment` and `user` are given here already.
    pub command: v1::CommandInfo,
    /// The whole environment, in the order of names.
    pub environment: Vec<(String, String)>,
    /// What it may use, where it does not share all with the container around it.
    pub resources: Vec<v1::Resource>,
    /// What bounds it above that, by the resource's name.
    pub limits: BTreeMap<String, v1::value::Scalar>,
    /// How it is to be contained.
    pub container_info: Option<v1::ContainerInfo>,
    /// Whether it only looks into the container around it, and shares everything with that.
    pub is_session: bool,
}

/// The answer to a call: a status and, where it explains something, plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: Status,
    /// The body, `text/plain; charset=utf-8`. Empty for no body and no content type.
    pub text: String,
}

/// The HTTP statuses that the core gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// 200
    Ok = 200,
    /// 202
    Accepted = 202,
    /// 400
    BadRequest = 400,
    /// 403
    Forbidden = 403,
    /// 404
    NotFound = 404,
    /// 500
    InternalServerError = 500,
    /// 501
    NotImplemented = 501,
    /// 503
    ServiceUnavailable = 503,
}

impl Status {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }
}

impl Reply {
    /// 200 without a body.
    #[must_use]
    pub const fn ok() -> Self {
        Self { status: Status::Ok, text: String::new() }
    }

    /// 202 without a body.
    #[must_use]
    pub const fn accepted() -> Self {
        Self { status: Status::Accepted, text: String::new() }
    }

    /// 400 with its reason.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self { status: Status::BadRequest, text: text.into() }
    }

    /// 403 with its reason.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self { status: Status::Forbidden, text: text.into() }
    }

    /// 503 with its reason.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self { status: Status::ServiceUnavailable, text: text.into() }
    }
}
