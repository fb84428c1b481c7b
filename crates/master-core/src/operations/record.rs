//! Operations on record: those that an agent was told of, until the end of each is
//! acknowledged.
//!
//! ```text
//! PENDING --update--> FINISHED | FAILED | ERROR | DROPPED | GONE_BY_OPERATOR --acknowledged--> forgotten
//!    +--agent unreachable or gone--> forgotten, its framework told
//! ```
//!
//! A record belongs to its agent. Frameworks know operations by ids of their own; the
//! index from those to records outlives the framework's subscription.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::mesos::v1;
use proto::mesos::v1::OperationState;
use types::{AgentId, FrameworkId, Uuid};

use crate::Master;

/// Statuses that are kept of one operation. One that comes to an end has one or two.
const STATUSES_MAX: usize = 100;

/// Where the operations are that frameworks gave an id.
#[derive(Debug, Default)]
pub(crate) struct Named {
    by_framework: BTreeMap<FrameworkId, BTreeMap<String, Vec<(AgentId, Uuid)>>>,
}

impl Named {
    /// The operations of a framework under one id, the latest last.
    pub(crate) fn get(&self, framework: &str, id: &str) -> &[(AgentId, Uuid)] {
        self.by_framework.get(framework).and_then(|ids| ids.get(id)).map_or(&[], Vec::as_slice)
    }

    /// All that a framework named, by id.
    pub(crate) fn of(&self, framework: &str) -> impl Iterator<Item = &(AgentId, Uuid)> {
        self.by_framework.get(framework).into_iter().flat_map(BTreeMap::values).flatten()
    }

    /// All of all frameworks, for checks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FrameworkId, &String, &(AgentId, Uuid))> {
        self.by_framework.iter().flat_map(|(framework, ids)| {
            ids.iter().flat_map(move |(id, places)| places.iter().map(move |place| (framework, id, place)))
        })
    }

    fn add(&mut self, operation: &v1::Operation, agent: &AgentId, uuid: Uuid) {
        let Some((framework, id)) = name_of(operation) else { return };
        let ids = self.by_framework.entry(framework).or_default();
        ids.entry(id.to_owned()).or_default().push((agent.clone(), uuid));
    }

    fn remove(&mut self, operation: &v1::Operation, uuid: Uuid) {
        let Some((framework, id)) = name_of(operation) else { return };
        let Some(ids) = self.by_framework.get_mut(&framework) else { return };
        if let Some(places) = ids.get_mut(id) {
            places.retain(|(_, other)| *other != uuid);
            if places.is_empty() {
                ids.remove(id);
            }
        }
        if ids.is_empty() {
            self.by_framework.remove(&framework);
        }
    }
}

/// Who wants to hear of an operation, and under which id.
pub(crate) fn name_of(operation: &v1::Operation) -> Option<(FrameworkId, &str)> {
    let framework = FrameworkId::from(operation.framework_id.as_ref()?);
    Some((framework, operation.info.id.as_ref()?.value.as_str()))
}

/// Whether an operation in this state has come to its end.
pub(crate) fn is_over(state: OperationState) -> bool {
    match state {
        OperationState::OperationFinished
        | OperationState::OperationFailed
        | OperationState::OperationError
        | OperationState::OperationDropped
        | OperationState::OperationGoneByOperator => true,
        OperationState::OperationUnsupported
        | OperationState::OperationPending
        | OperationState::OperationUnreachable
        | OperationState::OperationRecovering
        | OperationState::OperationUnknown => false,
    }
}

impl Master {
    pub(crate) fn operation(&self, agent: &str, uuid: Uuid) -> Option<&Arc<v1::Operation>> {
        self.agents.get(agent)?.view().operations.get(&uuid)
    }

    /// Puts an operation on record.
    pub(crate) fn add_operation(&mut self, id: &AgentId, uuid: Uuid, operation: v1::Operation) {
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        let (kind, state) = (operation.info.r#type(), operation.latest_status.state());
        self.named.add(&operation, id, uuid);
        let old = agent.facts().operations.insert(uuid, Arc::new(operation));
        assert!(old.is_none(), "an operation is put on record once");
        self.counters().operation_state(kind, state);
    }

    /// Takes what an agent says into an operation's record: the status that its
    /// framework is told, and the latest that the agent knows of. The first end is the
    /// one that counts.
    pub(crate) fn update_operation(
        &mut self,
        id: &AgentId,
        uuid: Uuid,
        told: &v1::OperationStatus,
        latest: &v1::OperationStatus,
    ) {
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        let Some(operation) = agent.facts().operations.get_mut(&uuid).map(Arc::make_mut) else { return };
        let (kind, was) = (operation.info.r#type(), operation.latest_status.state());
        let moves = !is_over(was);
        if moves {
            operation.latest_status = latest.clone();
        }
        for status in [told, latest] {
            if operation.statuses.contains(status) {
                continue;
            }
            if operation.statuses.len() >= STATUSES_MAX {
                operation.statuses.remove(0);
            }
            operation.statuses.push(status.clone());
        }
        if moves {
            self.counters().operation_left(kind, was);
            self.counters().operation_state(kind, latest.state());
        }
    }

    /// Forgets an operation.
    pub(crate) fn remove_operation(&mut self, id: &AgentId, uuid: Uuid) {
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        let Some(operation) = agent.facts().operations.remove(&uuid) else { return };
        let (kind, state) = (operation.info.r#type(), operation.latest_status.state());
        self.named.remove(&operation, uuid);
        self.agents.drains.perhaps_empty(id);
        if !is_over(state) {
            // Ends are counted for ever, what is under way only while it is.
            self.counters().operation_left(kind, state);
        }
    }
}
