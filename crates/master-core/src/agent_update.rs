//! What an agent says of itself while it is registered: resources to oversubscribe, the
//! version of its resources, and the operations that it knows of.

use std::collections::BTreeSet;

use proto::mesos::internal;
use proto::mesos::internal::reconcile_operations_message;
use proto::mesos::v1;
use resources::Resources;
use types::{AgentId, Uuid};

use crate::Master;
use crate::message::Outgoing;
use crate::offers::End;
use crate::step::Step;

impl Master {
    /// UpdateSlaveMessage. Resource providers are not part of this master yet.
    pub(crate) fn on_update_agent(&mut self, message: internal::UpdateSlaveMessage, step: &mut Step<'_>) {
        self.counters().messages_update_agent += 1;
        let id = AgentId::from(&message.slave_id);
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        if message.resource_version_uuid.is_some() {
            agent.resource_version = message.resource_version_uuid;
        }
        self.learn_operations(&id, message.operations.unwrap_or_default().operations, step);
        // COMPAT(mesos): agents before 1.5 do not say whether the list is meant.
        if message.update_oversubscribed_resources.unwrap_or(true) {
            self.oversubscribe(&id, &message.oversubscribed_resources, step);
        }
        self.agents.drains.perhaps_empty(&id);
    }

    /// Brings the books and the agent to agree on operations: what the agent knows and
    /// this master does not is put on record, and of the rest the agent is asked.
    fn learn_operations(&mut self, id: &AgentId, reported: Vec<v1::Operation>, step: &mut Step<'_>) {
        let mut theirs = BTreeSet::new();
        for mut operation in reported {
            let Ok(uuid) = Uuid::try_from(&operation.uuid.value[..]) else { continue };
            if theirs.insert(uuid) && self.operation(id.as_str(), uuid).is_none() {
                operation.agent_id = Some(id.into());
                self.add_operation(id, uuid, operation);
            }
        }
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        let unknown = agent.view().operations.keys().filter(|uuid| !theirs.contains(uuid));
        let operations: Vec<_> = unknown
            .map(|uuid| reconcile_operations_message::Operation {
                operation_uuid: Some(v1::Uuid { value: (*uuid).into() }),
                ..reconcile_operations_message::Operation::default()
            })
            .collect();
        if !operations.is_empty() {
            let message = internal::ReconcileOperationsMessage { operations, framework_id: None };
            step.send(agent.pid(), Outgoing::ReconcileOperations(message));
        }
    }

    /// An agent's estimate of what may be used though it is given away already. Offers
    /// of the former estimate end.
    fn oversubscribe(&mut self, id: &AgentId, estimate: &[v1::Resource], step: &mut Step<'_>) {
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        let mut total = agent.view().total.non_revocable();
        let estimate = Resources::from_checked_protos(estimate).revocable().unallocated();
        total += estimate;
        if total == agent.view().total {
            return;
        }
        for offer in agent.offers.clone() {
            let stale = |id: &str| self.offers.get(id).is_some_and(|o| !o.resources.revocable().is_empty());
            if stale(offer.as_str()) {
                self.end_offer(offer.as_str(), End::Rescinded, None, step);
            }
        }
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        agent.set_total(total.clone());
        agent.take_stock();
        self.allocator.update_agent(id, total);
    }
}
