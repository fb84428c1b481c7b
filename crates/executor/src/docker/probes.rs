//! Checks of a container: commands run in it by the daemon, and connections from within its network.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::time::Duration;

use proto::mesos::v1::{self, CheckInfo, CheckStatusInfo, CommandInfo, HealthCheck, check_status_info};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;

use super::container::Container;
use crate::checks::{self, Place};
use crate::command::variables;

/// The first process of a container, where its network is not the machine's.
pub(crate) type Network = Option<u32>;

/// Performs a check: what it found, or why it could not be made.
pub(crate) async fn check(
    check: CheckInfo,
    container: Container,
    network: Network,
) -> Result<Box<CheckStatusInfo>, String> {
    if check.r#type() != v1::check_info::Type::Command {
        return within(network, move || async move { checks::check(&check, &Place::Here).await }).await;
    }
    let command = check.command.as_ref().ok_or("the check has no command")?;
    let code = exec(&container, &command.command, check.timeout_seconds()).await?;
    Ok(Box::new(CheckStatusInfo {
        r#type: check.r#type,
        command: Some(check_status_info::Command { exit_code: Some(code) }),
        ..Default::default()
    }))
}

/// Performs a health check: fine, or why not.
pub(crate) async fn health_check(
    check: HealthCheck,
    container: Container,
    network: Network,
) -> Result<(), String> {
    if check.r#type() != v1::health_check::Type::Command {
        return within(network, move || async move { checks::health_check(&check, &Place::Here).await })
            .await;
    }
    let command = check.command.as_ref().ok_or("the health check has no command")?;
    match exec(&container, command, check.timeout_seconds()).await? {
        0 => Ok(()),
        code => Err(format!("Command returned: exited with status {code}")),
    }
}

/// The exit status of a command in the container. One that takes too long is killed.
async fn exec(container: &Container, command: &CommandInfo, seconds: f64) -> Result<i32, String> {
    let argv = if command.shell() {
        let value = command.value.clone().ok_or("Shell specified but no command value provided")?;
        vec!["sh".to_owned(), "-c".to_owned(), value]
    } else {
        command.value.iter().chain(&command.arguments).cloned().collect()
    };
    let environment: Vec<String> =
        variables(command).map(|(name, value)| format!("{name}={value}")).collect();
    let running = container.client.exec(&container.name, &argv, &environment, |bytes| {
        // A full disk is no failure of the check.
        let _ = std::io::stderr().write_all(bytes);
    });
    let limit = Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero());
    let status = match limit {
        None => running.await,
        Some(limit) => match tokio::time::timeout(limit, running).await {
            Ok(status) => status,
            Err(_) => return Err(format!("timed out after {} s", limit.as_secs_f64())),
        },
    };
    status.map(|status| i32::try_from(status).unwrap_or(i32::MAX)).map_err(|error| error.to_string())
}

/// Runs a check within the network of that process, on a thread that ends with it: a namespace is a thread's.
async fn within<T, F>(network: Network, probe: impl FnOnce() -> F + Send + 'static) -> Result<T, String>
where
    T: Send + 'static,
    F: Future<Output = Result<T, String>>,
{
    let Some(pid) = network else { return probe().await };
    let (answer, answered) = oneshot::channel();
    let thread = std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
        let probed = enter(pid).and_then(|()| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(probe())
        });
        // Nobody waits any more when the executor ends.
        let _ = answer.send(probed);
    });
    thread.map_err(|error| format!("no thread for the check: {error}"))?;
    answered.await.unwrap_or_else(|_| Err("the check's thread panicked".to_owned()))
}

fn enter(pid: u32) -> Result<(), String> {
    let entered = File::open(format!("/proc/{pid}/ns/net")).and_then(|namespace| {
        Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
    });
    entered.map_err(|error| format!("Failed to enter the container's network: {error}"))
}
