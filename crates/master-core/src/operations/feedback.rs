//! How frameworks hear of their operations: what agents report, who acknowledges it,
//! and what is said when an agent is lost.

use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::offer::{Operation, operation};
use proto::mesos::v1::scheduler::call::AcknowledgeOperationStatus;
use proto::mesos::v1::{OperationState, OperationStatus};
use types::{AgentId, FrameworkId, Uuid};

use super::record::{is_over, name_of};
use super::{Basket, Blame};
use crate::Master;
use crate::connection::{Connection, Say};
use crate::message::Outgoing;
use crate::step::Step;

/// How long an operation's updates wait for a framework that this master does not
/// know, from when the agent came.
const ADOPTION: std::time::Duration = std::time::Duration::from_secs(600);

/// Who acknowledges an operation's updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acknowledger {
    /// The framework that named the operation.
    Framework,
    /// This master: nobody else asked, or who asked is gone.
    Master,
    /// Nobody yet: the framework may still come back to a new master.
    Nobody,
}

impl Master {
    /// Whether an operation may carry an id: its framework must be able to hear of it, and
    /// its agent to tell. If not, the framework has been told.
    pub(crate) fn may_be_named(
        &mut self,
        operation: &Operation,
        basket: &Basket,
        step: &mut Step<'_>,
    ) -> bool {
        let kind = operation.r#type();
        if matches!(kind, operation::Type::Launch | operation::Type::LaunchGroup) {
            let why = format!("The `id` field cannot be set on {} operations", kind.as_str_name());
            self.refuse_operation(&basket.framework, operation.clone(), Blame::Task(&why), step);
            return false;
        }
        let Some(framework) = self.frameworks.get_mut(basket.framework.as_str()) else { return false };
        if framework.pid().is_some() {
            let why = "The 'id' field was set in an offer operation, but operation feedback is not supported \
                       for the SchedulerDriver API; please use the HTTP scheduler API for this feature";
            framework.tell(Say::Error(why.to_owned()), step.fx);
            return false;
        }
        let Some(agent) = self.agents.get(basket.agent.as_str()) else { return false };
        let (id, capabilities) = (&basket.agent, agent.capabilities);
        let why = if !capabilities.resource_provider {
            format!(
                "Operation requested feedback, but agent {id} does not have the required RESOURCE_PROVIDER \
                 capability"
            )
        } else if !capabilities.agent_operation_feedback {
            format!(
                "Operation on agent default resources requested feedback, but agent {id} does not have the \
                 required AGENT_OPERATION_FEEDBACK and RESOURCE_PROVIDER capabilities"
            )
        } else {
            return true;
        };
        self.refuse_operation(&basket.framework, operation.clone(), Blame::Task(&why), step);
        false
    }

    /// An agent reports an operation's state.
    pub(crate) fn on_operation_update(
        &mut self,
        mut message: internal::UpdateOperationStatusMessage,
        step: &mut Step<'_>,
    ) {
        self.counters().messages_operation_status_update += 1;
        let framework = message.framework_id.as_ref().map(FrameworkId::from);
        let Some(operation_uuid) = message.operation_uuid.take() else {
            // The agent's answer to a framework that asked of what this master does not know.
            if let Some(framework) = framework {
                self.forward_operation(&framework, message.status, step);
            }
            return;
        };
        let agent = message.slave_id.as_ref().map(AgentId::from);
        let agent = agent.filter(|id| self.agents.get(id.as_str()).is_some());
        let (Some(agent), Ok(uuid)) = (agent, Uuid::try_from(&operation_uuid.value[..])) else {
            self.counters().invalid_operation_status_updates += 1;
            return;
        };
        let Some(record) = self.operation(agent.as_str(), uuid) else {
            // Acknowledged meanwhile. Without a framework it is the second answer to a
            // reconciliation, and no news.
            if let Some(framework) = framework {
                self.counters().invalid_operation_status_updates += 1;
                self.forward_operation(&framework, message.status, step);
            }
            return;
        };
        // Agents leave the id out when they say that they do not know an operation.
        message.status.operation_id = record.info.id.clone().or(message.status.operation_id);
        let latest = match message.latest_status {
            Some(latest) => OperationStatus { operation_id: message.status.operation_id.clone(), ..latest },
            None => message.status.clone(),
        };
        self.counters().valid_operation_status_updates += 1;
        self.update_operation(&agent, uuid, &message.status, &latest);
        let over = is_over(latest.state());
        match self.acknowledger(&agent, uuid, step) {
            Acknowledger::Framework => {
                let named = self.operation(agent.as_str(), uuid).and_then(|record| name_of(record));
                if let Some((framework, _)) = named {
                    self.forward_operation(&framework, message.status, step);
                }
                if over && latest.uuid.is_none() {
                    // It is not sent again, so there is nothing to acknowledge.
                    self.remove_operation(&agent, uuid);
                }
            }
            Acknowledger::Master => {
                if let Some(status_uuid) = latest.uuid {
                    self.tell_acknowledged(&agent, uuid, status_uuid, step);
                }
                if over {
                    self.remove_operation(&agent, uuid);
                }
            }
            Acknowledger::Nobody => {}
        }
    }

