//! What may happen to the master: the closed list of a core's inputs.
//!
//! The shell decodes and hands over; it decides nothing. Where a call needs an
//! answer it carries a [`RequestId`], and exactly one
//! [`Effect::Reply`](crate::Effect::Reply) follows.

use std::net::SocketAddr;
use std::sync::Arc;

use proto::mesos::internal::Registry;
use proto::mesos::v1;
use types::{AgentId, FrameworkId, Pid, Principal, Uuid};

use crate::message::Message;
use crate::registry::Outcome;

/// One open HTTP response stream, of a framework or of an operator. Numbered by
/// the shell, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// One HTTP request that waits for its reply. Numbered by the shell, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One registry operation under way. Numbered by the core, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// An input of the master.
#[derive(Clone, Debug)]
pub enum Event {
    /// This master leads now. Nothing is served until the registry is there.
    Elected,
    /// The registry as it was read after the election. Its agents are expected
    /// back within `agent_reregister_timeout`.
    Recovered(Box<Registry>),
    /// A framework's SUBSCRIBE over HTTP, on a stream whose head (status 200 with
    /// `Mesos-Stream-Id: <uuid>`) the shell has sent already. The shell has run
    /// [`validation::call`](crate::validation::call) on it. What is wrong with its content goes out as an
    /// ERROR event on the stream, which is then closed.
    Subscribe {
        /// The stream of the answer.
        stream: StreamId,
        /// The stream's `Mesos-Stream-Id`.
        uuid: Uuid,
        /// Who authenticated, where authentication is on.
        principal: Option<Principal>,
        /// A call of type SUBSCRIBE.
        call: Box<v1::scheduler::Call>,
    },
    /// Any other scheduler call over HTTP. Answered by one reply.
    SchedulerCall {
        /// Where the reply goes.
        request: RequestId,
        /// The text of the `Mesos-Stream-Id` header, if there was one.
        stream_id: Option<String>,
        /// Who authenticated, where authentication is on.
        principal: Option<Principal>,
        /// A call of any type but SUBSCRIBE.
        call: Box<v1::scheduler::Call>,
    },
    /// A stream is gone: its peer closed it, or its writer was full.
    StreamClosed(StreamId),
    /// A libprocess message.
    Message {
        /// The sender.
        from: Pid,
        /// The process it is for: `master`, or `slave-observer(N)` for a pong.
        to: Arc<str>,
        /// What it says.
        message: Message,
    },
    /// The link to a peer broke.
    Exited(SocketAddr),
    /// A call of an operator that changes something. Answered by one reply, perhaps
    /// only after the registry has it.
    Operator {
        /// Where the reply goes.
        request: RequestId,
        /// Who authenticated, where authentication is on.
        principal: Option<Principal>,
        /// What is asked.
        call: OperatorCall,
    },
    /// An operator's SUBSCRIBE, on a stream whose head the shell has sent already.
    OperatorSubscribe {
        /// The stream of the answer.
        stream: StreamId,
        /// Who authenticated, where authentication is on.
        principal: Option<Principal>,
    },
    /// How a registry operation ended: the one completion of each ticket.
    RegistryApplied {
        /// The operation.
        ticket: Ticket,
        /// What became of it.
        outcome: Outcome,
    },
}

/// The operator calls that change something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorCall {
    /// Remove a framework and kill its tasks (v1 TEARDOWN, v0 `/teardown`).
    Teardown(FrameworkId),
    /// Declare that an agent will never come back.
    MarkAgentGone(AgentId),
}
