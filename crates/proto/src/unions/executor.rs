//! The calls of executors.

use super::{Invalid, named, present, uuid};
use crate::mesos::v1::executor::Call;
use crate::mesos::v1::executor::call::Type;
use crate::mesos::v1::task_status::Source;
use crate::mesos::v1::{CheckStatusInfo, TaskState, TaskStatus, check_info};

/// Checks a call of an executor.
pub fn validate(call: &Call) -> Result<Type, Invalid> {
    let kind = named(call.r#type)?;
    match kind {
        Type::Subscribe => present(call.subscribe.as_ref(), "subscribe")?,
        Type::Update => {
            present(call.update.as_ref(), "update")?;
            if let Some(update) = &call.update {
                validate_status(call, &update.status)?;
            }
        }
        Type::Message => present(call.message.as_ref(), "message")?,
        Type::Heartbeat | Type::Unknown => {}
    }
    Ok(kind)
}

fn validate_status(call: &Call, status: &TaskStatus) -> Result<(), Invalid> {
    let executor = &call.executor_id.value;
    let framework = &call.framework_id.value;
    present(status.uuid.as_ref(), "uuid")?;
    uuid(status.uuid.as_deref().unwrap_or_default())?;
    if let Some(id) = &status.executor_id
        && id.value != *executor
    {
        return Err(Invalid(format!(
            "ExecutorID in Call: {executor} does not match ExecutorID in TaskStatus: {}",
            id.value
        )));
    }
    if status.source() != Source::Executor {
        return Err(Invalid(format!(
            "Received Call from executor {executor} of framework {framework} \
             with invalid source, expecting 'SOURCE_EXECUTOR'"
        )));
    }
    if status.state() == TaskState::TaskStaging {
        return Err(Invalid(format!(
            "Received TASK_STAGING from executor {executor} of framework {framework} \
             which is not allowed"
        )));
    }
    match &status.check_status {
        Some(check) => validate_check(check),
        None => Ok(()),
    }
}

fn validate_check(check: &CheckStatusInfo) -> Result<(), Invalid> {
    use check_info::Type;
    let Ok(kind) = named::<Type>(check.r#type) else {
        return Err(Invalid("CheckStatusInfo must specify 'type'".to_owned()));
    };
    let (there, name, word) = match kind {
        Type::Command => (check.command.is_some(), "command", "COMMAND"),
        Type::Http => (check.http.is_some(), "http", "HTTP"),
        Type::Tcp => (check.tcp.is_some(), "tcp", "TCP"),
        Type::Unknown => {
            let text = "'UNKNOWN' is not a valid check's status type";
            return Err(Invalid(text.to_owned()));
        }
    };
    if there {
        Ok(())
    } else {
        Err(Invalid(format!("Expecting '{name}' to be set for {word} check's status")))
    }
}
