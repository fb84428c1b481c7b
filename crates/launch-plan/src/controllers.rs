//! The controllers of cgroups, of both versions: what an isolator needs of them, and whether the machine has it.

use crate::facts::Facts;
use crate::isolation::Isolator;

/// What takes the place of a controller of version 1 on version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Successor {
    /// A controller, which must be there and be switched on for each cgroup.
    Controller(&'static str),
    /// Something that every cgroup has.
    BuiltIn,
    /// Nothing, or nothing by that name.
    Nothing,
}

/// The controllers of version 1 whose hierarchies an agent makes cgroups in, and their successors.
const CONTROLLERS: &[(&str, Successor)] = &[
    ("blkio", Successor::Controller("io")),
    ("cpu", Successor::Controller("cpu")),
    ("cpuacct", Successor::BuiltIn),
    ("cpuset", Successor::Controller("cpuset")),
    ("devices", Successor::BuiltIn),
    ("freezer", Successor::BuiltIn),
    ("hugetlb", Successor::Controller("hugetlb")),
    ("memory", Successor::Controller("memory")),
    ("net_cls", Successor::Nothing),
    ("net_prio", Successor::Nothing),
    ("perf_event", Successor::BuiltIn),
    ("pids", Successor::Controller("pids")),
];

/// Whether cgroups of that controller's hierarchy are made for containers.
pub(crate) fn is_ours(controller: &str) -> bool {
    CONTROLLERS.iter().any(|(name, _)| *name == controller)
}

fn successor(controller: &str) -> Successor {
    let found = CONTROLLERS.iter().find(|(name, _)| *name == controller);
    found.map_or(Successor::Nothing, |(_, successor)| *successor)
}

/// The controllers of version 2 that an isolator works with.
pub(crate) fn unified(isolator: Isolator) -> impl Iterator<Item = &'static str> {
    isolator.controllers().iter().filter_map(|controller| match successor(controller) {
        Successor::Controller(name) => Some(name),
        Successor::BuiltIn | Successor::Nothing => None,
    })
}

/// Whether there can be such an isolator on version 2, under its own name or as one of all.
///
/// COMPAT(mesos): `cgroups/blkio` is no name there. The controller `io` is had by `cgroups/all` alone.
pub(crate) fn is_known_to_unified(isolator: Isolator, by_name: bool) -> bool {
    let known = isolator.controllers().iter().all(|it| successor(it) != Successor::Nothing);
    known && !(by_name && isolator == Isolator::CgroupsBlkio)
}

/// What of the controllers that an isolator works with is missing here.
pub(crate) fn missing(isolator: Isolator, facts: &Facts) -> Option<String> {
    if let Some(hierarchy) = &facts.unified {
        let missing = unified(isolator).find(|it| !hierarchy.controllers.contains(*it))?;
        let path = &hierarchy.path;
        return Some(format!("The controller '{missing}' is not available in the cgroup '{path}'"));
    }
    let missing = isolator.controllers().iter().find(|it| !facts.hierarchies.contains_key(**it))?;
    Some(format!("Failed to prepare hierarchy for the subsystem '{missing}': it is not mounted"))
}
