//! Operations on resources. This agent carries out none yet: each is dropped with a
//! word, so that whoever waits for one learns of it.

use proto::mesos::internal::{
    ApplyOperationMessage, ReconcileOperationsMessage, UpdateOperationStatusMessage,
};
use proto::mesos::v1::{self, OperationState};
use types::Pid;

use crate::agent::Agent;
use crate::message::Outgoing;
use crate::step::Step;

impl Agent {
    pub(crate) fn on_apply_operation(
        &mut self,
        from: &Pid,
        message: ApplyOperationMessage,
        step: &mut Step<'_>,
    ) {
        if self.is_stranger(from, "apply operation", step) {
            return;
        }
        let kind = message.operation_info.r#type().as_str_name();
        step.warn(format!("Dropping operation {kind}: this agent applies none"));
        let status = v1::OperationStatus {
            operation_id: message.operation_info.id,
            message: Some(format!("{kind} is not supported by this agent")),
            ..self.dropped()
        };
        self.send_operation_status(message.framework_id, message.operation_uuid, status, step);
    }

    /// What the master thinks is under way here is not.
    pub(crate) fn on_reconcile_operations(
        &mut self,
        from: &Pid,
        message: ReconcileOperationsMessage,
        step: &mut Step<'_>,
    ) {
        if self.is_stranger(from, "reconcile operations", step) {
            return;
        }
        for operation in message.operations {
            if let Some(uuid) = operation.operation_uuid {
                let status = v1::OperationStatus {
                    operation_id: operation.operation_id,
                    resource_provider_id: operation.resource_provider_id,
                    ..self.dropped()
                };
                self.send_operation_status(message.framework_id.clone(), uuid, status, step);
            }
        }
    }

    fn dropped(&self) -> v1::OperationStatus {
        let state = OperationState::OperationDropped.into();
        v1::OperationStatus { state, agent_id: Some((&self.id).into()), ..Default::default() }
    }

    /// Without a UUID of its own a status needs no acknowledgement.
    fn send_operation_status(
        &mut self,
        framework_id: Option<v1::FrameworkId>,
        operation_uuid: v1::Uuid,
        status: v1::OperationStatus,
        step: &mut Step<'_>,
    ) {
        let Some(master) = self.registration.master() else { return };
        let message = UpdateOperationStatusMessage {
            framework_id,
            slave_id: Some((&self.id).into()),
            status,
            latest_status: None,
            operation_uuid: Some(operation_uuid),
        };
        step.send(&master.pid, Outgoing::UpdateOperationStatus(Box::new(message)));
    }
}
