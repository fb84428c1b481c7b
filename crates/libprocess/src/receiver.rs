//! Serves the connections on which messages come, on the port that HTTP shares.
//!
//! The first request of a connection decides. Messages are decoded and answered here, which costs a fraction of what a
//! general HTTP server would, and takes what old peers send (chunks in HTTP/1.0). At the first request that is no message
//! the connection goes back to HTTP for good; messages after that reach [`Mixed`](crate::Mixed).

use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{FirstLook, Fresh};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use bytes::BytesMut;

use crate::decoder::{Broken, Decoder, DecoderLimits, Step};
use crate::inbox::{Delivery, Inbox};

/// What a receiver grants its peers.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverLimits {
    /// Sizes.
    pub decoder: DecoderLimits,
    /// Time in which a peer must send some more of a message it has begun, or take some of its answers. Between messages a
    /// connection may be silent for ever.
    pub patience: Duration,
}

impl Default for ReceiverLimits {
    fn default() -> Self {
        Self { decoder: DecoderLimits::default(), patience: Duration::from_secs(60) }
    }
}

/// Receives messages. Give it to [`http::Server::first_look`].
#[derive(Clone, Debug)]
pub struct Receiver {
    inbox: Arc<Inbox>,
    limits: ReceiverLimits,
}

/// Answers gathered up to this size go out before more is decoded.
const ANSWERS_MAX: usize = 16 * 1024;

/// Time that a refused peer gets to hang up.
const FAREWELL: Duration = Duration::from_secs(1);

impl Receiver {
    /// A receiver for these processes.
    pub fn new(inbox: Arc<Inbox>, limits: ReceiverLimits) -> Self {
        Self { inbox, limits }
    }

    async fn serve(&self, mut fresh: Fresh) -> Option<Fresh> {
        let mut decoder = Decoder::new(self.limits.decoder);
        let mut answers = Answers::default();
        loop {
            match decoder.step(&mut fresh.buffered) {
                Ok(Step::Message(message)) => {
                    let keeps_alive = message.keeps_alive;
                    answers.delivery(&self.inbox.deliver(message, fresh.peer).await, keeps_alive);
                    if !keeps_alive {
                        return self.close(fresh, answers).await;
                    }
                    if answers.bytes.len() >= ANSWERS_MAX {
                        self.flush(&mut fresh, &mut answers).await?;
                    }
                }
                Ok(Step::Continue) => {
                    answers.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    self.flush(&mut fresh, &mut answers).await?;
                }
                Ok(Step::NeedMore) => {
                    self.flush(&mut fresh, &mut answers).await?;
                    self.read(&decoder, &mut fresh).await?;
                }
                Ok(Step::Foreign) => {
                    self.flush(&mut fresh, &mut answers).await?;
                    return Some(fresh);
                }
                Err(broken) => {
                    tracing::info!(peer = %fresh.peer, %broken, "closed a connection");
                    answers.broken(broken);
                    return self.close(fresh, answers).await;
                }
            }
        }
    }

    /// Reads some more. `None` when the connection is over.
    async fn read(&self, decoder: &Decoder, fresh: &mut Fresh) -> Option<()> {
        let more = if decoder.is_amid(&fresh.buffered) {
            timeout(self.limits.patience, fresh.read_some()).await.unwrap_or(false)
        } else {
            // Nothing is kept for a silent connection; there may be tens of thousands.
            fresh.buffered = BytesMut::new();
            fresh.read_some().await
        };
        more.then_some(())
    }

    async fn flush(&self, fresh: &mut Fresh, answers: &mut Answers) -> Option<()> {
        if answers.bytes.is_empty() {
            return Some(());
        }
        let written = timeout(self.limits.patience, fresh.stream.write_all(&answers.bytes)).await;
        answers.clear();
        written.ok()?.ok()
    }

    async fn close(&self, mut fresh: Fresh, mut answers: Answers) -> Option<Fresh> {
        self.flush(&mut fresh, &mut answers).await?;
        // The rest of what the peer sends is read, lest closing resets the connection under the answer.
        if fresh.stream.shutdown().await.is_ok() {
            let rest = async {
                while fresh.read_some().await {
                    fresh.buffered.clear()
                }
            };
            let _ = timeout(FAREWELL, rest).await;
        }
        None
    }
}

impl FirstLook for Receiver {
    fn look(&self, fresh: Fresh) -> Pin<Box<dyn Future<Output = Option<Fresh>> + Send + '_>> {
        Box::pin(self.serve(fresh))
    }
}

/// Answers that wait to be written together.
#[derive(Default)]
struct Answers {
    bytes: Vec<u8>,
    /// The header of this batch.
    date: String,
}

impl Answers {
    fn delivery(&mut self, delivery: &Delivery, keeps_alive: bool) {
        match delivery {
            Delivery::Accepted => self.push("202 Accepted", "", keeps_alive),
            Delivery::NoSuchProcess => self.push("404 Not Found", "404 Not Found.", keeps_alive),
            Delivery::Refused(reason) => self.push("400 Bad Request", reason, keeps_alive),
        }
    }

    fn broken(&mut self, broken: Broken) {
        let status = match broken {
            Broken::TooLarge(_) => "413 Payload Too Large",
            Broken::Path | Broken::Length | Broken::Chunks => "400 Bad Request",
        };
        self.push(status, &broken.to_string(), false);
    }

    fn push(&mut self, status: &str, body: &str, keeps_alive: bool) {
        if self.date.is_empty() {
            self.date = httpdate::fmt_http_date(SystemTime::now());
        }
        let date = &self.date;
        let kind = if body.is_empty() { "" } else { "Content-Type: text/plain; charset=utf-8\r\n" };
        let close = if keeps_alive { "" } else { "Connection: close\r\n" };
        let length = body.len();
        write!(
            self.bytes,
            "HTTP/1.1 {status}\r\nDate: {date}\r\n{kind}{close}Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("memory takes all bytes");
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.date.clear();
    }
}
