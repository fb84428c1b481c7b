//! What an executor driver wants done, in order.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use proto::json::{Json, Names, to_string};
use proto::mesos::v1;
use types::Pid;

use super::message::Outgoing;

/// What the shell does.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Watch a process: tell when it can no longer be reached.
    Link(Pid),
    /// The same on a new connection, in place of one that may be dead.
    Reconnect(Pid),
    /// Send a message.
    Send {
        /// To whom.
        to: Pid,
        /// What.
        message: Outgoing,
    },
    /// Call the executor back and wait until it returns, if the driver runs.
    Callback(Callback),
    /// Kill the executor's process group when it is still there after so long, whatever becomes of the driver.
    KillAfter(Duration),
    /// The driver has said its last words: `join` returns.
    Release,
    /// For the log.
    Info(String),
    /// For the log, as something that should not happen.
    Warn(String),
}

/// A call of the executor's.
#[derive(Clone, Debug, PartialEq)]
pub enum Callback {
    /// `registered`.
    Registered {
        /// As it was launched.
        executor: Box<v1::ExecutorInfo>,
        /// Whose it is.
        framework: Box<v1::FrameworkInfo>,
        /// Where it runs.
        agent: Box<v1::AgentInfo>,
    },
    /// `reregistered`.
    Reregistered(Box<v1::AgentInfo>),
    /// `launchTask`.
    LaunchTask(Box<v1::TaskInfo>),
    /// `killTask`.
    KillTask(v1::TaskId),
    /// `frameworkMessage`.
    Message(Bytes),
    /// `shutdown`.
    Shutdown,
}

fn text<T: Json>(message: &T) -> String {
    to_string(message, Names::V0)
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(pid) => write!(f, "link {pid}"),
            Self::Reconnect(pid) => write!(f, "link {pid} anew"),
            Self::Send { to, message } => write!(f, "send {to} {message}"),
            Self::Callback(callback) => write!(f, "callback {callback}"),
            Self::KillAfter(grace) => write!(f, "kill after {grace:?}"),
            Self::Release => f.write_str("release"),
            Self::Info(message) => write!(f, "info {message}"),
            Self::Warn(message) => write!(f, "warn {message}"),
        }
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { executor, framework, agent } => {
                write!(f, "registered {} {} {}", text(&**executor), text(&**framework), text(&**agent))
            }
            Self::Reregistered(agent) => write!(f, "reregistered {}", text(&**agent)),
            Self::LaunchTask(task) => write!(f, "launchTask {}", text(&**task)),
            Self::KillTask(id) => write!(f, "killTask {}", id.value),
            Self::Message(data) => write!(f, "frameworkMessage {data:?}"),
            Self::Shutdown => f.write_str("shutdown"),
        }
    }
}
