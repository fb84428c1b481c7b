//! `/api/v1/executor`: the calls of executors and the streams of their events.
//!
//! Only the head and the body are checked here; everything else is the core's to refuse.

use std::sync::Arc;

use agent_core::Event;
use http::{Acceptable, Codec, Request, Response};
use proto::mesos::v1::executor::Call;
use proto::mesos::v1::executor::call::Type;

use crate::shell::Shell;

/// Answers one call.
pub(crate) async fn handle(shell: Arc<Shell>, request: Request) -> Response {
    answer(&shell, request).await.unwrap_or_else(|refusal| refusal)
}

async fn answer(shell: &Shell, request: Request) -> Result<Response, Response> {
    let call: Call = http::read_call(&request.headers, &request.body)?;
    proto::unions::executor(&call)
        .map_err(|why| Response::bad_request(format!("Failed to validate Executor::Call: {why}")))?;
    let call = Box::new(call);
    if call.r#type() == Type::Subscribe {
        let codec = http::accept(&request.headers, Acceptable::Calls)?;
        return Ok(shell.subscribe(codec, |stream| Event::ExecutorSubscribe { stream, call }).await);
    }
    // Every answer to one is a status.
    Ok(shell.call(Codec::Protobuf, |request| Event::ExecutorCall { request, call }).await)
}
