//! A framework's session with the master (v1 scheduler API).
//!
//! ```text
//! Connecting --Opened--> Subscribing --SUBSCRIBED--> Subscribed
//!     ^                                                  |
//!     +------------- backoff -------- Closed or silent --+
//! ```
//!
//! The session keeps the framework's id and resubscribes with it, adds id and
//! stream to each call, and takes a master that says nothing for several
//! heartbeats as gone.

use std::time::Duration;

use machine::{Instant, Machine, Now, Rng};
use proto::mesos::v1;
use proto::mesos::v1::scheduler::{Call, call, event};
use types::FrameworkId;

use crate::Backoff;

/// What happens to the session.
#[derive(Debug)]
pub enum Event {
    /// The master answered SUBSCRIBE with a stream of this `Mesos-Stream-Id`.
    Opened(String),
    /// The stream ended, or could not be opened; the text says why.
    Closed(String),
    /// Another master leads; the text says so. There is no reason to wait before it is asked.
    Moved(String),
    /// The stream brought an event.
    Received(Box<v1::scheduler::Event>),
    /// The framework calls. Its id is filled in.
    Call(Box<Call>),
}

/// What the session wants done.
#[derive(Debug)]
pub enum Effect {
    /// Open the stream with this call; an older stream is dropped.
    Subscribe(Box<Call>),
    /// Post this call with this `Mesos-Stream-Id`.
    Post {
        /// The call, complete.
        call: Box<Call>,
        /// The stream's id.
        stream_id: String,
    },
    /// Hand this event to the framework.
    Deliver(Box<v1::scheduler::Event>),
    /// There is no subscription now; calls are dropped until the next SUBSCRIBED.
    Disconnected(String),
    /// The master said ERROR: the session is over.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Subscribing { stream_id: String },
    Subscribed { stream_id: String, silent_at: Instant },
    Waiting { until: Instant },
    Over,
}

/// A master is taken as gone after this many heartbeats without a word.
const HEARTBEATS_MISSED_MAX: u32 = 5;

/// A framework's session with the master.
#[derive(Debug)]
pub struct Session {
    info: v1::FrameworkInfo,
    phase: Phase,
    heartbeat: Duration,
    backoff: Backoff,
    rng: Rng,
}

impl Session {
    /// A session that wants to connect: the first effect is a SUBSCRIBE.
    pub fn new(info: v1::FrameworkInfo, seed: u64, fx: &mut Vec<Effect>) -> Self {
        let mut session = Self {
            info,
            phase: Phase::Connecting,
            heartbeat: Duration::from_secs(15),
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(60)),
            rng: Rng::new(seed),
        };
        session.connect(fx);
        session
    }

    /// The framework's id, once the master gave one.
    #[must_use]
    pub fn framework_id(&self) -> Option<FrameworkId> {
        self.info.id.as_ref().map(FrameworkId::from)
    }

    fn connect(&mut self, fx: &mut Vec<Effect>) {
        self.phase = Phase::Connecting;
        let call = Call {
            framework_id: self.info.id.clone(),
            r#type: Some(call::Type::Subscribe.into()),
            subscribe: Some(call::Subscribe { framework_info: self.info.clone(), ..Default::default() }),
            ..Call::default()
        };
        fx.push(Effect::Subscribe(Box::new(call)));
    }

    fn disconnect(&mut self, now: Now, why: String, fx: &mut Vec<Effect>) {
        if self.phase == Phase::Over {
            return;
        }
        if matches!(self.phase, Phase::Subscribed { .. }) {
            fx.push(Effect::Disconnected(why));
        }
        let wait = self.backoff.draw(&mut self.rng);
        self.phase = Phase::Waiting { until: now.mono + wait };
    }

    fn on_received(&mut self, now: Now, event: Box<v1::scheduler::Event>, fx: &mut Vec<Effect>) {
        if event.r#type() == event::Type::Subscribed
            && let Some(subscribed) = &event.subscribed
            && let Phase::Subscribing { stream_id } = &self.phase
        {
            self.info.id = Some(subscribed.framework_id.clone());
            if let Some(seconds) = subscribed.heartbeat_interval_seconds
                && let Ok(interval) = Duration::try_from_secs_f64(seconds)
            {
                self.heartbeat = interval;
            }
            self.backoff.reset();
            let stream_id = stream_id.clone();
            self.phase = Phase::Subscribed { stream_id, silent_at: now.mono };
        }
        if let Phase::Subscribed { silent_at, .. } = &mut self.phase {
            *silent_at = now.mono + self.heartbeat.saturating_mul(HEARTBEATS_MISSED_MAX);
        }
        if event.r#type() == event::Type::Error {
            self.phase = Phase::Over;
            let message = event.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
            fx.push(Effect::Failed(message));
            return;
        }
        fx.push(Effect::Deliver(event));
    }
}

