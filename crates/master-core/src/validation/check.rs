//! Whether checks and health checks are whole.

use proto::mesos::v1::{CheckInfo, CommandInfo, HealthCheck, check_info, health_check};

use super::container::command;

pub(crate) fn health_check(check: &HealthCheck) -> Result<(), String> {
    let Some(kind) = check.r#type.and_then(|kind| health_check::Type::try_from(kind).ok()) else {
        return Err("HealthCheck must specify 'type'".to_owned());
    };
    match kind {
        health_check::Type::Command => {
            let Some(body) = &check.command else {
                return Err("Expecting 'command' to be set for COMMAND health check".to_owned());
            };
            has_value(body, "Command health check")?;
            command(body).map_err(|why| format!("Health check's `CommandInfo` is invalid: {why}"))?;
        }
        health_check::Type::Http => {
            let Some(body) = &check.http else {
                return Err("Expecting 'http' to be set for HTTP health check".to_owned());
            };
            if let Some(scheme) = body.scheme.as_deref().filter(|scheme| !matches!(*scheme, "http" | "https"))
            {
                return Err(format!("Unsupported HTTP health check scheme: '{scheme}'"));
            }
            path(body.path.as_deref(), "HTTP health check")?;
        }
        health_check::Type::Tcp if check.tcp.is_none() => {
            return Err("Expecting 'tcp' to be set for TCP health check".to_owned());
        }
        health_check::Type::Tcp => {}
        health_check::Type::Unknown => {
            return Err("'UNKNOWN' is not a valid health check type".to_owned());
        }
    }
    not_negative(check.delay_seconds, "delay_seconds")?;
    not_negative(check.grace_period_seconds, "grace_period_seconds")?;
    not_negative(check.interval_seconds, "interval_seconds")?;
    not_negative(check.timeout_seconds, "timeout_seconds")
}

pub(crate) fn check(check: &CheckInfo) -> Result<(), String> {
    let Some(kind) = check.r#type.and_then(|kind| check_info::Type::try_from(kind).ok()) else {
        return Err("CheckInfo must specify 'type'".to_owned());
    };
    match kind {
        check_info::Type::Command => {
            let Some(body) = &check.command else {
                return Err("Expecting 'command' to be set for COMMAND check".to_owned());
            };
            has_value(&body.command, "Command check")?;
            command(&body.command).map_err(|why| format!("Check's `CommandInfo` is invalid: {why}"))?;
        }
        check_info::Type::Http => {
            let Some(body) = &check.http else {
                return Err("Expecting 'http' to be set for HTTP check".to_owned());
            };
            path(body.path.as_deref(), "HTTP check")?;
        }
        check_info::Type::Tcp if check.tcp.is_none() => {
            return Err("Expecting 'tcp' to be set for TCP check".to_owned());
        }
        check_info::Type::Tcp => {}
        check_info::Type::Unknown => return Err("'UNKNOWN' is not a valid check type".to_owned()),
    }
    not_negative(check.delay_seconds, "delay_seconds")?;
    not_negative(check.interval_seconds, "interval_seconds")?;
    not_negative(check.timeout_seconds, "timeout_seconds")
}

fn has_value(command: &CommandInfo, what: &str) -> Result<(), String> {
    if command.value.is_some() {
        return Ok(());
    }
    let missing = if command.shell() { "'shell command'" } else { "'executable path'" };
    Err(format!("{what} must contain {missing}"))
}

fn path(path: Option<&str>, what: &str) -> Result<(), String> {
    match path {
        Some(path) if !path.starts_with('/') => {
            Err(format!("The path '{path}' of {what} must start with '/'"))
        }
        Some(_) | None => Ok(()),
    }
}

fn not_negative(seconds: Option<f64>, name: &str) -> Result<(), String> {
    if seconds.is_some_and(|seconds| seconds < 0.0) {
        return Err(format!("Expecting '{name}' to be non-negative"));
    }
    Ok(())
}
