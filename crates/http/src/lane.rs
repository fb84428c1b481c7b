//! The fast lane: calls that a client sends in a row, and the stream of events that one of them opens.
//!
//! ```text
//! read -> begin all that have come, in order -> answer all, in order, in one write -> read
//!                                                   \-> a stream: all records that wait, in one write
//! ```
//!
//! hyper begins a request when the one before is answered, and writes each answer by itself; a client that sends calls
//! without waiting makes that a wake-up, a turn of the handler and a write for each. Here they cost one of each together.
//! Only routes that allow it are served so ([`Handler::overlaps`]). The first request that is not plain goes to hyper,
//! and the rest of its connection with it.

use std::future::poll_fn;
use std::io::{self, Write as _};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use http_types::HeaderName;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::compress;
use crate::connection::Fresh;
use crate::head::{self, Front, Plain};
use crate::request::{Body, Query, Request};
use crate::response::{Payload, Response};
use crate::server::{Handler, Limits};
use crate::stream::StreamBody;

/// Calls of one connection that are under way together. Their number bounds what one client can have waiting.
const TOGETHER_MAX: usize = 32;

/// A larger body is hyper's.
const BODY_MAX: usize = 1024 * 1024;

/// Records are gathered into one write up to this size.
const WRITE_BYTES: usize = 64 * 1024;

/// A request that is half there is hyper's after this time, which has the patience and the words for it.
const PARTIAL_WAIT: Duration = Duration::from_secs(1);

type Answering<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

/// One connection in the lane.
pub(crate) struct Lane<'a, H> {
    pub(crate) handler: &'a H,
    pub(crate) limits: &'a Limits,
    pub(crate) fresh: Fresh,
    /// The last path of which the handler has said that it overlaps: nearly always the next one too.
    known: String,
    out: Vec<u8>,
    date: Date,
}

/// What came of a turn.
enum Turn {
    /// All requests that had come are answered.
    Answered,
    /// There was no whole request.
    Nothing,
    /// The next request is hyper's.
    Other,
    /// The connection is over.
    Over,
}

impl<'a, H: Handler> Lane<'a, H> {
    pub(crate) fn new(handler: &'a H, limits: &'a Limits, fresh: Fresh) -> Self {
        Self { handler, limits, fresh, known: String::new(), out: Vec::new(), date: Date::default() }
    }

    /// Serves the connection as long as its requests belong here, and gives it back at the first that does not.
    pub(crate) async fn serve(mut self, stopped: &mut watch::Receiver<()>) -> Option<Fresh> {
        let mut partial_until = None;
        loop {
            match self.turn().await {
                Turn::Answered => partial_until = None,
                Turn::Nothing => {}
                Turn::Other => return Some(self.fresh),
                Turn::Over => return None,
            }
            let partial = !self.fresh.buffered.is_empty();
            let until = if partial {
                *partial_until.get_or_insert_with(|| Instant::now() + PARTIAL_WAIT)
            } else {
                Instant::now() + self.limits.idle_patience
            };
            let read = tokio::select! {
                read = timeout_at(until, self.fresh.read_some()) => read,
                _ = stopped.changed() => return None,
            };
            match read {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) if partial => return Some(self.fresh),
                Err(_) => return None,
            }
        }
    }

    /// Begins all requests that have come, then answers them.
    async fn turn(&mut self) -> Turn {
        let mut done = Turn::Nothing;
        loop {
            let mut begun = Vec::new();
            // ORDER: each is polled once before the next is taken, which is when it is handed over.
            let front = poll_fn(|cx| Poll::Ready(self.begin(&mut begun, cx))).await;
            if begun.is_empty() {
                return match front {
                    Front::Other => Turn::Other,
                    Front::Partial | Front::Plain(_) => done,
                };
            }
            for begun in begun {
                let response = match begun {
                    Begun::Answered(response) => response,
                    Begun::Waits(answering) => answering.await,
                };
                if !self.answer(response).await {
                    return Turn::Over;
                }
            }
            if !self.flush().await {
                return Turn::Over;
            }
            done = Turn::Answered;
        }
    }

    fn begin(&mut self, begun: &mut Vec<Begun<'a>>, cx: &mut Context<'_>) -> Front {
        while begun.len() < TOGETHER_MAX {
            let (handler, known) = (self.handler, &mut self.known);
            let takes = |path: &str| {
                if known != path && handler.overlaps(path) {
                    path.clone_into(known);
                }
                known == path
            };
            let front = head::take(&mut self.fresh.buffered, self.limits.head_bytes_max, BODY_MAX, takes);
            let Front::Plain(plain) = front else { return front };
            let mut answering = self.handle(plain);
            begun.push(match answering.as_mut().poll(cx) {
                Poll::Ready(response) => Begun::Answered(response),
                Poll::Pending => Begun::Waits(answering),
            });
        }
        Front::Partial
    }

    fn handle(&self, plain: Plain) -> Answering<'a> {
        let Plain { path, raw_query, headers, body } = plain;
        let gzip = compress::wanted(&headers);
        let peer = self.fresh.peer;
        let request = Request {
            method: http_types::Method::POST,
            path,
            tail: String::new(),
            query: raw_query.as_deref().map(Query::parse).unwrap_or_default(),
            raw_query,
            headers,
            peer,
            body: Body::whole(body),
        };
        let handler = self.handler;
        Box::pin(async move {
            let handling = AssertUnwindSafe(handler.handle(request)).catch_unwind();
            let response = handling.await.unwrap_or_else(|_| {
                tracing::error!(%peer, "a request's handler panicked");
                Response::internal_error()
            });
            if gzip { compress::compress(response).await } else { response }
        })
    }

    /// Puts an answer behind those that wait to be written. False when the connection is over.
    async fn answer(&mut self, response: Response) -> bool {
        push_head(&mut self.out, &response, &mut self.date);
        match response.payload {
            Payload::Empty => {}
            Payload::Whole(body) => self.out.extend_from_slice(&body),
            Payload::Stream(stream) => return self.stream(stream).await,
        }
        self.out.len() < WRITE_BYTES || self.flush().await
    }

    async fn flush(&mut self) -> bool {
        let written = write(&self.fresh.stream, &self.out, self.limits.body_patience).await;
        self.out.clear();
        if self.out.capacity() > WRITE_BYTES {
            self.out = Vec::new();
        }
        if let Err(error) = &written {
            tracing::debug!(peer = %self.fresh.peer, %error, "a connection broke");
        }
        written.is_ok()
    }

    /// Writes a stream out to its end. False when it is over before.
    async fn stream(&mut self, mut stream: StreamBody) -> bool {
        let cut = Arc::new(Notify::new());
        stream.attach(&cut);
        tokio::select! {
            ended = self.carry(&mut stream) => ended,
            () = cut.notified() => {
                tracing::info!(peer = %self.fresh.peer, "closed the connection of a reader that fell behind");
                false
            }
        }
    }

    async fn carry(&mut self, stream: &mut StreamBody) -> bool {
        loop {
            // The head goes out by itself: its reader waits for it, and a record may be long in coming.
            if !self.out.is_empty() && !self.flush().await {
                return false;
            }
            let socket = &self.fresh.stream;
            let gathered = tokio::select! {
                biased;
                gathered = poll_fn(|cx| gather(stream, &mut self.out, cx)) => gathered,
                // Ready once the reader has closed its side. What it may send meanwhile is not looked at.
                _ = socket.ready(Interest::PRIORITY) => return false,
            };
            match gathered {
                Gathered::Some => {}
                Gathered::End => {
                    self.out.extend_from_slice(b"0\r\n\r\n");
                    return self.flush().await;
                }
                Gathered::Cut => return false,
            }
        }
    }
}

