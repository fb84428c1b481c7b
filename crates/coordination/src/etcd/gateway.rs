//! Requests to etcd, as JSON over HTTP: the gateway that every server has beside its gRPC (`/v3/kv/range` and so on).
//!
//! A request goes to the server that answered last, and to the others in turn when that one does not. So a request may
//! be carried out twice: each that we make bears that.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Answer, Call, Client, ClientError, ClientLimits, Events, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::Url;

/// How long to wait before the same is tried again.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

/// A server that says nothing for this long is passed over, at least.
const ANSWER_MIN: Duration = Duration::from_millis(400);

/// Servers that are asked in the time of a session.
const SERVERS_ASKED: u32 = 8;

/// etcd's port, where the address names none.
const PORT: u16 = 2379;

/// Bytes of one line of a watch. Servers send no message that is much larger than 2 MB.
const LINE_MAX: usize = 64 << 20;

const JSON: &str = "application/json";

/// Why a request was not carried out, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No server has answered, or the one that did cannot at the moment. What became of the request is not known.
    #[error("{0}")]
    Passing(String),
    /// The lease is not there any more.
    #[error("the lease has ended")]
    LeaseEnded,
    /// The revision that was asked for is not kept any more.
    #[error("the revision is compacted")]
    Compacted,
    /// The request is none that may be made.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Passing(_) => true,
            Self::LeaseEnded | Self::Compacted | Self::Refused(_) => false,
        }
    }
}

/// What a server says when it refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    message: String,
    error: String,
    code: u32,
}

/// The codes of gRPC that matter here.
mod code {
    pub(super) const INVALID: u32 = 3;
    pub(super) const NOT_FOUND: u32 = 5;
    pub(super) const PERMISSION: u32 = 7;
    pub(super) const PRECONDITION: u32 = 9;
    pub(super) const OUT_OF_RANGE: u32 = 11;
    pub(super) const UNIMPLEMENTED: u32 = 12;
    pub(super) const UNAUTHENTICATED: u32 = 16;
}

impl Refusal {
    fn of(answer: &Answer) -> Self {
        // Behind the JSON the gateway writes trailers as if they were part of the body.
        let first = serde_json::Deserializer::from_slice(&answer.body).into_iter::<Self>().next();
        match first {
            Some(Ok(refusal)) if refusal.code > 0 => refusal,
            _ => {
                let text: String = answer.text().chars().take(200).collect();
                // Another program listens there, or the gateway is switched off.
                let missing = answer.status == StatusCode::NOT_FOUND;
                let hint = if missing { "; its gateway must be on (--enable-grpc-gateway)" } else { "" };
                let message = format!("no answer of etcd's: {} {}{hint}", answer.status, text.trim());
                let code = if missing { code::UNIMPLEMENTED } else { 0 };
                Self { message, error: String::new(), code }
            }
        }
    }

    fn into_error(self) -> Error {
        let message = if self.message.is_empty() { self.error } else { self.message };
        match self.code {
            code::NOT_FOUND => Error::LeaseEnded,
            code::OUT_OF_RANGE => Error::Compacted,
            code::INVALID
            | code::PERMISSION
            | code::PRECONDITION
            | code::UNIMPLEMENTED
            | code::UNAUTHENTICATED => Error::Refused(message),
            // No leader, too many requests, no space: it may be well in a moment.
            _ => Error::Passing(message),
        }
    }
}

/// A way to the servers.
pub(crate) struct Gateway {
    servers: Vec<String>,
    credentials: Option<(String, String)>,
    limits: ClientLimits,
    /// Which server is asked.
    at: usize,
    client: Client,
    token: Option<String>,
}

impl Gateway {
    /// A way to the servers of `url`. A server that is silent for a part of `session` is passed over.
    pub(crate) fn new(url: &Url, session: Duration) -> Self {
        let servers: Vec<String> = url.servers.split(',').map(with_port).collect();
        let answer = (session / SERVERS_ASKED).max(ANSWER_MIN);
        let limits = ClientLimits { connect: answer, answer, redirects_max: 0, ..ClientLimits::default() };
        let credentials = url.credentials.as_ref().and_then(|text| text.split_once(':'));
        let client = Client::with_limits(servers[0].clone(), limits.clone());
        Self {
            credentials: credentials.map(|(name, password)| (name.to_owned(), password.to_owned())),
            servers,
            limits,
            at: 0,
            client,
            token: None,
        }
    }

