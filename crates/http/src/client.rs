//! A small HTTP/1.1 client for our own programs and tests: one request at a time per connection, with bounds on time and
//! size, and the redirects of a standby master followed.
//!
//! It does not decide when to try again; that is its caller's business.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use http_types::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use proto::recordio::Decoder;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connection::tune;

/// What a client grants the server.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// Time to connect.
    pub connect: Duration,
    /// Time from sending a request to the head of its answer, and between two pieces of its body.
    pub answer: Duration,
    /// Bytes of an answer's body.
    pub body_bytes_max: usize,
    /// Redirects followed for one request.
    pub redirects_max: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            body_bytes_max: 1 << 30,
            redirects_max: 5,
        }
    }
}

/// One request to make.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Headers, but for `Host` and those of the framing.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A GET of `target`.
    pub fn get(target: impl Into<String>) -> Self {
        Self { method: Method::GET, target: target.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A POST of a body; its type is also the one asked of the answer.
    pub fn post(target: impl Into<String>, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let media_type = HeaderValue::from_static(media_type);
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, media_type.clone()), (header::ACCEPT, media_type)]);
        Self { method: Method::POST, target: target.into(), headers, body: body.into() }
    }

    /// Adds a header. A value that cannot stand in one leaves it out.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where to.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The address, path or a header cannot be written as a request.
    #[error("not a request that can be made: {0}")]
    Unspeakable(String),
    /// The connection failed with the request under way. Whether the server acted on it is unknown.
    #[error("the connection to {address} failed")]
    Broken {
        /// Where to.
        address: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// Nothing came in time.
    #[error("no answer from {0} in time")]
    TimedOut(String),
    /// The answer is larger than the limit.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// More redirects than the limit, or one that leads nowhere.
    #[error("cannot follow the redirect to '{0}'")]
    Redirect(String),
    /// A stream was asked for and the server answered otherwise.
    #[error("refused with {}: {}", .0.status, .0.text())]
    Refused(Box<Answer>),
    /// A stream's bytes are no records.
    #[error("the stream is not in RecordIO format: {0}")]
    Framing(String),
}

impl ClientError {
    /// The error with what caused it, in one line: for logs and messages that show no chain of sources.
    #[must_use]
    pub fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut error: &dyn std::error::Error = self;
        while let Some(source) = error.source() {
            text.push_str(": ");
            text.push_str(&source.to_string());
            error = source;
        }
        text
    }
}

/// A client of one server, with one connection that is kept between requests.
pub struct Client {
    address: String,
    limits: ClientLimits,
    open: Option<Open>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.address)
    }
}

/// An open connection. Dropping it closes the socket.
struct Open {
    requests: SendRequest<Full<Bytes>>,
    driver: JoinSet<()>,
}

impl Client {
    /// A client of the server at `address`, which is `host:port`. Connects on the first request.
    pub fn new(address: impl Into<String>) -> Self {
        Self::with_limits(address, ClientLimits::default())
    }

    /// The same with other limits.
    pub fn with_limits(address: impl Into<String>, limits: ClientLimits) -> Self {
        Self { address: address.into(), limits, open: None }
    }

    /// Where requests go now: after a redirect, the leader.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Closes the connection; the next request opens another.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Makes a request and reads its whole answer. Redirects are followed and remembered.
    pub async fn call(&mut self, mut call: Call) -> Result<Answer, ClientError> {
        for _ in 0..=self.limits.redirects_max {
            let response = self.send(&call).await?;
            let answer = self.whole(response).await?;
            let Some(location) = redirect(&answer) else { return Ok(answer) };
            let location = location.to_owned();
            self.follow(&mut call, &location)?;
        }
        Err(ClientError::Redirect(call.target))
    }

    /// Makes a request whose answer is a stream, which takes the connection over. Redirects are followed.
    pub async fn subscribe(&mut self, mut call: Call) -> Result<Events, ClientError> {
        for _ in 0..=self.limits.redirects_max {
            self.close();
            let response = self.send(&call).await?;
            if response.status() == StatusCode::OK {
                let driver = self.open.take().map(|open| open.driver).unwrap_or_default();
                let (parts, body) = response.into_parts();
                let address = self.address.clone();
                return Ok(Events::new(parts.headers, body, driver, address, self.limits.body_bytes_max));
            }
            let answer = self.whole(response).await?;
            let Some(location) = redirect(&answer) else {
                return Err(ClientError::Refused(Box::new(answer)));
            };
            let location = location.to_owned();
            self.follow(&mut call, &location)?;
        }
        Err(ClientError::Redirect(call.target))
    }

