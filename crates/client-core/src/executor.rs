//! An executor's session with its agent (v1 executor API).
//!
//! ```text
//!            Opened               SUBSCRIBED
//! Connecting ------> Subscribing -----------> Subscribed
//!     ^  ^                |                       |
//!     |  +---- Closed ----+------- Closed --------+
//!     |                           |
//!     +------- backoff ------- Waiting -- recovery timeout --> Lost
//! ```
//!
//! Updates and tasks stay here until the agent acknowledged them, and go with
//! every SUBSCRIBE, so that neither an agent's restart nor a lost call loses one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use machine::{Instant, Machine, Now, Rng};
use proto::mesos::v1;
use proto::mesos::v1::executor::{Call, call, event};
use types::{ExecutorId, FrameworkId, TaskId};

use crate::Backoff;

/// How a session behaves; the agent tells it by the environment.
#[derive(Clone, Debug)]
pub struct Options {
    /// The framework that launched this executor (`MESOS_FRAMEWORK_ID`).
    pub framework_id: FrameworkId,
    /// This executor (`MESOS_EXECUTOR_ID`).
    pub executor_id: ExecutorId,
    /// How long to wait for an agent that went away (`MESOS_RECOVERY_TIMEOUT`), when the framework
    /// checkpoints (`MESOS_CHECKPOINT`); none means not at all.
    pub recovery_timeout: Option<Duration>,
    /// The longest wait between tries (`MESOS_SUBSCRIPTION_BACKOFF_MAX`).
    pub backoff_max: Duration,
    /// Seeds the waits.
    pub seed: u64,
}

/// What happens to the session.
#[derive(Debug)]
pub enum Event {
    /// The agent answered SUBSCRIBE with a stream.
    Opened,
    /// The stream ended, or could not be opened; the text says why.
    Closed(String),
    /// A call did not get through. The agent may not know of it.
    CallFailed,
    /// The stream brought an event.
    Received(Box<v1::executor::Event>),
    /// The executor reports on a task. The status carries its uuid.
    Update(Box<v1::TaskStatus>),
    /// The executor has a message for its framework.
    Message(Bytes),
}

/// What the session wants done.
#[derive(Debug)]
pub enum Effect {
    /// Open the stream with this call.
    Subscribe(Box<Call>),
    /// Post this call; a failure needs no report, since the stream will tell.
    Post(Box<Call>),
    /// Hand this event to the executor.
    Deliver(Box<v1::executor::Event>),
    /// The agent stayed away: the executor must end its tasks and itself.
    Lost(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Subscribing,
    Subscribed,
    Waiting { until: Instant },
    Over,
}

/// An executor's session with its agent.
#[derive(Debug)]
pub struct Session {
    options: Options,
    phase: Phase,
    backoff: Backoff,
    rng: Rng,
    /// When the session is given up, while there is no connection.
    give_up_at: Option<Instant>,
    ever_subscribed: bool,
    /// Launched tasks of which no update was acknowledged yet.
    tasks: BTreeMap<TaskId, v1::TaskInfo>,
    /// Updates in the order in which they were made.
    updates: Vec<v1::TaskStatus>,
    /// How many of them the latest SUBSCRIBE has.
    carried: usize,
    /// Messages made while there was no subscription; the oldest go first past [`MESSAGES_MAX`].
    messages: Vec<Bytes>,
}

/// How many messages wait for a connection. Messages are best effort.
const MESSAGES_MAX: usize = 1024;

/// How long the first subscription may take before the executor gives up; the agent gives up on its
/// side after `--executor_registration_timeout`.
const FIRST_SUBSCRIPTION_MAX: Duration = Duration::from_secs(60);

impl Session {
    /// A session that wants to connect: the first effect is a SUBSCRIBE.
    pub fn new(options: Options, now: Now, fx: &mut Vec<Effect>) -> Self {
        let mut session = Self {
            backoff: Backoff::new(Duration::from_millis(200), options.backoff_max),
            rng: Rng::new(options.seed),
            options,
            phase: Phase::Connecting,
            give_up_at: Some(now.mono + FIRST_SUBSCRIPTION_MAX),
            ever_subscribed: false,
            tasks: BTreeMap::new(),
            updates: Vec::new(),
            carried: 0,
            messages: Vec::new(),
        };
        session.connect(fx);
        session
    }

    /// Updates that the agent has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.updates.len()
    }

    fn connect(&mut self, fx: &mut Vec<Effect>) {
        self.phase = Phase::Connecting;
        self.carried = self.updates.len();
        let subscribe = call::Subscribe {
            unacknowledged_tasks: self.tasks.values().cloned().collect(),
            unacknowledged_updates: self
                .updates
                .iter()
                .map(|status| call::Update { status: status.clone() })
                .collect(),
        };
        let mut call = self.call(call::Type::Subscribe);
        call.subscribe = Some(subscribe);
        fx.push(Effect::Subscribe(Box::new(call)));
    }

