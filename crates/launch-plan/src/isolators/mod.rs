//! What each isolator wants of a plan, one file each.

pub(crate) mod cgroups_cpu;
pub(crate) mod cgroups_cpuset;
pub(crate) mod cgroups_devices;
pub(crate) mod cgroups_mem;
pub(crate) mod docker_runtime;
pub(crate) mod filesystem_linux;
pub(crate) mod gpu_nvidia;
pub(crate) mod linux_capabilities;
pub(crate) mod linux_devices;
pub(crate) mod linux_nnp;
pub(crate) mod linux_seccomp;
pub(crate) mod namespaces_ipc;
pub(crate) mod namespaces_pid;
pub(crate) mod namespaces_user;
pub(crate) mod network_cni;
pub(crate) mod posix_rlimits;
pub(crate) mod unified;
pub(crate) mod unified_cpu;
pub(crate) mod unified_mem;
pub(crate) mod volumes;

use crate::facts::{Facts, Settings};
use crate::plan::{Container, Plan, Step, cgroup};

/// The controller whose cgroup lists every process of a container and can stop them.
const FREEZER: &str = "freezer";

/// The cgroups of a container: one in each hierarchy that an isolator works with, and the freezer's, which the launcher
/// needs. One in another container may share the cgroups of that one but for the freezer's, which is below the other's.
pub(crate) fn cgroups(settings: &Settings, facts: &Facts, container: &Container<'_>, plan: &mut Plan) {
    let controllers = settings.isolation.isolators().flat_map(|isolator| isolator.controllers());
    // ORDER: the freezer's is made last, and so undone first: its end is that of all processes, even of those that fork
    // faster than they are killed. It is joined first, so that it never lacks one.
    for controller in controllers.chain(std::iter::once(&FREEZER)) {
        let with_freezer = facts.hierarchies.get(*controller) == facts.hierarchies.get(FREEZER);
        let owner = container.shares_cgroups_of.filter(|_| !with_freezer).unwrap_or(container.id);
        let Some(path) = cgroup(settings, facts, controller, owner) else { continue };
        // Controllers may share a hierarchy.
        if plan.cgroups.contains(&path) {
            continue;
        }
        let at = if *controller == FREEZER { 0 } else { plan.cgroups.len() };
        plan.cgroups.insert(at, path.clone());
        if owner != container.id {
            continue;
        }
        plan.steps.push(Step::CreateCgroup { path: path.clone() });
        if let Some(uid) = container.owner_outside() {
            plan.steps.push(Step::Own { path, uid });
        }
    }
}