/// A request under way.
enum Begun<'a> {
    Answered(Response),
    Waits(Answering<'a>),
}

/// What the queue of a stream held.
enum Gathered {
    Some,
    End,
    Cut,
}

/// Takes the records that wait, each as one chunk.
fn gather(stream: &mut StreamBody, out: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<Gathered> {
    while out.len() < WRITE_BYTES {
        match stream.poll_record(cx) {
            Poll::Ready(Some(Ok(record))) => {
                write!(out, "{:X}\r\n", record.len()).expect("memory takes all bytes");
                out.extend_from_slice(&record);
                out.extend_from_slice(b"\r\n");
            }
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Gathered::Cut),
            // What was gathered goes first; the end is still there at the next look.
            Poll::Ready(None) if out.is_empty() => return Poll::Ready(Gathered::End),
            Poll::Ready(None) => return Poll::Ready(Gathered::Some),
            Poll::Pending if out.is_empty() => return Poll::Pending,
            Poll::Pending => return Poll::Ready(Gathered::Some),
        }
    }
    Poll::Ready(Gathered::Some)
}

/// Writes all of it, as long as the peer takes some now and then.
async fn write(stream: &TcpStream, bytes: &[u8], patience: Duration) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let count = match stream.try_write(rest) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match timeout(patience, stream.writable()).await {
                    Ok(ready) => ready?,
                    Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")),
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        rest = &rest[count..];
    }
    Ok(())
}

/// The header `Date`, made anew once a second.
#[derive(Default)]
struct Date {
    second: u64,
    text: String,
}

impl Date {
    fn now(&mut self) -> &str {
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.text.is_empty() || second != self.second {
            self.second = second;
            self.text = httpdate::fmt_http_date(now);
        }
        &self.text
    }
}

/// Appends a head with the names, their case and their order that hyper gives them.
fn push_head(out: &mut Vec<u8>, response: &Response, date: &mut Date) {
    let status = response.status;
    write!(out, "HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default())
        .expect("memory takes all bytes");
    for (name, value) in response.headers.iter() {
        push_name(out, name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    match &response.payload {
        Payload::Empty => out.extend_from_slice(b"Content-Length: 0\r\n"),
        Payload::Whole(body) => {
            write!(out, "Content-Length: {}\r\n", body.len()).expect("memory takes all bytes");
        }
        Payload::Stream(_) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date.now().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

fn push_name(out: &mut Vec<u8>, name: &HeaderName) {
    let mut first = true;
    for byte in name.as_str().bytes() {
        out.push(if first { byte.to_ascii_uppercase() } else { byte });
        first = byte == b'-';
    }
}
