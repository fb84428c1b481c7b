//! Every decision of the master, as one deterministic state machine.
//!
//! Events go in, ordered effects come out ([`Machine`]); nothing here knows
//! sockets, disks, threads or clocks. Readers get a [`View`].
//!
//! Where to look: how a framework comes and goes in `subscribe` and `lifecycle`,
//! its calls in `calls`, `reconcile` and `operations` (ACCEPT, one file per
//! operation), what drivers send in `drivers`; how an agent comes and goes in
//! `registration`, `observers` and `departure`, what it reports in `updates`; what
//! waits for the registry in `pending`; what is refused in `validation`.

mod agent_update;
mod agents;
mod allocation;
mod calls;
mod capabilities;
mod check;
mod config;
mod connection;
mod departure;
mod drain;
mod drivers;
mod effect;
mod event;
mod excluded;
mod explain;
mod frameworks;
mod given_up;
mod lifecycle;
mod maintenance;
mod message;
pub mod metrics;
mod observers;
mod offers;
mod operations;
mod operator_calls;
mod operators;
mod pending;
mod prune;
mod quotas;
mod reconcile;
mod registration;
pub mod registry;
pub mod revocation;
mod short_tasks;
mod step;
mod subscribe;
mod tasks;
mod updates;
pub mod validation;
mod view;
mod weights;

use std::sync::Arc;

use allocator::Allocator;
use machine::{Instant, Machine, Now, Rng, Timers, WallTime};
use types::Pid;

use crate::agents::Agents;
use crate::frameworks::Frameworks;
use crate::maintenance::inverse_offers::InverseOffers;
use crate::offers::Offers;
use crate::operations::Named;
use crate::operators::Operators;
use crate::pending::Tickets;
use crate::quotas::Quotas;
use crate::revocation::Revocations;
use crate::step::{Due, Step};

pub use allocator::{PatternLimits, Policy, Quota, RoleFigures, Sorter};
pub use config::Config;
pub use effect::{Effect, Process, Reply, Status};
pub use event::{Event, OperatorCall, RequestId, StreamId, Ticket};
pub use explain::{Answer, FrameworkAnswer, Pending, Question, RoleAnswer};
pub use maintenance::inverse_offers::Answers;
pub use maintenance::{Machine as MachineName, Maintenance};
pub use message::{DecodeError, Message, Outgoing};
pub use metrics::{Counters, FrameworkCounters};
pub use short_tasks::ShortTasks;
pub use view::{AgentView, FrameworkView, OfferView, View};
pub use weights::{Weights, parse_weights};

/// Timers that one step serves: pings of a cluster that registered all at once come
/// in portions.
const DUE_MAX: usize = 1024;

/// Whether this master leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leadership {
    /// Another may.
    Standby,
    /// It does, and reads the registry.
    Elected(WallTime),
    /// It does, and serves.
    Serving(WallTime),
}

/// The master.
pub struct Master {
    config: Arc<Config>,
    leadership: Leadership,
    frameworks: Frameworks,
    agents: Agents,
    offers: Offers,
    /// Machines that are to be taken out of service, or are.
    maintenance: Arc<Maintenance>,
    inverse_offers: InverseOffers,
    revocations: Revocations,
    operators: Operators,
    quotas: Quotas,
    allocator: Allocator,
    weights: Arc<Weights>,
    tickets: Tickets,
    timers: Timers<Due>,
    /// Operations by the ids that frameworks gave them.
    named: Named,
    /// Makes the ids of operations.
    rng: Rng,
    /// Observers made so far.
    observers: u64,
    counters: Arc<Counters>,
}

