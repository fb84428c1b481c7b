//! What a scheduler driver wants done, in order.

use std::fmt;

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
    /// Send a message.
    Send {
        /// To whom.
        to: Pid,
        /// What.
        message: Outgoing,
    },
    /// Acknowledge the update of the callback just before, unless that callback stopped or aborted the driver.
    Acknowledge {
        /// To whom.
        to: Pid,
        /// The call.
        message: Outgoing,
    },
    /// Call the scheduler back and wait until it returns. Nothing but `error` is called on a driver that does not run.
    Callback(Callback),
    /// The driver aborts by itself: from here on calls answer so.
    Abort,
    /// The driver has said its last words: `join` returns.
    Release,
    /// For the log.
    Info(String),
    /// For the log, as something that should not happen.
    Warn(String),
}

/// A call of the scheduler's.
#[derive(Clone, Debug, PartialEq)]
pub enum Callback {
    /// `registered`.
    Registered(v1::FrameworkId, Box<v1::MasterInfo>),
    /// `reregistered`.
    Reregistered(Box<v1::MasterInfo>),
    /// `disconnected`.
    Disconnected,
    /// `resourceOffers`.
    Offers(Vec<v1::Offer>),
    /// `offerRescinded`.
    Rescinded(v1::OfferId),
    /// `statusUpdate`.
    Update(Box<v1::TaskStatus>),
    /// `frameworkMessage`.
    Message {
        /// Who sent it.
        executor_id: v1::ExecutorId,
        /// Where that runs.
        agent_id: v1::AgentId,
        /// What it says.
        data: Bytes,
    },
    /// `slaveLost`.
    AgentLost(v1::AgentId),
    /// `executorLost`.
    ExecutorLost {
        /// Which.
        executor_id: v1::ExecutorId,
        /// Where it ran.
        agent_id: v1::AgentId,
        /// How it ended, as `wait` tells it.
        status: i32,
    },
    /// `error`.
    Error(String),
}

fn text<T: Json>(message: &T) -> String {
    to_string(message, Names::V0)
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(pid) => write!(f, "link {pid}"),
            Self::Send { to, message } => write!(f, "send {to} {message}"),
            Self::Acknowledge { to, message } => write!(f, "if it still runs, send {to} {message}"),
            Self::Callback(callback) => write!(f, "callback {callback}"),
            Self::Abort => f.write_str("abort"),
            Self::Release => f.write_str("release"),
            Self::Info(message) => write!(f, "info {message}"),
            Self::Warn(message) => write!(f, "warn {message}"),
        }
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered(id, master) => write!(f, "registered {} {}", id.value, text(&**master)),
            Self::Reregistered(master) => write!(f, "reregistered {}", text(&**master)),
            Self::Disconnected => f.write_str("disconnected"),
            Self::Offers(offers) => {
                f.write_str("resourceOffers")?;
                offers.iter().try_for_each(|offer| write!(f, " {}", text(offer)))
            }
            Self::Rescinded(id) => write!(f, "offerRescinded {}", id.value),
            Self::Update(status) => write!(f, "statusUpdate {}", text(&**status)),
            Self::Message { executor_id, agent_id, data } => {
                write!(f, "frameworkMessage {} {} {data:?}", executor_id.value, agent_id.value)
            }
            Self::AgentLost(id) => write!(f, "slaveLost {}", id.value),
            Self::ExecutorLost { executor_id, agent_id, status } => {
                write!(f, "executorLost {} {} {status}", executor_id.value, agent_id.value)
            }
            Self::Error(message) => write!(f, "error {message}"),
        }
    }
}
