//! Operations on the agent's own resources: applied at once, told again and again until the framework knows.
//!
//! The master has applied it in its books before it sends it, so that here it can only succeed, unless master and agent
//! disagree about what there is. Then it fails, and the agent registers again to say what there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proto::mesos::internal::update_operation_status_record::Type as RecordType;
use proto::mesos::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, ReconcileOperationsMessage,
    UpdateOperationStatusMessage, UpdateOperationStatusRecord, reconcile_operations_message,
};
use proto::mesos::v1::{self, OperationState};
use resources::{Resources, conversions, resources_of};
use status_stream::{Acknowledged, Retry, Streams};
use types::{Pid, Uuid};

use crate::agent::Agent;
use crate::checkpoint::Record;
use crate::message::Outgoing;
use crate::step::Step;
use crate::volumes;

type StreamEffect = status_stream::Effect<Uuid, OperationUpdate>;

/// The operations that are not acknowledged yet.
#[derive(Debug)]
pub(crate) struct Operations {
    pub(crate) known: BTreeMap<Uuid, Arc<v1::Operation>>,
    pub(crate) updates: Streams<Uuid, OperationUpdate>,
}

/// The status of an operation, on its way to the master.
#[derive(Clone, Debug)]
pub(crate) struct OperationUpdate {
    message: Arc<UpdateOperationStatusMessage>,
    status: Uuid,
}

impl OperationUpdate {
    /// None for a status that is not to be acknowledged.
    pub(crate) fn new(message: UpdateOperationStatusMessage) -> Option<Self> {
        let status = Uuid::try_from(&message.status.uuid.as_ref()?.value[..]).ok()?;
        Some(Self { message: Arc::new(message), status })
    }
}

impl status_stream::Update for OperationUpdate {
    fn uuid(&self) -> Uuid {
        self.status
    }

    fn is_terminal(&self) -> bool {
        is_final(self.message.status.state())
    }
}

