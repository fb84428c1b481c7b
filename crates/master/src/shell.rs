//! What every handler of requests has at hand: the way to the core, and who this master is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daemon::clock::Clock;
use daemon::{Common, Files, Logging};
use http::{Codec, Response, StatusCode, StreamBody};
use master_core::{Event, Reply, RequestId, StreamId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::identity::Identity;
use crate::leadership::Leadership;
use crate::metrics;
use crate::reactor::Input;
use crate::readers::Snapshot;
use crate::streams::{NewStream, RECORDS_MAX};
use crate::timing::Timings;

/// Shared by all handlers.
pub(crate) struct Shell {
    /// The way to the core's task.
    pub(crate) inputs: mpsc::Sender<Input>,
    /// Who leads.
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// This master in documents.
    pub(crate) identity: Identity,
    /// Since when.
    pub(crate) clock: Clock,
    /// How long things take.
    pub(crate) timings: Arc<Timings>,
    /// How many answers were shared among readers.
    pub(crate) hits: Arc<AtomicU64>,
    /// The virtual file system.
    pub(crate) files: Files,
    /// The logging of this process.
    pub(crate) logging: Logging,
    /// The last number given to a request or a stream.
    numbers: AtomicU64,
}

impl Shell {
    /// Puts the parts together.
    pub(crate) fn new(
        inputs: mpsc::Sender<Input>,
        leadership: watch::Receiver<Leadership>,
        identity: Identity,
        clock: Clock,
        logging: Logging,
    ) -> Self {
        Self {
            inputs,
            leadership,
            identity,
            clock,
            timings: Arc::default(),
            hits: Arc::default(),
            files: Files::new(),
            logging,
            numbers: AtomicU64::new(0),
        }
    }

    /// What the master has in common with an agent.
    pub(crate) fn common(self: &Arc<Self>) -> Common {
        let shell = Arc::clone(self);
        Common {
            process: "master".to_owned(),
            files: self.files.clone(),
            logging: self.logging.clone(),
            flags: Arc::clone(&self.identity.flags),
            metrics: Arc::new(move || {
                let shell = Arc::clone(&shell);
                Box::pin(async move { metrics::snapshot(&shell).await })
            }),
        }
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Hands a call to the core and waits for its answer.
    pub(crate) async fn call(&self, event: impl FnOnce(RequestId) -> Event) -> Response {
        let request = RequestId(self.number());
        let (answer, reply) = oneshot::channel();
        let input = Input::Call { request, event: event(request), answer };
        if self.inputs.send(input).await.is_err() {
            return ending();
        }
        reply.await.map_or_else(|_| ending(), |reply| response(&reply))
    }

    /// The state for a reader: that of a moment after the question.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, Response> {
        let (reader, snapshot) = oneshot::channel();
        self.inputs.send(Input::Read(reader)).await.map_err(|_| ending())?;
        snapshot.await.map_err(|_| ending())
    }

    /// Opens a stream of events and hands it to the core; `input` wraps it.
    pub(crate) async fn open(
        &self,
        codec: Codec,
        input: impl FnOnce(StreamId, NewStream) -> Input,
    ) -> Result<StreamBody, Response> {
        let stream = StreamId(self.number());
        let (sender, body, gone) = http::stream(RECORDS_MAX);
        let new = NewStream { codec, sender, gone };
        self.inputs.send(input(stream, new)).await.map_err(|_| ending())?;
        tracing::debug!(stream = stream.0, codec = codec.media_type(), "a stream opened");
        Ok(body)
    }
}

/// The answer of a master that is about to stop.
pub(crate) fn ending() -> Response {
    Response::unavailable("Master is shutting down")
}

fn response(reply: &Reply) -> Response {
    let status = StatusCode::from_u16(reply.status.code()).expect("the core gives known statuses");
    match (reply.status, reply.text.is_empty()) {
        (master_core::Status::NotImplemented, true) => Response::not_implemented(),
        (_, true) => Response::empty(status),
        (_, false) => Response::text(status, reply.text.clone()),
    }
}
