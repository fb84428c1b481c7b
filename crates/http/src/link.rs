//! A client's two connections to a v1 API: one stream of events, one for calls.
//!
//! It carries and reports; when to subscribe again is its owner's decision. Calls leave in the order in which
//! they were posted. Everything ends with the link.

use bytes::Bytes;
use http_types::HeaderMap;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

use crate::{Call, Client, ClientError};

/// How many reports and calls wait at most. Reports wait for their reader; calls past it are refused.
const WAITING_MAX: usize = 1024;

/// Where the API is and in which words it is spoken.
#[derive(Clone, Debug)]
pub struct Api {
    /// The server's `host:port`. A redirect leads elsewhere for the connection that met it.
    pub address: String,
    /// The API's path.
    pub path: String,
    /// The media type of calls and events.
    pub media_type: &'static str,
    /// Headers of every request.
    pub headers: Vec<(&'static str, String)>,
}

/// What a link reports. The number is that of the stream; see [`Link::is_current`].
#[derive(Debug)]
pub enum Report {
    /// The stream is open; these are the answer's headers.
    Opened(u64, HeaderMap),
    /// The stream brought a record.
    Record(u64, Bytes),
    /// The stream is closed, or could not be opened; the text says why.
    Closed(u64, String),
    /// A call did not get through; the text says why. The server may not know of it.
    CallFailed(String),
    /// The server refused a call; the text is its answer.
    CallRefused(String),
}

/// A call on its way.
struct Posted {
    address: String,
    body: Bytes,
    headers: Vec<(&'static str, String)>,
}

/// A client's connections to a v1 API.
#[derive(Debug)]
pub struct Link {
    api: Api,
    reports: Sender<Report>,
    calls: Sender<Posted>,
    poster: JoinHandle<()>,
    stream: Option<JoinHandle<()>>,
    current: u64,
}

impl Link {
    /// A link that reports to the receiver. Nothing is connected before the first call.
    #[must_use]
    pub fn new(api: Api) -> (Self, Receiver<Report>) {
        let (reports, receiver) = channel(WAITING_MAX);
        let (calls, queue) = channel(WAITING_MAX);
        let poster = tokio::spawn(post_all(api.clone(), queue, reports.clone()));
        (Self { api, reports, calls, poster, stream: None, current: 0 }, receiver)
    }

    /// Whether a report is about the open stream, and not about one that was dropped.
    #[must_use]
    pub fn is_current(&self, stream: u64) -> bool {
        self.stream.is_some() && stream == self.current
    }

    /// Makes what follows go to another server. The open stream is dropped.
    pub fn turn_to(&mut self, address: String) {
        self.unsubscribe();
        self.api.address = address;
    }

    /// Opens a new stream with this SUBSCRIBE, and drops the old one.
    pub fn subscribe(&mut self, body: Bytes) {
        self.unsubscribe();
        self.current += 1;
        let reading = read_stream(self.api.clone(), body, self.current, self.reports.clone());
        self.stream = Some(tokio::spawn(reading));
    }

    /// Drops the stream. Nothing more is reported of it as current.
    pub fn unsubscribe(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
    }

    /// Posts a call behind those posted before, with these headers more. False when too many wait already.
    #[must_use]
    pub fn post(&self, body: Bytes, headers: Vec<(&'static str, String)>) -> bool {
        let address = self.api.address.clone();
        self.calls.try_send(Posted { address, body, headers }).is_ok()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.unsubscribe();
        self.poster.abort();
    }
}

fn request(api: &Api, body: Bytes, headers: &[(&'static str, String)]) -> Call {
    let call = Call::post(api.path.clone(), api.media_type, body);
    api.headers.iter().chain(headers).fold(call, |call, (name, value)| call.header(name, value))
}

async fn read_stream(api: Api, body: Bytes, number: u64, reports: Sender<Report>) {
    let why = match read_records(&api, body, number, &reports).await {
        Ok(()) => "the server closed the stream".to_owned(),
        Err(error) => error.in_full(),
    };
    // The receiver is gone only when the link's owner is.
    let _ = reports.send(Report::Closed(number, why)).await;
}

async fn read_records(
    api: &Api,
    body: Bytes,
    number: u64,
    reports: &Sender<Report>,
) -> Result<(), ClientError> {
    let mut client = Client::new(api.address.clone());
    let mut stream = client.subscribe(request(api, body, &[])).await?;
    let mut heard = reports.send(Report::Opened(number, stream.headers.clone())).await.is_ok();
    while heard {
        let Some(record) = stream.next().await? else { break };
        heard = reports.send(Report::Record(number, record)).await.is_ok();
    }
    Ok(())
}

async fn post_all(api: Api, mut queue: Receiver<Posted>, reports: Sender<Report>) {
    let mut server = api.address.clone();
    let mut client = Client::new(server.clone());
    while let Some(Posted { address, body, headers }) = queue.recv().await {
        if address != server {
            client = Client::new(address.clone());
            server = address;
        }
        let report = match client.call(request(&api, body, &headers)).await {
            Ok(answer) if answer.status.is_success() => continue,
            Ok(answer) => Report::CallRefused(format!("{}: {}", answer.status, answer.text())),
            Err(error) => Report::CallFailed(error.in_full()),
        };
        if reports.send(report).await.is_err() {
            return;
        }
    }
}
