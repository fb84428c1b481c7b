//! SHRINK_VOLUME: a volume gives back some of the disk that it is made of.

use proto::mesos::v1::offer::Operation;

use super::Basket;
use crate::Master;
use crate::step::Step;
use crate::validation::operation::shrink_volume;

impl Master {
    pub(crate) fn accept_shrink_volume(
        &mut self,
        operation: Operation,
        basket: &mut Basket,
        step: &mut Step<'_>,
    ) {
        let Some(body) = operation.shrink_volume.clone() else { return };
        let plan = self.plan(&operation, basket, |_, agent| shrink_volume(&body, agent));
        self.resize(operation, plan, basket, step);
    }
}
