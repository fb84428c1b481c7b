//! LAUNCH_NESTED_CONTAINER_SESSION: a command in a container, whose output is the answer, and which ends with its caller.

use std::sync::Arc;

use agent_core::{Event, Status};
use containerizer::Output;
use http::{Codec, Gone, Response, StreamMedia, StreamSender, encode, frame};
use proto::mesos::v1::agent::call::{KillContainer, Type};
use proto::mesos::v1::agent::process_io::{self, data};
use proto::mesos::v1::agent::{Call, ProcessIo};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use types::ContainerId;

use crate::reactor::Outcome;
use crate::shell::{Shell, response};

/// Records that wait for a slow reader. Past it the command waits.
const RECORDS_MAX: usize = 64;

/// Bytes of output in one record.
const PIECE_BYTES: usize = 16 * 1024;

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
    let Some(output) = shell.containerizer.take_output(&id) else {
        return Err(Response::internal_error());
    };
    let (sender, body, gone) = http::stream(RECORDS_MAX);
    // The task ends with the session, which ends with the client.
    drop(tokio::spawn(stream(output, sender, gone, media.accept, end, id)));
    Ok(match media.accept_streams {
        false => Response::stream(media.accept.media_type(), body),
        true => Response::stream("application/recordio", body)
            .header(MESSAGE_CONTENT_TYPE, media.accept.media_type()),
    })
}

const MESSAGE_CONTENT_TYPE: http::HeaderName = http::HeaderName::from_static("message-content-type");

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

async fn stream(
    output: Output,
    sender: StreamSender,
    gone: Gone,
    codec: Codec,
    end: EndsWithClient,
    id: ContainerId,
) {
    let Output { stdout, stderr } = output;
    let copied = async {
        let (stdout, stderr) = (
            copy(stdout, &sender, codec, data::Type::Stdout),
            copy(stderr, &sender, codec, data::Type::Stderr),
        );
        tokio::join!(stdout, stderr);
        // What closes its output early goes on all the same.
        end.shell.containerizer.until_gone(&id).await;
    };
    tokio::select! {
        () = copied => {}
        () = gone => {}
    }
    drop(end);
}

async fn copy(mut from: impl AsyncRead + Unpin, sender: &StreamSender, codec: Codec, kind: data::Type) {
    let mut buffer = vec![0; PIECE_BYTES];
    // A pipe that breaks has ended.
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let data = process_io::Data { r#type: Some(kind.into()), data: Some(buffer[..read].to_vec().into()) };
        let record = ProcessIo {
            r#type: Some(process_io::Type::Data.into()),
            data: Some(data),
            ..ProcessIo::default()
        };
        if sender.send_raw(frame(&encode(codec, &record))).await.is_err() {
            return;
        }
    }
}
