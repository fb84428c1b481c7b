//! LAUNCH_GROUP: tasks that share one executor and one fate.

use proto::mesos::v1::offer::Operation;

use super::{Basket, Blame};
use crate::Master;
use crate::step::Step;

impl Master {
    /// Refuses the group with the reason of groups: its default executor is not part
    /// of this agent yet.
    pub(crate) fn launch_group(&mut self, operation: Operation, basket: &Basket, step: &mut Step<'_>) {
        if let Some(framework) = self.frameworks.get_mut(basket.framework.as_str()) {
            framework.counters_mut().operation(operation.r#type());
        }
        let why = "LAUNCH_GROUP operations are not supported by this master";
        self.refuse_operation(&basket.framework, operation, Blame::Task(why), step);
    }
}
