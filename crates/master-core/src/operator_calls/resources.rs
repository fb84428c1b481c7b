//! RESERVE_RESOURCES, CREATE_VOLUMES and their like.

use proto::mesos::v1::master::call;

use super::{Asker, not_served};
use crate::Master;
use crate::effect::Reply;
use crate::step::Step;

impl Master {
    pub(crate) fn reserve_resources(
        &mut self,
        _: Asker<'_>,
        _: call::ReserveResources,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("RESERVE_RESOURCES"))
    }

    pub(crate) fn unreserve_resources(
        &mut self,
        _: Asker<'_>,
        _: call::UnreserveResources,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("UNRESERVE_RESOURCES"))
    }

    pub(crate) fn create_volumes(
        &mut self,
        _: Asker<'_>,
        _: call::CreateVolumes,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("CREATE_VOLUMES"))
    }

    pub(crate) fn destroy_volumes(
        &mut self,
        _: Asker<'_>,
        _: call::DestroyVolumes,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("DESTROY_VOLUMES"))
    }

    pub(crate) fn grow_volume(
        &mut self,
        _: Asker<'_>,
        _: call::GrowVolume,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("GROW_VOLUME"))
    }

    pub(crate) fn shrink_volume(
        &mut self,
        _: Asker<'_>,
        _: call::ShrinkVolume,
        _: &mut Step<'_>,
    ) -> Option<Reply> {
        Some(not_served("SHRINK_VOLUME"))
    }
}
