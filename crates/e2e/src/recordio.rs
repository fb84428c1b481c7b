//! A stream of JSON events as a client sees it: one record in one HTTP chunk.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::http::{connect, read_chunk, read_head};

/// An open stream of events.
#[derive(Debug)]
pub struct Stream {
    reader: BufReader<TcpStream>,
    /// The answer's `Mesos-Stream-Id`, if it had one.
    pub stream_id: Option<String>,
    /// Every event that came, in order.
    pub seen: Vec<Value>,
}

impl Stream {
    /// Posts `call` to `path` and keeps the answer open.
    pub fn open(address: SocketAddr, path: &str, call: &Value) -> anyhow::Result<Self> {
        let body = serde_json::to_vec(call)?;
        let mut stream = connect(address)?;
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)?;
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader)?;
        ensure!(status == 200, "{path} answered {status}");
        let stream_id =
            headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("Mesos-Stream-Id")).map(|(_, v)| v.clone());
        Ok(Self { reader, stream_id, seen: Vec::new() })
    }

    /// The next event; none at the end of the stream.
    pub fn next(&mut self, patience: Duration) -> anyhow::Result<Option<Value>> {
        self.reader.get_ref().set_read_timeout(Some(patience))?;
        let Some(chunk) = read_chunk(&mut self.reader)? else { return Ok(None) };
        let newline = chunk.iter().position(|b| *b == b'\n').context("a record opens with its length")?;
        let length: usize = std::str::from_utf8(&chunk[..newline])?.parse()?;
        ensure!(chunk.len() - newline - 1 == length, "one record in one chunk");
        let event: Value = serde_json::from_slice(&chunk[newline + 1..])?;
        self.seen.push(event.clone());
        Ok(Some(event))
    }

    /// Reads on until an event fits. Heartbeats keep a stream busy, so the wait has an end of its own.
    pub fn until(&mut self, what: &str, mut fits: impl FnMut(&Value) -> bool) -> anyhow::Result<Value> {
        let deadline = Instant::now() + Duration::from_secs(90);
        while Instant::now() < deadline {
            let next = self.next(Duration::from_secs(30)).with_context(|| format!("waiting for {what}"))?;
            let event = next.with_context(|| format!("the stream ended before {what}"))?;
            if fits(&event) {
                return Ok(event);
            }
        }
        bail!("{what} did not come in 90 s")
    }

    /// Breaks the connection without a word.
    pub fn cut(self) {
        // The peer may have closed it first.
        let _ = self.reader.get_ref().shutdown(Shutdown::Both);
    }
}
