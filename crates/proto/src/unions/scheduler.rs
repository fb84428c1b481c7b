//! The calls of schedulers.

use super::{Invalid, named, present, uuid};
use crate::mesos::v1::scheduler::Call;
use crate::mesos::v1::scheduler::call::Type;

/// Checks a call of a scheduler, for the v1 API and, after its conversion, for v0.
///
/// That the caller's principal fits `framework_info.principal` is for the master to
/// check next.
pub fn validate(call: &Call) -> Result<Type, Invalid> {
    let kind = named(call.r#type)?;
    if kind == Type::Subscribe {
        present(call.subscribe.as_ref(), "subscribe")?;
        let info = call.subscribe.as_ref().map(|s| &s.framework_info);
        same_framework(call, info, "subscribe.framework_info.id")?;
        return Ok(kind);
    }
    present(call.framework_id.as_ref(), "framework_id")?;
    match kind {
        Type::Subscribe | Type::Teardown | Type::Revive | Type::Suppress | Type::Unknown => {}
        Type::Accept => present(call.accept.as_ref(), "accept")?,
        Type::Decline => present(call.decline.as_ref(), "decline")?,
        Type::AcceptInverseOffers => {
            present(call.accept_inverse_offers.as_ref(), "accept_inverse_offers")?;
        }
        Type::DeclineInverseOffers => {
            present(call.decline_inverse_offers.as_ref(), "decline_inverse_offers")?;
        }
        Type::Kill => present(call.kill.as_ref(), "kill")?,
        Type::Shutdown => present(call.shutdown.as_ref(), "shutdown")?,
        Type::Acknowledge => {
            present(call.acknowledge.as_ref(), "acknowledge")?;
            uuid(call.acknowledge.as_ref().map_or(&[], |a| &a.uuid))?;
        }
        Type::AcknowledgeOperationStatus => {
            let body = call.acknowledge_operation_status.as_ref();
            present(body, "acknowledge_operation_status")?;
            uuid(body.map_or(&[], |a| &a.uuid))?;
            present(body.and_then(|a| a.agent_id.as_ref()), "agent_id")?;
        }
        Type::Reconcile => present(call.reconcile.as_ref(), "reconcile")?,
        Type::ReconcileOperations => {
            present(call.reconcile_operations.as_ref(), "reconcile_operations")?;
        }
        Type::Message => present(call.message.as_ref(), "message")?,
        Type::Request => present(call.request.as_ref(), "request")?,
        Type::UpdateFramework => {
            let body = call.update_framework.as_ref();
            present(body, "update_framework")?;
            let info = body.map(|u| &u.framework_info);
            same_framework(call, info, "update_framework.framework_info.id")?;
        }
    }
    Ok(kind)
}

/// The call and its body must speak of the same framework; unset is the empty id.
fn same_framework(
    call: &Call,
    info: Option<&crate::mesos::v1::FrameworkInfo>,
    path: &str,
) -> Result<(), Invalid> {
    let text = |id: Option<&crate::mesos::v1::FrameworkId>| id.map(|id| id.value.clone()).unwrap_or_default();
    let outer = text(call.framework_id.as_ref());
    let inner = text(info.and_then(|info| info.id.as_ref()));
    if outer == inner { Ok(()) } else { Err(Invalid(format!("'framework_id' differs from '{path}'"))) }
}
