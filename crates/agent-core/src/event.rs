//! What may happen to the agent: the closed list of a core's inputs.
//!
//! The shell decodes and hands over; it decides nothing. Each
//! [`Effect::Launch`](crate::Effect::Launch) and [`Effect::LaunchContainer`](crate::Effect::LaunchContainer) gets exactly one of
//! [`Event::ContainerLaunched`] and [`Event::ContainerFailed`], and a launched
//! container exactly one [`Event::ContainerExited`].

use std::net::SocketAddr;

use proto::mesos::slave::ContainerTermination;
use proto::mesos::v1;
use types::{ContainerId, Pid};

use crate::message::Message;
use crate::recovered::Recovered;

/// One open HTTP response stream of an executor. Numbered by the shell, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// One HTTP request that waits for its reply. Numbered by the shell, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// An input of the agent.
#[derive(Clone, Debug)]
pub enum Event {
    /// What the disk holds, once, before all other events but HTTP requests
    /// (those are refused with 503 until it comes).
    Recovered(Box<Recovered>),
    /// Who leads the masters now, if anyone. Sent on every change, and again after
    /// [`Effect::Redetect`](crate::Effect::Redetect) even where nothing changed.
    MasterDetected(Option<Box<Master>>),
    /// A libprocess message for `slave(1)`.
    Message {
        /// The sender.
        from: Pid,
        /// What it says.
        message: Message,
    },
    /// An executor's SUBSCRIBE over HTTP. Answered by one
    /// [`Effect::OpenStream`](crate::Effect::OpenStream) or one
    /// [`Effect::RefuseStream`](crate::Effect::RefuseStream).
    ExecutorSubscribe {
        /// The stream that would be the answer.
        stream: StreamId,
        /// A call of type SUBSCRIBE. The shell checks the HTTP head only.
        call: Box<v1::executor::Call>,
    },
    /// Any other executor call over HTTP. Answered by one
    /// [`Effect::Reply`](crate::Effect::Reply).
    ExecutorCall {
        /// Where the reply goes.
        request: RequestId,
        /// The call, of any type or none. The shell checks the HTTP head only.
        call: Box<v1::executor::Call>,
    },
    /// A call that launches, waits for, kills or removes a container that its caller names. Answered by one
    /// [`Effect::Reply`](crate::Effect::Reply), [`Effect::Answer`](crate::Effect::Answer) or
    /// [`Effect::RemoveContainer`](crate::Effect::RemoveContainer), at once or when what it waits for has happened.
    ContainerCall {
        /// Where the answer goes.
        request: RequestId,
        /// The call. The shell checks the HTTP head only, and that it is such a call.
        call: Box<v1::agent::Call>,
    },
    /// An executor's stream is gone: its peer closed it, or its writer was full.
    /// Not sent for streams that the core closed.
    StreamClosed(StreamId),
    /// The link to a peer broke: every process at that address may be gone.
    Exited(SocketAddr),
    /// A container's executor runs.
    ContainerLaunched {
        /// Which container.
        container: ContainerId,
        /// What is known of it: `executor_pid`, and its networks where it has its own.
        /// The core fills in the rest.
        status: Box<v1::ContainerStatus>,
    },
    /// A container could not be launched, and nothing of it is left but its sandbox.
    ContainerFailed {
        /// Which container.
        container: ContainerId,
        /// Why, for people: it goes after "Failed to launch container: ".
        message: String,
    },
    /// A container has ended, and nothing of it is left but its sandbox.
    ContainerExited {
        /// Which container.
        container: ContainerId,
        /// How: `status` is that of `waitpid`; `state`, `reason` and `message` are set
        /// where the containerizer itself ended it (a limit, for instance).
        termination: Box<ContainerTermination>,
    },
    /// A container's resources could not be changed. It is destroyed for it.
    ContainerUpdateFailed {
        /// Which container.
        container: ContainerId,
        /// Why, for people.
        message: String,
    },
    /// How full the work directory's disk is, in thousandths. Sent every
    /// `--disk_watch_interval`.
    DiskUsage {
        /// 0 for empty, 1000 for full.
        permille: u32,
    },
    /// The operator wants the agent to leave: executors are shut down, then
    /// [`Effect::Exit`](crate::Effect::Exit) follows (SIGUSR1 does this).
    Leave {
        /// Why, for the log: "Received SIGUSR1 signal".
        message: String,
    },
}

/// The leading master, as it was detected.
#[derive(Clone, Debug, PartialEq)]
pub struct Master {
    /// Where it listens.
    pub pid: Pid,
    /// Its own description, where the detector knows it; with a plain address the
    /// shell fills in address, port and host name.
    pub info: v1::MasterInfo,
}
