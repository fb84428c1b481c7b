//! The open event streams of executors: who gets what, in which codec.
//!
//! Everything here runs on the core's task and never waits. A stream whose reader is too slow is cut off.

use std::collections::HashMap;

use agent_core::{Reply, StreamId};
use http::{Codec, StreamSender};
use proto::mesos::v1::executor;
use tokio::sync::oneshot;

/// Records that a stream holds for a slow reader before it is cut off.
pub(crate) const RECORDS_MAX: usize = 4096;

/// Where the core's verdict on a subscription goes: none opens the stream.
pub(crate) type Verdict = oneshot::Sender<Option<Reply>>;

/// Every stream, open or waiting for its verdict.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    waiting: HashMap<StreamId, (Codec, StreamSender, Verdict)>,
    open: HashMap<StreamId, (Codec, StreamSender)>,
}

/// The stream is over; the core must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Streams {
    /// Adds a stream that waits for the core's verdict.
    pub(crate) fn add(&mut self, stream: StreamId, codec: Codec, sender: StreamSender, verdict: Verdict) {
        self.waiting.insert(stream, (codec, sender, verdict));
    }

    /// The core takes the subscription.
    pub(crate) fn accept(&mut self, stream: StreamId) -> Result<(), Gone> {
        let Some((codec, sender, verdict)) = self.waiting.remove(&stream) else { return Ok(()) };
        verdict.send(None).map_err(|_| Gone)?;
        self.open.insert(stream, (codec, sender));
        Ok(())
    }

    /// The core refuses the subscription.
    pub(crate) fn refuse(&mut self, stream: StreamId, reply: Reply) {
        if let Some((_, _, verdict)) = self.waiting.remove(&stream) {
            // Nobody waits any more if the client is gone.
            let _ = verdict.send(Some(reply));
        }
    }

    /// Sends an event to an executor.
    pub(crate) fn send(&mut self, stream: StreamId, event: &executor::Event) -> Result<(), Gone> {
        // An effect may name a stream that was cut off a moment ago.
        let Some((codec, sender)) = self.open.get(&stream) else { return Ok(()) };
        if sender.try_send(&http::encode(*codec, event)).is_ok() {
            return Ok(());
        }
        self.open.remove(&stream);
        Err(Gone)
    }

    /// Ends a stream after what is queued for it.
    pub(crate) fn remove(&mut self, stream: StreamId) {
        self.waiting.remove(&stream);
        self.open.remove(&stream);
    }
}
