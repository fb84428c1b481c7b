//! The executor that the agent makes for a task that only has a command.

use proto::mesos::v1;
use resources::{Resource, Resources, Scalar};
use types::Role;

use crate::config::Config;

/// Thousandths of a CPU that a command executor needs for itself.
const CPUS_MILLI: f64 = 0.1;

/// Megabytes that a command executor needs for itself.
const MEM_MB: f64 = 32.0;

/// How long a process may be gone before it is noticed, and a second more:
/// what is added to a task's kill grace period.
const REAP_NANOS: i64 = 2_000_000_000;

/// The name of the program, which is also its first argument.
const PROGRAM: &str = "mesos-executor";

/// Describes the executor of a command task, as C++ Mesos does: the task's id, its
/// command's URIs, environment and user, and the words that lists show.
#[expect(deprecated, reason = "tools still read an executor's source")]
pub(crate) fn info(config: &Config, framework: &v1::FrameworkInfo, task: &v1::TaskInfo) -> v1::ExecutorInfo {
    let none = v1::CommandInfo::default();
    let command = task.command.as_ref().unwrap_or(&none);
    let grace = task.kill_policy.as_ref().and_then(|policy| policy.grace_period.as_ref());
    v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: task.task_id.value.clone() },
        framework_id: framework.id.clone(),
        container: task.container.clone(),
        name: Some(format!("Command Executor (Task: {}) ({})", task.task_id.value, summary(command))),
        source: Some(task.task_id.value.clone()),
        command: Some(program(config, framework, task, command)),
        labels: task.labels.clone(),
        discovery: task.discovery.clone(),
        shutdown_grace_period: grace
            .map(|period| v1::DurationInfo { nanoseconds: period.nanoseconds.saturating_add(REAP_NANOS) }),
        resources: overhead(task),
        ..Default::default()
    }
}

/// The command in at most a few words: `Command: sh -c 'echo hello'`.
fn summary(command: &v1::CommandInfo) -> String {
    let Some(value) = &command.value else {
        let nothing = if command.shell() { "NO COMMAND" } else { "NO EXECUTABLE" };
        return format!("Command: {nothing}");
    };
    if command.shell() {
        format!("Command: sh -c '{}'", shortened(value))
    } else {
        // COMPAT(mesos): a comma follows the program even where there are no arguments.
        format!("Command: [{}]", shortened(&format!("{value}, {}", command.arguments.join(", "))))
    }
}

/// The first twelve bytes where there are more than fifteen, or a little fewer so as
/// not to cut a character.
fn shortened(text: &str) -> String {
    if text.len() <= 15 {
        return text.to_owned();
    }
    let end = (0..=12).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}

fn program(
    config: &Config,
    framework: &v1::FrameworkInfo,
    task: &v1::TaskInfo,
    command: &v1::CommandInfo,
) -> v1::CommandInfo {
    let mut made = v1::CommandInfo {
        uris: command.uris.clone(),
        environment: command.environment.clone(),
        user: command.user.clone(),
        ..Default::default()
    };
    let Some(path) = &config.command_executor else {
        made.shell = Some(true);
        made.value = Some("echo 'No such file or directory'; exit 1".to_owned());
        return made;
    };
    made.shell = Some(false);
    made.value = Some(path.clone());
    made.arguments = vec![PROGRAM.to_owned(), format!("--launcher_dir={}", config.launcher_dir)];
    let mesos = task.container.as_ref().and_then(|container| container.mesos.as_ref());
    if mesos.is_some_and(|mesos| mesos.image.is_some()) {
        made.arguments.push(format!("--sandbox_directory={}", config.sandbox_directory));
        if config.switch_user {
            let user = command.user.as_ref().unwrap_or(&framework.user);
            made.arguments.push(format!("--user={user}"));
        }
    }
    made
}

/// What the executor itself needs, allocated to the task's role.
fn overhead(task: &v1::TaskInfo) -> Vec<v1::Resource> {
    let scalar = |name: &str, amount: f64| {
        Resource::scalar(name, Scalar::from_f64(amount).expect("a small positive constant"))
    };
    let mut resources: Resources = [scalar("cpus", CPUS_MILLI), scalar("mem", MEM_MB)].into_iter().collect();
    let allocation = task.resources.iter().find_map(|resource| resource.allocation_info.as_ref());
    if let Some(role) = allocation.and_then(|allocation| allocation.role.as_deref()) {
        resources.allocate(&Role::new(role));
    }
    resources.to_protos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_summed_up() {
        let check = |shell, value: Option<&str>, arguments: &[&str], expected: &str| {
            let command = v1::CommandInfo {
                shell,
                value: value.map(str::to_owned),
                arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
                ..Default::default()
            };
            assert_eq!(summary(&command), expected);
        };
        check(None, Some("sleep 600"), &[], "Command: sh -c 'sleep 600'");
        check(None, Some("echo out; echo err"), &[], "Command: sh -c 'echo out; ec...'");
        check(None, None, &[], "Command: NO COMMAND");
        check(Some(false), None, &[], "Command: NO EXECUTABLE");
        check(Some(false), Some("ls"), &["ls", "-l"], "Command: [ls, ls, -l]");
        check(Some(false), Some("ls"), &[], "Command: [ls, ]");
        check(None, Some("echo äääääääääää"), &[], "Command: sh -c 'echo äää...'");
    }
}