    /// Which server is asked now.
    pub(crate) fn server(&self) -> &str {
        &self.servers[self.at]
    }

    /// Makes a request of the first server that answers.
    pub(crate) async fn call<A: DeserializeOwned>(&mut self, path: &str, body: &Value) -> Result<A, Error> {
        let mut last = Error::Passing("there is no server".to_owned());
        for _ in 0..self.servers.len() {
            match self.call_one(path, body).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_passing() => {
                    self.turn();
                    last = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn call_one<A: DeserializeOwned>(&mut self, path: &str, body: &Value) -> Result<A, Error> {
        let body = Bytes::from(body.to_string());
        for fresh in [false, true] {
            self.sign_in(fresh).await?;
            let call = self.request(path, body.clone());
            let answer = self.client.call(call).await.map_err(|error| lost(&error))?;
            if answer.status.is_success() {
                return serde_json::from_slice(&answer.body).map_err(|error| {
                    Error::Passing(format!("{} answered what is not etcd's: {error}", self.server()))
                });
            }
            let refusal = Refusal::of(&answer);
            // Tokens grow old.
            let again = refusal.code == code::UNAUTHENTICATED && self.token.is_some() && !fresh;
            if !again {
                return Err(refusal.into_error());
            }
        }
        Err(Error::Refused("the token that was just given is not taken".to_owned()))
    }

    /// A stream of lines of JSON. It has a connection of its own.
    pub(crate) async fn stream(&mut self, path: &str, body: &Value) -> Result<Lines, Error> {
        self.sign_in(false).await?;
        let mut client = Client::with_limits(self.server(), self.limits.clone());
        let call = self.request(path, Bytes::from(body.to_string()));
        let opening = client.subscribe(call).await;
        let events = opening.map_err(|error| match error {
            ClientError::Refused(answer) => Refusal::of(&answer).into_error(),
            error => lost(&error),
        })?;
        Ok(Lines { events, server: self.server().to_owned(), rest: Vec::new() })
    }

    fn request(&self, path: &str, body: Bytes) -> Call {
        let call = Call::post(format!("/v3/{path}"), JSON, body);
        match &self.token {
            Some(token) => call.header("authorization", token),
            None => call,
        }
    }

    /// Has a token, if there is a user; another one if need be.
    async fn sign_in(&mut self, fresh: bool) -> Result<(), Error> {
        let Some((name, password)) = &self.credentials else { return Ok(()) };
        if self.token.is_some() && !fresh {
            return Ok(());
        }
        let body = json!({"name": name, "password": password}).to_string();
        let call = Call::post("/v3/auth/authenticate", JSON, body);
        let answer = self.client.call(call).await.map_err(|error| lost(&error))?;
        if !answer.status.is_success() {
            return Err(Refusal::of(&answer).into_error());
        }
        let token: Token = serde_json::from_slice(&answer.body)
            .map_err(|error| Error::Refused(format!("no token was given: {error}")))?;
        self.token = Some(token.token);
        Ok(())
    }

    /// Turns to the next server.
    fn turn(&mut self) {
        self.at = (self.at + 1) % self.servers.len();
        self.client = Client::with_limits(self.servers[self.at].clone(), self.limits.clone());
    }
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

fn lost(error: &ClientError) -> Error {
    Error::Passing(error.in_full())
}

fn with_port(server: &str) -> String {
    let named = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let whole_v6 = server.starts_with('[') && server.ends_with(']');
    if named && !whole_v6 { server.to_owned() } else { format!("{server}:{PORT}") }
}

/// An answer that goes on and on.
pub(crate) struct Lines {
    events: Events,
    server: String,
    rest: Vec<u8>,
}

impl Lines {
    /// Who sends it.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The next line. A call that is dropped half way loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Value, Error> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map_err(|error| Error::Passing(format!("a line that is no JSON: {error}")));
            }
            match self.events.chunk().await.map_err(|error| lost(&error))? {
                Some(_) if self.rest.len() > LINE_MAX => {
                    return Err(Error::Passing("a line without an end".to_owned()));
                }
                Some(piece) => self.rest.extend_from_slice(&piece),
                None => return Err(Error::Passing("the server ended the stream".to_owned())),
            }
        }
    }
}

/// Bytes as requests have them.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// The end of the range of keys that begin so.
pub(crate) fn after(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // Prefixes end with a slash.
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// A key and its value.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pair {
    #[serde(deserialize_with = "base64")]
    pub(crate) key: Vec<u8>,
    #[serde(default, deserialize_with = "base64")]
    pub(crate) value: Vec<u8>,
    #[serde(default, deserialize_with = "number")]
    pub(crate) mod_revision: i64,
}

/// What precedes every answer.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Header {
    #[serde(default, deserialize_with = "number")]
    pub(crate) revision: i64,
}

