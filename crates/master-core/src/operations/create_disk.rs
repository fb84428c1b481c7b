//! CREATE_DISK: a storage provider makes a disk of a RAW one.

use proto::mesos::v1;
use proto::mesos::v1::offer::Operation;
use resources::Resources;

use super::{Basket, Blame};
use crate::Master;
use crate::step::Step;
use crate::validation::operation::create_disk;

impl Master {
    /// Refuses it: no agent has a resource provider yet.
    pub(crate) fn create_disk(&mut self, operation: Operation, basket: &Basket, step: &mut Step<'_>) {
        let Some(body) = operation.create_disk.clone() else { return };
        let check = || create_disk(&body);
        let why = self.why_no_disk(basket, "CREATE_DISK", &body.source, check);
        self.refuse_operation(&basket.framework, operation, Blame::Task(&why), step);
    }

    /// Why an operation of a provider's disk is not done.
    pub(crate) fn why_no_disk(
        &self,
        basket: &Basket,
        kind: &str,
        source: &v1::Resource,
        check: impl FnOnce() -> Result<(), String>,
    ) -> String {
        let Some(agent) = self.agents.get(basket.agent.as_str()) else { return "Agent removed".to_owned() };
        let agent_text = agent.describe();
        if !agent.capabilities.resource_provider {
            return format!(
                "Not supported on agent {agent_text} because it does not have RESOURCE_PROVIDER capability"
            );
        }
        if let Err(why) = check() {
            return format!("{why}; on agent {agent_text}");
        }
        let consumed = Resources::from_checked_protos(std::slice::from_ref(source));
        if !basket.left.contains(&consumed) {
            return format!("Invalid {kind} Operation: {} does not contain {consumed}", basket.left);
        }
        format!("No resource provider of {consumed} is subscribed on agent {agent_text}")
    }
}