    fn call(&self, kind: call::Type) -> Call {
        Call {
            executor_id: (&self.options.executor_id).into(),
            framework_id: (&self.options.framework_id).into(),
            r#type: Some(kind.into()),
            ..Call::default()
        }
    }

    fn post_update(&self, status: v1::TaskStatus, fx: &mut Vec<Effect>) {
        let mut call = self.call(call::Type::Update);
        call.update = Some(call::Update { status });
        fx.push(Effect::Post(Box::new(call)));
    }

    fn post_message(&self, data: Bytes, fx: &mut Vec<Effect>) {
        let mut call = self.call(call::Type::Message);
        call.message = Some(call::Message { data });
        fx.push(Effect::Post(Box::new(call)));
    }

    fn on_closed(&mut self, now: Now, why: String, fx: &mut Vec<Effect>) {
        if self.phase == Phase::Over {
            return;
        }
        if self.ever_subscribed && self.options.recovery_timeout.is_none() {
            self.give_up(format!("Agent disconnected and the framework does not checkpoint: {why}"), fx);
            return;
        }
        let patience = self.options.recovery_timeout.unwrap_or(FIRST_SUBSCRIPTION_MAX);
        let give_up_at = *self.give_up_at.get_or_insert(now.mono + patience);
        if now.mono >= give_up_at {
            self.give_up(format!("Agent did not come back in time: {why}"), fx);
            return;
        }
        let wait = self.backoff.draw(&mut self.rng);
        self.phase = Phase::Waiting { until: now.mono + wait };
    }

    fn give_up(&mut self, why: String, fx: &mut Vec<Effect>) {
        self.phase = Phase::Over;
        self.give_up_at = None;
        fx.push(Effect::Lost(why));
    }

    fn on_received(&mut self, event: Box<v1::executor::Event>, fx: &mut Vec<Effect>) {
        match event.r#type() {
            event::Type::Subscribed => {
                self.phase = Phase::Subscribed;
                self.ever_subscribed = true;
                self.give_up_at = None;
                self.backoff.reset();
                // What was made while the SUBSCRIBE was under way is not in it.
                for status in self.updates.iter().skip(self.carried) {
                    self.post_update(status.clone(), fx);
                }
                for data in std::mem::take(&mut self.messages) {
                    self.post_message(data, fx);
                }
            }
            event::Type::Launch => {
                if let Some(launch) = &event.launch {
                    self.tasks.insert(TaskId::from(&launch.task.task_id), launch.task.clone());
                }
            }
            event::Type::LaunchGroup => {
                for task in event.launch_group.iter().flat_map(|launch| &launch.task_group.tasks) {
                    self.tasks.insert(TaskId::from(&task.task_id), task.clone());
                }
            }
            event::Type::Acknowledged => {
                if let Some(acknowledged) = &event.acknowledged {
                    self.tasks.remove(&TaskId::from(&acknowledged.task_id));
                    self.updates.retain(|status| status.uuid.as_ref() != Some(&acknowledged.uuid));
                }
            }
            event::Type::Unknown
            | event::Type::Kill
            | event::Type::Message
            | event::Type::Error
            | event::Type::Shutdown
            | event::Type::Heartbeat => {}
        }
        fx.push(Effect::Deliver(event));
    }
}

impl Machine for Session {
    type Event = Event;
    type Effect = Effect;

