//! DESTROY_DISK: a storage provider takes a disk apart.

use proto::mesos::v1::offer::Operation;

use super::{Basket, Blame};
use crate::Master;
use crate::step::Step;
use crate::validation::operation::destroy_disk;

impl Master {
    /// Refuses it: no agent has a resource provider yet.
    pub(crate) fn destroy_disk(&mut self, operation: Operation, basket: &Basket, step: &mut Step<'_>) {
        let Some(body) = operation.destroy_disk.clone() else { return };
        let check = || destroy_disk(&body);
        let why = self.why_no_disk(basket, "DESTROY_DISK", &body.source, check);
        self.refuse_operation(&basket.framework, operation, Blame::Task(&why), step);
    }
}
