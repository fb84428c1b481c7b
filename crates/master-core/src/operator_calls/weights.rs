//! UPDATE_WEIGHTS.

use proto::mesos::v1::master::call;

use super::{Asker, not_served};
use crate::Master;
use crate::effect::Reply;
use crate::step::Step;

impl Master {
    pub(crate) fn update_weights(
        &mut self,
        _: Asker<'_>,
        _: call::UpdateWeights,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("UPDATE_WEIGHTS"))
    }
}
