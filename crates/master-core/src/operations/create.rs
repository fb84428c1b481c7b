//! CREATE: volumes of reserved disk, which outlive the tasks that use them.

use proto::mesos::v1::offer::Operation;

use super::Basket;
use crate::Master;
use crate::step::Step;
use crate::validation::operation::{Author, create};

impl Master {
    pub(crate) fn create(&mut self, operation: Operation, basket: &mut Basket, step: &mut Step<'_>) {
        let body = operation.create.clone().unwrap_or_default();
        let check = |framework: &_, agent: &_| create(&body, Author::Framework(framework), agent);
        let plan = self.plan(&operation, basket, check);
        let done = plan.is_ok();
        self.convert(operation, plan, basket, step);
        if done {
            basket.shared = basket.left.shared();
        }
    }
}
