//! Whether an `ExecutorInfo` is one, and fits its framework and agent.

use proto::json::{self, Names};
use proto::mesos::v1::{ContainerInfo, ExecutorInfo, container_info, executor_info};
use resources::{Resources, validate};
use types::{FrameworkId, check_id};

use super::container::{command, container};
use crate::agents::Agent;

/// Checks an executor by itself.
pub(crate) fn executor(info: &ExecutorInfo) -> Result<(), String> {
    kind(info)?;
    check_id(&info.executor_id.value).map_err(|why| why.to_string())?;
    if info.shutdown_grace_period.is_some_and(|grace| grace.nanoseconds < 0) {
        return Err("ExecutorInfo's 'shutdown_grace_period' must be non-negative".to_owned());
    }
    if let Some(run) = &info.command {
        command(run).map_err(|why| format!("Executor's `CommandInfo` is invalid: {why}"))?;
    }
    if let Some(inside) = &info.container {
        container(inside).map_err(|why| format!("Executor's `ContainerInfo` is invalid: {why}"))?;
    }
    Ok(())
}

fn kind(info: &ExecutorInfo) -> Result<(), String> {
    match info.r#type() {
        executor_info::Type::Default if info.command.is_some() => {
            Err("'ExecutorInfo.command' must not be set for 'DEFAULT' executor".to_owned())
        }
        executor_info::Type::Default => info.container.as_ref().map_or(Ok(()), default_container),
        executor_info::Type::Custom if info.command.is_none() => {
            Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".to_owned())
        }
        executor_info::Type::Custom | executor_info::Type::Unknown => Ok(()),
    }
}

fn default_container(container: &ContainerInfo) -> Result<(), String> {
    if container.r#type() != container_info::Type::Mesos {
        return Err("'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor".to_owned());
    }
    if container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()) {
        return Err("'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor".to_owned());
    }
    Ok(())
}

/// Checks a task's executor on its agent, and returns what it needs.
pub(crate) fn executor_on(
    info: &ExecutorInfo,
    framework: &FrameworkId,
    agent: &Agent,
) -> Result<Resources, String> {
    executor(info)?;
    match &info.framework_id {
        None => return Err("'ExecutorInfo.framework_id' must be set".to_owned()),
        Some(id) if id.value != framework.as_str() => {
            return Err(format!(
                "ExecutorInfo has an invalid FrameworkID (Actual: {} vs Expected: {framework})",
                id.value
            ));
        }
        Some(_) => {}
    }
    let resources =
        validate::all(&info.resources).map_err(|why| format!("Executor uses invalid resources: {why}"))?;
    validate::unique_persistence_ids(&resources)
        .map_err(|why| format!("Executor uses duplicate persistence ID: {why}"))?;
    validate::single_allocation_role(&resources)
        .map_err(|why| format!("Invalid executor resources: {why}"))?;
    validate::not_mixed_revocable(&resources)
        .map_err(|why| format!("Executor mixes revocable and non-revocable resources: {why}"))?;
    if let Some(running) = agent.executor(framework.as_str(), &info.executor_id.value)
        && !same(running, info)
    {
        return Err(incompatible(running, info));
    }
    Ok(resources)
}

/// Whether two descriptions are of one executor; the order of resources is no matter.
fn same(left: &ExecutorInfo, right: &ExecutorInfo) -> bool {
    let amounts = |info: &ExecutorInfo| Resources::from_checked_protos(&info.resources);
    let rest = |info: &ExecutorInfo| ExecutorInfo { resources: Vec::new(), ..info.clone() };
    left == right || (amounts(left) == amounts(right) && rest(left) == rest(right))
}

fn incompatible(running: &ExecutorInfo, asked: &ExecutorInfo) -> String {
    const RULE: &str = "------------------------------------------------------------\n";
    format!(
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n{RULE}Existing ExecutorInfo:\n{}\n{RULE}ExecutorInfo:\n{}\n{RULE}",
        json::to_string(running, Names::V1),
        json::to_string(asked, Names::V1),
    )
}
