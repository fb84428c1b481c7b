//! The scheduler calls: who may make them, and the short ones.

use std::collections::BTreeSet;

use allocator::Refusal;
use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::allocator::inverse_offer_status::Status as Answer;
use proto::mesos::v1::scheduler::call::{
    AcceptInverseOffers, Acknowledge, Decline, DeclineInverseOffers, Kill, Message, Reconcile, Shutdown, Type,
};
use proto::mesos::v1::scheduler::{Call, call};
use types::{AgentId, FrameworkId, Principal, Role, TaskId, check_role, is_terminal};

use crate::Master;
use crate::connection::Connection;
use crate::effect::{Effect, Reply, Status};
use crate::event::RequestId;
use crate::message::Outgoing;
use crate::offers::End;
use crate::operators::not_recovered;
use crate::step::Step;
use crate::validation;

impl Master {
    /// A call over HTTP.
    pub(crate) fn on_scheduler_call(
        &mut self,
        request: RequestId,
        stream_id: Option<&str>,
        principal: Option<&Principal>,
        call: Call,
        step: &mut Step<'_>,
    ) {
        // ORDER: the reply precedes what the call sets off, so that a client that waits
        // for it on one connection is not held up by events on the other.
        let reply = match self.admit_call(stream_id, principal, &call) {
            Ok(framework) if call.r#type() == Type::UpdateFramework => match call.update_framework {
                Some(body) => self.update_framework(&framework, body, step),
                None => Reply::bad_request("Expecting 'update_framework' to be present"),
            },
            Ok(_) if call.r#type() == Type::Unknown => {
                Reply { status: Status::NotImplemented, text: String::new() }
            }
            Ok(framework) => {
                step.fx.push(Effect::Reply { request, reply: Reply::accepted() });
                return self.obey(&framework, call, step);
            }
            Err(reply) => reply,
        };
        step.fx.push(Effect::Reply { request, reply });
    }

    /// Whether a call comes from the framework that it names (as observed of Mesos).
    fn admit_call(
        &mut self,
        stream_id: Option<&str>,
        principal: Option<&Principal>,
        call: &Call,
    ) -> Result<FrameworkId, Reply> {
        if !self.serves() {
            return Err(not_recovered());
        }
        if let Err(why) = validation::call(call, principal) {
            self.count_invalid(call.r#type());
            return Err(Reply::bad_request(format!("Failed to validate scheduler::Call: {why}")));
        }
        let id = call.framework_id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
        let Some(framework) = self.frameworks.get_mut(id) else {
            return Err(Reply::bad_request("Framework cannot be found"));
        };
        framework.counters_mut().call(call.r#type());
        let owner = framework.info.principal.as_deref().unwrap_or_default();
        if let Some(principal) = principal
            && principal.as_str() != owner
        {
            return Err(Reply::bad_request(format!(
                "Authenticated principal '{principal}' does not match principal '{owner}' set in `FrameworkInfo`"
            )));
        }
        if !framework.is_connected() {
            return Err(Reply::forbidden("Framework is not subscribed"));
        }
        let Connection::Stream { uuid, .. } = framework.connection() else {
            return Err(Reply::forbidden("Framework is not connected via HTTP"));
        };
        let Some(stream_id) = stream_id else {
            return Err(Reply::bad_request(
                "All non-subscribe calls should include the 'Mesos-Stream-Id' header",
            ));
        };
        if stream_id.parse() != Ok(*uuid) {
            return Err(Reply::bad_request(format!(
                "The stream ID '{stream_id}' included in this request didn't match the stream ID currently associated with framework ID {}",
                framework.id
            )));
        }
        Ok(framework.id.clone())
    }

    pub(crate) fn count_invalid(&mut self, kind: Type) {
        let counters = self.counters();
        match kind {
            Type::Acknowledge => counters.invalid_status_update_acknowledgements += 1,
            Type::AcknowledgeOperationStatus => {
                counters.invalid_operation_status_update_acknowledgements += 1;
            }
            Type::Message => counters.invalid_framework_to_executor_messages += 1,
            Type::Unknown
            | Type::Subscribe
            | Type::Teardown
            | Type::Accept
            | Type::Decline
            | Type::Revive
            | Type::Kill
            | Type::Shutdown
            | Type::Reconcile
            | Type::Request
            | Type::Suppress
            | Type::AcceptInverseOffers
            | Type::DeclineInverseOffers
            | Type::ReconcileOperations
            | Type::UpdateFramework => {}
        }
    }

    /// A framework hints at what it could use: what it declined there is offered
    /// again. Mesos ignores it; how much is asked for counts for nothing here either.
    pub(crate) fn request_resources(&mut self, framework: &FrameworkId, requests: &[v1::Request]) {
        self.counters().messages_resource_request += 1;
        // One for any agent says it all.
        if requests.iter().any(|request| request.agent_id.is_none()) {
            self.allocator.request(framework, None);
            return;
        }
        for agent in requests.iter().filter_map(|request| request.agent_id.as_ref()) {
            self.allocator.request(framework, Some(&agent.into()));
        }
    }

    /// Does what an admitted call asks. Its body is there, as validation saw.
    pub(crate) fn obey(&mut self, framework: &FrameworkId, call: Call, step: &mut Step<'_>) {
        match call.r#type() {
            Type::Teardown => self.remove_framework(framework, step),
            Type::Accept => self.accept(framework, call.accept.unwrap_or_default(), step),
            Type::Decline => self.decline(framework, &call.decline.unwrap_or_default(), step),
            Type::Revive => {
                self.revive(framework, &call.revive.unwrap_or_default().roles);
                self.watch_starvation(framework, step);
            }
            Type::Suppress => self.suppress(framework, &call.suppress.unwrap_or_default().roles),
            Type::Kill => {
                if let Some(kill) = call.kill {
                    self.kill(framework, kill, step);
                }
            }
            Type::Shutdown => {
                if let Some(shutdown) = call.shutdown {
                    self.shutdown_executor(framework, shutdown, step);
                }
            }
            Type::Acknowledge => {
                if let Some(acknowledge) = call.acknowledge {
                    self.acknowledge(framework, acknowledge, step);
                }
            }
            Type::Reconcile => self.reconcile(framework, call.reconcile.unwrap_or_default(), step),
            Type::Message => {
                if let Some(message) = call.message {
                    self.message_executor(framework, message, step);
                }
            }
            Type::Request => self.request_resources(framework, &call.request.unwrap_or_default().requests),
            Type::AcceptInverseOffers => {
                let AcceptInverseOffers { inverse_offer_ids: ids, filters } =
                    call.accept_inverse_offers.unwrap_or_default();
                self.answer_inverse_offers(framework, &ids, filters, Answer::Accept, step);
            }
            Type::DeclineInverseOffers => {
                let DeclineInverseOffers { inverse_offer_ids: ids, filters } =
                    call.decline_inverse_offers.unwrap_or_default();
                self.answer_inverse_offers(framework, &ids, filters, Answer::Decline, step);
            }
            Type::AcknowledgeOperationStatus => {
                if let Some(body) = call.acknowledge_operation_status {
                    self.acknowledge_operation(framework, &body, step);
                }
            }
            Type::ReconcileOperations => {
                self.reconcile_operations(framework, call.reconcile_operations.unwrap_or_default(), step);
            }
            Type::UpdateFramework => {
                if let Some(body) = call.update_framework {
                    self.update_framework(framework, body, step);
                }
            }
            Type::Subscribe | Type::Unknown => {}
        }
    }

    pub(crate) fn decline(&mut self, framework: &FrameworkId, body: &Decline, step: &mut Step<'_>) {
        self.counters().messages_decline_offers += 1;
        let refusal = refusal(body.filters);
        let mut declined = 0;
        for offer in &body.offer_ids {
            // COMPAT(mesos): whose offer it is is not asked; here it is, since nobody
            // may end the offer of another.
            if self.offers.get(&offer.value).is_some_and(|o| o.framework == *framework)
                && self.end_offer(&offer.value, End::Discarded, Some(refusal), step)
            {
                declined += 1;
            }
        }
        if let Some(framework) = self.frameworks.get_mut(framework.as_str()) {
            framework.counters_mut().offers_declined += declined;
        }
    }

    pub(crate) fn revive(&mut self, id: &FrameworkId, roles: &[String]) {
        self.counters().messages_revive_offers += 1;
        let Some(roles) = self.own_roles(id, roles) else { return };
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        if roles.is_empty() {
            framework.suppressed.clear();
        } else {
            framework.suppressed.retain(|role| !roles.contains(role));
        }
        let roles: Vec<_> = roles.into_iter().collect();
        self.allocator.revive(id, &roles);
    }

    pub(crate) fn suppress(&mut self, id: &FrameworkId, roles: &[String]) {
        self.counters().messages_suppress_offers += 1;
        let Some(roles) = self.own_roles(id, roles) else { return };
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        if roles.is_empty() {
            framework.suppressed.clone_from(&framework.roles);
        } else {
            framework.suppressed.extend(roles.iter().cloned());
        }
        let roles: Vec<_> = roles.into_iter().collect();
        self.allocator.suppress(id, &roles);
    }

    /// The roles of a call, or none if one of them is not the framework's: then the
    /// whole call is void.
    fn own_roles(&self, id: &FrameworkId, roles: &[String]) -> Option<BTreeSet<Role>> {
        let framework = self.frameworks.get(id.as_str())?;
        let own = |role: &String| {
            let role = Role::from(role.as_str());
            (check_role(role.as_str()).is_ok() && framework.roles.contains(&role)).then_some(role)
        };
        roles.iter().map(own).collect()
    }

    pub(crate) fn kill(&mut self, id: &FrameworkId, body: Kill, step: &mut Step<'_>) {
        self.counters().messages_kill_task += 1;
        let task_id = TaskId::from(&body.task_id);
        let Some(task) = self.frameworks.get(id.as_str()).and_then(|f| f.task(&task_id)) else {
            let task = call::reconcile::Task { task_id: body.task_id, agent_id: body.agent_id };
            return self.reconcile(id, Reconcile { tasks: vec![task] }, step);
        };
        if body.agent_id.as_ref().is_some_and(|agent| agent.value != task.agent.as_str()) {
            return;
        }
        let agent_id = task.agent.clone();
        let over = is_terminal(task.state());
        let Some(agent) = self.agents.get_mut(agent_id.as_str()) else { return };
        if !over {
            // The agent may be away; it is told again when it is back.
            agent.killed.insert((id.clone(), task_id));
        }
        if agent.is_connected() {
            let message = internal::KillTaskMessage {
                framework_id: id.into(),
                task_id: body.task_id,
                kill_policy: body.kill_policy,
            };
            step.send(agent.pid(), Outgoing::KillTask(message));
        }
    }

    pub(crate) fn shutdown_executor(&mut self, id: &FrameworkId, body: Shutdown, step: &mut Step<'_>) {
        let Some(agent) = self.agents.get(&body.agent_id.value) else { return };
        let message = internal::ShutdownExecutorMessage {
            executor_id: Some(body.executor_id),
            framework_id: Some(id.into()),
        };
        step.send(agent.pid(), Outgoing::ShutdownExecutor(message));
    }

    /// ACKNOWLEDGE goes on to the agent; that of a terminal state ends the task's record.
    pub(crate) fn acknowledge(&mut self, id: &FrameworkId, body: Acknowledge, step: &mut Step<'_>) {
        self.counters().messages_status_update_acknowledgement += 1;
        let agent = self.agents.get(&body.agent_id.value).filter(|agent| agent.is_connected());
        let Some(agent) = agent else {
            self.counters().invalid_status_update_acknowledgements += 1;
            return;
        };
        let pid = agent.pid().clone();
        let agent_id = AgentId::from(&body.agent_id);
        let task_id = TaskId::from(&body.task_id);
        let framework = self.frameworks.get(id.as_str());
        let task = framework.and_then(|f| f.task(&task_id)).filter(|task| task.agent == agent_id);
        if let Some(task) = task {
            let Some(told) = task.proto.status_update_state else {
                // This master never sent the update: it was of a former one, and comes again.
                self.counters().invalid_status_update_acknowledgements += 1;
                return;
            };
            let told = v1::TaskState::try_from(told).unwrap_or_default();
            if is_terminal(told) && task.proto.status_update_uuid.as_deref() == Some(&body.uuid[..]) {
                self.remove_task(id, &task_id, false, step);
            }
        }
        let message = internal::StatusUpdateAcknowledgementMessage {
            slave_id: body.agent_id,
            framework_id: id.into(),
            task_id: body.task_id,
            uuid: body.uuid,
        };
        step.send(&pid, Outgoing::StatusUpdateAcknowledgement(Box::new(message)));
        self.counters().valid_status_update_acknowledgements += 1;
    }

    pub(crate) fn message_executor(&mut self, id: &FrameworkId, body: Message, step: &mut Step<'_>) {
        self.counters().messages_framework_to_executor += 1;
        let agent = self.agents.get(&body.agent_id.value).filter(|agent| agent.is_connected());
        let Some(agent) = agent else {
            self.counters().invalid_framework_to_executor_messages += 1;
            return;
        };
        let message = internal::FrameworkToExecutorMessage {
            slave_id: body.agent_id,
            framework_id: id.into(),
            executor_id: body.executor_id,
            data: body.data,
        };
        step.send(agent.pid(), Outgoing::FrameworkToExecutor(Box::new(message)));
        self.counters().valid_framework_to_executor_messages += 1;
    }
}

/// How long declined resources are refused; a framework that says nothing means 5 s.
pub(crate) fn refusal(filters: Option<v1::Filters>) -> Refusal {
    filters.and_then(|filters| filters.refuse_seconds).map_or(Refusal::DEFAULT, Refusal::from_seconds)
}
