//! `filesystem/linux`: mounts of its own for a container, which take part in those of the machine one way only.
//!
//! A container in another one begins with a copy of the other's.

use crate::plan::{Container, Plan};

pub(crate) fn prepare(container: &Container<'_>, plan: &mut Plan) {
    plan.process.enter_mounts = container.is_nested();
    plan.process.own_mounts = !container.is_session;
}