impl Machine for Session {
    type Event = Event;
    type Effect = Effect;

    fn handle_event(&mut self, now: Now, event: Event, fx: &mut Vec<Effect>) {
        match event {
            Event::Opened(stream_id) => {
                if self.phase == Phase::Connecting {
                    self.phase = Phase::Subscribing { stream_id };
                }
            }
            Event::Closed(why) => self.disconnect(now, why, fx),
            Event::Moved(why) => {
                self.disconnect(now, why, fx);
                self.backoff.reset();
                if self.phase != Phase::Over {
                    self.connect(fx);
                }
            }
            Event::Received(event) => self.on_received(now, event, fx),
            Event::Call(mut call) => {
                // A call without a subscription would be refused; after the next SUBSCRIBED the
                // framework reconciles.
                if let Phase::Subscribed { stream_id, .. } = &self.phase {
                    call.framework_id = self.info.id.clone();
                    fx.push(Effect::Post { call, stream_id: stream_id.clone() });
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Now, fx: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Waiting { until } if now.mono >= *until => self.connect(fx),
            Phase::Subscribed { silent_at, .. } if now.mono >= *silent_at => {
                self.disconnect(now, "the master stopped sending heartbeats".to_owned(), fx);
            }
            Phase::Connecting
            | Phase::Subscribing { .. }
            | Phase::Subscribed { .. }
            | Phase::Waiting { .. }
            | Phase::Over => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Subscribed { silent_at, .. } => Some(*silent_at),
            Phase::Connecting | Phase::Subscribing { .. } | Phase::Over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Now {
        Now { mono: Instant::ZERO + Duration::from_secs(secs), ..Now::default() }
    }

    fn subscribed() -> (Session, Vec<Effect>) {
        let mut fx = Vec::new();
        let mut session = Session::new(v1::FrameworkInfo::default(), 1, &mut fx);
        session.handle_event(at(0), Event::Opened("s1".into()), &mut fx);
        let event = v1::scheduler::Event {
            r#type: Some(event::Type::Subscribed.into()),
            subscribed: Some(event::Subscribed {
                framework_id: v1::FrameworkId { value: "f".to_owned() },
                heartbeat_interval_seconds: Some(15.0),
                ..Default::default()
            }),
            ..Default::default()
        };
        session.handle_event(at(0), Event::Received(event.into()), &mut fx);
        fx.clear();
        (session, fx)
    }

    #[test]
    fn resubscribes_with_the_id_it_was_given() {
        let (mut session, mut fx) = subscribed();
        session.handle_event(at(1), Event::Closed("reset".into()), &mut fx);
        assert!(matches!(fx[..], [Effect::Disconnected(_)]));
        fx.clear();
        session.handle_timeout(at(2), &mut fx);
        let [Effect::Subscribe(call)] = &fx[..] else { panic!("{fx:?}") };
        assert_eq!(call.framework_id.as_ref().map(|id| id.value.as_str()), Some("f"));
    }

    #[test]
    fn another_master_is_asked_at_once() {
        let (mut session, mut fx) = subscribed();
        session.handle_event(at(1), Event::Moved("elected".into()), &mut fx);
        assert!(matches!(fx[..], [Effect::Disconnected(_), Effect::Subscribe(_)]), "{fx:?}");
        fx.clear();
        session.handle_event(at(2), Event::Moved("elected again".into()), &mut fx);
        assert!(matches!(fx[..], [Effect::Subscribe(_)]), "{fx:?}");
    }

    #[test]
    fn a_silent_master_is_gone_after_five_heartbeats() {
        let (mut session, mut fx) = subscribed();
        session.handle_timeout(at(74), &mut fx);
        assert!(fx.is_empty());
        session.handle_timeout(at(75), &mut fx);
        assert!(matches!(fx[..], [Effect::Disconnected(_)]));
    }

    #[test]
    fn calls_carry_id_and_stream_and_need_a_subscription() {
        let (mut session, mut fx) = subscribed();
        session.handle_event(at(1), Event::Call(Box::default()), &mut fx);
        assert!(matches!(&fx[..], [Effect::Post { call, stream_id }]
            if stream_id == "s1" && call.framework_id.is_some()));
        session.handle_event(at(1), Event::Closed("reset".into()), &mut fx);
        fx.clear();
        session.handle_event(at(1), Event::Call(Box::default()), &mut fx);
        assert!(fx.is_empty());
    }
}
