//! LAUNCH_NESTED_CONTAINER_SESSION: a command in a container, whose output is the answer, and which ends with its caller.

use std::sync::Arc;

use agent_core::{Event, Status};
use http::{Response, StreamMedia};
use proto::mesos::v1::agent::Call;
use proto::mesos::v1::agent::call::{KillContainer, Type};
use types::ContainerId;

use crate::attach::{self, Showing};
use crate::reactor::Outcome;
use crate::shell::{Shell, response};

/// Launches the session and streams what it prints.
pub(crate) async fn launch(shell: &Arc<Shell>, call: Call, media: StreamMedia) -> Result<Response, Response> {
    let asked = call.launch_nested_container_session.as_ref();
    let id = asked.map(|asked| ContainerId::from(&asked.container_id));
    let Some(id) = id else {
        return Err(Response::bad_request("Expecting 'launch_nested_container_session' to be present"));
    };
    let call = Box::new(call);
    // A client that goes takes this handler with it at any point, and the session too.
    let known = shell.containerizer.containers().contains(&id);
    let end = EndsWithClient { shell: Arc::clone(shell), id: (!known).then(|| id.clone()) };
    match shell.outcome(|request| Event::ContainerCall { request, call }).await? {
        Outcome::Reply(reply) if reply.status == Status::Ok => {}
        Outcome::Reply(reply) => return Err(response(&reply)),
        Outcome::Answer(answer) => return Ok(http::answer(media.accept, &*answer)),
    }
    let view = shell.containerizer.session_output(&id).map_err(attach::refusal)?;
    let (showing, answer) = Showing::new(shell, view, media);
    // The task ends with the session, which ends with the client.
    drop(tokio::spawn(async move {
        let containerizer = &end.shell.containerizer;
        // What closes its output early goes on all the same.
        showing.run(containerizer.until_gone(&id)).await;
        drop(end);
    }));
    Ok(answer)
}

/// Ends a session when it is dropped, unless that is over.
struct EndsWithClient {
    shell: Arc<Shell>,
    id: Option<ContainerId>,
}

impl Drop for EndsWithClient {
    fn drop(&mut self) {
        let Some(id) = &self.id else { return };
        // ORDER: behind its launch in the core's queue, which may not have been looked at yet.
        if !self.shell.order(|request| Event::ContainerCall { request, call: Box::new(kill(id)) }) {
            self.shell.containerizer.destroy(id);
        }
    }
}

fn kill(id: &ContainerId) -> Call {
    Call {
        r#type: Some(Type::KillContainer.into()),
        kill_container: Some(KillContainer { container_id: id.into(), signal: None }),
        ..Call::default()
    }
}
