//! HTTP to the daemon: one connection for each request, bounded in time and size, and the version of the API that both
//! sides speak.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use http_types::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::Error;

/// The versions that this client speaks. The daemon's own range decides within them.
const OURS_MIN: Version = Version(1, 24);
const OURS_MAX: Version = Version(1, 47);

/// How long the daemon may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a question may take. COMPAT(mesos): its `docker inspect` is given up after as long.
pub(crate) const QUICK: Duration = Duration::from_secs(5);

/// How long the daemon may take to do something.
pub(crate) const SLOW: Duration = Duration::from_secs(120);

/// What an answer may hold.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A client of one daemon. Clones share what is known of it.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    version: Arc<OnceLock<Version>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

/// What the daemon says of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    #[serde(default)]
    version: String,
    api_version: String,
    #[serde(default, rename = "MinAPIVersion")]
    min_api_version: String,
}

/// A request to make.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query below the version.
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Vec<u8>>,
    /// How long the daemon may take to answer; none for as long as it likes.
    pub(crate) patience: Option<Duration>,
}

/// An answer of which only the head has come, with the connection that brings the rest.
pub(crate) struct Opened {
    pub(crate) response: Response<Incoming>,
    pub(crate) what: String,
    /// Drives the connection; dropped with it.
    pub(crate) connection: JoinSet<()>,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Versions {
    /// The newest version that both speak.
    fn agreed(&self) -> Result<Version, Error> {
        let newest = Version::parse(&self.api_version);
        let oldest = Version::parse(&self.min_api_version).unwrap_or(OURS_MIN);
        match newest.map(|newest| newest.min(OURS_MAX)) {
            Some(agreed) if agreed >= oldest && agreed >= OURS_MIN => Ok(agreed),
            Some(_) | None => Err(Error::Version {
                theirs: format!("{} to {}", self.min_api_version, self.api_version),
                ours: format!("{OURS_MIN} to {OURS_MAX}"),
            }),
        }
    }
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::of(Method::GET, path, QUICK)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::of(Method::POST, path, SLOW)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::of(Method::DELETE, path, SLOW)
    }

    fn of(method: Method, path: impl Into<String>, patience: Duration) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: None, patience: Some(patience) }
    }

    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        Self { body: Some(body.to_string().into_bytes()), ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn patient(self, patience: Option<Duration>) -> Self {
        Self { patience, ..self }
    }
}

impl Client {
    /// A client of the daemon that listens there. Nothing is asked of it yet.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), version: Arc::default() }
    }

    /// Where the daemon listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks the daemon who it is, and agrees on a version of the API. Returns the daemon's own version.
    pub async fn hello(&self) -> Result<String, Error> {
        let opened = self.send(Call::get("/version"), "").await?;
        let versions: Versions = opened.json(QUICK).await?;
        let agreed = versions.agreed()?;
        // Another task may have found out at the same time.
        let _ = self.version.set(agreed);
        Ok(versions.version)
    }

    /// Sends a request and waits for the head of a good answer.
    pub(crate) async fn open(&self, call: Call) -> Result<Opened, Error> {
        if self.version.get().is_none() {
            Box::pin(self.hello()).await?;
        }
        let version = self.version.get().copied().unwrap_or(OURS_MIN);
        self.send(call, &format!("/v{version}")).await
    }

    /// The whole answer as JSON.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let patience = call.patience.unwrap_or(SLOW);
        self.open(call).await?.json(patience).await
    }

    /// Only whether it was done.
    pub(crate) async fn order(&self, call: Call) -> Result<(), Error> {
        let patience = call.patience.unwrap_or(SLOW);
        self.open(call).await?.bytes(patience).await.map(|_| ())
    }

    async fn send(&self, call: Call, prefix: &str) -> Result<Opened, Error> {
        let what = format!("{} {}", call.method, call.path);
        let unreachable = |why| Error::Unreachable { socket: self.socket.clone(), why };
        let connecting = timeout(CONNECT, UnixStream::connect(&self.socket)).await;
        let stream = connecting.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(unreachable)?;
        let broken = |why: hyper::Error| Error::Broken { what: what.clone(), why: why.to_string() };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What goes wrong shows in the answer.
            let _ = connection.with_upgrades().await;
        });
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("{prefix}{}", call.path))
            .header(header::HOST, "docker");
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(call.body.unwrap_or_default())));
        let request =
            request.map_err(|why| Error::Unreadable { what: what.clone(), why: why.to_string() })?;
        let answering = sender.send_request(request);
        let response = match call.patience {
            None => answering.await,
            Some(after) => match timeout(after, answering).await {
                Ok(response) => response,
                Err(_) => return Err(Error::TimedOut { what, after }),
            },
        };
        let response = response.map_err(broken)?;
        let status = response.status();
        let opened = Opened { response, what, connection: driver };
        if status.is_success() || status.is_redirection() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(opened);
        }
        Err(opened.refusal(status).await)
    }
}

