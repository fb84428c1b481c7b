//! What `mesos execute` asks for: its framework and its task, from the flags.

use anyhow::{Context, bail, ensure};
use proto::json;
use proto::mesos::v1::framework_info::{Capability, capability};
use proto::mesos::v1::{self, CommandInfo, FrameworkInfo, TaskInfo, command_info::Uri};
use resources::Resources;

use super::flags::ExecuteFlags;

/// A framework and the one task it wants to run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) framework: FrameworkInfo,
    /// Everything but the agent and the resources.
    pub(crate) task: TaskInfo,
    /// What the task needs, without roles.
    pub(crate) resources: Resources,
}

impl Plan {
    /// The plan that the flags describe, run as `user`.
    pub(crate) fn new(flags: &ExecuteFlags, user: &str) -> anyhow::Result<Self> {
        let task = match &flags.task {
            Some(text) => given_task(text)?,
            None => described_task(flags)?,
        };
        let needed = if flags.task.is_some() {
            Resources::from_protos(&task.resources)
                .map_err(|error| anyhow::anyhow!("{error}"))
                .context("--task")?
        } else {
            Resources::parse(&flags.resources, "*").context("--resources")?
        };
        ensure!(!needed.is_empty(), "a task needs resources: set --resources, such as cpus:1;mem:128");
        let framework = FrameworkInfo {
            user: user.to_owned(),
            name: format!("mesos-execute instance ({})", task.name),
            roles: vec![flags.role.clone()],
            capabilities: capabilities(flags)?,
            checkpoint: Some(flags.checkpoint),
            ..Default::default()
        };
        Ok(Self { framework, task, resources: needed })
    }
}

fn given_task(text: &str) -> anyhow::Result<TaskInfo> {
    let path = text.strip_prefix("file://").or_else(|| text.starts_with('/').then_some(text));
    let text = match path {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("--task={path}"))?,
        None => text.to_owned(),
    };
    json::from_slice(text.as_bytes()).context("--task is not a TaskInfo")
}

fn described_task(flags: &ExecuteFlags) -> anyhow::Result<TaskInfo> {
    let Some(value) = &flags.command else {
        bail!("nothing to run: set --command='...' or --task=JSON (see mesos execute --help)");
    };
    let name = flags.name.clone().unwrap_or_else(|| "mesos-execute".to_owned());
    let uris =
        flags.uris.iter().flat_map(|uris| uris.split(',')).map(str::trim).filter(|uri| !uri.is_empty());
    let command = CommandInfo {
        value: Some(value.clone()),
        shell: Some(flags.shell),
        arguments: if flags.shell { Vec::new() } else { vec![value.clone()] },
        environment: environment(flags)?,
        uris: uris.map(|uri| Uri { value: uri.to_owned(), ..Default::default() }).collect(),
        ..Default::default()
    };
    Ok(TaskInfo {
        task_id: v1::TaskId { value: name.clone() },
        name,
        command: Some(command),
        ..Default::default()
    })
}

fn environment(flags: &ExecuteFlags) -> anyhow::Result<Option<v1::Environment>> {
    let Some(text) = &flags.env else { return Ok(None) };
    let pairs: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text.0).context("--env is not a JSON object")?;
    let variables = pairs.into_iter().map(|(name, value)| match value {
        serde_json::Value::String(value) => {
            Ok(v1::environment::Variable { name, value: Some(value), ..Default::default() })
        }
        other => bail!("--env: the value of {name} is {other}, not a string"),
    });
    Ok(Some(v1::Environment { variables: variables.collect::<anyhow::Result<_>>()? }))
}

fn capabilities(flags: &ExecuteFlags) -> anyhow::Result<Vec<Capability>> {
    use capability::Type;
    let mut kinds = vec![Type::MultiRole, Type::ReservationRefinement, Type::TaskKillingState];
    if flags.partition_aware {
        kinds.push(Type::PartitionAware);
    }
    for name in flags.framework_capabilities.iter().flat_map(|names| names.split(',')).map(str::trim) {
        let kind = Type::from_str_name(name)
            .with_context(|| format!("--framework_capabilities: '{name}' is not a capability"))?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds.into_iter().map(|kind| Capability { r#type: Some(kind.into()) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(change: impl FnOnce(&mut ExecuteFlags)) -> ExecuteFlags {
        let mut flags = ExecuteFlags::default();
        change(&mut flags);
        flags
    }

    #[test]
    fn a_command_becomes_a_task() {
        let flags = flags(|f| {
            f.name = Some("count".to_owned());
            f.command = Some("wc -w LICENSE".to_owned());
            f.uris = Some("/a/LICENSE, http://127.0.0.1/b.tgz".to_owned());
        });
        let plan = Plan::new(&flags, "root").expect("a plan");
        assert_eq!(plan.task.task_id.value, "count");
        let command = plan.task.command.expect("a command");
        let uris: Vec<_> = command.uris.iter().map(|uri| uri.value.as_str()).collect();
        assert_eq!(uris, ["/a/LICENSE", "http://127.0.0.1/b.tgz"]);
        assert_eq!(plan.framework.capabilities.len(), 4);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |flags: &ExecuteFlags, words: &str| {
            let error = format!("{:#}", Plan::new(flags, "root").expect_err(words));
            assert!(error.contains(words), "{error}");
        };
        check(&flags(|_| ()), "nothing to run");
        check(
            &flags(|f| {
                f.command = Some("true".to_owned());
                f.resources = "cpus".to_owned();
            }),
            "--resources",
        );
        check(&flags(|f| f.task = Some("{}".to_owned())), "--task is not a TaskInfo");
        check(
            &flags(|f| {
                f.command = Some("true".to_owned());
                f.framework_capabilities = Some("FLYING".to_owned());
            }),
            "'FLYING' is not a capability",
        );
    }
}
