//! The one message whose v0 bytes differ from its v1 bytes: the scheduler's call,
//! as drivers send it to the master over libprocess.

use crate::mesos::{scheduler, v1};

/// A v0 call as the v1 call that says the same.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerCall {
    /// The call, without `force`.
    pub call: v1::scheduler::Call,
    /// `subscribe.force` of a driver: whether it means to replace the connection of
    /// another instance of its framework. v1 subscriptions always do.
    pub force: bool,
}

impl From<scheduler::Call> for SchedulerCall {
    fn from(old: scheduler::Call) -> Self {
        let force = old.subscribe.as_ref().is_some_and(|s| s.force());
        let subscribe = old.subscribe.map(|s| v1::scheduler::call::Subscribe {
            framework_info: s.framework_info,
            suppressed_roles: s.suppressed_roles,
            offer_constraints: s.offer_constraints,
        });
        let call = v1::scheduler::Call {
            framework_id: old.framework_id,
            r#type: old.r#type,
            subscribe,
            accept: old.accept,
            decline: old.decline,
            accept_inverse_offers: old.accept_inverse_offers,
            decline_inverse_offers: old.decline_inverse_offers,
            revive: old.revive,
            kill: old.kill,
            shutdown: old.shutdown,
            acknowledge: old.acknowledge,
            acknowledge_operation_status: old.acknowledge_operation_status,
            reconcile: old.reconcile,
            reconcile_operations: old.reconcile_operations,
            message: old.message,
            request: old.request,
            suppress: old.suppress,
            update_framework: old.update_framework,
        };
        Self { call, force }
    }
}
