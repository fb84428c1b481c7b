//! `filesystem/linux`: mounts of its own for a container, which take part in those of the machine one way only.

use crate::plan::Plan;

pub(crate) fn prepare(plan: &mut Plan) {
    plan.process.own_mounts = true;
}
