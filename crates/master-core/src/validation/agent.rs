//! Whether an agent's registration makes sense.
//!
//! A message that does not is dropped, so the texts are for tests and traces only.

use std::collections::BTreeSet;

use proto::mesos::internal::{RegisterSlaveMessage, ReregisterSlaveMessage};
use proto::mesos::v1::{AgentInfo, Resource, TaskState};
use resources::Resources;
use types::check_id;

use super::{executor, framework};

/// The oldest version that may join.
const VERSION_MIN: [u32; 3] = [1, 0, 0];

/// Checks an agent's version: dotted numbers, perhaps with a pre-release.
pub(crate) fn agent_version(text: &str) -> Result<(), String> {
    let parsed = parse_version(text).ok_or_else(|| format!("failed to parse version '{text}'"))?;
    let (numbers, prerelease) = parsed;
    // A pre-release comes before its release.
    if numbers < VERSION_MIN || (numbers == VERSION_MIN && prerelease) {
        return Err(format!("agent version is {text}, minimum supported agent version is 1.0.0"));
    }
    Ok(())
}

fn parse_version(text: &str) -> Option<([u32; 3], bool)> {
    let release = text.split_once('+').map_or(text, |(release, _build)| release);
    let (numbers, prerelease) = match release.split_once('-') {
        Some((numbers, label)) if !label.is_empty() => (numbers, true),
        Some(_) => return None,
        None => (release, false),
    };
    let mut parsed = [0; 3];
    for (at, part) in numbers.split('.').enumerate() {
        *parsed.get_mut(at)? = part.parse().ok()?;
    }
    Some((parsed, prerelease))
}

pub(crate) fn register_agent(message: &RegisterSlaveMessage) -> Result<(), String> {
    info(&message.slave)?;
    if !message.checkpointed_resources.is_empty() && !message.slave.checkpoint() {
        return Err("Checkpointed resources provided when checkpointing is not enabled".to_owned());
    }
    resources(&message.checkpointed_resources)
}

fn info(info: &AgentInfo) -> Result<(), String> {
    if let Some(id) = &info.id {
        check_id(&id.value).map_err(|why| why.to_string())?;
    }
    resources(&info.resources)
}

fn resources(list: &[Resource]) -> Result<(), String> {
    Resources::from_protos(list).map(|_| ()).map_err(|why| why.to_string())
}

pub(crate) fn reregister_agent(message: &ReregisterSlaveMessage) -> Result<(), String> {
    info(&message.slave)?;
    resources(&message.checkpointed_resources)?;
    let mut frameworks = BTreeSet::new();
    for described in &message.frameworks {
        framework(described)?;
        let id = described.id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
        if !frameworks.insert(id) {
            return Err(format!("Framework has a duplicate FrameworkID: '{id}'"));
        }
    }
    let mut executors = BTreeSet::new();
    for described in &message.executor_infos {
        executor::executor(described)?;
        resources(&described.resources)?;
        let framework = described.framework_id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
        if !frameworks.contains(framework) {
            return Err(format!("Executor has an invalid FrameworkID '{framework}'"));
        }
        let id = described.executor_id.value.as_str();
        if !executors.insert((framework, id)) {
            return Err(format!("Framework '{framework}' has a duplicate ExecutorID '{id}'"));
        }
    }
    let agent = message.slave.id.as_ref();
    for task in &message.tasks {
        check_id(&task.task_id.value).map_err(|why| format!("Task has an invalid TaskID: {why}"))?;
        if Some(&task.agent_id) != agent {
            return Err(format!("Task has an invalid SlaveID '{}'", task.agent_id.value));
        }
        let framework = task.framework_id.value.as_str();
        if !frameworks.contains(framework) {
            return Err(format!("Task has an invalid FrameworkID '{framework}'"));
        }
        if let Some(executor) = &task.executor_id
            && task.state() == TaskState::TaskRunning
            && !executors.contains(&(framework, executor.value.as_str()))
        {
            return Err(format!("Task has an invalid ExecutorID '{}'", executor.value));
        }
        resources(&task.resources).map_err(|why| format!("Task uses invalid resources: {why}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["1.0.0", "1.11", "1.12.0", "2", "1.0.1-rc1", "1.12.0+build.5"] {
            assert_eq!(agent_version(good), Ok(()), "{good}");
        }
        for bad in ["", "0.28.2", "1.0.0-rc1", "1.2.3.4", "x", "1.-1", "1.0.0-"] {
            assert!(agent_version(bad).is_err(), "{bad}");
        }
    }
}
