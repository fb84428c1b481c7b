//! Answers with the bodies, types and headers that Mesos gives them.
//!
//! `Date`, `Content-Length` and `Transfer-Encoding` are added when an answer is written, never here.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_types::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::body::{Frame, SizeHint};

use crate::stream::{Cut, StreamBody};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// One answer.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those of the framing. Boxed, so that an answer is small enough to be an error value.
    pub headers: Box<HeaderMap>,
    /// The body.
    pub payload: Payload,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Payload {
    /// None: `Content-Length: 0`.
    Empty,
    /// All of it at once.
    Whole(Bytes),
    /// Records as they come, chunked.
    Stream(StreamBody),
}

impl Response {
    /// A status alone, no body and no type.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Box::default(), payload: Payload::Empty }
    }

    /// `200 OK` without a body: what calls that only do something answer.
    pub fn ok() -> Self {
        Self::empty(StatusCode::OK)
    }

    /// `202 Accepted` without a body.
    pub fn accepted() -> Self {
        Self::empty(StatusCode::ACCEPTED)
    }

    /// A body of a given type.
    pub fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = Self::empty(status);
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.payload = Payload::Whole(body.into());
        response
    }

    /// `200 OK` with a JSON document.
    pub fn ok_json(body: impl Into<Bytes>) -> Self {
        let mut response = Self::ok();
        response.headers.insert(header::CONTENT_TYPE, JSON);
        response.payload = Payload::Whole(body.into());
        response
    }

    /// `200 OK` with a JSON document, wrapped in a call if the request asked for JSONP (`?jsonp=name`).
    pub fn ok_jsonp(body: impl Into<Bytes>, jsonp: Option<&str>) -> Self {
        let body = body.into();
        let Some(callback) = jsonp else { return Self::ok_json(body) };
        let mut script = Vec::with_capacity(callback.len() + body.len() + 2);
        script.extend_from_slice(callback.as_bytes());
        script.push(b'(');
        script.extend_from_slice(&body);
        script.push(b')');
        let mut response = Self::ok();
        response.headers.insert(header::CONTENT_TYPE, JAVASCRIPT);
        response.payload = Payload::Whole(script.into());
        response
    }

    /// A text, which may be empty: it has its type all the same.
    pub fn text(status: StatusCode, message: impl Into<String>) -> Self {
        let mut response = Self::empty(status);
        response.headers.insert(header::CONTENT_TYPE, TEXT);
        response.payload = Payload::Whole(message.into().into());
        response
    }

    /// `400` with a reason.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::text(StatusCode::BAD_REQUEST, message)
    }

    /// `401` with a challenge such as `Basic realm="mesos-master-readonly"`.
    pub fn unauthorized(challenge: &str) -> Self {
        Self::text(StatusCode::UNAUTHORIZED, "401 Unauthorized.").header(header::WWW_AUTHENTICATE, challenge)
    }

    /// `403` with the text of Mesos.
    pub fn forbidden() -> Self {
        Self::text(StatusCode::FORBIDDEN, "403 Forbidden.")
    }

    /// `404` with the text of Mesos.
    pub fn not_found() -> Self {
        Self::text(StatusCode::NOT_FOUND, "404 Not Found.")
    }

    /// `405` with `Allow` and the text of Mesos.
    pub fn method_not_allowed(allowed: &[Method], received: &Method) -> Self {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let body = format!(
            "405 Method Not Allowed. Expecting one of {{ '{}' }}, but received '{received}'.",
            names.join("', '")
        );
        Self::text(StatusCode::METHOD_NOT_ALLOWED, body).header(header::ALLOW, &names.join(", "))
    }

    /// `406` with a reason.
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::text(StatusCode::NOT_ACCEPTABLE, message)
    }

    /// `409` with a reason.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::text(StatusCode::CONFLICT, message)
    }

    /// `415` with a reason.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// `500` with the text of Mesos.
    pub fn internal_error() -> Self {
        Self::text(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error.")
    }

    /// `501` with the text of Mesos.
    pub fn not_implemented() -> Self {
        Self::text(StatusCode::NOT_IMPLEMENTED, "501 Not Implemented.")
    }

    /// `503` with a reason.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::text(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// `307` to `location`, which is scheme-less (`//host:port/path?query`), with an empty body.
    pub fn redirect(location: &str) -> Self {
        Self::empty(StatusCode::TEMPORARY_REDIRECT).header(header::LOCATION, location)
    }

    /// `200` whose body is a stream of records.
    pub fn stream(content_type: &'static str, body: StreamBody) -> Self {
        let mut response = Self::ok();
        response.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.payload = Payload::Stream(body);
        response
    }

    /// Sets a header. A value that cannot stand in one (control characters) leaves it out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The body, if it is there as a whole: for tests and for logs.
    pub fn whole(&self) -> Option<&[u8]> {
        match &self.payload {
            Payload::Empty => Some(&[]),
            Payload::Whole(bytes) => Some(bytes),
            Payload::Stream(_) => None,
        }
    }

    pub(crate) fn into_hyper(self) -> http_types::Response<Payload> {
        let mut response = http_types::Response::new(self.payload);
        *response.status_mut() = self.status;
        *response.headers_mut() = *self.headers;
        response
    }
}

impl hyper::body::Body for Payload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(stream) => {
                stream.poll_record(cx).map(|record| record.map(|record| record.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_not_allowed_has_the_words_of_mesos() {
        let response = Response::method_not_allowed(&[Method::POST], &Method::GET);
        assert_eq!(response.headers["allow"], "POST");
        let body = "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.";
        assert_eq!(response.whole(), Some(body.as_bytes()));
        let response = Response::method_not_allowed(&[Method::GET, Method::PUT], &Method::POST);
        assert_eq!(response.headers["allow"], "GET, PUT");
        let body = "405 Method Not Allowed. Expecting one of { 'GET', 'PUT' }, but received 'POST'.";
        assert_eq!(response.whole(), Some(body.as_bytes()));
    }

    #[test]
    fn jsonp_wraps() {
        let response = Response::ok_jsonp("{}", Some("cb"));
        assert_eq!(response.whole(), Some(&b"cb({})"[..]));
        assert_eq!(response.headers["content-type"], "text/javascript");
        assert_eq!(Response::ok_jsonp("{}", None).headers["content-type"], "application/json");
    }
}
