//! The calls of resource providers.

use super::{Invalid, named, present};
use crate::mesos::v1::resource_provider::Call;
use crate::mesos::v1::resource_provider::call::Type;

/// Checks a call of a resource provider. That the ids inside fit the subscribed
/// provider is for the agent to check.
pub fn validate(call: &Call) -> Result<Type, Invalid> {
    let kind = named(call.r#type)?;
    let id = || present(call.resource_provider_id.as_ref(), "resource_provider_id");
    match kind {
        Type::Unknown => {}
        Type::Subscribe => present(call.subscribe.as_ref(), "subscribe")?,
        Type::UpdateOperationStatus => {
            id()?;
            present(call.update_operation_status.as_ref(), "update_operation_status")?;
        }
        Type::UpdateState => {
            id()?;
            present(call.update_state.as_ref(), "update_state")?;
        }
        Type::UpdatePublishResourcesStatus => {
            id()?;
            if call.update_publish_resources_status.is_none() {
                // COMPAT(mesos): this one text ends in a full stop.
                return Err(Invalid("Expecting 'update_publish_resources_status' to be present.".to_owned()));
            }
        }
    }
    Ok(kind)
}
