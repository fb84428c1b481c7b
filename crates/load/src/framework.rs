//! An emulated framework: takes offers, launches as many tasks as fit, acknowledges every update. Knows no socket.

use std::collections::VecDeque;

use proto::mesos::v1::offer::{Operation, operation};
use proto::mesos::v1::scheduler::{Call, Event, call, event};
use proto::mesos::v1::{self, framework_info};
use types::FrameworkId;

use crate::agent::{task_id, task_number};
use crate::ledger::Ledger;
use crate::options::Fault;
use crate::settings::{Amount, FAULTY_TASK, PROBE, ROLE, Settings};

/// What a framework acts on.
pub(crate) struct World<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) ledger: &'a mut Ledger,
    /// Calls to make, in order.
    pub(crate) calls: &'a mut Vec<Call>,
    /// Microseconds since the run began.
    pub(crate) now_us: u64,
}

/// An offer in hand.
#[derive(Debug)]
struct Held {
    offer: v1::OfferId,
    agent: v1::AgentId,
    amount: Amount,
}

/// A framework.
#[derive(Debug, Default)]
pub(crate) struct Framework {
    id: Option<FrameworkId>,
    held: VecDeque<Held>,
    subscribed: bool,
    /// Whether it launches probes only, and those that are due: when they should have begun.
    prober: bool,
    due: VecDeque<u64>,
}

impl Framework {
    /// A framework that wants no offers but for a probe now and then.
    pub(crate) fn prober() -> Self {
        Self { prober: true, ..Self::default() }
    }

    /// A probe is due, or was at that time.
    pub(crate) fn probe(&mut self, due_us: u64) -> Call {
        self.due.push_back(due_us);
        self.call(call::Type::Revive, |_| {})
    }

    /// Launches the probes that are due on one offer each; the other offers go back at once.
    fn launch_probes(&mut self, world: &mut World<'_>) {
        while let Some(held) = self.held.pop_front() {
            if held.amount.fits() > 0
                && let Some(due_us) = self.due.pop_front()
            {
                let next = u32::try_from(world.ledger.launched()).unwrap_or(u32::MAX);
                let accept = self.accept(held, 1, world);
                world.calls.push(accept);
                world.ledger.on_probe(next, due_us);
            } else {
                let decline = call::Decline { offer_ids: vec![held.offer], filters: Some(filters(0.0)) };
                world.calls.push(self.call(call::Type::Decline, |call| call.decline = Some(decline)));
            }
            if self.due.is_empty() {
                world.calls.push(self.call(call::Type::Suppress, |_| {}));
            }
        }
    }

    /// Its id, once it has one.
    pub(crate) fn id(&self) -> Option<&FrameworkId> {
        self.id.as_ref()
    }

    /// Its stream broke: it subscribes again under its id.
    pub(crate) fn on_link_broken(&mut self) {
        self.subscribed = false;
        self.held.clear();
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// The call that opens its stream.
    pub(crate) fn subscribe(&self) -> Call {
        let framework_info = info(self.id.as_ref());
        let suppressed_roles = if self.prober { vec![ROLE.to_owned()] } else { Vec::new() };
        let subscribe = call::Subscribe { framework_info, suppressed_roles, ..call::Subscribe::default() };
        self.call(call::Type::Subscribe, |call| call.subscribe = Some(subscribe))
    }

    /// Ends the framework.
    pub(crate) fn teardown(&self) -> Call {
        self.call(call::Type::Teardown, |_| {})
    }

    /// Whether offers are in hand that could be used.
    pub(crate) fn holds_offers(&self) -> bool {
        !self.held.is_empty()
    }

    /// An event of its stream.
    pub(crate) fn on_event(&mut self, event: Event, world: &mut World<'_>) {
        match event.r#type() {
            event::Type::Subscribed => {
                self.id = event.subscribed.map(|subscribed| subscribed.framework_id.into());
                self.subscribed = true;
            }
            event::Type::Offers => {
                for offer in event.offers.into_iter().flat_map(|offers| offers.offers) {
                    let amount = Amount::of(&offer.resources);
                    world.ledger.on_offer(&offer.agent_id.value, world.now_us);
                    self.held.push_back(Held { offer: offer.id, agent: offer.agent_id, amount });
                }
                if self.prober {
                    self.launch_probes(world);
                } else {
                    self.launch(world);
                }
            }
            event::Type::Rescind => {
                let gone = event.rescind.map(|rescind| rescind.offer_id);
                self.held.retain(|held| Some(&held.offer) != gone.as_ref());
            }
            event::Type::Update => {
                if let Some(update) = event.update {
                    self.on_update(update.status, world);
                }
            }
            event::Type::Failure => {
                world.ledger.complain(format!("a framework was told of a failure: {:?}", event.failure));
            }
            event::Type::Error => {
                let message = event.error.map(|error| error.message).unwrap_or_default();
                world.ledger.complain(format!("a framework was refused: {message}"));
            }
            event::Type::Heartbeat
            | event::Type::Message
            | event::Type::InverseOffers
            | event::Type::RescindInverseOffer
            | event::Type::UpdateOperationStatus
            | event::Type::Unknown => {}
        }
    }

