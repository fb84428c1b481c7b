//! RESERVE_RESOURCES, CREATE_VOLUMES and their like: operations on what nobody holds.
//!
//! What is offered can be taken back: offers are withdrawn one by one until enough is
//! free, and not offered to the same frameworks again for a while. What tasks use
//! cannot, and then the answer is 409.

use allocator::Refusal;
use proto::mesos::v1;
use proto::mesos::v1::master::call;
use proto::mesos::v1::offer::Operation;
use proto::mesos::v1::offer::operation::{self, Type};
use resources::{Conversion, Resources};
use types::AgentId;

use super::Asker;
use crate::Master;
use crate::agents::Agent;
use crate::effect::Reply;
use crate::offers::End;
use crate::operations::versioned;
use crate::step::Step;
use crate::validation;
use crate::validation::operation::{self as check, Author};

impl Master {
    pub(crate) fn reserve_resources(
        &mut self,
        asker: Asker<'_>,
        body: call::ReserveResources,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let reserve = operation::Reserve { resources: body.resources, source: body.source };
        let operation = Operation { reserve: Some(reserve), ..of(Type::Reserve) };
        let author = asker.author();
        let check = |operation: &Operation, agent: &Agent| {
            let body = operation.reserve.as_ref();
            let checked = body.map_or(Ok(()), |body| check::reserve(body, author, agent));
            checked.map_err(|why| format!("Invalid RESERVE operation on agent {}: {why}", agent.describe()))
        };
        Some(self.operate_on(&body.agent_id, operation, check, step))
    }

    pub(crate) fn unreserve_resources(
        &mut self,
        _: Asker<'_>,
        body: call::UnreserveResources,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let unreserve = operation::Unreserve { resources: body.resources };
        let operation = Operation { unreserve: Some(unreserve), ..of(Type::Unreserve) };
        let check = |operation: &Operation, _: &Agent| {
            let checked = operation.unreserve.as_ref().map_or(Ok(()), check::unreserve);
            checked.map_err(|why| format!("Invalid UNRESERVE operation: {why}"))
        };
        Some(self.operate_on(&body.agent_id, operation, check, step))
    }

    pub(crate) fn create_volumes(
        &mut self,
        asker: Asker<'_>,
        body: call::CreateVolumes,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let create = operation::Create { volumes: body.volumes };
        let operation = Operation { create: Some(create), ..of(Type::Create) };
        let author = asker.author();
        let check = |operation: &Operation, agent: &Agent| {
            let body = operation.create.as_ref();
            let checked = body.map_or(Ok(()), |body| check::create(body, author, agent));
            checked.map_err(|why| format!("Invalid CREATE operation on agent {}: {why}", agent.describe()))
        };
        Some(self.operate_on(&body.agent_id, operation, check, step))
    }

    pub(crate) fn destroy_volumes(
        &mut self,
        _: Asker<'_>,
        body: call::DestroyVolumes,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let destroy = operation::Destroy { volumes: body.volumes };
        let operation = Operation { destroy: Some(destroy), ..of(Type::Destroy) };
        let check = |operation: &Operation, agent: &Agent| {
            let checked = operation.destroy.as_ref().map_or(Ok(()), |body| check::destroy(body, agent));
            checked.map_err(|why| format!("Invalid DESTROY operation: {why}"))
        };
        Some(self.operate_on(&body.agent_id, operation, check, step))
    }

    pub(crate) fn grow_volume(
        &mut self,
        _: Asker<'_>,
        body: call::GrowVolume,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let Some(agent) = body.agent_id else { return Some(no_agent()) };
        let grow = operation::GrowVolume { volume: body.volume, addition: body.addition };
        let operation = Operation { grow_volume: Some(grow), ..of(Type::GrowVolume) };
        let check = |operation: &Operation, agent: &Agent| {
            let body = operation.grow_volume.as_ref();
            let checked = body.map_or(Ok(()), |body| check::grow_volume(body, agent));
            checked
                .map_err(|why| format!("Invalid GROW_VOLUME operation on agent {}: {why}", agent.describe()))
        };
        Some(self.operate_on(&agent, operation, check, step))
    }

