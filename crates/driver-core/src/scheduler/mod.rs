//! The scheduler driver: a framework's way to the leading master.
//!
//! It registers with whoever leads, hands on what the master says, and turns the scheduler's calls into messages. What
//! comes from anybody but the leader is not listened to. A call that is made while there is no leader is dropped, except
//! that tasks launched then are reported lost, and that roles and the framework's description are told at the next
//! registration.

mod call;
mod effect;
mod message;
mod received;
mod registration;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client_core::Backoff;
use machine::{Instant, Machine, Now, Rng};
use proto::mesos::{scheduler, v1};
use types::{AgentId, OfferId, Pid};

pub use call::Call;
pub use effect::{Callback, Effect};
pub use message::{Message, Outgoing};

/// How a driver is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who registers. With an id it replaces another instance of the same framework.
    pub framework: v1::FrameworkInfo,
    /// Roles that want no offers from the start.
    pub suppressed_roles: Vec<String>,
    /// Whether updates are acknowledged by the driver, when their callback has returned.
    pub implicit_acknowledgements: bool,
    /// The longest first wait between two registrations (`MESOS_REGISTRATION_BACKOFF_FACTOR`).
    pub registration_backoff: Duration,
    /// Seeds the waits.
    pub seed: u64,
}

impl Config {
    /// A driver of this framework, with what is usual.
    #[must_use]
    pub fn new(framework: v1::FrameworkInfo) -> Self {
        Self {
            framework,
            suppressed_roles: Vec::new(),
            implicit_acknowledgements: true,
            registration_backoff: Duration::from_secs(2),
            seed: 0,
        }
    }
}

/// What happens to a driver.
#[derive(Clone, Debug)]
pub enum Event {
    /// This master leads now, or none does.
    Detected(Option<Box<v1::MasterInfo>>),
    /// A message came.
    Received {
        /// From whom, by its own account.
        from: Pid,
        /// What it says.
        message: Message,
    },
    /// The link to a process broke.
    Exited(Pid),
    /// The scheduler calls.
    Call(Call),
    /// The scheduler stopped the driver; with `failover` the framework lives on, for another instance.
    Stop {
        /// Whether the framework's tasks go on.
        failover: bool,
    },
    /// The scheduler aborted the driver.
    Abort,
}

#[derive(Debug)]
enum Phase {
    /// Nobody leads, as far as is known.
    Away,
    /// The leader is asked, again at `next`.
    Registering { leader: Pid, backoff: Backoff, next: Instant },
    /// The leader knows this driver.
    Connected { leader: Pid },
    /// Aborted: nothing is listened to. The master is remembered for what `Stop` still has to say.
    Aborted { leader: Option<Pid> },
    /// Stopped.
    Over,
}

/// A scheduler driver.
#[derive(Debug)]
pub struct Driver {
    framework: v1::FrameworkInfo,
    suppressed_roles: BTreeSet<String>,
    offer_constraints: Option<v1::scheduler::OfferConstraints>,
    implicit_acknowledgements: bool,
    registration_backoff: Duration,
    rng: Rng,
    phase: Phase,
    /// Whether the next subscription takes the framework over from another instance.
    failover: bool,
    /// Whether the master must hear of the framework's description or roles once it knows the driver.
    tells_framework: bool,
    /// Where the agents of outstanding offers are.
    offers: BTreeMap<OfferId, (AgentId, Pid)>,
    /// Agents that run tasks of ours: messages for their executors go to them directly.
    agents: BTreeMap<AgentId, Pid>,
}

impl Driver {
    /// A driver that waits for a leader.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let failover = config.framework.id.as_ref().is_some_and(|id| !id.value.is_empty());
        Self {
            failover,
            framework: config.framework,
            suppressed_roles: config.suppressed_roles.into_iter().collect(),
            offer_constraints: None,
            implicit_acknowledgements: config.implicit_acknowledgements,
            registration_backoff: config.registration_backoff,
            rng: Rng::new(config.seed),
            phase: Phase::Away,
            tells_framework: false,
            offers: BTreeMap::new(),
            agents: BTreeMap::new(),
        }
    }

    /// The framework's id, once it has one.
    fn id(&self) -> Option<&v1::FrameworkId> {
        self.framework.id.as_ref().filter(|id| !id.value.is_empty())
    }

    /// The master that knows this driver.
    fn connected(&self) -> Option<&Pid> {
        match &self.phase {
            Phase::Connected { leader } => Some(leader),
            Phase::Away | Phase::Registering { .. } | Phase::Aborted { .. } | Phase::Over => None,
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Aborted { .. } | Phase::Over)
    }

    /// A call of this framework, to be filled in.
    fn call(&self, kind: v1::scheduler::call::Type) -> scheduler::Call {
        scheduler::Call {
            framework_id: self.id().cloned(),
            r#type: Some(kind.into()),
            ..scheduler::Call::default()
        }
    }

    /// Something that cannot go on: the driver aborts, and the scheduler is told why.
    fn fail(&mut self, message: String, fx: &mut Vec<Effect>) {
        fx.push(Effect::Info(format!("Got error '{message}'")));
        fx.push(Effect::Abort);
        fx.push(Effect::Callback(Callback::Error(message)));
        self.abort(fx);
    }

    /// The driver was aborted: the master stops to send, and nothing more is listened to.
    fn abort(&mut self, fx: &mut Vec<Effect>) {
        if self.is_over() {
            return;
        }
        let leader = self.connected().cloned();
        if let (Some(leader), Some(id)) = (&leader, self.id()) {
            let message = proto::mesos::internal::DeactivateFrameworkMessage { framework_id: id.clone() };
            fx.push(Effect::Send { to: leader.clone(), message: Outgoing::Deactivate(Box::new(message)) });
        }
        self.phase = Phase::Aborted { leader };
        fx.push(Effect::Release);
    }

    fn stop(&mut self, failover: bool, fx: &mut Vec<Effect>) {
        let leader = match &self.phase {
            Phase::Over => return,
            Phase::Connected { leader } => Some(leader.clone()),
            Phase::Aborted { leader } => leader.clone(),
            Phase::Away | Phase::Registering { .. } => None,
        };
        if let Some(leader) = leader.filter(|_| !failover) {
            let call = self.call(v1::scheduler::call::Type::Teardown);
            fx.push(Effect::Send { to: leader, message: Outgoing::Call(Box::new(call)) });
        }
        self.phase = Phase::Over;
        fx.push(Effect::Release);
    }
}

impl Machine for Driver {
    type Event = Event;
    type Effect = Effect;

    fn handle_event(&mut self, now: Now, event: Event, fx: &mut Vec<Effect>) {
        match event {
            Event::Detected(master) => self.on_detected(now, master, fx),
            Event::Received { from, message } => self.on_received(&from, message, fx),
            Event::Exited(pid) => self.on_exited(now, &pid, fx),
            Event::Call(call) => self.on_call(now, call, fx),
            Event::Stop { failover } => self.stop(failover, fx),
            Event::Abort => self.abort(fx),
        }
    }

    fn handle_timeout(&mut self, now: Now, fx: &mut Vec<Effect>) {
        if self.poll_timeout().is_some_and(|next| now.mono >= next) {
            self.subscribe(now, fx);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Registering { next, .. } => Some(*next),
            Phase::Away | Phase::Connected { .. } | Phase::Aborted { .. } | Phase::Over => None,
        }
    }
}
