//! The part that only the agent's documents have: tasks that wait.

pub(crate) use daemon::documents::{allocation_role, attributes, command, domain, labels, task};
use proto::json::{Names, Writer};
use proto::mesos::v1;

use super::quantities;

/// A task that waits for its executor, as it was asked for.
pub(crate) fn queued_task(w: &mut Writer, task: &v1::TaskInfo) {
    w.object(|w| {
        w.field_str("id", &task.task_id.value);
        w.field_str("name", &task.name);
        w.field_str("slave_id", &task.agent_id.value);
        quantities::field_of(w, "resources", &task.resources);
        w.field_str("role", allocation_role(&task.resources));
        if let Some(asked) = &task.command {
            w.key("command");
            command(w, asked);
        }
        if let Some(executor) = &task.executor {
            w.field_str("executor_id", &executor.executor_id.value);
        }
        if let Some(discovery) = &task.discovery {
            w.field_message("discovery", discovery, Names::V0);
        }
    });
}
