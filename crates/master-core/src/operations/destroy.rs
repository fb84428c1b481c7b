//! DESTROY: volumes become reserved disk again, and their data is deleted.

use proto::mesos::v1;
use proto::mesos::v1::offer::Operation;
use resources::Resources;
use types::AgentId;

use super::Basket;
use crate::Master;
use crate::offers::End;
use crate::step::Step;
use crate::validation::operation::destroy;

impl Master {
    pub(crate) fn destroy(&mut self, operation: Operation, basket: &mut Basket, step: &mut Step<'_>) {
        let body = operation.destroy.clone().unwrap_or_default();
        let plan = self.plan(&operation, basket, |_, agent| destroy(&body, agent));
        let done = plan.is_ok();
        if done {
            self.rescind_volumes(&basket.agent, &body.volumes, step);
        }
        self.convert(operation, plan, basket, step);
        if done {
            basket.shared = basket.left.shared();
        }
    }

    /// Withdraws the offers that hold any of these volumes: a shared one may be in several.
    pub(crate) fn rescind_volumes(&mut self, id: &AgentId, volumes: &[v1::Resource], step: &mut Step<'_>) {
        let volumes = Resources::from_checked_protos(volumes).unallocated();
        let offers = self.agents.get(id.as_str()).map(|agent| agent.offers.clone()).unwrap_or_default();
        for offer in offers {
            let holds = self.offers.get(offer.as_str()).is_some_and(|offer| {
                let offered = offer.resources.unallocated();
                volumes.iter().any(|volume| offered.contains_one(volume))
            });
            if holds {
                self.end_offer(offer.as_str(), End::Rescinded, None, step);
            }
        }
    }
}
