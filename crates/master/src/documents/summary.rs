//! `/state-summary`: agents and frameworks with counts of tasks instead of tasks.

use std::collections::{BTreeMap, BTreeSet};

use master_core::View;
use proto::json::Writer;
use proto::mesos::v1::{Task, TaskState};

use super::{agents, frameworks};
use crate::identity::Identity;

/// The states that are counted, in the order of C++ Mesos.
const COUNTED: [TaskState; 10] = [
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskKilled,
    TaskState::TaskFailed,
    TaskState::TaskLost,
    TaskState::TaskError,
    TaskState::TaskUnreachable,
];

#[derive(Default)]
struct Counts<'v> {
    by_state: BTreeMap<TaskState, u64>,
    partners: BTreeSet<&'v str>,
}

impl Counts<'_> {
    fn write(&self, w: &mut Writer, partners: &str) {
        for state in COUNTED {
            w.field_u64(state.as_str_name(), self.by_state.get(&state).copied().unwrap_or(0));
        }
        w.field_array(partners, |w| self.partners.iter().for_each(|id| w.string(id)));
    }
}

/// The whole document.
pub(crate) fn document(w: &mut Writer, view: &View, identity: &Identity) {
    let mut by_agent: BTreeMap<&str, Counts<'_>> = BTreeMap::new();
    let mut by_framework: BTreeMap<&str, Counts<'_>> = BTreeMap::new();
    for framework in &view.frameworks {
        let tasks = framework.tasks.iter().chain(framework.unreachable_tasks.iter());
        for task in tasks.chain(&framework.completed_tasks) {
            count(&mut by_agent, &mut by_framework, framework.id.as_str(), task);
        }
    }
    let nothing = Counts::default();
    w.object(|w| {
        w.field_str("hostname", view.config.master.hostname());
        if let Some(cluster) = &identity.cluster {
            w.field_str("cluster", cluster);
        }
        w.field_array("slaves", |w| {
            for agent in &view.agents {
                w.object(|w| {
                    agents::fields(w, agent);
                    by_agent.get(agent.id.as_str()).unwrap_or(&nothing).write(w, "framework_ids");
                });
            }
        });
        w.field_array("frameworks", |w| {
            for framework in &view.frameworks {
                w.object(|w| {
                    frameworks::summary_fields(w, framework);
                    by_framework.get(framework.id.as_str()).unwrap_or(&nothing).write(w, "slave_ids");
                });
            }
        });
    });
}

fn count<'v>(
    by_agent: &mut BTreeMap<&'v str, Counts<'v>>,
    by_framework: &mut BTreeMap<&'v str, Counts<'v>>,
    framework: &'v str,
    task: &'v Task,
) {
    let agent = task.agent_id.value.as_str();
    let of_agent = by_agent.entry(agent).or_default();
    *of_agent.by_state.entry(task.state()).or_default() += 1;
    of_agent.partners.insert(framework);
    let of_framework = by_framework.entry(framework).or_default();
    *of_framework.by_state.entry(task.state()).or_default() += 1;
    of_framework.partners.insert(agent);
}
