//! UNRESERVE: the last reservation of each resource ends.

use proto::mesos::v1::offer::Operation;

use super::Basket;
use crate::Master;
use crate::step::Step;
use crate::validation::operation::unreserve;

impl Master {
    pub(crate) fn unreserve(&mut self, operation: Operation, basket: &mut Basket, step: &mut Step<'_>) {
        let body = operation.unreserve.clone().unwrap_or_default();
        let plan = self.plan(&operation, basket, |_, _| unreserve(&body));
        self.convert(operation, plan, basket, step);
    }
}
