//! `cgroups/cpuset`: the cpus and memory nodes of the machine. Without them nothing can join the cgroup.

use crate::facts::Facts;
use crate::plan::{Plan, Step};

pub(crate) fn prepare(facts: &Facts, path: &str, plan: &mut Plan) {
    let Some(top) = facts.hierarchies.get("cpuset") else { return };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        plan.steps.push(Step::Inherit { path: path.to_owned(), file, top: top.clone() });
    }
}
