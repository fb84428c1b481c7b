//! `/maintenance/schedule` and `/maintenance/status`, and the v1 calls for the same.

use std::collections::BTreeMap;

use master_core::{MachineName, View};
use proto::mesos::v1::machine_info::Mode;
use proto::mesos::v1::maintenance::{ClusterStatus, Schedule, cluster_status};
use types::AgentId;

/// When which machines will not be there.
pub(crate) fn schedule(view: &View) -> Schedule {
    view.maintenance.schedule()
}

/// Which machines are draining, with what frameworks answered, and which are down.
pub(crate) fn status(view: &View) -> ClusterStatus {
    let mut status = ClusterStatus::default();
    if view.maintenance.machines.is_empty() {
        return status;
    }
    let mut agents: BTreeMap<MachineName, Vec<&AgentId>> = BTreeMap::new();
    for agent in &view.agents {
        agents.entry(agent.machine()).or_default().push(&agent.id);
    }
    for (machine, info) in &view.maintenance.machines {
        match info.mode() {
            Mode::Draining => {
                let there = agents.get(machine).into_iter().flatten();
                let answers = there.filter_map(|agent| view.inverse_offer_answers.get(*agent));
                status.draining_machines.push(cluster_status::DrainingMachine {
                    id: info.id.clone(),
                    statuses: answers.flat_map(BTreeMap::values).cloned().collect(),
                });
            }
            Mode::Down => status.down_machines.push(info.id.clone()),
            Mode::Up => {}
        }
    }
    status
}