impl Opened {
    /// The rest of the answer.
    pub(crate) async fn bytes(self, patience: Duration) -> Result<Bytes, Error> {
        let Self { response, what, connection } = self;
        let mut body = response.into_body();
        let mut bytes = BytesMut::new();
        loop {
            let frame = match timeout(patience, body.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Err(Error::TimedOut { what, after: patience }),
            };
            match frame {
                None => break,
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if bytes.len() + data.len() > ANSWER_BYTES_MAX {
                        let why = format!("it is larger than {ANSWER_BYTES_MAX} bytes");
                        return Err(Error::Unreadable { what, why });
                    }
                    bytes.extend_from_slice(&data);
                }
                Some(Err(why)) => return Err(Error::Broken { what, why: why.to_string() }),
            }
        }
        drop(connection);
        Ok(bytes.freeze())
    }

    /// The rest of the answer line by line, however many there are.
    pub(crate) async fn lines(self, patience: Duration, take: &mut impl FnMut(&[u8])) -> Result<(), Error> {
        let Self { response, what, connection } = self;
        let mut body = response.into_body();
        let mut line = BytesMut::new();
        loop {
            let frame = match timeout(patience, body.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Err(Error::TimedOut { what, after: patience }),
            };
            let data = match frame {
                None => break,
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(why)) => return Err(Error::Broken { what, why: why.to_string() }),
            };
            line.extend_from_slice(&data);
            while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                take(&line.split_to(end + 1));
            }
            if line.len() > ANSWER_BYTES_MAX {
                let why = format!("a line is larger than {ANSWER_BYTES_MAX} bytes");
                return Err(Error::Unreadable { what, why });
            }
        }
        take(&line);
        drop(connection);
        Ok(())
    }

    pub(crate) async fn json<T: DeserializeOwned>(self, patience: Duration) -> Result<T, Error> {
        let what = self.what.clone();
        let bytes = self.bytes(patience).await?;
        serde_json::from_slice(&bytes).map_err(|why| Error::Unreadable { what, why: why.to_string() })
    }

    /// What the daemon says against the request.
    async fn refusal(self, status: StatusCode) -> Error {
        #[derive(Deserialize)]
        struct Said {
            message: String,
        }
        let text = match self.bytes(QUICK).await {
            Ok(bytes) => bytes,
            Err(error) => return error,
        };
        let said = serde_json::from_slice::<Said>(&text).map(|said| said.message);
        let message = said.unwrap_or_else(|_| String::from_utf8_lossy(&text).trim().to_owned());
        Error::Refused { status: status.as_u16(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        let check = |newest: &str, oldest: &str, expected: Option<Version>| {
            let versions = Versions {
                version: String::new(),
                api_version: newest.to_owned(),
                min_api_version: oldest.to_owned(),
            };
            assert_eq!(versions.agreed().ok(), expected, "{newest} {oldest}");
        };
        check("1.41", "1.12", Some(Version(1, 41)));
        check("1.52", "1.44", Some(Version(1, 47)));
        check("1.24", "", Some(Version(1, 24)));
        check("1.23", "1.12", None);
        check("1.60", "1.48", None);
        check("new", "", None);
    }
}
