//! What an executor finds in its environment (as observed of Mesos).

use std::collections::BTreeMap;
use std::time::Duration;

use proto::mesos::v1;

use crate::config::Config;
use crate::text;

/// What the environment depends on, besides the settings.
pub(crate) struct Facts<'a> {
    /// The executor, with its command.
    pub(crate) executor: &'a v1::ExecutorInfo,
    /// This agent's id.
    pub(crate) agent: &'a str,
    /// The sandbox.
    pub(crate) directory: &'a str,
    /// Whether the framework checkpoints.
    pub(crate) checkpoint: bool,
}

/// The whole environment of one executor: each name once, in the order of names.
///
/// Later layers win: what the operator gives, what the agent says, what the
/// command asks for.
pub(crate) fn executor(config: &Config, facts: &Facts<'_>) -> Vec<(String, String)> {
    let mut all: BTreeMap<String, String> = config.executor_environment.iter().cloned().collect();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    let flag = |on: bool| if on { "1" } else { "0" }.to_owned();
    let framework = facts.executor.framework_id.as_ref().map_or("", |id| &id.value);
    set("LIBPROCESS_PORT", "0".to_owned());
    set("MESOS_FRAMEWORK_ID", framework.to_owned());
    set("MESOS_EXECUTOR_ID", facts.executor.executor_id.value.clone());
    set("MESOS_DIRECTORY", facts.directory.to_owned());
    set("MESOS_SANDBOX", sandbox(config, facts));
    set("MESOS_SLAVE_ID", facts.agent.to_owned());
    set("MESOS_SLAVE_PID", config.pid.to_string());
    set("MESOS_AGENT_ENDPOINT", config.pid.address.to_string());
    set("MESOS_CHECKPOINT", flag(facts.checkpoint));
    set("MESOS_HTTP_COMMAND_EXECUTOR", flag(config.http_command_executor));
    set("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", text::duration(grace_period(config, facts.executor)));
    if facts.checkpoint {
        set("MESOS_RECOVERY_TIMEOUT", text::duration(config.recovery_timeout));
        set("MESOS_SUBSCRIPTION_BACKOFF_MAX", text::duration(config.executor_reregistration_timeout));
    }
    if !has_image(facts.executor) {
        set("MESOS_CONTAINER_IP", config.pid.address.ip().to_string());
    }
    let role = facts.executor.resources.iter().find_map(|resource| resource.allocation_info.as_ref());
    if let Some(role) = role.and_then(|allocation| allocation.role.clone()) {
        set("MESOS_ALLOCATION_ROLE", role);
    }
    let asked = facts.executor.command.as_ref().and_then(|command| command.environment.as_ref());
    for variable in asked.into_iter().flat_map(|environment| &environment.variables) {
        if let Some(value) = types::variable_value(variable) {
            all.insert(variable.name.clone(), value.to_owned());
        }
    }
    all.into_iter().collect()
}

/// How long an executor may take to shut down: as it asked, or as the agent allows.
pub(crate) fn grace_period(config: &Config, executor: &v1::ExecutorInfo) -> Duration {
    executor.shutdown_grace_period.as_ref().map_or(config.executor_shutdown_grace_period, |period| {
        Duration::from_nanos(u64::try_from(period.nanoseconds).unwrap_or(0))
    })
}

fn has_image(executor: &v1::ExecutorInfo) -> bool {
    let mesos = executor.container.as_ref().and_then(|container| container.mesos.as_ref());
    mesos.is_some_and(|mesos| mesos.image.is_some())
}

fn sandbox(config: &Config, facts: &Facts<'_>) -> String {
    if has_image(facts.executor) { config.sandbox_directory.clone() } else { facts.directory.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_win_in_order() {
        let pid = "slave(1)@127.0.0.1:5051".parse().expect("a pid");
        let mut config = Config::new(v1::AgentInfo::default(), pid, "/w");
        config.executor_environment = vec![
            ("PATH".to_owned(), "/bin".to_owned()),
            ("LANG".to_owned(), "C".to_owned()),
            ("LIBPROCESS_PORT".to_owned(), "5051".to_owned()),
        ];
        let variable = v1::environment::Variable {
            name: "PATH".to_owned(),
            value: Some("/mine".to_owned()),
            ..Default::default()
        };
        let hidden = v1::environment::Variable {
            name: "TOKEN".to_owned(),
            r#type: Some(v1::environment::variable::Type::Secret.into()),
            secret: Some(v1::Secret {
                r#type: Some(v1::secret::Type::Value.into()),
                value: Some(v1::secret::Value { data: "hush".into() }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let info = v1::ExecutorInfo {
            executor_id: v1::ExecutorId { value: "e".to_owned() },
            framework_id: Some(v1::FrameworkId { value: "f".to_owned() }),
            command: Some(v1::CommandInfo {
                environment: Some(v1::Environment { variables: vec![variable, hidden] }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let facts = Facts { executor: &info, agent: "S0", directory: "/d", checkpoint: true };
        let lines: Vec<String> =
            executor(&config, &facts).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        expect_test::expect![[r#"
            LANG=C
            LIBPROCESS_PORT=0
            MESOS_AGENT_ENDPOINT=127.0.0.1:5051
            MESOS_CHECKPOINT=1
            MESOS_CONTAINER_IP=127.0.0.1
            MESOS_DIRECTORY=/d
            MESOS_EXECUTOR_ID=e
            MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD=5secs
            MESOS_FRAMEWORK_ID=f
            MESOS_HTTP_COMMAND_EXECUTOR=0
            MESOS_RECOVERY_TIMEOUT=15mins
            MESOS_SANDBOX=/d
            MESOS_SLAVE_ID=S0
            MESOS_SLAVE_PID=slave(1)@127.0.0.1:5051
            MESOS_SUBSCRIPTION_BACKOFF_MAX=2secs
            PATH=/mine
            TOKEN=hush"#]]
        .assert_eq(&lines.join("\n"));
    }
}
