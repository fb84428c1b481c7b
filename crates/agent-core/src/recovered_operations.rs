//! The operations that a restarted agent finds on its disk: finished, told again, or forgotten.

use std::collections::BTreeMap;

use proto::mesos::internal::UpdateOperationStatusRecord;
use proto::mesos::internal::update_operation_status_record::Type;
use types::Uuid;

use crate::agent::Agent;
use crate::checkpoint::Record;
use crate::holdings::keyed;
use crate::operations::{OperationUpdate, is_final};
use crate::recovered::Recovered;
use crate::step::Step;

/// What a stream's file says.
struct History {
    updates: Vec<OperationUpdate>,
    acknowledged: Vec<Uuid>,
}

impl History {
    fn read(records: Vec<UpdateOperationStatusRecord>) -> Self {
        let mut history = Self { updates: Vec::new(), acknowledged: Vec::new() };
        for record in records {
            match record.r#type() {
                Type::Update => history.updates.extend(record.update.and_then(OperationUpdate::new)),
                Type::Ack => {
                    let uuid = record.uuid.and_then(|uuid| Uuid::try_from(&uuid.value[..]).ok());
                    history.acknowledged.extend(uuid);
                }
            }
        }
        history
    }

    /// Whether the last word was said and heard.
    fn is_over(&self) -> bool {
        use status_stream::Update;
        let last = self.updates.iter().find(|update| update.is_terminal());
        last.is_some_and(|last| self.acknowledged.contains(&last.uuid()))
    }
}

impl Agent {
    /// Picks up resources and operations. False if the agent cannot go on.
    pub(crate) fn recover_operations(&mut self, state: &mut Recovered, step: &mut Step<'_>) -> bool {
        let found = std::mem::take(&mut state.resources);
        if !self.recover_holdings(&found, step) {
            return false;
        }
        let mut streams: BTreeMap<Uuid, History> = std::mem::take(&mut state.operation_updates)
            .into_iter()
            .map(|(uuid, records)| (uuid, History::read(records)))
            .collect();
        // Operations belong to an agent's id; a new one begins without.
        let operations = if state.agent.is_some() { found.operations } else { Vec::new() };
        let (mut untold, mut over) = (Vec::new(), Vec::new());
        for operation in operations {
            let Some((uuid, known)) = keyed(&operation) else {
                step.warn("Skipping recovery of an operation without a UUID");
                continue;
            };
            let stream = streams.remove(&uuid);
            if stream.as_ref().is_some_and(History::is_over) {
                over.push(uuid);
                continue;
            }
            if is_final(operation.latest_status.state()) {
                self.operations.known.insert(uuid, known);
            } else {
                // An agent of Mesos died between writing down that it would apply it and having done so.
                self.carry_out(uuid, operation, step);
            }
            match stream.filter(|stream| !stream.updates.is_empty()) {
                Some(stream) => self.operations.updates.restore(uuid, stream.updates, &stream.acknowledged),
                None => untold.push(uuid),
            }
        }
        self.commit_recovered(found.target.is_some(), step);
        for uuid in untold {
            self.tell_of_operation(uuid, step);
        }
        // ORDER: an operation without its stream is told again, so the stream goes last.
        for uuid in over {
            step.checkpoint(Record::NoOperation(self.id.clone(), uuid));
        }
        for uuid in streams.into_keys() {
            step.warn(format!(
                "Garbage collecting status update stream for unknown operation (uuid: {uuid})"
            ));
            step.checkpoint(Record::NoOperation(self.id.clone(), uuid));
        }
        true
    }
}