impl Master {
    /// A master that does not lead yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        // Not the numbers that the allocator draws of the same seed.
        let rng = Rng::new(config.seed ^ 0x6f70_6572_6174_696f);
        Self {
            allocator: allocation::allocator(&config),
            config: Arc::new(config),
            leadership: Leadership::Standby,
            frameworks: Frameworks::default(),
            agents: Agents::default(),
            offers: Offers::default(),
            maintenance: Arc::default(),
            inverse_offers: InverseOffers::default(),
            revocations: Revocations::default(),
            operators: Operators::default(),
            weights: Arc::default(),
            quotas: Quotas::default(),
            tickets: Tickets::default(),
            timers: Timers::new(),
            named: Named::default(),
            rng,
            observers: 0,
            counters: Arc::default(),
        }
    }

    fn serves(&self) -> bool {
        matches!(self.leadership, Leadership::Serving(_))
    }

    fn elected_time(&self) -> Option<WallTime> {
        match self.leadership {
            Leadership::Standby => None,
            Leadership::Elected(since) | Leadership::Serving(since) => Some(since),
        }
    }

    fn counters(&mut self) -> &mut Counters {
        Arc::make_mut(&mut self.counters)
    }

    fn on_event(&mut self, event: Event, step: &mut Step<'_>) {
        match event {
            Event::Elected => self.leadership = Leadership::Elected(step.now.wall),
            Event::Recovered(registry) => {
                if let Err(why) = registry::readable(&registry) {
                    step.fx.push(Effect::Abort(why));
                    return;
                }
                let since = match self.leadership {
                    Leadership::Elected(since) => since,
                    Leadership::Standby | Leadership::Serving(_) => step.now.wall,
                };
                self.leadership = Leadership::Serving(since);
                self.on_recovered(*registry, step);
            }
            Event::Subscribe { stream, uuid, principal, call } => {
                self.on_subscribe(stream, uuid, principal, *call, step);
            }
            Event::SchedulerCall { request, stream_id, principal, call } => {
                self.on_scheduler_call(request, stream_id.as_deref(), principal.as_ref(), *call, step);
            }
            Event::StreamClosed(stream) => match self.frameworks.at_stream(stream) {
                Some(framework) => self.on_framework_stream_closed(&framework, step),
                None => self.on_operator_closed(stream),
            },
            Event::Message { from, to, message } => {
                if self.serves() {
                    self.on_message(&from, &to, message, step);
                } else {
                    self.counters().dropped_messages += 1;
                }
            }
            Event::Exited(address) => {
                for framework in self.frameworks.at_address(address) {
                    self.on_framework_exited(&framework, step);
                }
                for agent in self.agents.at_address(address) {
                    self.on_agent_exited(&agent, step);
                }
            }
            Event::Operator { request, principal, call } => {
                self.on_operator_call(request, principal.as_ref(), call, step);
            }
            Event::OperatorSubscribe { stream, principal: _ } => self.on_operator_subscribe(stream, step),
            Event::Whitelist(hosts) => self.allocator.set_whitelist(hosts),
            Event::RegistryApplied { ticket, outcome } => self.on_registry_applied(ticket, outcome, step),
        }
    }

    fn on_message(&mut self, from: &Pid, to: &str, message: Message, step: &mut Step<'_>) {
        match message {
            Message::Call(call) => self.on_driver_call(from, *call, step),
            Message::SubmitScheduler(_) => self.on_submit_scheduler(from, step),
            Message::RegisterFramework(body) => self.on_register_framework(from, *body, step),
            Message::ReregisterFramework(body) => self.on_reregister_framework(from, *body, step),
            Message::UnregisterFramework(body) => {
                self.on_unregister_framework(from, &body.framework_id, step);
            }
            Message::DeactivateFramework(body) => {
                self.on_deactivate_framework(from, &body.framework_id, step);
            }
            Message::ResourceRequest(body) => self.on_resource_request(from, &body),
            Message::LaunchTasks(body) => self.on_launch_tasks(from, *body, step),
            Message::ReviveOffers(body) => self.on_revive_offers(from, &body),
            Message::KillTask(body) => self.on_kill_task(from, *body, step),
            Message::StatusUpdateAcknowledgement(body) => self.on_acknowledgement(from, *body, step),
            Message::ReconcileTasks(body) => self.on_reconcile_tasks(from, *body, step),
            Message::FrameworkToExecutor(body) => self.on_framework_to_executor(from, *body, step),
            Message::RegisterAgent(body) => self.on_register_agent(from, *body, step),
            Message::ReregisterAgent(body) => self.on_reregister_agent(from, *body, step),
            Message::UnregisterAgent(body) => self.on_unregister_agent(from, &body.slave_id.value, step),
            Message::UpdateAgent(body) => self.on_update_agent(*body, step),
            Message::StatusUpdate(body) => self.on_status_update(from, *body, step),
            Message::UpdateOperationStatus(body) => self.on_operation_update(*body, step),
            Message::ExitedExecutor(body) => self.on_exited_executor(*body, step),
            Message::ExecutorToFramework(body) => self.on_executor_message(*body, step),
            Message::Pong(_) => self.on_pong(from, to),
            Message::Authenticate(body) => self.on_authenticate(&body, step),
        }
    }

    fn on_due(&mut self, due: &Due, step: &mut Step<'_>) {
        match due {
            Due::Heartbeat(framework) => self.on_heartbeat_due(framework, step),
            Due::OperatorHeartbeat(stream) => self.on_operator_heartbeat(*stream, step),
            Due::Failover(framework) => self.on_failover_due(framework, step),
            Due::Waiting(framework) => self.on_waiting_due(framework, step),
            Due::Ping(agent) => self.on_ping_due(agent, step),
            Due::AgentReregister(agent) => self.on_agent_reregister_due(agent, step),
            Due::Recovery => self.on_recovery_due(step),
            Due::AllocatorRecovery => self.allocator.resume(),
            Due::Prune => self.on_prune_due(step),
            Due::Starving(framework) => self.on_starving_due(framework, step),
            Due::Revoke(framework) => self.on_revoke_due(framework, step),
            Due::InverseOfferTimeout(offer) => self.end_inverse_offer(offer, offers::End::Rescinded, step),
            Due::OfferTimeout(offer) => {
                self.end_offer(offer.as_str(), offers::End::Rescinded, None, step);
            }
        }
    }
}

impl Master {
    /// Handles one event of several that came together: as `handle_event`, but nothing is
    /// offered yet. Where there is something to offer, a timeout is due at once, and
    /// offers once what all of them freed.
    pub fn absorb(&mut self, now: Now, event: Event, fx: &mut Vec<Effect>) {
        let mut step = Step { now, fx };
        self.on_event(event, &mut step);
        self.settle_drains(&mut step);
    }
}

impl Machine for Master {
    type Event = Event;
    type Effect = Effect;

    fn handle_event(&mut self, now: Now, event: Event, fx: &mut Vec<Effect>) {
        let mut step = Step { now, fx };
        self.on_event(event, &mut step);
        self.settle_drains(&mut step);
        self.allocate(&mut step);
    }

    fn handle_timeout(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let mut step = Step { now, fx };
        // What is left is due at once again, so that calls come in between.
        for _ in 0..DUE_MAX {
            let Some((_, due)) = self.timers.pop(now.mono) else { break };
            self.on_due(&due, &mut step);
        }
        self.settle_drains(&mut step);
        self.allocate(&mut step);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.timers.next(), self.allocation_due()].into_iter().flatten().min()
    }
}
