//! What drivers send over libprocess: the v0 call, and the messages it replaced.

use proto::mesos::internal;
use proto::mesos::scheduler as v0;
use proto::mesos::v1;
use proto::mesos::v1::scheduler::call::{
    Accept, Acknowledge, Decline, Kill, Message, Reconcile, Type, reconcile,
};
use proto::v0::SchedulerCall;
use types::{FrameworkId, Pid, Uuid};

use crate::Master;
use crate::effect::Status;
use crate::message::Outgoing;
use crate::offers::End;
use crate::step::Step;
use crate::subscribe::{Caller, Wish};
use crate::validation;

impl Master {
    /// Any call of a driver. What is wrong with it is dropped without an answer.
    pub(crate) fn on_driver_call(&mut self, from: &Pid, call: v0::Call, step: &mut Step<'_>) {
        let SchedulerCall { call, force } = call.into();
        if validation::call(&call, None).is_err() {
            self.count_invalid(call.r#type());
            return;
        }
        if call.r#type() == Type::Subscribe {
            if let Some(body) = call.subscribe {
                let wish = Wish::new(body.framework_info, body.suppressed_roles, body.offer_constraints);
                self.subscribe(Caller::Driver { pid: from.clone(), force }, wish, step);
            }
            return;
        }
        let Some(id) = self.own(from, call.framework_id.as_ref()) else { return };
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        framework.counters_mut().call(call.r#type());
        if !framework.is_connected() {
            // The link broke in one direction only; the driver ends when it hears this.
            return self.drive_out(from, "Framework disconnected", step);
        }
        match call.r#type() {
            Type::Teardown => {
                self.counters().messages_unregister_framework += 1;
                self.remove_framework(&id, step);
            }
            // COMPAT(mesos): drivers have no operation feedback.
            Type::AcknowledgeOperationStatus | Type::ReconcileOperations => {}
            Type::UpdateFramework => {
                let Some(body) = call.update_framework else { return };
                let reply = self.update_framework(&id, body, step);
                if reply.status != Status::Ok {
                    self.drive_out(from, reply.text, step);
                }
            }
            Type::Unknown
            | Type::Subscribe
            | Type::Accept
            | Type::Decline
            | Type::Revive
            | Type::Kill
            | Type::Shutdown
            | Type::Acknowledge
            | Type::Reconcile
            | Type::Message
            | Type::Request
            | Type::Suppress
            | Type::AcceptInverseOffers
            | Type::DeclineInverseOffers => self.obey(&id, call, step),
        }
    }

    fn drive_out(&self, pid: &Pid, why: impl Into<String>, step: &mut Step<'_>) {
        let body = internal::FrameworkErrorMessage { message: why.into() };
        step.send(pid, Outgoing::FrameworkError(body));
    }

    /// The framework that a message names, if the message comes from it.
    fn own(&self, from: &Pid, id: Option<&v1::FrameworkId>) -> Option<FrameworkId> {
        let framework = self.frameworks.get(&id?.value)?;
        (framework.pid() == Some(from)).then(|| framework.id.clone())
    }

    pub(crate) fn on_submit_scheduler(&mut self, from: &Pid, step: &mut Step<'_>) {
        step.send(from, Outgoing::SubmitScheduler(internal::SubmitSchedulerResponse { okay: false }));
    }

    pub(crate) fn on_register_framework(
        &mut self,
        from: &Pid,
        message: internal::RegisterFrameworkMessage,
        step: &mut Step<'_>,
    ) {
        let mut info = message.framework;
        if info.id.as_ref().is_some_and(|id| !id.value.is_empty()) {
            return self.drive_out(from, "Registering with 'id' already set", step);
        }
        info.id = None;
        let wish = Wish::new(info, Vec::new(), None);
        self.subscribe(Caller::Driver { pid: from.clone(), force: false }, wish, step);
    }

    pub(crate) fn on_reregister_framework(
        &mut self,
        from: &Pid,
        message: internal::ReregisterFrameworkMessage,
        step: &mut Step<'_>,
    ) {
        let info = message.framework;
        if info.id.as_ref().is_none_or(|id| id.value.is_empty()) {
            return self.drive_out(from, "Re-registering without an 'id'", step);
        }
        let wish = Wish::new(info, Vec::new(), None);
        self.subscribe(Caller::Driver { pid: from.clone(), force: message.failover }, wish, step);
    }

