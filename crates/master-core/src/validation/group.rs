//! Whether the tasks of a LAUNCH_GROUP may be launched, all of them or none (as
//! observed of Mesos).

use proto::mesos::v1::health_check;
use proto::mesos::v1::{ContainerInfo, ExecutorInfo, TaskInfo, container_info, executor_info};
use resources::{Resources, Scalar, validate};
use types::ExecutorId;

use super::executor::executor_on;
use super::number_text;
use super::task::{alone, shares_cgroups};
use crate::agents::Agent;
use crate::frameworks::Framework;

/// The least that an executor of a group must have.
const CPUS_MIN: Scalar = Scalar::from_milli(10);
const MEM_MIN: Scalar = Scalar::from_units(32);

/// What a group takes out of its offers.
#[derive(Clone, Debug)]
pub(crate) struct GroupNeeds {
    /// Each task's own, in the order of the tasks.
    pub(crate) tasks: Vec<Resources>,
    /// That of the executor, if it must be started.
    pub(crate) executor: Option<Resources>,
}

/// Checks a group, and returns what it needs of `available`. The tasks carry their
/// executor.
pub(crate) fn group(
    tasks: &[TaskInfo],
    executor: &ExecutorInfo,
    framework: &Framework,
    agent: &Agent,
    available: &Resources,
) -> Result<GroupNeeds, String> {
    let mut needed = Vec::with_capacity(tasks.len());
    for (at, task) in tasks.iter().enumerate() {
        let id = &task.task_id.value;
        if tasks[..at].iter().any(|other| other.task_id == task.task_id) {
            return Err(format!("Task '{id}' is invalid: Task has duplicate ID: {id}"));
        }
        let resources = grouped(task, framework, agent);
        needed.push(resources.map_err(|why| format!("Task '{id}' is invalid: {why}"))?);
    }
    let own = group_executor(tasks, executor, framework, agent)?;
    together(&needed, &own)?;
    let starts = agent.executor(framework.id.as_str(), &executor.executor_id.value).is_none();
    let needs = GroupNeeds { tasks: needed, executor: starts.then_some(own) };
    let total = needs.tasks.iter().chain(&needs.executor).fold(Resources::new(), |sum, part| &sum + part);
    if !available.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task group and its executor are more than available {available}"
        ));
    }
    shared_alike(tasks, executor, framework, agent)?;
    Ok(needs)
}

fn grouped(task: &TaskInfo, framework: &Framework, agent: &Agent) -> Result<Resources, String> {
    let resources = alone(task, framework, agent)?;
    if let Some(container) = &task.container {
        let networked = !container.network_infos.is_empty();
        let checked = task.health_check.as_ref().map(|check| check.r#type());
        if networked && matches!(checked, Some(health_check::Type::Http | health_check::Type::Tcp)) {
            return Err("HTTP and TCP health checks are not supported for nested containers not joining parent's network".to_owned());
        }
        if container.r#type() == container_info::Type::Docker {
            return Err("Docker ContainerInfo is not supported on the task".to_owned());
        }
    }
    if !task.limits.is_empty() && shares_cgroups(task.container.as_ref()) != Some(false) {
        return Err("Resource limits may only be set for tasks within a task group when the 'share_cgroups' field is set to 'false'.".to_owned());
    }
    Ok(resources)
}

/// Checks the executor of a group, and returns its resources.
fn group_executor(
    tasks: &[TaskInfo],
    info: &ExecutorInfo,
    framework: &Framework,
    agent: &Agent,
) -> Result<Resources, String> {
    let resources = executor_on(info, &framework.id, agent)?;
    if info.r#type.is_none() {
        return Err("'ExecutorInfo.type' must be set".to_owned());
    }
    if info.r#type() == executor_info::Type::Unknown {
        return Err("Unknown executor type".to_owned());
    }
    let docker = |container: &ContainerInfo| container.r#type() == container_info::Type::Docker;
    if info.container.as_ref().is_some_and(docker) {
        return Err("Docker ContainerInfo is not supported on the executor".to_owned());
    }
    let id = &info.executor_id.value;
    if let Some(task) = tasks.iter().find(|task| task.executor.as_ref().is_some_and(|own| own != info)) {
        let task = &task.task_id.value;
        return Err(format!("The `ExecutorInfo` of task '{task}' is different from executor '{id}'"));
    }
    let text = |amount: Option<Scalar>| amount.map_or("None".to_owned(), |a| number_text(a.as_f64()));
    if resources.cpus().is_none_or(|cpus| cpus < CPUS_MIN) {
        let (has, least) = (text(resources.cpus()), text(Some(CPUS_MIN)));
        return Err(format!("Executor '{id}' uses less CPUs ({has}) than the minimum required ({least})"));
    }
    if resources.mem().is_none_or(|mem| mem < MEM_MIN) {
        let has = resources.mem().map_or("None".to_owned(), |mem| format!("{}MB", text(Some(mem))));
        return Err(format!("Executor '{id}' uses less memory ({has}) than the minimum required (32MB)"));
    }
    if resources.disk().is_none() {
        return Err(format!("Executor '{id}' uses no disk"));
    }
    Ok(resources)
}

/// Tasks and executor must not name the same port, word or volume.
fn together(tasks: &[Resources], executor: &Resources) -> Result<(), String> {
    let all: Vec<_> = tasks.iter().chain([executor]).cloned().collect();
    let total: Resources = all.iter().cloned().sum();
    validate::unique_persistence_ids(&total)
        .map_err(|why| format!("Task group and executor use duplicate persistence ID: {why}"))?;
    validate::not_mixed_revocable(&total)
        .map_err(|why| format!("Task group and executor mix revocable and non-revocable resources: {why}"))?;
    if validate::overlaps(&all) {
        let list: Vec<_> = tasks.iter().map(ToString::to_string).collect();
        return Err(format!(
            "There are overlapping resources in the task group's task resources [ {} ] and/or executor resources {executor}",
            list.join(", ")
        ));
    }
    Ok(())
}

/// All tasks of an executor share its cgroups, or none does.
fn shared_alike(
    tasks: &[TaskInfo],
    info: &ExecutorInfo,
    framework: &Framework,
    agent: &Agent,
) -> Result<(), String> {
    if shares_cgroups(info.container.as_ref()) == Some(true) {
        return Err("The 'share_cgroups' field cannot be set to 'true' on executor containers".to_owned());
    }
    let executor = ExecutorId::from(&info.executor_id);
    let there = framework.tasks().chain(framework.unreachable_tasks()).filter(|task| {
        task.agent == *agent.id()
            && task.proto.executor_id.as_ref().is_some_and(|id| id.value == executor.as_str())
    });
    let there = there.map(|task| task.proto.container.as_ref());
    let all = tasks.iter().map(|task| task.container.as_ref()).chain(there);
    // Who says nothing shares.
    let mut said = all.map(|container| shares_cgroups(container).unwrap_or(true));
    let first = said.next();
    if said.any(|shares| Some(shares) != first) {
        return Err("If set, the value of 'share_cgroups' must be the same for all tasks in each task group and under a single executor".to_owned());
    }
    Ok(())
}
