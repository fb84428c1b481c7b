//! What `mesos execute` asks for: its framework and its task, from the flags.

use anyhow::{Context, bail, ensure};
use proto::json;
use proto::mesos::v1::framework_info::{Capability, capability};
use proto::mesos::v1::{self, CommandInfo, FrameworkInfo, TaskInfo, command_info::Uri};
use resources::Resources;

use super::container;
use super::flags::ExecuteFlags;
use super::networks;

/// What the executor of a group needs for itself. COMPAT(mesos): the same.
const EXECUTOR_RESOURCES: &str = "cpus:0.1;mem:32;disk:32";

/// A framework and what it wants to run: one task, or a group.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) framework: FrameworkInfo,
    /// The tasks, at least one: everything but the agent and the resources.
    pub(crate) tasks: Vec<TaskInfo>,
    /// What each of them needs, without roles.
    pub(crate) resources: Vec<Resources>,
    /// What the executor of a group needs beside; none for a task by itself.
    pub(crate) executor: Option<Resources>,
    /// How the executor of a group wants to be contained.
    pub(crate) executor_container: Option<v1::ContainerInfo>,
}

impl Plan {
    /// The plan that the flags describe, run as `user`.
    pub(crate) fn new(flags: &ExecuteFlags, user: &str) -> anyhow::Result<Self> {
        let (mut tasks, resources, executor) = work(flags)?;
        // COMPAT(mesos): what --task says of networks stands; tasks of a group are in those of their executor.
        if flags.task.is_none()
            && flags.task_group.is_none()
            && let [task] = tasks.as_mut_slice()
        {
            networks::join(task, flags.networks.as_deref());
        }
        let executor_container =
            networks::container(flags.networks.as_deref()).filter(|_| executor.is_some());
        let without = resources.iter().any(Resources::is_empty);
        ensure!(!without, "a task needs resources: set --resources, such as cpus:1;mem:128");
        let framework = FrameworkInfo {
            user: user.to_owned(),
            name: format!("mesos-execute instance ({})", tasks[0].name),
            roles: vec![flags.role.clone()],
            capabilities: capabilities(flags)?,
            checkpoint: Some(flags.checkpoint),
            ..Default::default()
        };
        Ok(Self { framework, tasks, resources, executor, executor_container })
    }

    /// All that must be offered.
    pub(crate) fn needed(&self) -> Resources {
        let mut all = self.executor.clone().unwrap_or_default();
        self.resources.iter().for_each(|resources| all += resources.clone());
        all
    }
}

/// The tasks, what each needs, and what their executor needs if they are a group.
fn work(flags: &ExecuteFlags) -> anyhow::Result<(Vec<TaskInfo>, Vec<Resources>, Option<Resources>)> {
    if let Some(text) = &flags.task_group {
        ensure!(flags.task.is_none(), "either --task or --task_group, not both");
        ensure!(flags.command.is_none(), "--command is for a single task: leave it out with --task_group");
        let text = given("--task_group", text)?;
        let group: v1::TaskGroupInfo =
            json::from_slice(text.as_bytes()).context("--task_group is not a TaskGroupInfo")?;
        ensure!(!group.tasks.is_empty(), "--task_group has no tasks");
        let resources = group.tasks.iter().map(|task| needs("--task_group", task));
        let resources = resources.collect::<anyhow::Result<_>>()?;
        let executor = Resources::parse(EXECUTOR_RESOURCES, "*").context("the executor's resources")?;
        return Ok((group.tasks, resources, Some(executor)));
    }
    if let Some(text) = &flags.task {
        let beside = [
            ("name", flags.name.is_some()),
            ("command", flags.command.is_some()),
            ("env", flags.env.is_some()),
            ("appc_image", flags.appc_image.is_some()),
            ("docker_image", flags.docker_image.is_some()),
            ("volumes", flags.volumes.is_some()),
            ("networks", flags.networks.is_some()),
        ];
        if let Some((flag, _)) = beside.iter().find(|(_, given)| *given) {
            bail!("--{flag} is for a task that --task does not describe: leave one of them out");
        }
        let text = given("--task", text)?;
        let task: TaskInfo = json::from_slice(text.as_bytes()).context("--task is not a TaskInfo")?;
        let resources = needs("--task", &task)?;
        return Ok((vec![task], vec![resources], None));
    }
    let resources = Resources::parse(&flags.resources, "*").context("--resources")?;
    Ok((vec![described_task(flags)?], vec![resources], None))
}

