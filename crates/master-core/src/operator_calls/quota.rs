//! SET_QUOTA, REMOVE_QUOTA and UPDATE_QUOTA.

use proto::mesos::v1::master::call;

use super::{Asker, not_served};
use crate::Master;
use crate::effect::Reply;
use crate::step::Step;

impl Master {
    pub(crate) fn set_quota(&mut self, _: Asker<'_>, _: call::SetQuota, _: &mut Step<'_>) -> Option<Reply> {
        Some(not_served("SET_QUOTA"))
    }

    pub(crate) fn remove_quota(
        &mut self,
        _: Asker<'_>,
        _: call::RemoveQuota,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("REMOVE_QUOTA"))
    }

    pub(crate) fn update_quota(
        &mut self,
        _: Asker<'_>,
        _: call::UpdateQuota,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("UPDATE_QUOTA"))
    }
}
