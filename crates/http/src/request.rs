//! What a handler is given: the request's parts, its decoded query and its body, whole or as a stream.
//!
//! Parsing only; it must not decide what is served.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use http_types::{HeaderMap, Method};
use hyper::body::{Body as _, Incoming};
use thiserror::Error;

/// One request. `B` is the body: collected [`Bytes`], or a [`Body`] for handlers that read it as it comes.
#[derive(Debug)]
pub struct Request<B = Bytes> {
    /// The method.
    pub method: Method,
    /// The path, never percent-decoded. A [`Router`](crate::Router) puts the process's name in front if it was left out.
    pub path: String,
    /// What follows the part of the path that named the handler, without slashes at its ends.
    pub tail: String,
    /// The query as it came, without the question mark.
    pub raw_query: Option<String>,
    /// The query, decoded.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// Who asks.
    pub peer: SocketAddr,
    /// The body.
    pub body: B,
}

impl<B> Request<B> {
    /// A header's value, if it is there and readable as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Path and query as they stand on a request line: what a redirect appends to the leader's address.
    pub fn target(&self) -> String {
        match &self.raw_query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The same request around another body.
    pub(crate) fn with_body<C>(self, body: C) -> (B, Request<C>) {
        let Self { method, path, tail, raw_query, query, headers, peer, body: old } = self;
        (old, Request { method, path, tail, raw_query, query, headers, peer, body })
    }
}

/// Decoded `name=value` pairs of a query or of a posted form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `a=b&c=d`, where `+` is a space. An escape that is none stays as it is written.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split(['&', ';']).filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decode(name), form_decode(value))
        });
        Self(pairs.collect())
    }

    /// The value of `name`. Of several the last one counts, as in Mesos.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All pairs in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn form_decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode(&spaced).unwrap_or(spaced)
}

/// Undoes percent-encoding. `None` if an escape is broken; bytes that are no UTF-8 are replaced.
pub fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// A request's body that has not been read yet.
#[derive(Debug)]
pub struct Body {
    source: Source,
    bytes_max: usize,
    stall: Duration,
}

#[derive(Debug)]
enum Source {
    /// It comes over the connection.
    Incoming(Incoming),
    /// It is there.
    Whole(Bytes),
}

/// Why a body could not be read.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It is larger than this server takes.
    #[error("Request body exceeds the limit of {0} bytes")]
    TooLarge(usize),
    /// The peer stopped sending in the middle of it.
    #[error("Timed out while reading the request body")]
    Stalled,
    /// The connection broke or the framing is wrong.
    #[error("Failed to read the request body: {0}")]
    Broken(#[source] hyper::Error),
}

impl Body {
    pub(crate) fn new(incoming: Incoming, bytes_max: usize, stall: Duration) -> Self {
        Self { source: Source::Incoming(incoming), bytes_max, stall }
    }

    /// A body that was read before.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { bytes_max: bytes.len(), source: Source::Whole(bytes), stall: Duration::MAX }
    }

    /// The next piece, `None` at the end. Pieces have nothing to do with record borders. The size bound of
    /// [`Body::collect`] does not apply; a handler that keeps the pieces must bound them.
    ///
    /// A streaming request may be silent for long (its records carry heartbeats), so this waits without a limit.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        let incoming = match &mut self.source {
            Source::Incoming(incoming) => incoming,
            Source::Whole(bytes) => return Ok(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty())),
        };
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The whole body, bounded in size and in the time between two pieces.
    pub async fn collect(mut self) -> Result<Bytes, BodyError> {
        let incoming = match self.source {
            Source::Whole(bytes) => return Ok(bytes),
            Source::Incoming(ref incoming) => incoming,
        };
        if incoming.is_end_stream() {
            return Ok(Bytes::new());
        }
        let promised = incoming.size_hint().lower();
        if usize::try_from(promised).map_or(true, |promised| promised > self.bytes_max) {
            return Err(BodyError::TooLarge(self.bytes_max));
        }
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        loop {
            let next =
                tokio::time::timeout(self.stall, self.chunk()).await.map_err(|_| BodyError::Stalled)?;
            let Some(piece) = next? else { break };
            if first.len() + all.len() + piece.len() > self.bytes_max {
                return Err(BodyError::TooLarge(self.bytes_max));
            }
            // A body of one piece, the usual case, is not copied.
            if first.is_empty() && all.is_empty() {
                first = piece;
            } else {
                if !first.is_empty() {
                    all.extend_from_slice(&first);
                    first = Bytes::new();
                }
                all.extend_from_slice(&piece);
            }
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_decodes() {
        let query = Query::parse("path=%2Fa+b&x&path=second&bad=%zz&u=%C3%BC");
        assert_eq!(query.get("path"), Some("second"));
        assert_eq!(query.get("x"), Some(""));
        assert_eq!(query.get("bad"), Some("%zz"));
        assert_eq!(query.get("u"), Some("ü"));
        assert_eq!(query.get("none"), None);
        assert_eq!(query.iter().next(), Some(("path", "/a b")));
    }

    #[test]
    fn percent_decoding_refuses_broken_escapes() {
        for (text, expected) in [
            ("slave(1)", Some("slave(1)")),
            ("slave%281%29", Some("slave(1)")),
            ("%4", None),
            ("%", None),
            ("%+1", None),
        ] {
            assert_eq!(percent_decode(text).as_deref(), expected, "{text}");
        }
    }
}
