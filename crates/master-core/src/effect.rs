//! What the master wants done: the closed list of a core's outputs.
//!
//! Effects are carried out in the order of the buffer. To one peer or stream they
//! keep that order on the wire.

use std::fmt;
use std::sync::Arc;

use proto::mesos::v1;
use types::Pid;

use crate::event::{RequestId, StreamId, Ticket};
use crate::message::Outgoing;
use crate::registry::Operation;
use crate::view::View;

/// An output of the master.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The answer to a request.
    Reply {
        /// Which request.
        request: RequestId,
        /// What to answer.
        reply: Reply,
    },
    /// An event for a framework's stream.
    SchedulerEvent {
        /// Which stream.
        stream: StreamId,
        /// What to say.
        event: Box<v1::scheduler::Event>,
    },
    /// Ends a stream after what was queued for it. No `StreamClosed` need follow;
    /// one that does is ignored.
    Close {
        /// Which stream.
        stream: StreamId,
    },
    /// A libprocess message.
    Send {
        /// Which of the master's processes speaks.
        from: Process,
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
    /// The peer need not be watched any more. Reports for it are harmless.
    Unlink {
        /// The peer.
        pid: Pid,
    },
    /// Make a change of the registry durable, then report with
    /// [`Event::RegistryApplied`](crate::Event::RegistryApplied). Tickets are applied in order.
    Registry {
        /// Names the operation in its report.
        ticket: Ticket,
        /// What to change.
        operation: Operation,
    },
    /// An operator subscribed: say SUBSCRIBED with the state of `view`, then add the
    /// stream to the audience of [`Effect::Publish`].
    OperatorSubscribed {
        /// Which stream.
        stream: StreamId,
        /// The state as of this effect.
        view: Arc<View>,
    },
    /// An event for one operator's stream (HEARTBEAT).
    OperatorEvent {
        /// Which stream.
        stream: StreamId,
        /// What to say.
        event: Box<v1::master::Event>,
    },
    /// An event for all operators' streams. Emitted only while there are any; encode it
    /// once per content type.
    Publish(Box<v1::master::Event>),
    /// A sentence for the operator's log: something that should be looked at.
    Log(String),
    /// This master cannot go on (the registry refused or was lost): the process must end,
    /// so that another leads. No later effect follows.
    Abort(String),
}

/// One of the master's libprocess processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Process {
    /// `master`.
    Master,
    /// `slave-observer(N)`, which pings one agent.
    Observer(u64),
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master"),
            Self::Observer(number) => write!(f, "slave-observer({number})"),
        }
    }
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
    /// 409
    Conflict = 409,
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

    /// 404 with its reason.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self { status: Status::NotFound, text: text.into() }
    }

    /// 409 with its reason.
    pub fn conflict(text: impl Into<String>) -> Self {
        Self { status: Status::Conflict, text: text.into() }
    }

    /// 503 with its reason.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self { status: Status::ServiceUnavailable, text: text.into() }
    }
}