    /// Launches what is due on the offers in hand. An offer too small for a task goes back.
    pub(crate) fn launch(&mut self, world: &mut World<'_>) {
        while !self.held.is_empty() {
            let due = usize::try_from(world.ledger.due(world.now_us)).unwrap_or(usize::MAX);
            if due == 0 {
                return;
            }
            let Some(held) = self.held.pop_front() else { return };
            let fits = held.amount.fits();
            let call = if fits == 0 {
                let decline = call::Decline { offer_ids: vec![held.offer], filters: Some(filters(60.0)) };
                self.call(call::Type::Decline, |call| call.decline = Some(decline))
            } else {
                self.accept(held, fits.min(due).min(world.settings.batch), world)
            };
            world.calls.push(call);
        }
    }

    fn accept(&self, held: Held, count: usize, world: &mut World<'_>) -> Call {
        let task = |_| v1::TaskInfo {
            name: if self.prober { PROBE } else { "load" }.to_owned(),
            task_id: task_id(world.ledger.launch(world.now_us)),
            agent_id: held.agent.clone(),
            resources: Amount::TASK.resources(),
            command: Some(v1::CommandInfo { value: Some("true".to_owned()), ..v1::CommandInfo::default() }),
            ..v1::TaskInfo::default()
        };
        let launch = operation::Launch { task_infos: (0..count).map(task).collect() };
        let operation = Operation {
            r#type: Some(operation::Type::Launch.into()),
            launch: Some(launch),
            ..Operation::default()
        };
        let accept = call::Accept {
            offer_ids: vec![held.offer],
            operations: vec![operation],
            filters: Some(filters(0.0)),
        };
        self.call(call::Type::Accept, |call| call.accept = Some(accept))
    }

    fn on_update(&self, status: v1::TaskStatus, world: &mut World<'_>) {
        let state = status.state();
        let uuid = status.uuid.clone().unwrap_or_default();
        let number = <[u8; 16]>::try_from(&uuid[..]).map_or(0, u128::from_be_bytes);
        let task = task_number(&status.task_id);
        let why = status.message.as_deref().unwrap_or_default();
        // What came again is acknowledged again: the first acknowledgement may be what was lost.
        match task {
            Some(task) => {
                world.ledger.on_update(task, state, number, why);
                world.ledger.on_known(task, world.now_us);
            }
            None => world.ledger.complain(format!("an update of the unknown task {}", status.task_id.value)),
        }
        let forgets = world.settings.fault == Some(Fault::ForgetAcknowledgement)
            && state == v1::TaskState::TaskFinished
            && task == Some(FAULTY_TASK);
        let Some(agent_id) = status.agent_id.filter(|_| !uuid.is_empty() && !forgets) else { return };
        let acknowledge = call::Acknowledge { agent_id, task_id: status.task_id, uuid };
        world.calls.push(self.call(call::Type::Acknowledge, |call| call.acknowledge = Some(acknowledge)));
    }

