//! GROW_VOLUME: a volume takes in more of the disk that it is made of.

use proto::mesos::v1::offer::Operation;

use super::Basket;
use crate::Master;
use crate::step::Step;
use crate::validation::operation::grow_volume;

impl Master {
    pub(crate) fn accept_grow_volume(
        &mut self,
        operation: Operation,
        basket: &mut Basket,
        step: &mut Step<'_>,
    ) {
        let Some(body) = operation.grow_volume.clone() else { return };
        let plan = self.plan(&operation, basket, |_, agent| grow_volume(&body, agent));
        self.resize(operation, plan, basket, step);
    }
}