impl Default for Operations {
    fn default() -> Self {
        Self { known: BTreeMap::new(), updates: Streams::new(Retry::default()) }
    }
}

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
        let Ok(uuid) = Uuid::try_from(&message.operation_uuid.value[..]) else {
            step.warn(format!("Ignoring operation {kind} without a UUID"));
            return;
        };
        if self.operations.known.contains_key(&uuid) {
            step.warn(format!("Ignoring operation {kind} (uuid: {uuid}) because it was applied before"));
            return;
        }
        let mut info = message.operation_info.clone();
        if resources_of(&mut info).iter().any(|resource| resource.provider_id.is_some()) {
            let why = format!("{kind} is on resources of a resource provider that this agent does not have");
            self.drop_operation(message, &why, step);
            return;
        }
        let pending = v1::OperationStatus {
            operation_id: info.id.clone(),
            ..self.operation_status(OperationState::OperationPending)
        };
        let operation = v1::Operation {
            framework_id: message.framework_id,
            agent_id: Some((&self.id).into()),
            info,
            latest_status: pending,
            statuses: Vec::new(),
            uuid: message.operation_uuid,
        };
        let failed = self.carry_out(uuid, operation, step);
        // ORDER: the books are durable before anyone is told.
        self.checkpoint_holdings(step);
        self.tell_of_operation(uuid, step);
        if failed {
            // The master takes it for done: it hears what there really is. An agent of Mesos dies here and comes back.
            self.redetect(step);
        }
    }

    /// Applies an operation and notes how that ended; true if it failed.
    pub(crate) fn carry_out(
        &mut self,
        uuid: Uuid,
        mut operation: v1::Operation,
        step: &mut Step<'_>,
    ) -> bool {
        let kind = operation.info.r#type().as_str_name();
        let outcome = self.applied(&operation.info);
        let (state, why) = match outcome {
            Ok(total) => {
                self.holdings.total = Arc::new(total);
                (OperationState::OperationFinished, None)
            }
            Err(why) => {
                step.warn(format!("Failed to apply operation {kind} (uuid: {uuid}): {why}"));
                (OperationState::OperationFailed, Some(why))
            }
        };
        let status = v1::OperationStatus {
            operation_id: operation.info.id.clone(),
            message: why,
            uuid: Some(v1::Uuid { value: Bytes::from(Uuid::random(&mut self.rng)) }),
            ..self.operation_status(state)
        };
        step.info(format!(
            "Updating the state of operation {kind} (uuid: {uuid}) to {}",
            state.as_str_name()
        ));
        operation.latest_status = status.clone();
        operation.statuses.push(status);
        self.operations.known.insert(uuid, Arc::new(operation));
        state == OperationState::OperationFailed
    }

    /// The agent's resources after an operation.
    fn applied(&self, info: &v1::offer::Operation) -> Result<Resources, String> {
        let mut info = info.clone();
        // What an agent has is allocated to nobody; offers are.
        resources_of(&mut info).into_iter().for_each(|resource| resource.allocation_info = None);
        let steps = conversions(&info).map_err(|why| why.to_string())?;
        let total = self.holdings.total.apply(&steps).map_err(|why| why.to_string())?;
        volumes::directories(&self.config.work_dir, &total)?;
        Ok(total)
    }

    /// Begins to tell the status of an operation until it is acknowledged.
    pub(crate) fn tell_of_operation(&mut self, uuid: Uuid, step: &mut Step<'_>) {
        let Some(operation) = self.operations.known.get(&uuid) else { return };
        let message = UpdateOperationStatusMessage {
            framework_id: operation.framework_id.clone(),
            slave_id: Some((&self.id).into()),
            status: operation.latest_status.clone(),
            latest_status: None,
            operation_uuid: Some(operation.uuid.clone()),
        };
        let Some(update) = OperationUpdate::new(message) else { return };
        let mut fx = Vec::new();
        self.operations.updates.offer(step.now.mono, uuid, update, &mut fx);
        self.run_operation_effects(fx, step);
    }

    pub(crate) fn on_operation_acknowledgement(
        &mut self,
        from: &Pid,
        message: &AcknowledgeOperationStatusMessage,
        step: &mut Step<'_>,
    ) {
        if self.is_stranger(from, "operation status acknowledgement", step) {
            return;
        }
        let names = [&message.operation_uuid, &message.status_uuid];
        let [Ok(uuid), Ok(status)] = names.map(|name| Uuid::try_from(&name.value[..])) else {
            step.warn("Dropping an operation status acknowledgement without a UUID");
            return;
        };
        let mut fx = Vec::new();
        let outcome = self.operations.updates.acknowledge(step.now.mono, &uuid, status, &mut fx);
        self.run_operation_effects(fx, step);
        match outcome {
            Acknowledged::Taken { ended: true } => self.remove_operation(uuid, step),
            Acknowledged::Taken { ended: false } => {}
            Acknowledged::Duplicate | Acknowledged::Unexpected | Acknowledged::Unknown => step.warn(format!(
                "Dropping operation status acknowledgement (status_uuid: {status}) for operation (uuid: {uuid}): \
                 {outcome:?}"
            )),
        }
    }

    fn remove_operation(&mut self, uuid: Uuid, step: &mut Step<'_>) {
        self.operations.known.remove(&uuid);
        self.checkpoint_holdings(step);
        step.checkpoint(Record::NoOperation(self.id.clone(), uuid));
        self.update_drain(step);
    }

    /// What a framework or the master thinks of operations here is put right.
    pub(crate) fn on_reconcile_operations(
        &mut self,
        from: &Pid,
        message: ReconcileOperationsMessage,
        step: &mut Step<'_>,
    ) {
        if self.is_stranger(from, "reconcile operations", step) {
            return;
        }
        let framework = message.framework_id;
        for asked in message.operations {
            let known = self.find_operation(framework.as_ref(), &asked);
            let status = match (&framework, known) {
                // A framework asks, through a master that does not know: it is told what there is.
                (Some(_), Some(operation)) => {
                    // Said once, so there is nothing to acknowledge.
                    v1::OperationStatus { uuid: None, ..operation.latest_status.clone() }
                }
                (Some(_), None) => v1::OperationStatus {
                    operation_id: asked.operation_id,
                    resource_provider_id: asked.resource_provider_id,
                    ..self.operation_status(OperationState::OperationUnknown)
                },
                // The master asks: what is here is told anyway.
                (None, Some(_)) => continue,
                (None, None) => v1::OperationStatus {
                    operation_id: asked.operation_id,
                    resource_provider_id: asked.resource_provider_id,
                    ..self.operation_status(OperationState::OperationDropped)
                },
            };
            let uuid = known.map(|operation| operation.uuid.clone()).or(asked.operation_uuid);
            self.say_operation_status(framework.clone(), uuid, status, step);
        }
    }

    fn find_operation(
        &self,
        framework: Option<&v1::FrameworkId>,
        asked: &reconcile_operations_message::Operation,
    ) -> Option<&v1::Operation> {
        if let Some(uuid) = &asked.operation_uuid {
            let uuid = Uuid::try_from(&uuid.value[..]).ok()?;
            return self.operations.known.get(&uuid).map(|operation| &**operation);
        }
        let id = asked.operation_id.as_ref()?;
        let mut known = self.operations.known.values().map(|operation| &**operation);
        known.find(|known| known.framework_id.as_ref() == framework && known.info.id.as_ref() == Some(id))
    }

    /// The operation is not begun, and that is all.
    fn drop_operation(&mut self, message: ApplyOperationMessage, why: &str, step: &mut Step<'_>) {
        step.warn(format!("Dropping operation: {why}"));
        let status = v1::OperationStatus {
            operation_id: message.operation_info.id,
            message: Some(why.to_owned()),
            ..self.operation_status(OperationState::OperationDropped)
        };
        self.say_operation_status(message.framework_id, Some(message.operation_uuid), status, step);
    }

    fn operation_status(&self, state: OperationState) -> v1::OperationStatus {
        v1::OperationStatus {
            state: state.into(),
            agent_id: Some((&self.id).into()),
            ..v1::OperationStatus::default()
        }
    }

    /// Without a UUID of its own a status needs no acknowledgement and is said once.
    fn say_operation_status(
        &self,
        framework_id: Option<v1::FrameworkId>,
        operation_uuid: Option<v1::Uuid>,
        status: v1::OperationStatus,
        step: &mut Step<'_>,
    ) {
        let Some(master) = self.registration.master() else { return };
        let message = UpdateOperationStatusMessage {
            framework_id,
            slave_id: Some((&self.id).into()),
            status,
            latest_status: None,
            operation_uuid,
        };
        step.send(&master.pid, Outgoing::UpdateOperationStatus(Box::new(message)));
    }

    /// The operations that must outlive the agent: those that wait for an acknowledgement.
    pub(crate) fn operations_to_keep(&self) -> BTreeMap<Uuid, Arc<v1::Operation>> {
        self.operations.known.clone()
    }

    pub(crate) fn resume_operation_updates(&mut self, step: &mut Step<'_>) {
        let mut fx = Vec::new();
        self.operations.updates.resume(step.now.mono, &mut fx);
        self.run_operation_effects(fx, step);
    }

    pub(crate) fn retry_operation_updates(&mut self, step: &mut Step<'_>) {
        let mut fx = Vec::new();
        self.operations.updates.handle_timeout(step.now.mono, &mut fx);
        self.run_operation_effects(fx, step);
    }

    fn run_operation_effects(&mut self, fx: Vec<StreamEffect>, step: &mut Step<'_>) {
        for effect in fx {
            match effect {
                StreamEffect::Record { key, update } => {
                    let record = UpdateOperationStatusRecord {
                        r#type: RecordType::Update.into(),
                        update: Some((*update.message).clone()),
                        uuid: None,
                    };
                    step.checkpoint(Record::OperationUpdate(self.id.clone(), key, Box::new(record)));
                }
                StreamEffect::RecordAcknowledged { key, update } => {
                    let record = UpdateOperationStatusRecord {
                        r#type: RecordType::Ack.into(),
                        update: None,
                        uuid: update.message.status.uuid.clone(),
                    };
                    step.checkpoint(Record::OperationUpdate(self.id.clone(), key, Box::new(record)));
                }
                StreamEffect::Forward { key: _, update } => {
                    let Some(master) = self.registration.master() else { continue };
                    let mut message = (*update.message).clone();
                    // Operations have one status here, so the one that is sent is the latest.
                    message.latest_status = Some(message.status.clone());
                    step.send(&master.pid, Outgoing::UpdateOperationStatus(Box::new(message)));
                }
            }
        }
    }
}

/// Whether nothing follows a state of an operation.
pub(crate) fn is_final(state: OperationState) -> bool {
    use OperationState as S;
    match state {
        S::OperationFinished
        | S::OperationFailed
        | S::OperationError
        | S::OperationDropped
        | S::OperationGoneByOperator => true,
        S::OperationUnsupported
        | S::OperationPending
        | S::OperationUnreachable
        | S::OperationRecovering
        | S::OperationUnknown => false,
    }
}
