//! RECONCILE_OPERATIONS: telling a framework the states of its operations (as observed
//! of Mesos).

use std::collections::BTreeMap;

use proto::mesos::internal;
use proto::mesos::v1::scheduler::call::{ReconcileOperations, reconcile_operations};
use proto::mesos::v1::{OperationState, OperationStatus};
use types::{AgentId, FrameworkId, Uuid};

use crate::Master;
use crate::connection::Say;
use crate::message::Outgoing;
use crate::step::Step;

impl Master {
    pub(crate) fn reconcile_operations(
        &mut self,
        id: &FrameworkId,
        body: ReconcileOperations,
        step: &mut Step<'_>,
    ) {
        self.counters().messages_reconcile_operations += 1;
        let mut known = Vec::new();
        if body.operations.is_empty() {
            let all = self.named.of(id.as_str());
            known.extend(all.filter_map(|(agent, uuid)| self.latest(agent, *uuid)));
        }
        let mut passed_on: BTreeMap<AgentId, Vec<_>> = BTreeMap::new();
        for asked in body.operations {
            match self.provider_unseen(id, &asked) {
                Some(agent) => {
                    passed_on.entry(agent).or_default().push(
                        internal::reconcile_operations_message::Operation {
                            operation_uuid: None,
                            resource_provider_id: asked.resource_provider_id,
                            operation_id: Some(asked.operation_id),
                        },
                    );
                }
                None => known.push(self.state_of(id, asked)),
            }
        }
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        for status in known {
            framework.tell(Say::Operation(Box::new(status)), step.fx);
        }
        for (agent, operations) in passed_on {
            let message = internal::ReconcileOperationsMessage { operations, framework_id: Some(id.into()) };
            if let Some(agent) = self.agents.get(agent.as_str()) {
                step.send(agent.pid(), Outgoing::ReconcileOperations(message));
            }
        }
    }

    /// The latest status of an operation. This telling need not be acknowledged.
    fn latest(&self, agent: &AgentId, uuid: Uuid) -> Option<OperationStatus> {
        let record = self.operation(agent.as_str(), uuid)?;
        let status = record.statuses.last().unwrap_or(&record.latest_status).clone();
        Some(OperationStatus { uuid: None, ..status })
    }

    /// The agent that must be asked instead: of a resource provider that is not there,
    /// only the agent knows whether it ever was.
    fn provider_unseen(
        &self,
        framework: &FrameworkId,
        asked: &reconcile_operations::Operation,
    ) -> Option<AgentId> {
        asked.resource_provider_id.as_ref()?;
        if !self.named.get(framework.as_str(), &asked.operation_id.value).is_empty() {
            return None;
        }
        let agent = self.agents.get(&asked.agent_id.as_ref()?.value)?;
        agent.capabilities.agent_operation_feedback.then(|| agent.id().clone())
    }

    /// What is known of one operation; where it is unknown, where its agent is tells.
    fn state_of(&self, framework: &FrameworkId, asked: reconcile_operations::Operation) -> OperationStatus {
        let places = self.named.get(framework.as_str(), &asked.operation_id.value);
        if let Some(status) = places.last().and_then(|(agent, uuid)| self.latest(agent, *uuid)) {
            return status;
        }
        let (state, message) = match asked.agent_id.as_ref().map(|agent| agent.value.as_str()) {
            None => (
                OperationState::OperationUnknown,
                "Reconciliation: Operation is unknown and no 'agent_id' was provided",
            ),
            Some(agent) if self.agents.recovered.contains_key(agent) => (
                OperationState::OperationRecovering,
                "Reconciliation: Agent is recovered but has not re-registered",
            ),
            Some(agent) if self.agents.get(agent).is_some() => {
                (OperationState::OperationUnknown, "Reconciliation: Operation is unknown")
            }
            Some(agent) if self.agents.unreachable.contains_key(agent) => {
                (OperationState::OperationUnreachable, "Reconciliation: Agent is unreachable")
            }
            Some(agent) if self.agents.gone.contains_key(agent) => {
                (OperationState::OperationGoneByOperator, "Reconciliation: Agent marked gone by operator")
            }
            Some(_) => {
                (OperationState::OperationUnknown, "Reconciliation: Both operation and agent are unknown")
            }
        };
        OperationStatus {
            operation_id: Some(asked.operation_id),
            state: state.into(),
            message: Some(message.to_owned()),
            agent_id: asked.agent_id,
            resource_provider_id: asked.resource_provider_id,
            ..OperationStatus::default()
        }
    }
}
