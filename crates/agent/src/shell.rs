//! What every handler of requests has at hand: the way to the core, and who this agent is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_core::{Event, Reply, RequestId, Status, StreamId, View};
use daemon::clock::Clock;
use http::{Codec, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use crate::composing::Containerizer;
use crate::identity::Identity;
use crate::images::Images;
use crate::reactor::{Input, Outcome};
use crate::stats::Stats;
use crate::streams::RECORDS_MAX;

/// Shared by all handlers.
pub(crate) struct Shell {
    /// The way to the core's task.
    pub(crate) inputs: mpsc::Sender<Input>,
    /// This agent in documents.
    pub(crate) identity: Identity,
    /// Since when.
    pub(crate) clock: Clock,
    /// What containers use.
    pub(crate) containerizer: Containerizer,
    /// What images there are, if containers may have any.
    pub(crate) images: Option<Images>,
    /// What the shell counts.
    pub(crate) stats: Arc<Stats>,
    /// How often a viewer of a container's output is told that the agent is there.
    pub(crate) heartbeat: Duration,
    /// The last number given to a request or a stream.
    numbers: AtomicU64,
}

impl Shell {
    /// Puts the parts together.
    pub(crate) fn new(
        inputs: mpsc::Sender<Input>,
        identity: Identity,
        clock: Clock,
        containerizer: Containerizer,
        images: Option<Images>,
        stats: Arc<Stats>,
        heartbeat: Duration,
    ) -> Self {
        Self { inputs, identity, clock, containerizer, images, stats, heartbeat, numbers: AtomicU64::new(0) }
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Hands a call to the core and waits for its answer. A message goes out in this encoding.
    pub(crate) async fn call(&self, codec: Codec, event: impl FnOnce(RequestId) -> Event) -> Response {
        match self.outcome(event).await {
            Ok(Outcome::Reply(reply)) => response(&reply),
            Ok(Outcome::Answer(answer)) => http::answer(codec, &*answer),
            Err(ending) => ending,
        }
    }

    /// Hands a call to the core and waits for what comes of it.
    pub(crate) async fn outcome(&self, event: impl FnOnce(RequestId) -> Event) -> Result<Outcome, Response> {
        let request = RequestId(self.number());
        let (answer, outcome) = oneshot::channel();
        let input = Input::Call { request, event: event(request), answer };
        self.inputs.send(input).await.map_err(|_| ending())?;
        outcome.await.map_err(|_| ending())
    }

    /// Hands an event to the core whose answer nobody waits for. False if the core's queue is full, or it is gone.
    pub(crate) fn order(&self, event: impl FnOnce(RequestId) -> Event) -> bool {
        let request = RequestId(self.number());
        self.inputs.try_send(Input::Event(event(request))).is_ok()
    }

    /// The state for a reader: that of a moment after the question.
    pub(crate) async fn view(&self) -> Result<Arc<View>, Response> {
        let (reader, view) = oneshot::channel();
        self.inputs.send(Input::Read(reader)).await.map_err(|_| ending())?;
        view.await.map_err(|_| ending())
    }

    /// The answer to an executor's SUBSCRIBE: its stream, or the core's refusal. `event` makes the event of it.
    pub(crate) async fn subscribe(&self, codec: Codec, event: impl FnOnce(StreamId) -> Event) -> Response {
        let stream = StreamId(self.number());
        let (sender, body, gone) = http::stream(RECORDS_MAX);
        let (answer, verdict) = oneshot::channel();
        let input = Input::Subscribe { stream, codec, sender, event: event(stream), answer };
        if self.inputs.send(input).await.is_err() {
            return ending();
        }
        // ORDER: watched before the verdict, since a client that goes while it waits takes this handler with it.
        let inputs = self.inputs.clone();
        // The watch ends with its stream, which the server or the core's task owns.
        tokio::spawn(async move {
            gone.await;
            // If the core's task is gone there is nobody to tell.
            let _ = inputs.send(Input::Event(Event::StreamClosed(stream))).await;
        });
        match verdict.await {
            Ok(None) => {}
            Ok(Some(refusal)) => return response(&refusal),
            Err(_) => return ending(),
        }
        Response::stream(codec.media_type(), body)
    }
}

/// The answer of an agent that is about to stop.
fn ending() -> Response {
    Response::unavailable("Agent is shutting down")
}

pub(crate) fn response(reply: &Reply) -> Response {
    let status = StatusCode::from_u16(reply.status.code()).expect("the core gives known statuses");
    match (reply.status, reply.text.is_empty()) {
        (Status::NotImplemented, true) => Response::not_implemented(),
        (_, true) => Response::empty(status),
        (_, false) => Response::text(status, reply.text.clone()),
    }
}
