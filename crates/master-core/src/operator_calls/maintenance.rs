//! The maintenance schedule, and machines that go down and up.

use proto::mesos::v1::master::call;

use super::{Asker, not_served};
use crate::Master;
use crate::effect::Reply;
use crate::step::Step;

impl Master {
    pub(crate) fn update_maintenance_schedule(
        &mut self,
        _: Asker<'_>,
        _: call::UpdateMaintenanceSchedule,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("UPDATE_MAINTENANCE_SCHEDULE"))
    }

    pub(crate) fn start_maintenance(
        &mut self,
        _: Asker<'_>,
        _: call::StartMaintenance,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("START_MAINTENANCE"))
    }

    pub(crate) fn stop_maintenance(
        &mut self,
        _: Asker<'_>,
        _: call::StopMaintenance,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("STOP_MAINTENANCE"))
    }
}
