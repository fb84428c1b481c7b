//! Whether a task may be launched where and with what it wants (as observed of Mesos).
//!
//! The order of the checks is that of Mesos: the first that fails names the reason.

use proto::mesos::v1::executor_info;
use proto::mesos::v1::{ContainerInfo, TaskInfo};
use resources::{Resources, Scalar, validate};
use types::{TaskId, check_id};

use super::check::{check, health_check};
use super::container::{command, container};
use super::executor::executor_on;
use crate::agents::Agent;
use crate::frameworks::Framework;

/// What a task takes out of its offers.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    /// Its own.
    pub(crate) task: Resources,
    /// That of its executor, if it must be started.
    pub(crate) executor: Option<Resources>,
}

/// Checks a task, and returns what it needs of `available`.
pub(crate) fn task(
    task: &TaskInfo,
    framework: &Framework,
    agent: &Agent,
    available: &Resources,
) -> Result<Needs, String> {
    let resources = alone(task, framework, agent)?;
    let needs = with_executor(task, resources, framework, agent)?;
    fits(&needs, available)?;
    if shares_cgroups(task.container.as_ref()) == Some(false) {
        return Err("Only tasks in a task group may have 'share_cgroups' set to 'false'".to_owned());
    }
    Ok(needs)
}

/// Checks what a task says by itself, and returns the resources it names.
pub(super) fn alone(task: &TaskInfo, framework: &Framework, agent: &Agent) -> Result<Resources, String> {
    ids(task, framework, agent)?;
    durations(task)?;
    if let Some(body) = &task.check {
        check(body).map_err(|why| format!("Task uses invalid check: {why}"))?;
    }
    if let Some(body) = &task.health_check {
        health_check(body).map_err(|why| format!("Task uses invalid health check: {why}"))?;
    }
    let resources = own_resources(task)?;
    if let Some(run) = &task.command {
        command(run).map_err(|why| format!("Task's `CommandInfo` is invalid: {why}"))?;
    }
    if let Some(inside) = &task.container {
        container(inside).map_err(|why| format!("Task's `ContainerInfo` is invalid: {why}"))?;
    }
    limits(task, &resources, agent)?;
    Ok(resources)
}

/// What a container says of whether it shares its parent's cgroups.
pub(super) fn shares_cgroups(container: Option<&ContainerInfo>) -> Option<bool> {
    container?.linux_info.as_ref()?.share_cgroups
}

fn ids(task: &TaskInfo, framework: &Framework, agent: &Agent) -> Result<(), String> {
    check_id(&task.task_id.value).map_err(|why| why.to_string())?;
    let id = TaskId::from(&task.task_id);
    if framework.task(&id).is_some() {
        return Err(format!("Task has duplicate ID: {id}"));
    }
    if framework.unreachable_task(&id).is_some() {
        return Err(format!("Task reuses the ID of an unreachable task: {id}"));
    }
    if task.agent_id.value != agent.id().as_str() {
        return Err(format!(
            "Task uses invalid agent {} while agent {} is expected",
            task.agent_id.value,
            agent.id()
        ));
    }
    Ok(())
}

fn durations(task: &TaskInfo) -> Result<(), String> {
    let grace = task.kill_policy.as_ref().and_then(|policy| policy.grace_period);
    if grace.is_some_and(|grace| grace.nanoseconds < 0) {
        return Err("Task's 'kill_policy.grace_period' must be non-negative".to_owned());
    }
    if task.max_completion_time.is_some_and(|time| time.nanoseconds < 0) {
        return Err("Task's `max_completion_time` must be non-negative".to_owned());
    }
    Ok(())
}