    async fn send(&mut self, call: &Call) -> Result<hyper::Response<Incoming>, ClientError> {
        let mut request = self.request(call)?;
        loop {
            let reused = self.open.is_some();
            if !reused {
                self.open = Some(self.connect().await?);
            }
            let requests = &mut self.open.as_mut().expect("it was opened above").requests;
            let sent = timeout(self.limits.answer, async {
                // A failure shows again in the sending, which gives the request back.
                let _ = requests.ready().await;
                requests.try_send_request(request).await
            });
            let error = match sent.await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(mut error)) => match error.take_message() {
                    // The server closed a kept connection, and nothing of this request was sent on it.
                    Some(unsent) if reused => {
                        self.open = None;
                        request = unsent;
                        continue;
                    }
                    _ => ClientError::Broken { address: self.address.clone(), source: error.into_error() },
                },
                Err(_) => ClientError::TimedOut(self.address.clone()),
            };
            self.open = None;
            return Err(error);
        }
    }

    fn request(&self, call: &Call) -> Result<hyper::Request<Full<Bytes>>, ClientError> {
        head(&self.address, call, Full::new(call.body.clone()))
    }

    async fn connect(&self) -> Result<Open, ClientError> {
        let failed = |source| ClientError::Connect { address: self.address.clone(), source };
        let connecting = timeout(self.limits.connect, TcpStream::connect(&self.address));
        let stream =
            connecting.await.map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
        tune(&stream);
        let shaking = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await;
        let (requests, connection) =
            shaking.map_err(|source| ClientError::Broken { address: self.address.clone(), source })?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // A failure shows in the request or the body that it belongs to.
            let _ = connection.await;
        });
        Ok(Open { requests, driver })
    }

    async fn whole(&mut self, response: hyper::Response<Incoming>) -> Result<Answer, ClientError> {
        let (parts, mut body) = response.into_parts();
        let read = read_body(&mut body, &self.limits, &self.address).await;
        if read.is_err() {
            self.open = None;
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body: read? })
    }

    /// Turns `call` and this client towards `location`: `//host:port/path`, `http://host:port/path` or a path.
    fn follow(&mut self, call: &mut Call, location: &str) -> Result<(), ClientError> {
        let refused = || ClientError::Redirect(location.to_owned());
        let rest = match location.strip_prefix("http:").unwrap_or(location).strip_prefix("//") {
            Some(rest) => rest,
            None if location.starts_with('/') => {
                call.target = location.to_owned();
                return Ok(());
            }
            None => return Err(refused()),
        };
        let (address, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        if !address.contains(':') {
            return Err(refused());
        }
        if address != self.address {
            self.close();
            self.address = address.to_owned();
        }
        call.target = path.to_owned();
        Ok(())
    }
}

/// The request around a body.
pub(crate) fn head<B>(address: &str, call: &Call, body: B) -> Result<hyper::Request<B>, ClientError> {
    let unspeakable = |error: &dyn fmt::Display| ClientError::Unspeakable(error.to_string());
    let mut request = hyper::Request::new(body);
    *request.method_mut() = call.method.clone();
    *request.uri_mut() =
        call.target.parse().map_err(|error: http_types::uri::InvalidUri| unspeakable(&error))?;
    *request.headers_mut() = call.headers.clone();
    let host = HeaderValue::from_str(address).map_err(|error| unspeakable(&error))?;
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}

fn redirect(answer: &Answer) -> Option<&str> {
    let redirects = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];
    redirects.contains(&answer.status).then(|| answer.header("location")).flatten()
}

pub(crate) async fn read_body(
    body: &mut Incoming,
    limits: &ClientLimits,
    address: &str,
) -> Result<Bytes, ClientError> {
    let mut all = BytesMut::new();
    while !body.is_end_stream() {
        let next = timeout(limits.answer, body.frame()).await;
        let Some(frame) = next.map_err(|_| ClientError::TimedOut(address.to_owned()))? else { break };
        let frame = frame.map_err(|source| ClientError::Broken { address: address.to_owned(), source })?;
        let Some(data) = frame.data_ref() else { continue };
        if all.len() + data.len() > limits.body_bytes_max {
            return Err(ClientError::TooLarge(limits.body_bytes_max));
        }
        all.extend_from_slice(data);
    }
    Ok(all.freeze())
}

/// The records of a streaming answer. Dropping it closes the connection.
pub struct Events {
    /// The headers of the answer, such as `Mesos-Stream-Id`.
    pub headers: HeaderMap,
    body: Incoming,
    records: Decoder,
    address: String,
    _driver: JoinSet<()>,
}

impl Events {
    fn new(
        headers: HeaderMap,
        body: Incoming,
        driver: JoinSet<()>,
        address: String,
        record_max: usize,
    ) -> Self {
        Self { headers, body, records: Decoder::new(record_max), address, _driver: driver }
    }

    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next record, `None` when the server has ended the stream. Waits without a limit: whether the silence is too
    /// long is told by the heartbeats. A call that is dropped half way loses nothing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let record =
                self.records.next_record().map_err(|error| ClientError::Framing(error.to_string()))?;
            if record.is_some() {
                return Ok(record);
            }
            match self.chunk().await? {
                Some(piece) => self.records.feed(&piece),
                None if self.records.is_at_border() => return Ok(None),
                None => return Err(ClientError::Framing("it ends within a record".to_owned())),
            }
        }
    }

    /// The next piece of a body that is no RecordIO, however it was cut on its way; `None` at its end. Waits without a
    /// limit. A call that is dropped half way loses nothing.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame =
                frame.map_err(|source| ClientError::Broken { address: self.address.clone(), source })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}
