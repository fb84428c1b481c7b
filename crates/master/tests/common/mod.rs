//! The smallest client that can talk to a master.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Names and values, in their order.
pub(crate) type Headers = Vec<(String, String)>;

/// One answer, with its body put together again.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request on a connection of its own and reads the whole answer.
pub(crate) async fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Answer {
    let exchange = async {
        let mut stream = send(address, method, path, headers, body).await;
        let mut bytes = Vec::new();
        let mut piece = vec![0; 65536];
        loop {
            if let Some(answer) = parse(&bytes) {
                return answer;
            }
            let read = stream.read(&mut piece).await.unwrap();
            assert!(
                read > 0,
                "the answer to {method} {path} is cut off: {}",
                String::from_utf8_lossy(&bytes)
            );
            bytes.extend_from_slice(&piece[..read]);
        }
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| panic!("{method} {path} took too long"))
}

async fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    stream
}

/// An answer, once it is complete.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let (status, headers, rest) = parse_head(bytes)?;
    let header = |name: &str| {
        headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value): &(String, String)| value.as_str())
    };
    let body = if header("transfer-encoding") == Some("chunked") {
        let (body, ended) = dechunk(rest);
        if !ended {
            return None;
        }
        body
    } else {
        let length: usize = header("content-length").unwrap_or("0").parse().unwrap();
        rest.get(..length)?.to_vec()
    };
    Some(Answer { status, headers, body })
}

fn parse_head(bytes: &[u8]) -> Option<(u16, Headers, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Some((status, headers, &bytes[end + 4..]))
}

/// The chunks that have come whole, and whether the last one was among them.
fn dechunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap().trim(), 16).unwrap();
        let Some(chunk) = rest.get(line + 2..line + 2 + size) else { break };
        if rest.len() < line + 4 + size {
            break;
        }
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(chunk);
        rest = &rest[line + 4 + size..];
    }
    (body, false)
}

/// A stream of RecordIO records, one per HTTP chunk.
pub(crate) struct Events {
    stream: TcpStream,
    buffered: Vec<u8>,
    /// The head of the answer.
    pub(crate) head: Answer,
}

impl Events {
    /// Sends a SUBSCRIBE and reads the head of the answer.
    pub(crate) async fn open(address: &str, path: &str, headers: &[(String, String)], body: &[u8]) -> Self {
        let opening = async {
            let mut stream = send(address, "POST", path, headers, body).await;
            let mut buffered = Vec::new();
            let mut piece = vec![0; 65536];
            loop {
                if let Some((status, headers, rest)) = parse_head(&buffered) {
                    let head = Answer { status, headers, body: Vec::new() };
                    return Self { stream, buffered: rest.to_vec(), head };
                }
                let read = stream.read(&mut piece).await.unwrap();
                assert!(read > 0, "no answer to a SUBSCRIBE");
                buffered.extend_from_slice(&piece[..read]);
            }
        };
        tokio::time::timeout(PATIENCE, opening).await.unwrap()
    }

    /// The next record, `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<serde_json::Value> {
        let waiting = async {
            let mut piece = vec![0; 65536];
            loop {
                if let Some(record) = self.take() {
                    return record;
                }
                let read = self.stream.read(&mut piece).await.unwrap();
                if read == 0 {
                    return None;
                }
                self.buffered.extend_from_slice(&piece[..read]);
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("an event comes in time")
    }

    /// The events until the first of type `kind`, which is returned.
    pub(crate) async fn wait_for(&mut self, kind: &str) -> serde_json::Value {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended before {kind}"));
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// One whole chunk off the buffer: a record, or the end of the stream.
    fn take(&mut self) -> Option<Option<serde_json::Value>> {
        let line = self.buffered.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&self.buffered[..line]).unwrap(), 16).unwrap();
        let chunk = self.buffered.get(line + 2..line + 2 + size)?.to_vec();
        if self.buffered.len() < line + 4 + size {
            return None;
        }
        self.buffered.drain(..line + 4 + size);
        if size == 0 {
            return Some(None);
        }
        let newline = chunk.iter().position(|byte| *byte == b'\n').expect("a record starts with its length");
        let length: usize = std::str::from_utf8(&chunk[..newline]).unwrap().parse().unwrap();
        assert_eq!(length, chunk.len() - newline - 1, "one record per chunk");
        Some(Some(serde_json::from_slice(&chunk[newline + 1..]).unwrap()))
    }
}

/// Headers of a call in JSON.
pub(crate) fn json_headers() -> Headers {
    ["Content-Type", "Accept"].map(|name| (name.to_owned(), "application/json".to_owned())).to_vec()
}
