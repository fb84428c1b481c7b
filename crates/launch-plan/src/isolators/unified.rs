//! The one cgroup that a container has on version 2, and the leaf below it where its processes are: a cgroup that passes
//! controllers on cannot have processes itself.
//!
//! COMPAT(mesos): the layout. A container in another one always has such a pair of its own; if it shares the other's
//! limits, no controller is switched on for it.

use crate::facts::{Facts, Settings, Unified};
use crate::plan::{self, Container, Plan, Step};

pub(crate) fn cgroup(
    settings: &Settings,
    facts: &Facts,
    unified: &Unified,
    container: &Container<'_>,
    plan: &mut Plan,
) {
    let Some(path) = plan::cgroup(settings, facts, "", container.id) else { return };
    let leaf = format!("{path}/leaf");
    plan.steps.push(Step::CreateCgroup { path: path.clone() });
    if container.shares_cgroups_of.is_none() {
        let controllers = Plan::unified_controllers(settings);
        if !controllers.is_empty() {
            // ORDER: before the leaf is made, so that it begins with what it has.
            plan.steps.push(Step::Delegate { path, controllers, top: unified.path.clone() });
        }
    }
    plan.steps.push(Step::CreateCgroup { path: leaf.clone() });
    if let Some(uid) = container.owner {
        plan.steps.push(Step::Own { path: leaf.clone(), uid });
    }
    plan.born_in = Some(leaf);
}
