//! RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME, SHRINK_VOLUME, CREATE_DISK and
//! DESTROY_DISK: known, and not performed by this master.

use proto::mesos::v1::offer::Operation;

use super::{Basket, Blame};
use crate::Master;
use crate::step::Step;

impl Master {
    pub(crate) fn refuse_unsupported(&mut self, operation: Operation, basket: &Basket, step: &mut Step<'_>) {
        let why = format!("{} operations are not supported by this master", operation.r#type().as_str_name());
        if let Some(framework) = self.frameworks.get_mut(basket.framework.as_str()) {
            framework.counters_mut().operation(operation.r#type());
        }
        self.refuse_operation(&basket.framework, operation, Blame::Task(&why), step);
    }
}