/// The answer to `kv/range`.
#[derive(Debug, Deserialize)]
pub(crate) struct Range {
    pub(crate) header: Header,
    #[serde(default)]
    pub(crate) kvs: Vec<Pair>,
    #[serde(default)]
    pub(crate) more: bool,
}

/// The answer to `kv/txn`. What its requests answered is not looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) header: Header,
    #[serde(default)]
    pub(crate) succeeded: bool,
}

/// An answer of which nothing matters.
#[derive(Debug, Deserialize)]
pub(crate) struct Done {}

/// The answer to `lease/grant`.
#[derive(Debug, Deserialize)]
pub(crate) struct Granted {
    #[serde(rename = "ID", deserialize_with = "number")]
    pub(crate) id: i64,
    #[serde(rename = "TTL", deserialize_with = "number")]
    pub(crate) seconds: i64,
}

/// The answer to `lease/keepalive`, which comes as a stream of one.
#[derive(Debug, Deserialize)]
pub(crate) struct Kept {
    pub(crate) result: Remains,
}

/// How long a lease remains; nothing for one that has ended.
#[derive(Debug, Deserialize)]
pub(crate) struct Remains {
    #[serde(default, rename = "TTL", deserialize_with = "number")]
    pub(crate) seconds: i64,
}

/// Numbers of 64 bits come as text.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("'{text}' is no number")))
}

fn base64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    /// What etcd 3.4 answered.
    const RANGE: &str = r#"{"header":{"cluster_id":"324952591200643719","member_id":"3319814642761637952","revision":"2",
        "raft_term":"2"},"kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"2","version":"1","value":"YmFy"}],
        "count":"1"}"#;

    #[test]
    fn answers_of_etcd_are_read() {
        let range: Range = serde_json::from_str(RANGE).unwrap();
        let pair = &range.kvs[0];
        assert_eq!((pair.key.as_slice(), pair.value.as_slice()), (&b"foo"[..], &b"bar"[..]));
        assert_eq!((pair.mod_revision, range.header.revision), (2, 2));
        assert!(!range.more);
        // A lease that is not there has no time left.
        let kept: Kept = serde_json::from_str(r#"{"result":{"header":{"revision":"3"},"ID":"77"}}"#).unwrap();
        assert_eq!(kept.result.seconds, 0);
        for bad in [r#"{"header":{"revision":"x"}}"#, r#"{"header":{},"kvs":[{"key":"*"}]}"#, "[]", "{}"] {
            assert!(serde_json::from_str::<Range>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let check = |status: u16, body: &str, passing: bool, message: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let answer =
                Answer { status, headers: HeaderMap::new(), body: Bytes::from(body.as_bytes().to_vec()) };
            let error = Refusal::of(&answer).into_error();
            assert_eq!((error.is_passing(), error.to_string().as_str()), (passing, message));
        };
        let gone = r#"{"error":"etcdserver: requested lease not found","message":"etcdserver: requested lease not found","code":5}Grpc-Trailer-Content-Type: application/grpc"#;
        check(404, gone, false, "the lease has ended");
        check(503, r#"{"error":"etcdserver: no leader","code":14}"#, true, "etcdserver: no leader");
        check(
            401,
            r#"{"error":"etcdserver: invalid auth token","code":16}"#,
            false,
            "etcdserver: invalid auth token",
        );
        let other =
            "no answer of etcd's: 404 Not Found Not Found; its gateway must be on (--enable-grpc-gateway)";
        check(404, "Not Found", false, other);
        check(500, "<html>", true, "no answer of etcd's: 500 Internal Server Error <html>");
    }

    #[test]
    fn ports_are_those_of_etcd() {
        for (given, expected) in
            [("h", "h:2379"), ("h:1", "h:1"), ("[::1]", "[::1]:2379"), ("[::1]:7", "[::1]:7")]
        {
            assert_eq!(with_port(given), expected);
        }
        assert_eq!(after("/mesos/"), b"/mesos0");
    }
}
