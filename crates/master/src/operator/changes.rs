//! The calls that change something: handed to the core, which answers.

use http::Response;
use master_core::{Event, OperatorCall};
use proto::mesos::v1::master::Call;

use crate::shell::Shell;

/// Makes the change of a call.
pub(super) async fn change(shell: &Shell, call: Call) -> Response {
    match OperatorCall::parse(call) {
        Some(call) => operate(shell, call).await,
        // The check of the call has made sure that its part is there.
        None => Response::bad_request("Failed to validate master::Call"),
    }
}

/// Hands a change to the core.
pub(crate) async fn operate(shell: &Shell, call: OperatorCall) -> Response {
    shell.call(|request| Event::Operator { request, principal: None, call }).await
}