    fn handle_event(&mut self, now: Now, event: Event, fx: &mut Vec<Effect>) {
        match event {
            Event::Opened => {
                if self.phase == Phase::Connecting {
                    self.phase = Phase::Subscribing;
                }
            }
            Event::Closed(why) => self.on_closed(now, why, fx),
            // What the agent does not know goes with a new SUBSCRIBE. An agent that is gone shows in that.
            Event::CallFailed => {
                if self.phase == Phase::Subscribed {
                    self.connect(fx);
                }
            }
            Event::Received(event) => self.on_received(event, fx),
            Event::Update(status) => {
                self.updates.push((*status).clone());
                // Without a subscription the next SUBSCRIBE carries it, or it follows the one that is under way.
                if self.phase == Phase::Subscribed {
                    self.post_update(*status, fx);
                }
            }
            Event::Message(data) => {
                if self.phase == Phase::Subscribed {
                    self.post_message(data, fx);
                } else {
                    if self.messages.len() == MESSAGES_MAX {
                        self.messages.remove(0);
                    }
                    self.messages.push(data);
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let Phase::Waiting { until } = self.phase else { return };
        if self.give_up_at.is_some_and(|at| now.mono >= at) {
            self.give_up("Agent did not come back in time".to_owned(), fx);
        } else if now.mono >= until {
            self.connect(fx);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let Phase::Waiting { until } = self.phase else { return None };
        Some(self.give_up_at.map_or(until, |at| at.min(until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Now {
        Now { mono: Instant::ZERO + Duration::from_secs(secs), ..Now::default() }
    }

    fn options(recovery_timeout: Option<u64>) -> Options {
        Options {
            framework_id: "f".into(),
            executor_id: "e".into(),
            recovery_timeout: recovery_timeout.map(Duration::from_secs),
            backoff_max: Duration::from_secs(2),
            seed: 1,
        }
    }

    fn received(kind: event::Type) -> v1::executor::Event {
        v1::executor::Event { r#type: Some(kind.into()), ..Default::default() }
    }

    fn subscribed(recovery_timeout: Option<u64>) -> (Session, Vec<Effect>) {
        let mut fx = Vec::new();
        let mut session = Session::new(options(recovery_timeout), at(0), &mut fx);
        assert!(matches!(fx[..], [Effect::Subscribe(_)]));
        session.handle_event(at(0), Event::Opened, &mut fx);
        session.handle_event(at(0), Event::Received(received(event::Type::Subscribed).into()), &mut fx);
        fx.clear();
        (session, fx)
    }

    fn status(uuid: &'static [u8]) -> Box<v1::TaskStatus> {
        Box::new(v1::TaskStatus {
            task_id: v1::TaskId { value: "t".to_owned() },
            uuid: Some(Bytes::from_static(uuid)),
            ..Default::default()
        })
    }

    #[test]
    fn what_is_not_acknowledged_goes_with_the_next_subscribe() {
        let (mut session, mut fx) = subscribed(Some(60));
        session.handle_event(at(1), Event::Update(status(b"1")), &mut fx);
        assert!(matches!(&fx[..], [Effect::Post(call)] if call.update.is_some()));
        session.handle_event(at(1), Event::Update(status(b"2")), &mut fx);
        let mut acknowledged = received(event::Type::Acknowledged);
        acknowledged.acknowledged = Some(event::Acknowledged {
            task_id: v1::TaskId { value: "t".to_owned() },
            uuid: Bytes::from_static(b"1"),
        });
        session.handle_event(at(2), Event::Received(acknowledged.into()), &mut fx);
        session.handle_event(at(3), Event::Closed("reset".into()), &mut fx);
        fx.clear();
        session.handle_timeout(at(6), &mut fx);
        let [Effect::Subscribe(call)] = &fx[..] else { panic!("{fx:?}") };
        let subscribe = call.subscribe.as_ref().expect("a SUBSCRIBE");
        assert_eq!(subscribe.unacknowledged_updates.len(), 1);
        assert_eq!(subscribe.unacknowledged_updates[0].status.uuid.as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn an_agent_that_stays_away_is_given_up_after_the_recovery_timeout() {
        let (mut session, mut fx) = subscribed(Some(60));
        let mut now = 1;
        while now < 200 {
            session.handle_event(at(now), Event::Closed("refused".into()), &mut fx);
            if matches!(fx.last(), Some(Effect::Lost(_))) {
                break;
            }
            now += 3;
            session.handle_timeout(at(now), &mut fx);
        }
        assert!(matches!(fx.last(), Some(Effect::Lost(_))));
        assert_eq!(now, 61);
        assert_eq!(session.poll_timeout(), None);
    }

    #[test]
    fn a_lost_call_is_made_good_by_a_new_subscription() {
        let (mut session, mut fx) = subscribed(None);
        session.handle_event(at(1), Event::Update(status(b"1")), &mut fx);
        fx.clear();
        session.handle_event(at(1), Event::CallFailed, &mut fx);
        session.handle_event(at(1), Event::CallFailed, &mut fx);
        let [Effect::Subscribe(call)] = &fx[..] else { panic!("{fx:?}") };
        assert_eq!(call.subscribe.as_ref().map(|s| s.unacknowledged_updates.len()), Some(1));
    }

    #[test]
    fn what_is_made_during_a_subscription_follows_it() {
        let (mut session, mut fx) = subscribed(Some(60));
        session.handle_event(at(1), Event::Update(status(b"1")), &mut fx);
        session.handle_event(at(1), Event::CallFailed, &mut fx);
        session.handle_event(at(1), Event::Update(status(b"2")), &mut fx);
        session.handle_event(at(1), Event::Opened, &mut fx);
        session.handle_event(at(1), Event::Update(status(b"3")), &mut fx);
        fx.clear();
        session.handle_event(at(2), Event::Received(received(event::Type::Subscribed).into()), &mut fx);
        let posted: Vec<_> = fx
            .iter()
            .filter_map(|effect| match effect {
                Effect::Post(call) => call.update.as_ref()?.status.uuid.clone(),
                _ => None,
            })
            .collect();
        assert_eq!(posted, [&b"2"[..], b"3"]);
    }

    #[test]
    fn without_checkpointing_a_lost_agent_is_the_end() {
        let (mut session, mut fx) = subscribed(None);
        session.handle_event(at(1), Event::Closed("reset".into()), &mut fx);
        assert!(matches!(fx[..], [Effect::Lost(_)]));
    }
}
