//! How a framework is reached, and how one thing is said on each kind of line.
//!
//! A v1 framework has a stream and gets events; a driver has a process and gets
//! libprocess messages. Nobody else in the core tells them apart to speak.

use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::scheduler::{Event, event};
use types::{AgentId, ExecutorId, OfferId, Pid, Uuid};

use crate::effect::{Effect, Process};
use crate::event::StreamId;
use crate::frameworks::Framework;
use crate::message::Outgoing;

/// Where a framework is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// Nowhere: known only from agents.
    None,
    /// At the other end of an HTTP response.
    Stream {
        stream: StreamId,
        /// The `Mesos-Stream-Id` that its calls must carry.
        uuid: Uuid,
    },
    /// A driver's process.
    Driver(Pid),
}

/// What may be said to a framework.
pub(crate) enum Say {
    /// It is subscribed. A driver is told whether it was before.
    Subscribed { again: bool, master: Box<v1::MasterInfo> },
    /// Offers, with the address of each one's agent.
    Offers { offers: Vec<v1::Offer>, pids: Vec<String> },
    /// An offer is void.
    Rescind(OfferId),
    /// Wishes that it leave agents, with the address of each one.
    InverseOffers { offers: Vec<v1::InverseOffer>, pids: Vec<String> },
    /// One such wish is void.
    RescindInverse(OfferId),
    /// A task's state. With an acknowledgee, it must be acknowledged.
    Update { update: Box<internal::StatusUpdate>, acknowledgee: Option<Pid> },
    /// An executor's message.
    Message(Box<internal::ExecutorToFrameworkMessage>),
    /// An agent is lost.
    AgentLost(AgentId),
    /// An executor ended.
    ExecutorExited { agent: AgentId, executor: ExecutorId, status: i32 },
    /// It must stop.
    Error(String),
    /// The master lives; for streams only.
    Heartbeat,
    /// An operation's state; for streams only.
    Operation(Box<v1::OperationStatus>),
}

impl Say {
    fn kind(&self) -> event::Type {
        match self {
            Self::Subscribed { .. } => event::Type::Subscribed,
            Self::Offers { .. } => event::Type::Offers,
            Self::Rescind(_) => event::Type::Rescind,
            Self::InverseOffers { .. } => event::Type::InverseOffers,
            Self::RescindInverse(_) => event::Type::RescindInverseOffer,
            Self::Update { .. } => event::Type::Update,
            Self::Message(_) => event::Type::Message,
            Self::AgentLost(_) | Self::ExecutorExited { .. } => event::Type::Failure,
            Self::Error(_) => event::Type::Error,
            Self::Heartbeat => event::Type::Heartbeat,
            Self::Operation(_) => event::Type::UpdateOperationStatus,
        }
    }
}

impl Framework {
    /// Says something to the framework, if it has a line. A driver that counts as
    /// disconnected is spoken to as well: it may not know that it is.
    pub(crate) fn tell(&mut self, say: Say, fx: &mut Vec<Effect>) {
        let effect = match self.connection() {
            Connection::None => return,
            Connection::Stream { stream, .. } => {
                let stream = *stream;
                if !self.is_connected() {
                    return;
                }
                self.counters_mut().event(say.kind());
                Effect::SchedulerEvent { stream, event: Box::new(to_event(say, &self.id)) }
            }
            Connection::Driver(pid) => {
                let to = pid.clone();
                let kind = say.kind();
                let Some(message) = to_message(say, &self.id) else { return };
                self.counters_mut().event(kind);
                Effect::Send { from: Process::Master, to, message }
            }
        };
        fx.push(effect);
    }
}

/// An ERROR event.
pub(crate) fn error_event(message: impl Into<String>) -> Box<Event> {
    Box::new(Event {
        r#type: Some(event::Type::Error.into()),
        error: Some(event::Error { message: message.into() }),
        ..Event::default()
    })
}

