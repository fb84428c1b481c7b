//! The calls of operators to the agent.

use super::{Invalid, named, present};
use crate::mesos::v1::ContainerId;
use crate::mesos::v1::agent::Call;
use crate::mesos::v1::agent::call::{AttachContainerInput, Type, attach_container_input};

/// The longest container id, in bytes.
const CONTAINER_ID_MAX: usize = 242;

/// The longest id of any kind, in bytes: the longest name of a file.
const ID_MAX: usize = 255;

/// Checks a call of an operator to the agent. The commands, containers and resources
/// of the launch calls are for the agent to check next.
#[expect(deprecated, reason = "the calls of old are still served")]
pub fn validate(call: &Call) -> Result<Type, Invalid> {
    let kind = named(call.r#type)?;
    match kind {
        Type::Unknown
        | Type::GetHealth
        | Type::GetFlags
        | Type::GetVersion
        | Type::GetLoggingLevel
        | Type::GetState
        | Type::GetContainers
        | Type::GetFrameworks
        | Type::GetExecutors
        | Type::GetOperations
        | Type::GetTasks
        | Type::GetAgent
        | Type::GetResourceProviders
        | Type::PruneImages => {}
        Type::GetMetrics => {
            present(call.get_metrics.as_ref(), "get_metrics")?;
        }
        Type::SetLoggingLevel => {
            present(call.set_logging_level.as_ref(), "set_logging_level")?;
        }
        Type::ListFiles => {
            present(call.list_files.as_ref(), "list_files")?;
        }
        Type::ReadFile => {
            present(call.read_file.as_ref(), "read_file")?;
        }
        Type::RemoveResourceProviderConfig => {
            present(call.remove_resource_provider_config.as_ref(), "remove_resource_provider_config")?;
        }
        Type::MarkResourceProviderGone => {
            present(call.mark_resource_provider_gone.as_ref(), "mark_resource_provider_gone")?;
        }
        Type::LaunchNestedContainer => {
            nested(
                call.launch_nested_container.as_ref().map(|c| &c.container_id),
                "launch_nested_container",
            )?;
        }
        Type::LaunchNestedContainerSession => {
            nested(
                call.launch_nested_container_session.as_ref().map(|c| &c.container_id),
                "launch_nested_container_session",
            )?;
        }
        Type::WaitNestedContainer => {
            nested(call.wait_nested_container.as_ref().map(|c| &c.container_id), "wait_nested_container")?;
        }
        Type::KillNestedContainer => {
            nested(call.kill_nested_container.as_ref().map(|c| &c.container_id), "kill_nested_container")?;
        }
        Type::RemoveNestedContainer => {
            nested(
                call.remove_nested_container.as_ref().map(|c| &c.container_id),
                "remove_nested_container",
            )?;
        }
        Type::AttachContainerOutput => {
            container(
                call.attach_container_output.as_ref().map(|c| &c.container_id),
                "attach_container_output",
            )?;
        }
        Type::LaunchContainer => {
            container(call.launch_container.as_ref().map(|c| &c.container_id), "launch_container")?;
        }
        Type::WaitContainer => {
            container(call.wait_container.as_ref().map(|c| &c.container_id), "wait_container")?;
        }
        Type::KillContainer => {
            container(call.kill_container.as_ref().map(|c| &c.container_id), "kill_container")?;
        }
        Type::RemoveContainer => {
            container(call.remove_container.as_ref().map(|c| &c.container_id), "remove_container")?;
        }
        Type::AttachContainerInput => {
            present(call.attach_container_input.as_ref(), "attach_container_input")?;
            if let Some(attach) = &call.attach_container_input {
                validate_attach(attach)?;
            }
        }
        Type::AddResourceProviderConfig => {
            let body = call.add_resource_provider_config.as_ref();
            present(body, "add_resource_provider_config")?;
            without_id(body.map(|b| &b.info), "add_resource_provider_config")?;
        }
        Type::UpdateResourceProviderConfig => {
            let body = call.update_resource_provider_config.as_ref();
            present(body, "update_resource_provider_config")?;
            without_id(body.map(|b| &b.info), "update_resource_provider_config")?;
        }
    }
    Ok(kind)
}

/// A call that is about a container.
fn container(id: Option<&ContainerId>, call: &str) -> Result<(), Invalid> {
    present(id, call)?;
    id.map_or(Ok(()), validate_container_id)
        .map_err(|why| Invalid(format!("'{call}.container_id' is invalid: {why}")))
}

/// A call that is about a container inside another one.
fn nested(id: Option<&ContainerId>, call: &str) -> Result<(), Invalid> {
    container(id, call)?;
    let parent = id.and_then(|id| id.parent.as_ref());
    present(parent, &format!("{call}.container_id.parent"))
}

fn without_id(info: Option<&crate::mesos::v1::ResourceProviderInfo>, call: &str) -> Result<(), Invalid> {
    match info.and_then(|info| info.id.as_ref()) {
        Some(_) => Err(Invalid(format!("Expecting '{call}.info.id' to be unset"))),
        None => Ok(()),
    }
}

fn validate_attach(attach: &AttachContainerInput) -> Result<(), Invalid> {
    use attach_container_input::Type;
    let Ok(kind) = named::<Type>(attach.r#type) else {
        let text = "Expecting 'attach_container_input.type' to be present";
        return Err(Invalid(text.to_owned()));
    };
    match kind {
        Type::Unknown => Err(Invalid("'attach_container_input.type' is unknown".to_owned())),
        Type::ContainerId => {
            let unset = ContainerId::default();
            let id = attach.container_id.as_ref().unwrap_or(&unset);
            container(Some(id), "attach_container_input")
        }
        Type::ProcessIo => Ok(()),
    }
}

/// Whether a container's id and those of its parents can name directories, and keep
/// apart in `parent.child`.
pub fn validate_container_id(id: &ContainerId) -> Result<(), Invalid> {
    let text = &id.value;
    validate_id(text)?;
    if text.len() > CONTAINER_ID_MAX {
        return Err(Invalid(format!(
            "'ContainerID.value' '{text}' exceeds the maximum length ({CONTAINER_ID_MAX})"
        )));
    }
    if text.contains(['.', ' ']) {
        return Err(Invalid(format!("'ContainerID.value' '{text}' contains invalid characters")));
    }
    match &id.parent {
        Some(parent) => validate_container_id(parent)
            .map_err(|why| Invalid(format!("'ContainerID.parent' is invalid: {why}"))),
        None => Ok(()),
    }
}

/// The rules for every id, since ids name directories.
fn validate_id(id: &str) -> Result<(), Invalid> {
    let refused = |text: String| Err(Invalid(text));
    if id.is_empty() {
        return refused("ID must not be empty".to_owned());
    }
    if id.len() > ID_MAX {
        return refused(format!("ID must not be greater than {ID_MAX} characters"));
    }
    if id == "." || id == ".." {
        return refused(format!("'{id}' is disallowed"));
    }
    if id.bytes().any(|b| b.is_ascii_control() || b == b'/' || b == b'\\') {
        return refused(format!("'{id}' contains invalid characters"));
    }
    Ok(())
}