    fn call(&self, kind: call::Type, fill: impl FnOnce(&mut Call)) -> Call {
        let framework_id = self.id.as_ref().map(Into::into);
        let mut call = Call { framework_id, r#type: Some(kind.into()), ..Call::default() };
        fill(&mut call);
        call
    }
}

fn filters(refuse_seconds: f64) -> v1::Filters {
    v1::Filters { refuse_seconds: Some(refuse_seconds) }
}

/// The description of all our frameworks.
pub(crate) fn info(id: Option<&FrameworkId>) -> v1::FrameworkInfo {
    use framework_info::capability::Type;
    let capability = |kind: Type| framework_info::Capability { r#type: Some(kind.into()) };
    v1::FrameworkInfo {
        user: "nobody".to_owned(),
        name: "load".to_owned(),
        id: id.map(Into::into),
        // A run whose stream breaks shall end with its tasks in place, for the audit to see.
        failover_timeout: Some(60.0),
        roles: vec![ROLE.to_owned()],
        capabilities: [Type::MultiRole, Type::ReservationRefinement, Type::PartitionAware]
            .map(capability)
            .into(),
        ..v1::FrameworkInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fault: Option<Fault>, tasks: u64, events: Vec<Event>) -> (Vec<Call>, Ledger, Framework) {
        let settings = Settings { slots: 4, batch: 3, fault, length: None, slots_all: 0, labels: 0 };
        let mut ledger = Ledger::default();
        ledger.open_window(tasks, None, 0);
        let (mut calls, mut framework) = (Vec::new(), Framework::default());
        for event in events {
            let world = &mut World { settings: &settings, ledger: &mut ledger, calls: &mut calls, now_us: 1 };
            framework.on_event(event, world);
        }
        (calls, ledger, framework)
    }

    fn offer(slots: u32) -> Event {
        let offer = v1::Offer {
            id: v1::OfferId { value: "O".to_owned() },
            agent_id: v1::AgentId { value: "S0".to_owned() },
            resources: Amount::tasks(slots).resources(),
            ..v1::Offer::default()
        };
        Event {
            r#type: Some(event::Type::Offers.into()),
            offers: Some(event::Offers { offers: vec![offer] }),
            ..Event::default()
        }
    }

    fn update(task: u32, state: v1::TaskState, uuid: u8) -> Event {
        let status = v1::TaskStatus {
            task_id: task_id(task),
            state: state.into(),
            agent_id: Some(v1::AgentId { value: "S0".to_owned() }),
            uuid: Some(vec![uuid; 16].into()),
            ..v1::TaskStatus::default()
        };
        Event {
            r#type: Some(event::Type::Update.into()),
            update: Some(event::Update { status }),
            ..Event::default()
        }
    }

    #[test]
    fn offers_are_filled_up_to_the_batch() {
        for (slots, tasks, launched) in [(1, 10, 1), (4, 10, 3), (4, 2, 2)] {
            let (calls, ledger, _) = check(None, tasks, vec![offer(slots)]);
            let accept = calls[0].accept.as_ref().unwrap();
            assert_eq!(accept.operations[0].launch.as_ref().unwrap().task_infos.len(), launched);
            assert_eq!(ledger.launched(), u64::try_from(launched).unwrap());
        }
    }

    #[test]
    fn offers_wait_for_tasks_and_useless_ones_go_back() {
        let (calls, _, framework) = check(None, 0, vec![offer(1)]);
        assert!(calls.is_empty() && framework.holds_offers());
        let (calls, _, framework) = check(None, 5, vec![offer(0)]);
        assert!(calls[0].decline.is_some() && !framework.holds_offers());
    }

    #[test]
    fn every_update_is_acknowledged_and_a_repeated_one_counted() {
        let running = v1::TaskState::TaskRunning;
        let events = vec![offer(1), update(0, running, 1), update(0, running, 1)];
        let (calls, ledger, _) = check(None, 1, events);
        assert_eq!(calls.iter().filter(|call| call.acknowledge.is_some()).count(), 2);
        assert_eq!(ledger.repeated(), 1);
    }

    #[test]
    fn one_acknowledgement_can_be_forgotten() {
        let finished = update(FAULTY_TASK, v1::TaskState::TaskFinished, 1);
        let (calls, ..) = check(Some(Fault::ForgetAcknowledgement), 0, vec![finished]);
        assert!(calls.is_empty());
    }
}