    fn acknowledger(&self, agent: &AgentId, uuid: Uuid, step: &Step<'_>) -> Acknowledger {
        let named = self.operation(agent.as_str(), uuid).and_then(|record| name_of(record));
        let Some((framework, _)) = named else { return Acknowledger::Master };
        if self.frameworks.get(framework.as_str()).is_some() {
            return Acknowledger::Framework;
        }
        let Some(agent) = self.agents.get(agent.as_str()) else { return Acknowledger::Nobody };
        let view = agent.view();
        let came = view.reregistered_time.unwrap_or(view.registered_time);
        let waited = step.now.wall.as_nanos().saturating_sub(came.as_nanos());
        let long = u128::try_from(waited).is_ok_and(|waited| waited >= ADOPTION.as_nanos());
        if long || self.frameworks.is_completed(framework.as_str()) {
            Acknowledger::Master
        } else {
            Acknowledger::Nobody
        }
    }

    fn forward_operation(&mut self, framework: &FrameworkId, status: OperationStatus, step: &mut Step<'_>) {
        if let Some(framework) = self.frameworks.get_mut(framework.as_str()) {
            framework.tell(Say::Operation(Box::new(status)), step.fx);
        }
    }

    fn tell_acknowledged(&self, agent: &AgentId, uuid: Uuid, status_uuid: v1::Uuid, step: &mut Step<'_>) {
        let Some(agent) = self.agents.get(agent.as_str()) else { return };
        let message = internal::AcknowledgeOperationStatusMessage {
            status_uuid,
            operation_uuid: v1::Uuid { value: uuid.into() },
            resource_provider_id: None,
        };
        step.send(agent.pid(), Outgoing::AcknowledgeOperationStatus(Box::new(message)));
    }

    /// ACKNOWLEDGE_OPERATION_STATUS goes on to the agent; that of an end ends the record.
    pub(crate) fn acknowledge_operation(
        &mut self,
        framework: &FrameworkId,
        body: &AcknowledgeOperationStatus,
        step: &mut Step<'_>,
    ) {
        self.counters().messages_operation_status_update_acknowledgement += 1;
        let Some((agent, uuid, over)) = self.acknowledged(framework, body) else {
            self.counters().invalid_operation_status_update_acknowledgements += 1;
            return;
        };
        if over {
            self.remove_operation(&agent, uuid);
        }
        self.tell_acknowledged(&agent, uuid, v1::Uuid { value: body.uuid.clone() }, step);
        self.counters().valid_operation_status_update_acknowledgements += 1;
    }

    /// The operation whose status is acknowledged, and whether that status is its end.
    fn acknowledged(
        &self,
        framework: &FrameworkId,
        body: &AcknowledgeOperationStatus,
    ) -> Option<(AgentId, Uuid, bool)> {
        let id = body.agent_id.as_ref()?;
        let agent = self.agents.get(&id.value).filter(|agent| agent.is_connected())?;
        if body.resource_provider_id.is_some() || !agent.capabilities.agent_operation_feedback {
            return None;
        }
        let places = self.named.get(framework.as_str(), &body.operation_id.value);
        let (on, uuid, status) = places.iter().find_map(|(on, uuid)| {
            let record = self.operation(on.as_str(), *uuid)?;
            let mut statuses = record.statuses.iter();
            let told =
                |status: &&OperationStatus| status.uuid.as_ref().is_some_and(|uuid| uuid.value == body.uuid);
            Some((on, *uuid, statuses.find(told)?))
        })?;
        (on == agent.id()).then(|| (on.clone(), uuid, is_over(status.state())))
    }

    /// Tells frameworks that the operations on an agent will not be heard of: it is
    /// unreachable or gone.
    pub(crate) fn tell_operations_lost(
        &mut self,
        agent: &AgentId,
        state: OperationState,
        message: &str,
        step: &mut Step<'_>,
    ) {
        let Some(lost) = self.agents.get(agent.as_str()).map(|agent| agent.view().operations.clone()) else {
            return;
        };
        for record in lost.values() {
            self.counters().operation_state(record.info.r#type(), state);
            let Some((framework, _)) = name_of(record) else { continue };
            let Some(framework) = self.frameworks.get_mut(framework.as_str()) else { continue };
            if !matches!(framework.connection(), Connection::Stream { .. }) {
                continue;
            }
            let status = OperationStatus {
                operation_id: record.info.id.clone(),
                state: state.into(),
                message: Some(message.to_owned()),
                agent_id: Some(agent.into()),
                ..OperationStatus::default()
            };
            framework.tell(Say::Operation(Box::new(status)), step.fx);
        }
    }

    /// Forgets the operations of an agent that is removed: they can be acknowledged no more.
    pub(crate) fn forget_operations_on(&mut self, agent: &AgentId) {
        let known = self.agents.get(agent.as_str()).map(|agent| agent.view().operations.clone());
        for uuid in known.unwrap_or_default().into_keys() {
            self.remove_operation(agent, uuid);
        }
    }
}