    pub(crate) fn on_unregister_framework(&mut self, from: &Pid, id: &v1::FrameworkId, step: &mut Step<'_>) {
        if let Some(id) = self.own(from, Some(id)) {
            self.counters().messages_unregister_framework += 1;
            self.remove_framework(&id, step);
        }
    }

    pub(crate) fn on_deactivate_framework(&mut self, from: &Pid, id: &v1::FrameworkId, step: &mut Step<'_>) {
        self.counters().messages_deactivate_framework += 1;
        let Some(id) = self.own(from, Some(id)) else { return };
        if self.frameworks.get(id.as_str()).is_some_and(|framework| framework.is_connected()) {
            self.deactivate_framework(&id, End::Rescinded, step);
        }
    }

    pub(crate) fn on_resource_request(&mut self, from: &Pid, body: &internal::ResourceRequestMessage) {
        if let Some(id) = self.own(from, Some(&body.framework_id)) {
            self.request_resources(&id, &body.requests);
        }
    }

    pub(crate) fn on_launch_tasks(
        &mut self,
        from: &Pid,
        message: internal::LaunchTasksMessage,
        step: &mut Step<'_>,
    ) {
        let Some(id) = self.own(from, Some(&message.framework_id)) else { return };
        let (offer_ids, filters) = (message.offer_ids, Some(message.filters));
        // To launch nothing is to decline.
        if message.tasks.is_empty() {
            return self.decline(&id, &Decline { offer_ids, filters }, step);
        }
        let launch = v1::offer::Operation {
            r#type: Some(v1::offer::operation::Type::Launch.into()),
            launch: Some(v1::offer::operation::Launch { task_infos: message.tasks }),
            ..v1::offer::Operation::default()
        };
        self.accept(&id, Accept { offer_ids, operations: vec![launch], filters }, step);
    }

    pub(crate) fn on_revive_offers(&mut self, from: &Pid, message: &internal::ReviveOffersMessage) {
        if let Some(id) = self.own(from, Some(&message.framework_id)) {
            self.revive(&id, &message.roles);
        }
    }

    pub(crate) fn on_kill_task(
        &mut self,
        from: &Pid,
        message: internal::KillTaskMessage,
        step: &mut Step<'_>,
    ) {
        if let Some(id) = self.own(from, Some(&message.framework_id)) {
            // COMPAT(mesos): this message's kill policy was never heeded.
            let kill = Kill { task_id: message.task_id, agent_id: None, kill_policy: None };
            self.kill(&id, kill, step);
        }
    }

    pub(crate) fn on_acknowledgement(
        &mut self,
        from: &Pid,
        message: internal::StatusUpdateAcknowledgementMessage,
        step: &mut Step<'_>,
    ) {
        let id = self.own(from, Some(&message.framework_id));
        let (Some(id), Ok(_)) = (id, Uuid::try_from(&message.uuid[..])) else {
            self.counters().invalid_status_update_acknowledgements += 1;
            return;
        };
        let body = Acknowledge { agent_id: message.slave_id, task_id: message.task_id, uuid: message.uuid };
        self.acknowledge(&id, body, step);
    }

    pub(crate) fn on_reconcile_tasks(
        &mut self,
        from: &Pid,
        message: internal::ReconcileTasksMessage,
        step: &mut Step<'_>,
    ) {
        let Some(id) = self.own(from, Some(&message.framework_id)) else { return };
        let asked =
            |status: v1::TaskStatus| reconcile::Task { task_id: status.task_id, agent_id: status.agent_id };
        let tasks = message.statuses.into_iter().map(asked).collect();
        self.reconcile(&id, Reconcile { tasks }, step);
    }

    pub(crate) fn on_framework_to_executor(
        &mut self,
        from: &Pid,
        message: internal::FrameworkToExecutorMessage,
        step: &mut Step<'_>,
    ) {
        let Some(id) = self.own(from, Some(&message.framework_id)) else {
            self.counters().invalid_framework_to_executor_messages += 1;
            return;
        };
        let body =
            Message { agent_id: message.slave_id, executor_id: message.executor_id, data: message.data };
        self.message_executor(&id, body, step);
    }
}
