//! What this agent has: its configured resources with the reservations and volumes that operations made of them, and
//! how these become durable.
//!
//! ```text
//! decided -> targets written -> directories of volumes made and deleted -> targets renamed over what was
//! ```
//! A crash before the targets are written leaves everything as it was; after it, the restart does the rest again.
//! Both files of Mesos are kept, the one of resources for agents of before operations had feedback.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::mesos::internal::CheckpointResourcesMessage;
use proto::mesos::v1;
use resources::Resources;
use types::{Pid, Uuid};

use crate::agent::Agent;
use crate::checkpoint::{Record, ResourceState};
use crate::effect::Effect;
use crate::recovered::RecoveredResources;
use crate::step::Step;
use crate::volumes;

/// The agent's own resources, as they are and as they are on disk.
#[derive(Debug)]
pub(crate) struct Holdings {
    /// Everything, allocated to nobody.
    pub(crate) total: Arc<Resources>,
    /// What of it the flags do not say, as it is on disk.
    pub(crate) checkpointed: Resources,
    /// The operations that are on disk beside it.
    operations: BTreeMap<Uuid, Arc<v1::Operation>>,
}

impl Holdings {
    /// What the flags say, and nothing on disk.
    pub(crate) fn new(configured: &[v1::Resource]) -> Self {
        let total = Arc::new(Resources::from_checked_protos(configured));
        Self { total, checkpointed: Resources::new(), operations: BTreeMap::new() }
    }
}

impl Agent {
    /// The resources of the flags.
    pub(crate) fn configured(&self) -> Resources {
        Resources::from_checked_protos(&self.info.resources)
    }

    /// An old master says what reservations and volumes there are.
    pub(crate) fn on_checkpoint_resources(
        &mut self,
        from: &Pid,
        message: &CheckpointResourcesMessage,
        step: &mut Step<'_>,
    ) {
        if self.is_stranger(from, "checkpoint resources", step) {
            return;
        }
        let total = Resources::from_protos(&message.resources).map_err(|why| why.to_string());
        let total = total.and_then(|made| {
            let total = self.configured().with_checkpointed(&made).map_err(|why| why.to_string())?;
            volumes::directories(&self.config.work_dir, &total).map(|_| total)
        });
        match total {
            Ok(total) => {
                self.holdings.total = Arc::new(total);
                self.checkpoint_holdings(step);
            }
            Err(why) => {
                step.warn(format!("Failed to apply checkpointed resources to the agent's resources: {why}"));
                // The master is told what there is. An agent of Mesos dies here and comes back with the same.
                self.redetect(step);
            }
        }
    }

    /// Makes durable what has changed since the last time: resources, operations or both.
    pub(crate) fn checkpoint_holdings(&mut self, step: &mut Step<'_>) {
        let operations = self.operations_to_keep();
        let same = self.holdings.total.checkpointed() == self.holdings.checkpointed;
        if !same || operations != self.holdings.operations {
            self.write_holdings(operations, !same, step);
        }
    }

    fn write_holdings(
        &mut self,
        operations: BTreeMap<Uuid, Arc<v1::Operation>>,
        resources_changed: bool,
        step: &mut Step<'_>,
    ) {
        let resources = self.holdings.total.checkpointed();
        let messages = resources.to_protos();
        let state = ResourceState {
            operations: operations.values().map(|operation| (**operation).clone()).collect(),
            resources: messages.clone(),
        };
        // ORDER: what is to be, then the volumes, then what is.
        step.checkpoint(Record::ResourceStateTarget(Box::new(state)));
        if resources_changed {
            step.info(format!(
                "Updating checkpointed resources from {} to {resources}",
                self.holdings.checkpointed
            ));
            step.checkpoint(Record::ResourcesTarget(messages));
            self.sync_volumes(&resources, step);
            step.checkpoint(Record::CommitResources);
        }
        step.checkpoint(Record::CommitResourceState);
        self.holdings.checkpointed = resources;
        self.holdings.operations = operations;
    }

    /// Directories of new volumes are made, those of volumes that are gone are deleted.
    fn sync_volumes(&self, now: &Resources, step: &mut Step<'_>) {
        // What is on disk or in the total has passed the same question before.
        let of = |resources| volumes::directories(&self.config.work_dir, resources).unwrap_or_default();
        let (before, now) = (of(&self.holdings.checkpointed), of(now));
        let without = |all: &BTreeMap<String, _>, others: &BTreeMap<String, _>| {
            let kept = all.iter().filter(|(path, _)| !others.contains_key(*path));
            kept.map(|(_, directory): (_, &volumes::VolumeDirectory)| directory.clone()).collect::<Vec<_>>()
        };
        let (create, remove) = (without(&now, &before), without(&before, &now));
        if !create.is_empty() || !remove.is_empty() {
            step.push(Effect::SyncVolumes { create, remove });
        }
    }

    /// Picks up what is on disk, and finishes what a crash left half done. False if the flags do not go with it.
    pub(crate) fn recover_holdings(&mut self, state: &RecoveredResources, step: &mut Step<'_>) -> bool {
        if let Err(message) = state.check(&self.info.resources, &self.config.work_dir) {
            step.push(Effect::Exit { failure: true, message });
            return false;
        }
        let intended = Resources::from_checked_protos(state.intended());
        let total = self.configured().with_checkpointed(&intended).unwrap_or_default();
        self.holdings = Holdings {
            total: Arc::new(total),
            checkpointed: Resources::from_checked_protos(&state.committed),
            operations: state.operations.iter().filter_map(keyed).collect(),
        };
        true
    }

    /// Makes durable what the recovery changed, or what was meant to be done when the agent died.
    pub(crate) fn commit_recovered(&mut self, was_pending: bool, step: &mut Step<'_>) {
        if was_pending {
            let operations = self.operations_to_keep();
            self.write_holdings(operations, true, step);
        } else {
            self.checkpoint_holdings(step);
        }
    }
}

/// An operation by its name; none if that is no UUID.
pub(crate) fn keyed(operation: &v1::Operation) -> Option<(Uuid, Arc<v1::Operation>)> {
    let uuid = Uuid::try_from(&operation.uuid.value[..]).ok()?;
    Some((uuid, Arc::new(operation.clone())))
}
