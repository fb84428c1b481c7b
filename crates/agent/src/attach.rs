//! ATTACH_CONTAINER_OUTPUT and ATTACH_CONTAINER_INPUT: looking at what a container prints, and typing into it.
//!
//! Both are for containers with a terminal and for sessions. What a viewer does not take waits in queues of bounded
//! length, then on the other side of the container's switchboard, which cuts off who takes nothing for too long.

use std::sync::Arc;
use std::time::Duration;

use agent_core::View as Known;
use containerizer::io::{AttachError, Feed, Next, Verdict, View};
use http::{Body, Codec, Gone, Response, StatusCode, StreamMedia, StreamSender, encode, frame};
use proto::mesos::v1::DurationInfo;
use proto::mesos::v1::agent::call::attach_container_input::Type as Kind;
use proto::mesos::v1::agent::call::{AttachContainerInput, Type};
use proto::mesos::v1::agent::process_io::{self, Control, control, data};
use proto::mesos::v1::agent::{Call, ProcessIo};
use proto::recordio::Decoder;
use types::ContainerId;

use crate::operator;
use crate::shell::Shell;

/// Records that wait for a slow reader.
const RECORDS_MAX: usize = 16;

/// A larger record of input is refused.
const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

const MESSAGE_CONTENT_TYPE: http::HeaderName = http::HeaderName::from_static("message-content-type");

/// A view on its way to a client.
pub(crate) struct Showing {
    view: View,
    sender: StreamSender,
    gone: Gone,
    codec: Codec,
    heartbeat: Duration,
}

impl Showing {
    /// The answer that shows the view, once this runs.
    pub(crate) fn new(shell: &Shell, view: View, media: StreamMedia) -> (Self, Response) {
        let (sender, body, gone) = http::stream(RECORDS_MAX);
        let answer = match media.accept_streams {
            false => Response::stream(media.accept.media_type(), body),
            true => Response::stream("application/recordio", body)
                .header(MESSAGE_CONTENT_TYPE, media.accept.media_type()),
        };
        (Self { view, sender, gone, codec: media.accept, heartbeat: shell.heartbeat }, answer)
    }

    /// Shows all of it, and waits for `last` before the end; or until the client goes.
    pub(crate) async fn run(self, last: impl Future<Output = ()>) {
        let Self { mut view, sender, gone, codec, heartbeat } = self;
        let showing = async {
            let complete = show(&mut view, &sender, codec, heartbeat).await;
            if complete {
                last.await;
            } else {
                // An orderly end would say that this was all.
                sender.cut();
            }
        };
        tokio::select! {
            () = showing => {}
            () = gone => {}
        }
    }
}

/// Shows what comes. Whether that was all of it.
async fn show(view: &mut View, sender: &StreamSender, codec: Codec, heartbeat: Duration) -> bool {
    let mut beats = tokio::time::interval_at(tokio::time::Instant::now() + heartbeat, heartbeat);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let record = tokio::select! {
            next = view.next() => match next {
                Next::Record(record) => record,
                Next::End => return true,
                Next::Cut => return false,
            },
            _ = beats.tick() => beat(heartbeat),
        };
        if sender.send_raw(frame(&encode(codec, &record))).await.is_err() {
            return true;
        }
    }
}

fn beat(interval: Duration) -> ProcessIo {
    let nanoseconds = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX);
    let heartbeat = control::Heartbeat { interval: Some(DurationInfo { nanoseconds }) };
    let control = Control {
        r#type: Some(control::Type::Heartbeat.into()),
        heartbeat: Some(heartbeat),
        ..Control::default()
    };
    ProcessIo {
        r#type: Some(process_io::Type::Control.into()),
        control: Some(control),
        ..ProcessIo::default()
    }
}

/// Answers ATTACH_CONTAINER_OUTPUT.
pub(crate) async fn output(
    shell: &Arc<Shell>,
    known: &Known,
    call: &Call,
    media: StreamMedia,
) -> Result<Response, Response> {
    let asked = call.attach_container_output.as_ref().map(|asked| ContainerId::from(&asked.container_id));
    let id =
        asked.ok_or_else(|| Response::bad_request("Expecting 'attach_container_output' to be present"))?;
    check_known(known, &id)?;
    let view = shell.containerizer.attach_output(&id).await.map_err(refusal)?;
    let (showing, answer) = Showing::new(shell, view, media);
    // It ends with the container or with the client.
    drop(tokio::spawn(showing.run(std::future::ready(()))));
    Ok(answer)
}

/// Whether it is below an executor, or stands alone.
fn check_known(known: &Known, id: &ContainerId) -> Result<(), Response> {
    match known.has_root_of(id) {
        true => Ok(()),
        false => Err(Response::text(StatusCode::NOT_FOUND, format!("Container {id} cannot be found"))),
    }
}

