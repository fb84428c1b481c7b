//! GET of `/explain?framework=ID` and `/explain?role=NAME`.

use std::sync::Arc;

use http::{Request, Response};
use machine::Instant;
use master_core::{Answer, Question};
use proto::json::Writer;
use tokio::sync::oneshot;
use types::{FrameworkId, Role};

use crate::documents;
use crate::reactor::Input;
use crate::shell::{Shell, ending};

/// A question for the core's task, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What is asked.
    pub(crate) question: Question,
    /// The answer and when it was given; none if there is nobody to tell of.
    pub(crate) answer: oneshot::Sender<(Instant, Option<Answer>)>,
}

/// Answers one request.
pub(crate) async fn handle(shell: Arc<Shell>, request: Request) -> Response {
    explain(&shell, &request).await.unwrap_or_else(|refusal| refusal)
}

async fn explain(shell: &Shell, request: &Request) -> Result<Response, Response> {
    let (question, unknown) = match (request.query.get("framework"), request.query.get("role")) {
        (Some(id), None) => (Question::Framework(FrameworkId::from(id)), format!("No framework '{id}'")),
        (None, Some(role)) => (
            Question::Role(Role::from(role)),
            format!("No framework is in role '{role}' or below it, and nothing is allocated to it"),
        ),
        (None, None) | (Some(_), Some(_)) => {
            return Err(Response::bad_request(
                "Expecting one query parameter: 'framework=<id>' or 'role=<name>'",
            ));
        }
    };
    let (answer, told) = oneshot::channel();
    shell.inputs.send(Input::Explain(Asked { question, answer })).await.map_err(|_| ending())?;
    let (now, answer) = told.await.map_err(|_| ending())?;
    let Some(answer) = answer else { return Err(Response::text(http::StatusCode::NOT_FOUND, unknown)) };
    let mut w = Writer::new();
    documents::explain::document(&mut w, &answer, now);
    Ok(Response::ok_jsonp(w.into_bytes(), request.query.get("jsonp")))
}
