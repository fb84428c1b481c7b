//! `--agent_subsystems`: cgroups of version 1 that the agent itself is in, so that what it and its helpers use is
//! counted apart from containers and from the rest of the machine.

use launch_plan::{Facts, Settings, Step};
use linux::Cgroup;

use crate::steps;

/// COMPAT(mesos): its name, below the cgroup above those of all containers.
const NAME: &str = "slave";

/// Moves this process into its cgroup of each of these controllers, divided by commas.
pub fn enter_agent_subsystems(subsystems: &str, settings: &Settings, facts: &Facts) -> Result<(), String> {
    if facts.unified.is_some() {
        // Version 2 has one cgroup for all of them, in which the agent is with the Linux launcher.
        return Ok(());
    }
    let root = &settings.cgroups_root;
    for subsystem in subsystems.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        tracing::info!("Moving agent process into its own cgroup for subsystem: {subsystem}");
        let Some(hierarchy) = facts.hierarchies.get(subsystem) else {
            return Err(format!(
                "Failed to prepare cgroup {root} for subsystem {subsystem}: the subsystem is not mounted"
            ));
        };
        let cgroup = Cgroup::at(format!("{hierarchy}/{root}/{NAME}"));
        let failed = |what: &str, error: std::io::Error| {
            format!(
                "Failed to {what} cgroup {root}/{NAME} for subsystem {subsystem} under hierarchy {hierarchy} for agent: \
                 {error}"
            )
        };
        if !cgroup.exists() {
            cgroup.create().map_err(|error| failed("create", error))?;
        }
        if subsystem == "cpuset" {
            fill(&cgroup, hierarchy)?;
        }
        let others = cgroup.processes().map_err(|error| failed("check for existing threads in", error))?;
        if !others.is_empty() {
            let path = cgroup.path().join("cgroup.procs");
            tracing::info!(pids = ?others, "processes of an earlier agent, or its helpers, are in {}", path.display());
        }
        cgroup.attach(std::process::id()).map_err(|error| failed("move agent into", error))?;
    }
    Ok(())
}

/// A cpuset takes processes once it has CPUs and memory.
fn fill(cgroup: &Cgroup, hierarchy: &str) -> Result<(), String> {
    let steps = ["cpuset.cpus", "cpuset.mems"].map(|file| Step::Inherit {
        path: cgroup.path().to_string_lossy().into_owned(),
        file,
        top: hierarchy.to_owned(),
    });
    steps::carry_out(&steps)
}
