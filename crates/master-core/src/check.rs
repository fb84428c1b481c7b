//! Invariants: every sum and back reference, reckoned anew.

use std::collections::BTreeMap;

use allocator::Weight;
use resources::{Quantities, Resources};
use types::{AgentId, FrameworkId};

use crate::Master;
use crate::agents::{Agent, covers};
use crate::operations::name_of;

impl Master {
    /// Checks that the books agree with each other. For tests and simulation: it
    /// looks at everything.
    ///
    /// # Panics
    ///
    /// When they do not.
    pub fn assert_invariants(&self) {
        for agent in self.agents.iter() {
            self.assert_agent(agent);
        }
        self.assert_frameworks();
        self.assert_named();
        self.assert_settings();
        for (agent, framework) in self.inverse_offers.iter() {
            let agent = self.agents.get(agent.as_str()).expect("inverse offers are for known agents");
            assert!(agent.view().active, "inverse offers are for active agents");
            let framework = self.frameworks.get(framework.as_str());
            assert!(framework.is_some_and(|f| f.is_active()), "inverse offers are of active frameworks");
        }
        for offer in self.offers.iter() {
            let framework = self.frameworks.get(offer.framework.as_str());
            assert!(framework.is_some_and(|f| f.offers.contains(&offer.id)), "an offer is its framework's");
            let agent = self.agents.get(offer.agent.as_str());
            assert!(agent.is_some_and(|a| a.offers.contains(&offer.id)), "an offer is its agent's");
            assert!(agent.is_some_and(|a| a.view().active), "offers are of active agents");
            assert!(framework.is_some_and(|f| f.is_active()), "offers are of active frameworks");
        }
    }

    fn assert_agent(&self, agent: &Agent) {
        let view = agent.view();
        let id = agent.id();
        let mut used: BTreeMap<_, Resources> = BTreeMap::new();
        for (framework, tasks) in agent.tasks() {
            let owner = self.frameworks.get(framework.as_str()).expect("an agent's frameworks are known");
            for task in tasks {
                let task = owner.task(task).expect("an agent's tasks are its frameworks'");
                assert_eq!(&task.agent, id, "a task is where it says");
                if task.is_running() {
                    *used.entry(framework.clone()).or_default() += &task.resources;
                }
            }
        }
        for (framework, executors) in &view.executors {
            for info in executors.values() {
                *used.entry(framework.clone()).or_default() +=
                    &Resources::from_checked_protos(&info.resources);
            }
        }
        used.retain(|_, resources| !resources.is_empty());
        assert_eq!(used, view.used, "what is used on {id} is the sum of its tasks and executors");
        for (uuid, operation) in &view.operations {
            if let Some((framework, name)) = name_of(operation) {
                let places = self.named.get(framework.as_str(), name);
                assert!(places.contains(&(id.clone(), *uuid)), "a named operation is found by its name");
            }
        }
        let offered = self.sum_offers(id);
        assert_eq!(offered, view.offered, "what is offered on {id} is the sum of its offers");
        let held = view.held();
        let had = &view.total + &agent.missing;
        assert!(covers(&had, &held), "{id} has what is used and offered of it: {held} of {had}");
        let firm = |all: &Resources| Quantities::of_scalars(&all.non_shared().non_revocable());
        let (there, offers, mut taken) = (firm(&view.total), firm(&view.offered), firm(&held));
        taken -= &there;
        for (name, beyond) in taken.iter() {
            let offered = offers.get(name);
            assert!(offered.is_zero(), "{id}: {offered} {name} are offered, and {beyond} too many used");
        }
        assert_eq!(
            agent.checkpointed,
            view.total.checkpointed(),
            "what operations made on {id} is part of it"
        );
        let total = self.allocator.agent_total(id).expect("the allocator knows every agent");
        assert_eq!(&view.total, total, "the allocator agrees on what {id} has");
        let booked = self.allocator.agent_allocated(id).expect("the allocator knows every agent");
        assert_eq!(held, booked, "the allocator agrees on {id}");
    }

    /// What operators set holds everywhere.
    fn assert_settings(&self) {
        for agent in self.agents.iter() {
            let (id, view) = (agent.id(), agent.view());
            let drains = &self.agents.drains;
            assert_eq!(view.deactivated, drains.deactivated.contains(id), "{id} is switched off, or not");
            assert_eq!(view.drain_info, drains.info.get(id).copied(), "{id} is emptied, or not");
            assert_eq!(
                view.active,
                view.connected && !view.deactivated,
                "{id} is active if it is there and on"
            );
            let machine = agent.machine();
            assert_eq!(
                view.unavailability,
                self.maintenance.unavailability(&machine),
                "{id} knows its schedule"
            );
            let leaves = self.agents.transitions.contains_key(id);
            assert!(leaves || !self.maintenance.is_down(&machine), "{id} is on a machine that is down");
        }
        for (agent, answers) in &**self.inverse_offers.answers() {
            let agent = self.agents.get(agent.as_str()).expect("answers are about known agents");
            assert!(agent.view().unavailability.is_some(), "answers are about agents that will not be there");
            let known = |id: &FrameworkId| self.frameworks.get(id.as_str()).is_some();
            assert!(answers.keys().all(known), "answers are of known frameworks");
        }
        let quotas: BTreeMap<_, _> =
            self.allocator.quotas().map(|(role, quota)| (role.clone(), quota.clone())).collect();
        assert_eq!(quotas, *self.quotas.durable, "the allocator knows the quotas in force");
        for (role, weight) in &*self.weights {
            assert_eq!(Some(self.allocator.weight(role)), Weight::from_f64(*weight), "{role} has its weight");
        }
    }

    fn assert_named(&self) {
        for (framework, name, (agent, uuid)) in self.named.iter() {
            let operation =
                self.operation(agent.as_str(), *uuid).expect("a name is of an operation on record");
            assert_eq!(name_of(operation), Some((framework.clone(), name.as_str())));
        }
    }

    fn sum_offers(&self, agent: &AgentId) -> Resources {
        self.offers
            .iter()
            .filter(|offer| offer.agent == *agent)
            .fold(Resources::new(), |sum, offer| &sum + &offer.resources)
    }

    fn assert_frameworks(&self) {
        for framework in self.frameworks.iter() {
            for task in framework.tasks() {
                let agent = self.agents.get(task.agent.as_str()).expect("a task's agent is registered");
                let known = agent.tasks().get(&framework.id).is_some_and(|tasks| tasks.contains(&task.id));
                assert!(known, "a framework's tasks are their agents'");
            }
            let used: BTreeMap<_, _> = self
                .agents
                .iter()
                .filter_map(|agent| Some((agent.id().clone(), agent.view().used.get(&framework.id)?.clone())))
                .collect();
            assert_eq!(&used, framework.used(), "{} uses what its agents say", framework.id);
            let offered = self
                .offers
                .iter()
                .filter(|offer| offer.framework == framework.id)
                .fold(Resources::new(), |sum, offer| &sum + &offer.resources);
            assert_eq!(&offered, framework.offered(), "{} is offered the sum of its offers", framework.id);
        }
    }
}
