//! What one step of the machine carries along: the time and the buffer of effects.

use std::time::Duration;

use machine::{Instant, Now};
use proto::mesos::v1;
use types::{AgentId, FrameworkId, OfferId, Pid};

use crate::effect::{Effect, Process};
use crate::event::StreamId;
use crate::message::Outgoing;

/// The time of this step and where its effects go.
pub(crate) struct Step<'a> {
    pub(crate) now: Now,
    pub(crate) fx: &'a mut Vec<Effect>,
}

impl Step<'_> {
    /// The instant `after` from now.
    pub(crate) fn after(&self, after: Duration) -> Instant {
        self.now.mono + after
    }

    /// The wall clock in the form of messages.
    pub(crate) fn time_info(&self) -> v1::TimeInfo {
        v1::TimeInfo { nanoseconds: self.now.wall.as_nanos() }
    }

    /// Says `message` as the process `master`.
    pub(crate) fn send(&mut self, to: &Pid, message: Outgoing) {
        self.fx.push(Effect::Send { from: Process::Master, to: to.clone(), message });
    }
}

/// What the master waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Tell a stream that the master lives.
    Heartbeat(FrameworkId),
    /// Tell an operator's stream the same.
    OperatorHeartbeat(StreamId),
    /// A disconnected framework did not come back.
    Failover(FrameworkId),
    /// Look whether a framework has been offered anything.
    Waiting(FrameworkId),
    /// Look whether an agent answered, and ping it again.
    Ping(AgentId),
    /// A disconnected agent did not register again.
    AgentReregister(AgentId),
    /// Agents of the registry did not come back after the election.
    Recovery,
    /// Agents have been awaited long enough: offer what is there.
    AllocatorRecovery,
    /// Forget agents that were away for long.
    Prune,
    /// A framework held an offer for too long.
    OfferTimeout(OfferId),
    /// Look whether a framework starves.
    Starving(FrameworkId),
    /// Those who were warned for its sake had their time.
    Revoke(FrameworkId),
    /// The same of an inverse offer.
    InverseOfferTimeout(OfferId),
}