/// What a flag gives: itself, or the file that it names.
fn given(flag: &str, text: &str) -> anyhow::Result<String> {
    let path = text.strip_prefix("file://").or_else(|| text.starts_with('/').then_some(text));
    match path {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("{flag}={path}")),
        None => Ok(text.to_owned()),
    }
}

fn needs(flag: &str, task: &TaskInfo) -> anyhow::Result<Resources> {
    let resources = Resources::from_protos(&task.resources);
    resources.map_err(|error| anyhow::anyhow!("{error}")).context(flag.to_owned())
}

fn described_task(flags: &ExecuteFlags) -> anyhow::Result<TaskInfo> {
    let container = container::of(flags)?;
    if flags.command.is_none() && container.is_none() {
        bail!(
            "nothing to run: set --command='...', --task=JSON or --task_group=JSON (see mesos execute --help)"
        );
    }
    // Without a command the image says what to run.
    let shell = flags.shell && flags.command.is_some();
    let name = flags.name.clone().unwrap_or_else(|| "mesos-execute".to_owned());
    let uris =
        flags.uris.iter().flat_map(|uris| uris.split(',')).map(str::trim).filter(|uri| !uri.is_empty());
    let command = CommandInfo {
        value: flags.command.clone(),
        shell: Some(shell),
        // The first of them is the program's own name, but Docker has the value for that.
        arguments: flags
            .command
            .iter()
            .filter(|_| !shell && flags.containerizer != "docker")
            .cloned()
            .collect(),
        environment: environment(flags)?,
        uris: uris.map(|uri| Uri { value: uri.to_owned(), ..Default::default() }).collect(),
        ..Default::default()
    };
    Ok(TaskInfo {
        task_id: v1::TaskId { value: name.clone() },
        name,
        command: Some(command),
        container,
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
        assert_eq!(plan.tasks[0].task_id.value, "count");
        let command = plan.tasks[0].command.clone().expect("a command");
        let uris: Vec<_> = command.uris.iter().map(|uri| uri.value.as_str()).collect();
        assert_eq!(uris, ["/a/LICENSE", "http://127.0.0.1/b.tgz"]);
        assert_eq!(plan.framework.capabilities.len(), 4);
    }

    #[test]
    fn capabilities_are_asked_for() {
        let flags = flags(|f| {
            f.command = Some("true".to_owned());
            f.effective_capabilities = Some(flags::Json(r#"{"capabilities":["NET_RAW"]}"#.to_owned()));
            f.bounding_capabilities = Some(flags::Json(r#"{"capabilities":["NET_RAW","KILL"]}"#.to_owned()));
        });
        let plan = Plan::new(&flags, "root").expect("a plan");
        let linux =
            plan.tasks[0].container.clone().expect("a container").linux_info.expect("its capabilities");
        assert_eq!(linux.effective_capabilities.map(|set| set.capabilities), Some(vec![1013]));
        assert_eq!(linux.bounding_capabilities.map(|set| set.capabilities), Some(vec![1013, 1005]));
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
                f.bounding_capabilities = Some(flags::Json(r#"{"capabilities":["FLY"]}"#.to_owned()));
            }),
            "--bounding_capabilities is not a list of capabilities",
        );
        check(
            &flags(|f| {
                f.command = Some("true".to_owned());
                f.resources = "cpus".to_owned();
            }),
            "--resources",
        );
        check(&flags(|f| f.task = Some("{}".to_owned())), "--task is not a TaskInfo");
        check(&flags(|f| f.task_group = Some("[]".to_owned())), "--task_group is not a TaskGroupInfo");
        check(&flags(|f| f.task_group = Some("{}".to_owned())), "--task_group has no tasks");
        check(&flags(|f| f.task_group = Some("file:///no/such".to_owned())), "--task_group=/no/such");
        check(
            &flags(|f| (f.task, f.task_group) = (Some("{}".to_owned()), Some("{}".to_owned()))),
            "either --task or --task_group",
        );
        check(
            &flags(|f| {
                f.command = Some("true".to_owned());
                f.framework_capabilities = Some("FLYING".to_owned());
            }),
            "'FLYING' is not a capability",
        );
    }
}
