//! Which points are tried with which script.

/// Those of a launch and of the end of what was launched.
pub(crate) const LAUNCH: &[&str] = &[
    "checkpoint.framework_info.before",
    "checkpoint.framework_info.after",
    "checkpoint.framework_pid.before",
    "checkpoint.framework_pid.after",
    "checkpoint.executor_info.before",
    "checkpoint.executor_info.after",
    "checkpoint.command_task.before",
    "checkpoint.command_task.after",
    "checkpoint.latest_run.before",
    "checkpoint.latest_run.after",
    "checkpoint.task_info.before",
    "checkpoint.task_info.after",
    "checkpoint.renaming",
    "checkpoint.renaming:3",
    "sandbox.made",
    "sandbox.linked",
    "fetch.half",
    "container.fetched",
    "container.marked",
    "container.cgroups_made",
    "container.cloned",
    "container.pid_written",
    "container.told",
    "checkpoint.http_marker.before",
    "checkpoint.http_marker.after",
    "checkpoint.task_update.before:1",
    "checkpoint.task_update.before:2",
    "checkpoint.task_update.before:3",
    "checkpoint.task_update.after:1",
    "checkpoint.task_update.after:2",
    "checkpoint.task_update.after:3",
    "acknowledgement.before:1",
    "acknowledgement.before:3",
    "acknowledgement.after:1",
    "acknowledgement.after:3",
    "update.forwarding:1",
    "update.forwarding:2",
    "update.forwarding:3",
    "update.forwarded:1",
    "update.forwarded:2",
    "update.forwarded:3",
    "checkpoint.task_acknowledgement.before:1",
    "checkpoint.task_acknowledgement.before:3",
    "checkpoint.task_acknowledgement.after:1",
    "checkpoint.task_acknowledgement.after:3",
    "container.killing",
    "container.half_destroyed",
    "container.killed",
    "container.ended",
    "container.forgotten",
    "checkpoint.sentinel.before",
    "checkpoint.sentinel.after",
];

/// Those of containers in containers.
pub(crate) const POD: &[&str] = &[
    "container.recorded",
    "container.fetched",
    "container.cloned:2",
    "container.pid_written:2",
    "container.told:2",
    "container.killing",
    "container.ended",
    "container.forgotten",
];

/// Those of images and roots.
pub(crate) const IMAGE: &[&str] =
    &["image.pulled", "root.noted", "root.made", "container.cloned", "root.unmounted", "root.removed"];

/// Those of reservations and volumes.
pub(crate) const OPERATION: &[&str] = &[
    "checkpoint.resource_state_target.before",
    "checkpoint.resource_state_target.after",
    "checkpoint.resource_state_target.after:2",
    "checkpoint.resources_target.before",
    "checkpoint.resources_target.after",
    "volume.making",
    "volume.made",
    "checkpoint.commit_resource_state.before",
    "checkpoint.commit_resource_state.after",
    "checkpoint.commit_resources.before",
    "checkpoint.commit_resources.after",
    "checkpoint.operation_update.before",
    "checkpoint.operation_update.after",
    "checkpoint.operation_update.before:3",
    "checkpoint.operation_update.after:3",
    "checkpoint.no_operation.before",
    "checkpoint.no_operation.after",
    "volume.deleting",
    "volume.deleted",
];

/// Those of recovery itself.
pub(crate) const RECOVERY: &[&str] = &[
    "recovery.files_read",
    "recovery.orphan_destroyed",
    "recovery.orphans_destroyed",
    "recovery.agent_recovered",
    "container.adopted:1",
    "container.adopted:2",
    "checkpoint.boot_id.before",
    "checkpoint.boot_id.after",
];

/// Those of the executor, which dies in the agent's place.
pub(crate) const EXECUTOR: &[&str] = &[
    "executor.subscribing",
    "executor.started",
    "executor.updating:1",
    "executor.updating:2",
    "executor.ended",
    "executor.updating:3",
];

/// Those of an agent that begins, drains and leaves.
pub(crate) const LEAVING: &[&str] = &[
    "checkpoint.libprocess_pid.before",
    "checkpoint.libprocess_pid.after",
    "checkpoint.drain_config.before",
    "checkpoint.drain_config.after",
    "checkpoint.no_drain_config.before",
    "checkpoint.no_drain_config.after",
    "checkpoint.no_agent.before",
    "checkpoint.no_agent.after",
    "checkpoint.agent_info.before",
    "checkpoint.agent_info.after",
    "checkpoint.latest_agent.before",
    "checkpoint.latest_agent.after",
];

/// Those of the removal of what was.
pub(crate) const GARBAGE: &[&str] = &["gc.removing", "gc.removing:2", "gc.removed"];
