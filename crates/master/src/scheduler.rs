//! `/api/v1/scheduler`: the calls of frameworks and the streams of their events.
//!
//! The order of the checks is that of Mesos: leader, method, body, call, `Accept`, stream id, framework.

use std::sync::Arc;

use http::{Acceptable, HeaderName, Request, Response};
use master_core::Event;
use proto::mesos::v1::scheduler::call::Type;

use crate::calls;
use crate::reactor::Input;
use crate::shell::Shell;

/// The header that ties a framework's calls to its stream.
const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");

/// Answers one call.
pub(crate) async fn handle(shell: Arc<Shell>, request: Request) -> Response {
    answer(&shell, request).await.unwrap_or_else(|refusal| refusal)
}

async fn answer(shell: &Shell, request: Request) -> Result<Response, Response> {
    let call = Box::new(calls::scheduler(&request.headers, &request.body)?);
    let stream_id = request.header(STREAM_ID.as_str()).map(str::to_owned);
    let kind = call.r#type();
    if kind == Type::ReconcileOperations {
        // COMPAT(mesos): only calls that may have answered with a body look at `Accept`.
        http::accept(&request.headers, Acceptable::Calls)?;
    }
    if kind != Type::Subscribe {
        let event = |request| Event::SchedulerCall { request, stream_id, principal: None, call };
        return Ok(shell.call(event).await);
    }
    let codec = http::accept(&request.headers, Acceptable::Calls)?;
    if stream_id.is_some() {
        return Err(Response::bad_request("Subscribe calls should not include the 'Mesos-Stream-Id' header"));
    }
    let uuid = daemon::chance::uuid();
    let body = shell
        .open(codec, |stream, new| Input::Subscribe {
            stream,
            new,
            event: Event::Subscribe { stream, uuid, principal: None, call },
        })
        .await?;
    Ok(Response::stream(codec.media_type(), body).header(STREAM_ID, &uuid.to_string()))
}