    pub(crate) fn shrink_volume(
        &mut self,
        _: Asker<'_>,
        body: call::ShrinkVolume,
        step: &mut Step<'_>,
    ) -> Option<Reply> {
        let Some(agent) = body.agent_id else { return Some(no_agent()) };
        let shrink = operation::ShrinkVolume { volume: body.volume, subtract: body.subtract };
        let operation = Operation { shrink_volume: Some(shrink), ..of(Type::ShrinkVolume) };
        let check = |operation: &Operation, agent: &Agent| {
            let body = operation.shrink_volume.as_ref();
            let checked = body.map_or(Ok(()), |body| check::shrink_volume(body, agent));
            checked.map_err(|why| {
                format!("Invalid SHRINK_VOLUME operation on agent {}: {why}", agent.describe())
            })
        };
        Some(self.operate_on(&agent, operation, check, step))
    }

    fn operate_on(
        &mut self,
        id: &v1::AgentId,
        mut operation: Operation,
        check: impl FnOnce(&Operation, &Agent) -> Result<(), String>,
        step: &mut Step<'_>,
    ) -> Reply {
        let Some(agent) = self.agents.get(&id.value) else {
            return Reply::bad_request("No agent found with specified ID");
        };
        let checked = validation::operation_resources(&mut operation).and_then(|()| check(&operation, agent));
        let steps = checked.and_then(|()| {
            resources::conversions(&operation)
                .map_err(|why| format!("Invalid {} operation: {why}", operation.r#type().as_str_name()))
        });
        let steps = match steps {
            Ok(steps) => steps,
            Err(why) => return Reply::bad_request(why),
        };
        if !agent.is_connected() {
            // Mesos would say that it is done, and the agent would never hear of it.
            return Reply::conflict(format!("Agent {} is disconnected", agent.describe()));
        }
        if let Err(why) = versioned(agent) {
            return Reply::conflict(why);
        }
        let id = agent.id().clone();
        self.withdraw(&id, &operation, &steps, step);
        match self.allocator.claim(&id, &steps) {
            Err(why) => Reply::conflict(why.to_string()),
            Ok(total) => {
                self.apply(&id, None, operation, total, step);
                Reply::accepted()
            }
        }
    }

    /// Withdraws offers until enough is free for an operation. Where all of them would
    /// not do, none is.
    fn withdraw(&mut self, id: &AgentId, operation: &Operation, steps: &[Conversion], step: &mut Step<'_>) {
        let (Some(free), Some(agent)) = (self.allocator.agent_available(id), self.agents.get(id.as_str()))
        else {
            return;
        };
        let all = &free + &agent.view().offered.non_shared().unallocated();
        let shared = agent.view().total.shared();
        if (&all.non_shared() + &shared).apply(steps).is_err() {
            return;
        }
        if let Some(destroy) = &operation.destroy {
            self.rescind_volumes(id, &destroy.volumes, step);
        }
        let wanted = steps.iter().fold(Resources::new(), |sum, step| &sum + &step.consumed);
        let offers = self.agents.get(id.as_str()).map(|agent| agent.offers.clone()).unwrap_or_default();
        for offer in offers {
            let Some(free) = self.allocator.agent_available(id) else { return };
            if free.apply(steps).is_ok() {
                return;
            }
            let missing = &wanted - &free;
            let Some(offered) = self.offers.get(offer.as_str()) else { continue };
            if &missing - &offered.resources.unallocated() == missing {
                continue;
            }
            self.end_offer(offer.as_str(), End::Rescinded, Some(Refusal::DEFAULT), step);
        }
    }
}

impl<'a> Asker<'a> {
    fn author(self) -> Author<'a> {
        Author::Operator(self.principal.map(types::Principal::as_str))
    }
}

fn of(kind: Type) -> Operation {
    Operation { r#type: Some(kind.into()), ..Operation::default() }
}

fn no_agent() -> Reply {
    Reply::bad_request(
        "Failed to validate master::Call: Expecting 'agent_id' to be present; only agent default resources are \
         supported right now",
    )
}