fn own_resources(task: &TaskInfo) -> Result<Resources, String> {
    if task.resources.is_empty() {
        return Err("Task uses no resources".to_owned());
    }
    let resources =
        validate::all(&task.resources).map_err(|why| format!("Task uses invalid resources: {why}"))?;
    validate::unique_persistence_ids(&resources)
        .map_err(|why| format!("Task uses duplicate persistence ID: {why}"))?;
    validate::single_allocation_role(&resources).map_err(|why| format!("Invalid task resources: {why}"))?;
    validate::not_mixed_revocable(&resources)
        .map_err(|why| format!("Task mixes revocable and non-revocable resources: {why}"))?;
    Ok(resources)
}

/// A limit is at least the request, and only for what can be limited.
fn limits(task: &TaskInfo, resources: &Resources, agent: &Agent) -> Result<(), String> {
    if task.limits.is_empty() {
        return Ok(());
    }
    if !agent.capabilities.task_resource_limits {
        return Err("Agent is not capable of handling task resource limits".to_owned());
    }
    if task.limits.keys().any(|name| !matches!(name.as_str(), "cpus" | "mem")) {
        return Err("Only cpus and mem may be included in a task's resource limits".to_owned());
    }
    let below = |limit: f64, request: Scalar| {
        // An infinite limit is no number of thousandths, and above every request.
        limit.is_nan() || Scalar::from_f64(limit).is_some_and(|limit| limit < request)
    };
    if let Some(limit) = task.limits.get("cpus") {
        let Some(request) = resources.cpus() else {
            return Err("When a CPU limit is specified, a CPU request must also be specified".to_owned());
        };
        if below(limit.value, request) {
            return Err("The cpu limit must be greater than or equal to the cpu request".to_owned());
        }
    }
    if let Some(limit) = task.limits.get("mem") {
        let Some(request) = resources.mem() else {
            return Err(
                "When a memory limit is specified, a memory request must also be specified".to_owned()
            );
        };
        if below(limit.value, request) {
            return Err("The memory limit must be greater than or equal to the memory request".to_owned());
        }
    }
    Ok(())
}

fn with_executor(
    task: &TaskInfo,
    resources: Resources,
    framework: &Framework,
    agent: &Agent,
) -> Result<Needs, String> {
    if task.executor.is_some() == task.command.is_some() {
        return Err(
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present".to_owned()
        );
    }
    let Some(info) = &task.executor else {
        return Ok(Needs { task: resources, executor: None });
    };
    let needed = executor_on(info, &framework.id, agent)?;
    if info.r#type.is_some() && info.r#type() != executor_info::Type::Custom {
        return Err("'ExecutorInfo.type' must be 'CUSTOM'".to_owned());
    }
    if info.command.is_none() {
        return Err("'ExecutorInfo.command' must be set".to_owned());
    }
    if !needed.shared().is_empty() {
        return Err(format!("Executor resources {needed} should not contain any shared resources"));
    }
    if shares_cgroups(info.container.as_ref()) == Some(true) {
        return Err("The 'share_cgroups' field cannot be set to 'true' on executor containers".to_owned());
    }
    together(&resources, &needed)?;
    let starts = agent.executor(framework.id.as_str(), &info.executor_id.value).is_none();
    Ok(Needs { task: resources, executor: starts.then_some(needed) })
}

/// A task and its executor must not name the same port, word or volume.
fn together(task: &Resources, executor: &Resources) -> Result<(), String> {
    if validate::overlaps(&[task.clone(), executor.clone()]) {
        return Err(format!(
            "There are overlapping resources in the task resources {task} and executor resources {executor}"
        ));
    }
    let total = task + executor;
    validate::unique_persistence_ids(&total)
        .map_err(|why| format!("Task and its executor use duplicate persistence ID: {why}"))?;
    validate::not_mixed_revocable(&total)
        .map_err(|why| format!("Task and its executor mix revocable and non-revocable resources: {why}"))
}

fn fits(needs: &Needs, available: &Resources) -> Result<(), String> {
    let total = needs.executor.as_ref().map_or_else(|| needs.task.clone(), |executor| &needs.task + executor);
    if available.contains(&total) {
        return Ok(());
    }
    Err(format!(
        "Total resources {total} required by task and its executor is more than available {available}"
    ))
}