/// COMPAT(mesos): whatever is wrong with the container, it is an error of the agent's.
pub(crate) fn refusal(error: AttachError) -> Response {
    Response::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// How long a client may take for its first record.
const FIRST_PATIENCE: Duration = Duration::from_secs(60);

/// How long the way in may take to be free again. What was typed before may still wait for the container.
const RELEASE: Duration = Duration::from_secs(1);

/// The records of a request that go on coming.
pub(crate) struct Records {
    body: Body,
    decoder: Decoder,
    codec: Codec,
}

impl Records {
    /// Those of a body.
    pub(crate) fn new(body: Body, codec: Codec) -> Self {
        Self { body, decoder: Decoder::new(RECORD_BYTES_MAX), codec }
    }

    /// The first one, which says what this is about.
    pub(crate) async fn first(&mut self) -> Result<Call, Response> {
        let first = tokio::time::timeout(FIRST_PATIENCE, self.next()).await;
        let first = first.unwrap_or_else(|_| {
            let text = "Timed out while reading the request body".to_owned();
            Err(Response::text(StatusCode::REQUEST_TIMEOUT, text))
        });
        first?.ok_or_else(|| Response::bad_request("Received EOF while reading request body"))
    }

    /// The next one, none at the end. An error is the answer.
    pub(crate) async fn next(&mut self) -> Result<Option<Call>, Response> {
        loop {
            let record =
                self.decoder.next_record().map_err(|error| Response::bad_request(error.to_string()))?;
            if let Some(record) = record {
                let call = http::decode_agent_call(self.codec, &record)?;
                operator::validated(&call)?;
                return Ok(Some(call));
            }
            match self.body.chunk().await.map_err(|error| Response::bad_request(error.to_string()))? {
                Some(piece) => self.decoder.feed(&piece),
                None if self.decoder.is_at_border() => return Ok(None),
                None => return Err(Response::bad_request("The request ends within a record")),
            }
        }
    }
}

/// Answers ATTACH_CONTAINER_INPUT, of which `call` is the first record.
pub(crate) async fn input(
    shell: &Arc<Shell>,
    known: &Known,
    call: Call,
    records: Records,
) -> Result<Response, Response> {
    let attach = call.attach_container_input.unwrap_or_default();
    let id = attach.container_id.as_ref().filter(|_| attach.r#type() == Kind::ContainerId);
    let id = id
        .map(ContainerId::from)
        .ok_or_else(|| Response::bad_request("Expecting 'attach_container_input.type' to be CONTAINER_ID"))?;
    check_known(known, &id)?;
    let feed = shell.containerizer.attach_input(&id).await.map_err(refusal)?;
    feed_in(records, feed).await
}

async fn feed_in(mut records: Records, feed: Feed) -> Result<Response, Response> {
    let Feed { records: sender, mut verdict } = feed;
    let carrying = async {
        while let Some(call) = records.next().await? {
            let record = process_io(call).map_err(Response::bad_request)?;
            if sender.send(record).await.is_err() {
                // The verdict says why.
                break;
            }
        }
        Result::<(), Response>::Ok(())
    };
    let carried = tokio::select! {
        given = &mut verdict => return answer(given.ok()),
        carried = carrying => carried,
    };
    drop(sender);
    match carried {
        Ok(()) => answer(verdict.await.ok()),
        Err(refusal) => {
            // ORDER: who corrects himself at once finds the way in free.
            let _ = tokio::time::timeout(RELEASE, verdict).await;
            Err(refusal)
        }
    }
}

fn answer(verdict: Option<Verdict>) -> Result<Response, Response> {
    match verdict {
        Some(Verdict::Done) => Ok(Response::ok()),
        Some(Verdict::Refused(why)) => Err(Response::bad_request(why)),
        Some(Verdict::Busy) => {
            Err(Response::text(StatusCode::CONFLICT, "Multiple input connections are not allowed".to_owned()))
        }
        Some(Verdict::Failed(why)) => Err(Response::text(StatusCode::INTERNAL_SERVER_ERROR, why)),
        None => Err(Response::internal_error()),
    }
}

/// What a record after the first one says. COMPAT(mesos): the words of the refusals.
fn process_io(call: Call) -> Result<ProcessIo, String> {
    if call.r#type() != Type::AttachContainerInput {
        return Err(format!(
            "Expecting 'type' to be 'ATTACH_CONTAINER_INPUT' instead of: '{}'",
            call.r#type().as_str_name()
        ));
    }
    let attach: AttachContainerInput = call.attach_container_input.unwrap_or_default();
    if attach.r#type() != Kind::ProcessIo {
        return Err(format!(
            "Expecting 'attach_container_input.type' to be 'PROCESS_IO' instead of: '{}'",
            attach.r#type().as_str_name()
        ));
    }
    let record = attach.process_io.ok_or("Expecting 'attach_container_input.process_io' to be present")?;
    if record.r#type.is_none() {
        return Err("Expecting 'process_io.type' to be present".to_owned());
    }
    match record.r#type() {
        process_io::Type::Unknown => Err("'process_io.type' is unknown".to_owned()),
        process_io::Type::Control => check_control(record.control.as_ref()).map(|()| record),
        process_io::Type::Data => check_data(record.data.as_ref()).map(|()| record),
    }
}