fn to_event(say: Say, framework: &types::FrameworkId) -> Event {
    let mut event = Event { r#type: Some(say.kind().into()), ..Event::default() };
    match say {
        Say::Subscribed { again: _, master } => {
            event.subscribed = Some(event::Subscribed {
                framework_id: framework.into(),
                heartbeat_interval_seconds: Some(HEARTBEAT_SECONDS),
                master_info: Some(*master),
            });
        }
        Say::Offers { offers, pids: _ } => event.offers = Some(event::Offers { offers }),
        Say::Rescind(offer) => event.rescind = Some(event::Rescind { offer_id: offer.into() }),
        Say::InverseOffers { offers, pids: _ } => {
            event.inverse_offers = Some(event::InverseOffers { inverse_offers: offers });
        }
        Say::RescindInverse(id) => {
            let inverse_offer_id = id.into();
            event.rescind_inverse_offer = Some(event::RescindInverseOffer { inverse_offer_id });
        }
        Say::Update { update, acknowledgee } => {
            event.update = Some(event::Update { status: status_of(*update, acknowledgee.is_some()) });
        }
        Say::Message(message) => {
            event.message = Some(event::Message {
                agent_id: message.slave_id,
                executor_id: message.executor_id,
                data: message.data,
            });
        }
        Say::AgentLost(agent) => {
            let agent_id = Some(agent.into());
            event.failure = Some(event::Failure { agent_id, executor_id: None, status: None });
        }
        Say::ExecutorExited { agent, executor, status } => {
            event.failure = Some(event::Failure {
                agent_id: Some(agent.into()),
                executor_id: Some(executor.into()),
                status: Some(status),
            });
        }
        Say::Error(message) => event.error = Some(event::Error { message }),
        Say::Heartbeat => {}
        Say::Operation(status) => {
            event.update_operation_status = Some(event::UpdateOperationStatus { status: *status });
        }
    }
    event
}

/// What SUBSCRIBED promises; a constant of the API (as observed of Mesos).
const HEARTBEAT_SECONDS: f64 = 15.0;

/// A status as an event carries it: who and when from the update around it, and a
/// uuid only where an acknowledgement is awaited.
fn status_of(update: internal::StatusUpdate, acknowledge: bool) -> v1::TaskStatus {
    let mut status = update.status;
    if update.slave_id.is_some() {
        status.agent_id = update.slave_id;
    }
    if update.executor_id.is_some() {
        status.executor_id = update.executor_id;
    }
    status.timestamp = Some(update.timestamp);
    status.uuid = update.uuid.filter(|uuid| acknowledge && !uuid.is_empty());
    status
}

/// The message for a driver; none for what drivers cannot be told.
fn to_message(say: Say, framework: &types::FrameworkId) -> Option<Outgoing> {
    Some(match say {
        Say::Subscribed { again, master } => {
            let (framework_id, master_info) = (framework.into(), *master);
            if again {
                let body = internal::FrameworkReregisteredMessage { framework_id, master_info };
                Outgoing::FrameworkReregistered(Box::new(body))
            } else {
                let body = internal::FrameworkRegisteredMessage { framework_id, master_info };
                Outgoing::FrameworkRegistered(Box::new(body))
            }
        }
        Say::Offers { offers, pids } => {
            Outgoing::ResourceOffers(Box::new(internal::ResourceOffersMessage { offers, pids }))
        }
        Say::Rescind(offer) => {
            Outgoing::RescindResourceOffer(internal::RescindResourceOfferMessage { offer_id: offer.into() })
        }
        Say::InverseOffers { offers, pids } => {
            Outgoing::InverseOffers(Box::new(internal::InverseOffersMessage { inverse_offers: offers, pids }))
        }
        Say::RescindInverse(id) => Outgoing::RescindInverseOffer(internal::RescindInverseOfferMessage {
            inverse_offer_id: id.into(),
        }),
        Say::Update { update, acknowledgee } => {
            let pid = acknowledgee.map(|pid| pid.to_string());
            Outgoing::StatusUpdate(Box::new(internal::StatusUpdateMessage { update: *update, pid }))
        }
        Say::Message(message) => Outgoing::ExecutorToFramework(message),
        Say::AgentLost(agent) => Outgoing::LostAgent(internal::LostSlaveMessage { slave_id: agent.into() }),
        Say::ExecutorExited { agent, executor, status } => {
            Outgoing::ExitedExecutor(Box::new(internal::ExitedExecutorMessage {
                slave_id: agent.into(),
                framework_id: framework.into(),
                executor_id: executor.into(),
                status,
            }))
        }
        Say::Error(message) => Outgoing::FrameworkError(internal::FrameworkErrorMessage { message }),
        Say::Heartbeat | Say::Operation(_) => return None,
    })
}
