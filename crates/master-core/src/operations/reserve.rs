//! RESERVE: what a framework was offered is kept for the role that it was offered in.

use proto::mesos::v1::offer::Operation;

use super::Basket;
use crate::Master;
use crate::step::Step;
use crate::validation::operation::{Author, reserve};

impl Master {
    pub(crate) fn reserve(&mut self, operation: Operation, basket: &mut Basket, step: &mut Step<'_>) {
        let body = operation.reserve.clone().unwrap_or_default();
        let check = |framework: &_, agent: &_| reserve(&body, Author::Framework(framework), agent);
        let plan = self.plan(&operation, basket, check);
        self.convert(operation, plan, basket, step);
    }
}
