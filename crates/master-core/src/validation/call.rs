//! Whether a scheduler call is whole: its type's body is there and its ids agree.

use proto::mesos::v1::scheduler;
use proto::mesos::v1::scheduler::call::Type;
use types::{Principal, Uuid};

/// Checks a call's form. The text says what is wrong with it; the HTTP answer puts
/// `Failed to validate scheduler::Call: ` before it, with status 400.
pub fn call(call: &scheduler::Call, principal: Option<&Principal>) -> Result<(), String> {
    let expect = |present: bool, name: &str| {
        if present { Ok(()) } else { Err(format!("Expecting '{name}' to be present")) }
    };
    // A type that this version does not know counts as none.
    let kind = call.r#type.and_then(|number| Type::try_from(number).ok());
    let Some(kind) = kind else { return Err("Expecting 'type' to be present".to_owned()) };
    if kind == Type::Subscribe {
        return subscribe(call, principal);
    }
    expect(call.framework_id.is_some(), "framework_id")?;
    match kind {
        Type::Unknown | Type::Subscribe | Type::Teardown | Type::Revive | Type::Suppress => Ok(()),
        Type::Accept => expect(call.accept.is_some(), "accept"),
        Type::Decline => expect(call.decline.is_some(), "decline"),
        Type::AcceptInverseOffers => expect(call.accept_inverse_offers.is_some(), "accept_inverse_offers"),
        Type::DeclineInverseOffers => expect(call.decline_inverse_offers.is_some(), "decline_inverse_offers"),
        Type::Kill => expect(call.kill.is_some(), "kill"),
        Type::Shutdown => expect(call.shutdown.is_some(), "shutdown"),
        Type::Acknowledge => {
            expect(call.acknowledge.is_some(), "acknowledge")?;
            call.acknowledge.as_ref().map_or(Ok(()), |body| uuid(&body.uuid))
        }
        Type::AcknowledgeOperationStatus => {
            let body = call.acknowledge_operation_status.as_ref();
            expect(body.is_some(), "acknowledge_operation_status")?;
            body.map_or(Ok(()), |body| uuid(&body.uuid))?;
            expect(body.is_some_and(|body| body.agent_id.is_some()), "agent_id")
        }
        Type::Reconcile => expect(call.reconcile.is_some(), "reconcile"),
        Type::ReconcileOperations => expect(call.reconcile_operations.is_some(), "reconcile_operations"),
        Type::Message => expect(call.message.is_some(), "message"),
        Type::Request => expect(call.request.is_some(), "request"),
        Type::UpdateFramework => {
            expect(call.update_framework.is_some(), "update_framework")?;
            let body = call.update_framework.as_ref();
            if body.is_some_and(|body| body.framework_info.id != call.framework_id) {
                return Err("'framework_id' differs from 'update_framework.framework_info.id'".to_owned());
            }
            Ok(())
        }
    }
}

fn subscribe(call: &scheduler::Call, principal: Option<&Principal>) -> Result<(), String> {
    let Some(body) = &call.subscribe else {
        return Err("Expecting 'subscribe' to be present".to_owned());
    };
    let info = &body.framework_info;
    // COMPAT(mesos): an absent id equals an empty one.
    let text = |id: &Option<proto::mesos::v1::FrameworkId>| {
        id.as_ref().map(|id| id.value.clone()).unwrap_or_default()
    };
    if text(&info.id) != text(&call.framework_id) {
        return Err("'framework_id' differs from 'subscribe.framework_info.id'".to_owned());
    }
    if let (Some(principal), Some(claimed)) = (principal, &info.principal)
        && principal.as_str() != claimed
    {
        return Err(format!(
            "Authenticated principal '{principal}' does not match principal '{claimed}' set in `FrameworkInfo`"
        ));
    }
    Ok(())
}

/// Sixteen bytes with a version that RFC 9562 knows.
fn uuid(bytes: &[u8]) -> Result<(), String> {
    match Uuid::try_from(bytes) {
        Ok(uuid) if (1..=8).contains(&(uuid.as_bytes()[6] >> 4)) => Ok(()),
        Ok(_) | Err(_) => Err("Not a valid UUID".to_owned()),
    }
}
