//! A process as the C++ library would be one: its messages written byte by byte, and what it is sent kept
//! as it came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::http::{connect, read_chunk, read_head};

/// A message that came in.
#[derive(Clone, Debug)]
pub struct Message {
    /// The head's lines, without their ends.
    pub head: Vec<String>,
    /// Whom it is for: the path's first part.
    pub to: String,
    /// Its name: the rest of the path.
    pub name: String,
    /// Who sent it (`Libprocess-From`).
    pub from: String,
    /// The serialised message.
    pub body: Vec<u8>,
}

/// A process with an address, that records every message it gets.
#[derive(Debug)]
pub struct Process {
    /// `id@ip:port`.
    pub pid: String,
    /// Where it listens.
    pub address: SocketAddr,
    received: Receiver<Message>,
    kept: Vec<Message>,
    ended: Arc<AtomicBool>,
}

impl Process {
    /// A process `id` on a free port of 127.0.0.1.
    pub fn start(id: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (sender, received) = channel();
        let ended = Arc::new(AtomicBool::new(false));
        let over = ended.clone();
        // The threads end with the test's process, or with the process that they play.
        thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                open.extend(stream.try_clone());
                let sender = sender.clone();
                thread::spawn(move || serve(stream, &sender));
            }
            for stream in open {
                // The peer may have closed it first.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Ok(Self { pid: format!("{id}@{address}"), address, received, kept: Vec::new(), ended })
    }

    /// Posts a message as libprocess writes it, on a connection that the caller keeps, and reads its answer's status.
    ///
    /// The sender may be another process of the same daemon, such as `slave-observer(1)`.
    pub fn post(
        &self,
        connection: &mut TcpStream,
        from: &str,
        to: &str,
        name: &str,
        body: &[u8],
    ) -> anyhow::Result<u16> {
        let (id, address) = to.split_once('@').context("a pid")?;
        let mut bytes = format!(
            "POST /{id}/{name} HTTP/1.1\r\nUser-Agent: libprocess/{from}\r\nLibprocess-From: {from}\r\n\
             Connection: Keep-Alive\r\nHost: {address}\r\n"
        )
        .into_bytes();
        if body.is_empty() {
            bytes.extend_from_slice(b"\r\n");
        } else {
            write!(bytes, "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len())?;
            bytes.extend_from_slice(body);
            bytes.extend_from_slice(b"\r\n0\r\n\r\n");
        }
        connection.write_all(&bytes)?;
        let mut reader = BufReader::new(connection);
        let (status, headers) = read_head(&mut reader)?;
        let length =
            headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("Content-Length")).map(|(_, v)| v.as_str());
        let length: usize = length.context("a peer waits for Content-Length")?.parse()?;
        reader.read_exact(&mut vec![0; length])?;
        Ok(status)
    }

    /// A connection to a daemon, for [`Self::post`].
    pub fn connect(&self, address: SocketAddr) -> anyhow::Result<TcpStream> {
        connect(address)
    }

    /// Ends without a word: every link to the process breaks, and nobody listens there any more.
    pub fn end(self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that listens.
        let _ = TcpStream::connect(self.address);
    }

    /// The next message of this name, within `patience`; others are kept for later.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn expect(&mut self, name: &str, patience: Duration) -> Message {
        self.expect_any(&[name], patience)
    }

    /// The next message of one of these names, as [`Self::expect`].
    ///
    /// # Panics
    /// When none comes in time.
    pub fn expect_any(&mut self, names: &[&str], patience: Duration) -> Message {
        let fits = |message: &Message| names.contains(&message.name.as_str());
        if let Some(at) = self.kept.iter().position(fits) {
            return self.kept.remove(at);
        }
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(message) = self.received.recv_timeout(left) else {
                let kept: Vec<_> = self.kept.iter().map(|m| &m.name).collect();
                panic!("no {names:?} within {patience:?}; there came {kept:?}");
            };
            if fits(&message) {
                return message;
            }
            self.kept.push(message);
        }
    }
}

/// Takes messages from one connection until it ends.
fn serve(stream: TcpStream, sender: &Sender<Message>) {
    let Ok(mut answers) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Ok(Some(message)) = read_message(&mut reader) {
        let answered = answers.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        if answered.is_err() || sender.send(message).is_err() {
            return;
        }
    }
}

fn read_message(reader: &mut impl BufRead) -> anyhow::Result<Option<Message>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end_matches("\r\n").to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let path = head.first().and_then(|line| line.split(' ').nth(1)).context("a request line")?;
    let (to, name) = path.trim_start_matches('/').split_once('/').context("a process and a message")?;
    let field = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mut body = Vec::new();
    if field("Transfer-Encoding:").is_some() {
        while let Some(chunk) = read_chunk(reader)? {
            body.extend(chunk);
        }
    }
    Ok(Some(Message {
        to: to.to_owned(),
        name: name.to_owned(),
        from: field("Libprocess-From:").unwrap_or_default().to_owned(),
        body,
        head,
    }))
}