fn check_control(control: Option<&Control>) -> Result<(), String> {
    let control = control.ok_or("Expecting 'process_io.control' to be present")?;
    if control.r#type.is_none() {
        return Err("Expecting 'process_io.control.type' to be present".to_owned());
    }
    match control.r#type() {
        control::Type::Unknown => Err("'process_io.control.type' is unknown".to_owned()),
        control::Type::TtyInfo => {
            let info = control.tty_info.as_ref();
            let info = info.ok_or("Expecting 'process_io.control.tty_info' to be present")?;
            info.window_size.as_ref().ok_or("Expecting 'tty_info.window_size' to be present")?;
            Ok(())
        }
        control::Type::Heartbeat => {
            control.heartbeat.as_ref().ok_or("Expecting 'process_io.control.heartbeat' to be present")?;
            Ok(())
        }
    }
}

fn check_data(data: Option<&process_io::Data>) -> Result<(), String> {
    let data = data.ok_or("Expecting 'process_io.data' to be present")?;
    if data.r#type.is_none() {
        return Err("Expecting 'process_io.data.type' to be present".to_owned());
    }
    if data.r#type() != data::Type::Stdin {
        return Err("Expecting 'process_io.data.type' to be 'STDIN'".to_owned());
    }
    data.data.as_ref().ok_or("Expecting 'process_io.data.data' to be present")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Result<(), &str>) {
        let call: Call = proto::json::from_slice(json.as_bytes()).unwrap();
        assert_eq!(process_io(call).map(drop), expected.map_err(str::to_owned), "{json}");
    }

    #[test]
    fn records_are_checked_as_in_mesos() {
        let record = |io: &str| {
            format!(
                r#"{{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{{"type":"PROCESS_IO"{io}}}}}"#
            )
        };
        let io = |io: &str| record(&format!(r#","process_io":{{{io}}}"#));
        check(
            r#"{"type":"GET_STATE"}"#,
            Err("Expecting 'type' to be 'ATTACH_CONTAINER_INPUT' instead of: 'GET_STATE'"),
        );
        check(
            r#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{"type":"CONTAINER_ID"}}"#,
            Err("Expecting 'attach_container_input.type' to be 'PROCESS_IO' instead of: 'CONTAINER_ID'"),
        );
        check(&record(""), Err("Expecting 'attach_container_input.process_io' to be present"));
        check(&io(""), Err("Expecting 'process_io.type' to be present"));
        check(&io(r#""type":"CONTROL""#), Err("Expecting 'process_io.control' to be present"));
        check(
            &io(r#""type":"CONTROL","control":{}"#),
            Err("Expecting 'process_io.control.type' to be present"),
        );
        check(
            &io(r#""type":"CONTROL","control":{"type":"TTY_INFO"}"#),
            Err("Expecting 'process_io.control.tty_info' to be present"),
        );
        check(
            &io(r#""type":"CONTROL","control":{"type":"TTY_INFO","tty_info":{}}"#),
            Err("Expecting 'tty_info.window_size' to be present"),
        );
        check(
            &io(r#""type":"CONTROL","control":{"type":"HEARTBEAT"}"#),
            Err("Expecting 'process_io.control.heartbeat' to be present"),
        );
        check(&io(r#""type":"CONTROL","control":{"type":"HEARTBEAT","heartbeat":{}}"#), Ok(()));
        check(&io(r#""type":"DATA""#), Err("Expecting 'process_io.data' to be present"));
        check(
            &io(r#""type":"DATA","data":{"type":"STDOUT","data":""}"#),
            Err("Expecting 'process_io.data.type' to be 'STDIN'"),
        );
        check(
            &io(r#""type":"DATA","data":{"type":"STDIN"}"#),
            Err("Expecting 'process_io.data.data' to be present"),
        );
        check(&io(r#""type":"DATA","data":{"type":"STDIN","data":""}"#), Ok(()));
    }
}
