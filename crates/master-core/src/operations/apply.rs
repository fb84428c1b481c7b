//! What all operations on resources have in common: the books change at once, before
//! the agent is told, so that what they make can be used by the next operation.

use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::offer::Operation;
use proto::mesos::v1::offer::operation::Type;
use proto::mesos::v1::{OperationState, OperationStatus};
use resources::{Conversion, Format, Resources, conversions};
use types::{AgentId, FrameworkId, Uuid};

use super::{Basket, Blame};
use crate::Master;
use crate::agents::Agent;
use crate::frameworks::Framework;
use crate::message::Outgoing;
use crate::step::Step;

/// An operation that can be done.
pub(crate) struct Plan {
    pub(crate) steps: Vec<Conversion>,
    /// What the agent will have.
    pub(crate) total: Resources,
    /// What will be left of the resources that it takes from.
    pub(crate) left: Resources,
}

/// What comes of an operation on these resources of an agent.
pub(crate) fn plan(operation: &Operation, from: &Resources, agent: &Agent) -> Result<Plan, String> {
    let steps = conversions(operation).map_err(|why| why.to_string())?;
    let left = from.apply(&steps).map_err(|why| why.to_string())?;
    let bare: Vec<_> = steps.iter().map(unallocated).collect();
    let total = agent.view().total.apply(&bare).map_err(|why| why.to_string())?;
    Ok(Plan { steps, total, left })
}

fn unallocated(step: &Conversion) -> Conversion {
    Conversion {
        consumed: step.consumed.unallocated(),
        converted: step.converted.unallocated(),
        destroyed: step.destroyed.clone().map(|volume| volume.with_allocation(None)),
    }
}

impl Master {
    /// Checks an operation of an ACCEPT, and finds out what comes of it.
    pub(crate) fn plan(
        &self,
        operation: &Operation,
        basket: &Basket,
        check: impl FnOnce(&Framework, &Agent) -> Result<(), String>,
    ) -> Result<Plan, String> {
        let framework = self.frameworks.get(basket.framework.as_str());
        let agent = self.agents.get(basket.agent.as_str());
        let (Some(framework), Some(agent)) = (framework, agent) else {
            return Err("Agent removed".to_owned());
        };
        check(framework, agent)
            .and_then(|()| versioned(agent))
            .map_err(|why| format!("{why}; on agent {}", agent.describe()))?;
        // COMPAT(mesos): of these two the error says which operation it was.
        let resizes = matches!(operation.r#type(), Type::GrowVolume | Type::ShrinkVolume);
        plan(operation, &basket.left, agent).map_err(|why| {
            let kind = operation.r#type().as_str_name();
            if resizes { format!("Invalid {kind} operation: {why}") } else { why }
        })
    }

    /// Does an operation of an ACCEPT, or says why not. What it makes may be used by the
    /// operations after it.
    pub(crate) fn convert(
        &mut self,
        operation: Operation,
        plan: Result<Plan, String>,
        basket: &mut Basket,
        step: &mut Step<'_>,
    ) {
        self.attempt(operation, plan, basket, step, |basket, plan| basket.left.clone_from(&plan.left));
    }

    /// Does an operation that makes a volume larger or smaller, or says why not. What it
    /// makes is not for the operations after it.
    pub(crate) fn resize(
        &mut self,
        operation: Operation,
        plan: Result<Plan, String>,
        basket: &mut Basket,
        step: &mut Step<'_>,
    ) {
        self.attempt(operation, plan, basket, step, |basket, plan| {
            for Conversion { consumed, converted, .. } in &plan.steps {
                basket.left -= consumed;
                basket.resized += converted;
            }
        });
    }

    fn attempt(
        &mut self,
        operation: Operation,
        plan: Result<Plan, String>,
        basket: &mut Basket,
        step: &mut Step<'_>,
        rearrange: impl FnOnce(&mut Basket, &Plan),
    ) {
        match plan {
            Ok(plan) => {
                rearrange(basket, &plan);
                self.carry_out(operation, plan, basket, step);
            }
            Err(why) => self.refuse_operation(&basket.framework, operation, Blame::Task(&why), step),
        }
    }

    /// Changes the framework's account and the agent, and tells the agent.
    pub(crate) fn carry_out(
        &mut self,
        operation: Operation,
        plan: Plan,
        basket: &mut Basket,
        step: &mut Step<'_>,
    ) {
        basket.converted = true;
        for Conversion { consumed, converted, .. } in &plan.steps {
            self.allocator.update_allocation(&basket.framework, &basket.agent, consumed, converted);
        }
        if let Some(framework) = self.frameworks.get_mut(basket.framework.as_str()) {
            framework.counters_mut().operation(operation.r#type());
        }
        self.apply(&basket.agent, Some(&basket.framework), operation, plan.total, step);
    }

    /// Gives an agent its new total, and tells it of the operation that made it.
    pub(crate) fn apply(
        &mut self,
        id: &AgentId,
        framework: Option<&FrameworkId>,
        operation: Operation,
        total: Resources,
        step: &mut Step<'_>,
    ) {
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        agent.set_total(total);
        if !agent.capabilities.resource_provider {
            return tell_checkpointed(agent, step);
        }
        let (pid, Some(version)) = (agent.pid().clone(), agent.resource_version.clone()) else { return };
        let uuid = Uuid::random(&mut self.rng);
        let operation_uuid = v1::Uuid { value: uuid.into() };
        let message = internal::ApplyOperationMessage {
            framework_id: framework.map(Into::into),
            operation_info: operation.clone(),
            operation_uuid: operation_uuid.clone(),
            resource_version_uuid: internal::ResourceVersionUuid {
                resource_provider_id: None,
                uuid: version,
            },
        };
        let status = OperationStatus {
            operation_id: operation.id.clone(),
            state: OperationState::OperationPending.into(),
            agent_id: Some(id.into()),
            ..OperationStatus::default()
        };
        let record = v1::Operation {
            framework_id: framework.map(Into::into),
            agent_id: Some(id.into()),
            info: operation,
            latest_status: status,
            statuses: Vec::new(),
            uuid: operation_uuid,
        };
        self.add_operation(id, uuid, record);
        step.send(&pid, Outgoing::ApplyOperation(Box::new(message)));
    }
}

/// An agent that reports operations checks them against the version of its resources.
pub(crate) fn versioned(agent: &Agent) -> Result<(), String> {
    if agent.capabilities.resource_provider && agent.resource_version.is_none() {
        return Err("The agent has not told the version of its resources".to_owned());
    }
    Ok(())
}

/// Tells an agent that reports no operations all that operations made of it. An agent
/// that cannot be told of refined reservations is told nothing where there are some.
pub(crate) fn tell_checkpointed(agent: &Agent, step: &mut Step<'_>) {
    let refined = agent.capabilities.reservation_refinement;
    let format = if refined { Format::PostRefinement } else { Format::PreRefinement };
    if let Ok(resources) = agent.checkpointed.to_protos_in(format) {
        let message = internal::CheckpointResourcesMessage { resources };
        step.send(agent.pid(), Outgoing::CheckpointResources(message));
    }
}
