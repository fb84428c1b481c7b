//! gzip for large bodies of clients that accept it.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_types::{HeaderMap, HeaderValue, header};

use crate::negotiate::encoding_accepted;
use crate::response::{Payload, Response};

/// Mesos compresses bodies of this many bytes and more.
const BODY_MIN: usize = 1024;

/// Bodies above this are compressed on a thread that may block.
const INLINE_MAX: usize = 64 * 1024;

/// Whether the client that sent these headers takes gzip.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    encoding_accepted(headers, "gzip")
}

/// Compresses the body if it is large enough and not encoded yet.
pub(crate) async fn compress(mut response: Response) -> Response {
    let Payload::Whole(body) = &response.payload else { return response };
    if body.len() < BODY_MIN || response.headers.contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let body = body.clone();
    let packed = if body.len() <= INLINE_MAX {
        gzip(&body)
    } else {
        tokio::task::spawn_blocking(move || gzip(&body)).await.ok().flatten()
    };
    if let Some(packed) = packed {
        response.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response.payload = Payload::Whole(packed);
    }
    response
}

fn gzip(body: &[u8]) -> Option<Bytes> {
    // The fastest level: a state document shrinks tenfold with it already, at a third of the time.
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}
