//! A streaming answer: records go in at one end, one HTTP chunk each comes out at the other.
//!
//! The queue between them is bounded. A reader so slow that it fills up is cut off and subscribes again; that is the one
//! policy, because a stream with a hole would be worse than none.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use proto::recordio;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot};

/// The writing half of a stream. Dropping it ends the stream in order, after what is queued.
#[derive(Debug)]
pub struct StreamSender {
    records: mpsc::Sender<Bytes>,
    control: Arc<Control>,
}

/// The half that goes into a [`Response`](crate::Response).
#[derive(Debug)]
pub struct StreamBody {
    records: mpsc::Receiver<Bytes>,
    control: Arc<Control>,
    /// Dropped with the body, which wakes [`Gone`].
    _alive: oneshot::Sender<()>,
}

/// Completes when the stream is over for its reader: it hung up (also while nothing is being sent), was cut off, or has
/// been given the orderly end.
#[derive(Debug)]
pub struct Gone(oneshot::Receiver<()>);

/// Why a record was not taken. Either way the stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The reader is too slow: its queue is full, and its connection is now being closed.
    #[error("the reader fell behind and was cut off")]
    Full,
    /// The reader is gone.
    #[error("the reader is gone")]
    Closed,
}

/// The body was cut short, so the connection must close without the last chunk.
#[derive(Clone, Copy, Debug, Error)]
#[error("the stream was cut")]
pub struct Cut;

#[derive(Debug, Default)]
struct Control {
    /// Set once: no further record may go out.
    cut: AtomicBool,
    /// What ends the connection that carries the stream, even while it waits for its socket.
    connection: OnceLock<Arc<Notify>>,
}

/// A stream whose queue holds at most `records_max` records.
pub fn stream(records_max: usize) -> (StreamSender, StreamBody, Gone) {
    let (sender, receiver) = mpsc::channel(records_max.max(1));
    let (alive, gone) = oneshot::channel();
    let control = Arc::new(Control::default());
    let body = StreamBody { records: receiver, control: Arc::clone(&control), _alive: alive };
    (StreamSender { records: sender, control }, body, Gone(gone))
}

impl Future for Gone {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}

impl StreamSender {
    /// Frames a record and queues it.
    pub fn try_send(&self, payload: &[u8]) -> Result<(), Refused> {
        self.try_send_framed(recordio::record(payload))
    }

    /// Queues what [`frame`](crate::frame) made: frame once, send to many. It leaves as exactly one chunk.
    pub fn try_send_framed(&self, framed: Bytes) -> Result<(), Refused> {
        if self.is_cut() {
            return Err(Refused::Closed);
        }
        match self.records.try_send(framed) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Refused::Closed),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.cut();
                Err(Refused::Full)
            }
        }
    }

    /// Queues bytes without a frame, for a body that is no stream of records (a file); waits while the queue is full.
    pub async fn send_raw(&self, bytes: Bytes) -> Result<(), Refused> {
        if self.is_cut() {
            return Err(Refused::Closed);
        }
        self.records.send(bytes).await.map_err(|_| Refused::Closed)
    }

    /// Closes the connection now, without sending what is queued.
    pub fn cut(&self) {
        self.control.cut.store(true, Ordering::Release);
        if let Some(connection) = self.control.connection.get() {
            connection.notify_one();
        }
    }

    /// Whether the reader is known to be gone.
    pub fn is_closed(&self) -> bool {
        self.records.is_closed() || self.is_cut()
    }

    fn is_cut(&self) -> bool {
        self.control.cut.load(Ordering::Acquire)
    }
}

impl StreamBody {
    /// Ties the stream to the connection that carries it: cutting the one ends the other.
    pub(crate) fn attach(&self, connection: &Arc<Notify>) {
        // A body is served once, so a second connection cannot come.
        let _ = self.control.connection.set(Arc::clone(connection));
        if self.control.cut.load(Ordering::Acquire) {
            connection.notify_one();
        }
    }

    pub(crate) fn poll_record(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if self.control.cut.load(Ordering::Acquire) {
            return Poll::Ready(Some(Err(Cut)));
        }
        self.records.poll_recv(cx).map(|record| record.map(Ok))
    }

    /// The next framed record: for tests of what a handler streams, without a socket.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.records.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_cuts() {
        let (sender, body, gone) = stream(2);
        assert_eq!(sender.try_send(b"a"), Ok(()));
        assert_eq!(sender.try_send(b"b"), Ok(()));
        assert_eq!(sender.try_send(b"c"), Err(Refused::Full));
        assert_eq!(sender.try_send(b"d"), Err(Refused::Closed));
        assert!(sender.is_closed());
        drop(body);
        gone.await;
    }
}
