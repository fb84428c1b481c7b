//! What the agent tells its executors: the `MESOS_*` variables.

use std::time::Duration;

use anyhow::{Context, bail};
use types::{ExecutorId, FrameworkId};

/// The executor's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The agent's `ip:port` (`MESOS_AGENT_ENDPOINT`).
    pub(crate) agent: String,
    /// The path of the API for operators, under the agent's process (`MESOS_SLAVE_PID`). That of executors is below it.
    pub(crate) path: String,
    pub(crate) framework_id: FrameworkId,
    pub(crate) executor_id: ExecutorId,
    /// How long to wait for an agent that went away; none when the framework does not checkpoint.
    pub(crate) recovery_timeout: Option<Duration>,
    pub(crate) backoff_max: Duration,
    pub(crate) shutdown_grace: Duration,
    /// The bearer token for the agent's API.
    pub(crate) token: Option<String>,
    /// The sandbox (`MESOS_SANDBOX`).
    pub(crate) sandbox: String,
    /// The address that tasks are told (`MESOS_CONTAINER_IP`).
    pub(crate) container_ip: Option<String>,
    /// Whether the output is a terminal, as the agent says in an argument.
    pub(crate) has_terminal: bool,
}

impl Settings {
    /// Reads the settings through `variable`, which looks one up.
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let required = |name: &str| match variable(name) {
            Some(value) if !value.is_empty() => Ok(value),
            Some(_) => bail!("{name} is empty"),
            None => bail!("{name} is not set"),
        };
        let duration = |name: &str, default: Duration| match variable(name) {
            None => Ok(default),
            Some(text) => {
                let parsed: Result<flags::Duration, _> = text.parse();
                parsed
                    .map(flags::Duration::to_std)
                    .map_err(|why| anyhow::anyhow!("{why}"))
                    .with_context(|| name.to_owned())
            }
        };
        // COMPAT(mesos): set to "1" when the framework checkpoints, else to "0".
        let checkpoints = variable("MESOS_CHECKPOINT").is_some_and(|value| value == "1");
        let recovery_timeout = duration("MESOS_RECOVERY_TIMEOUT", Duration::from_secs(15 * 60))?;
        let process = variable("MESOS_SLAVE_PID")
            .and_then(|pid| pid.split_once('@').map(|(id, _)| id.to_owned()))
            .unwrap_or_else(|| "slave(1)".to_owned());
        Ok(Self {
            agent: required("MESOS_AGENT_ENDPOINT")?,
            path: format!("/{process}/api/v1"),
            framework_id: FrameworkId::new(required("MESOS_FRAMEWORK_ID")?),
            executor_id: ExecutorId::new(required("MESOS_EXECUTOR_ID")?),
            recovery_timeout: checkpoints.then_some(recovery_timeout),
            backoff_max: duration("MESOS_SUBSCRIPTION_BACKOFF_MAX", Duration::from_secs(2))?,
            shutdown_grace: duration("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", Duration::from_secs(5))?,
            token: variable("MESOS_EXECUTOR_AUTHENTICATION_TOKEN"),
            sandbox: variable("MESOS_SANDBOX").unwrap_or_else(|| ".".to_owned()),
            container_ip: variable("MESOS_CONTAINER_IP"),
            has_terminal: false,
        })
    }

    /// The headers of every request to the agent.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let token = self.token.as_ref().map(|token| ("authorization", format!("Bearer {token}")));
        token.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        Settings::from_environment(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const NEEDED: [(&str, &str); 3] =
        [("MESOS_AGENT_ENDPOINT", "127.0.0.1:5051"), ("MESOS_FRAMEWORK_ID", "f"), ("MESOS_EXECUTOR_ID", "e")];

    #[test]
    fn durations_are_those_of_mesos() {
        let mut variables = NEEDED.to_vec();
        variables.extend([
            ("MESOS_CHECKPOINT", "1"),
            ("MESOS_RECOVERY_TIMEOUT", "15mins"),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "500ms"),
            ("MESOS_SLAVE_PID", "slave(2)@127.0.0.1:5051"),
        ]);
        let settings = read(&variables).expect("settings");
        assert_eq!(settings.recovery_timeout, Some(Duration::from_secs(900)));
        assert_eq!(settings.shutdown_grace, Duration::from_millis(500));
        assert_eq!(settings.path, "/slave(2)/api/v1");
        variables[3] = ("MESOS_CHECKPOINT", "0");
        assert_eq!(read(&variables).expect("settings").recovery_timeout, None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = read(&NEEDED[1..]).expect_err("no endpoint");
        assert_eq!(error.to_string(), "MESOS_AGENT_ENDPOINT is not set");
        let mut variables = NEEDED.to_vec();
        variables.push(("MESOS_RECOVERY_TIMEOUT", "soon"));
        let error = read(&variables).expect_err("not a duration");
        assert!(error.to_string().contains("MESOS_RECOVERY_TIMEOUT"), "{error:#}");
    }
}
