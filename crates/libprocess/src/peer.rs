//! One remote address: its queue, its links, and the task that carries the queue over one connection.
//!
//! ```text
//! connecting -> carrying -> closed        broken, refused, full, replaced, or unlinked and drained
//! ```

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use types::Pid;

use crate::transport::{Exited, Shared, TransportLimits};

/// A remote address.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    /// The address as a `Host` header has it.
    text: String,
    /// Locked because senders must append without waiting; held for a copy at most.
    queue: Mutex<Queue>,
    /// Tells the task that the queue has changed.
    changed: Notify,
    /// Tells those who wait that the queue is empty and written.
    drained: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole messages that wait to be written.
    bytes: Vec<u8>,
    /// Whether the task is writing what it took.
    writing: bool,
    links: BTreeSet<Pid>,
    /// Set once: the daemon is about to end, so answers are read as they come.
    draining: bool,
    /// Set once: nothing is taken any more.
    closed: bool,
}

/// A buffer larger than this is given back once it has been written. Small, because there are two for each of perhaps
/// tens of thousands of peers.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// Answers are read together: after so many bytes of messages, or once nothing was written for so long.
const UNANSWERED_BYTES_MAX: usize = 4 * 1024;
const ANSWERS_WAIT: Duration = Duration::from_millis(100);

/// Time that the last answers of a connection get to arrive, so that closing it does not reset it.
const FAREWELL: Duration = Duration::from_secs(5);

impl Peer {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            text: address.to_string(),
            queue: Mutex::default(),
            changed: Notify::new(),
            drained: Notify::new(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queue().closed
    }

    /// Appends what `encode` writes. False if this peer is closed, so that another must take it.
    pub(crate) fn push(&self, limits: &TransportLimits, encode: impl FnOnce(&mut Vec<u8>, &str)) -> bool {
        let mut queue = self.queue();
        if queue.closed {
            return false;
        }
        let before = queue.bytes.len();
        encode(&mut queue.bytes, &self.text);
        if before > 0 && queue.bytes.len() > limits.queue_bytes_max {
            tracing::warn!(peer = %self.address, bytes = before, "closed a connection whose queue is full");
            queue.bytes = Vec::new();
            queue.closed = true;
            self.changed.notify_one();
        } else if before == 0 {
            self.changed.notify_one();
        }
        true
    }

    /// Adds a link. False if this peer is closed.
    pub(crate) fn link(&self, pid: &Pid) -> bool {
        let mut queue = self.queue();
        if queue.closed {
            return false;
        }
        queue.links.insert(pid.clone());
        true
    }

    pub(crate) fn unlink(&self, pid: &Pid) {
        let mut queue = self.queue();
        queue.links.remove(pid);
        if queue.links.is_empty() {
            self.changed.notify_one();
        }
    }

    pub(crate) fn is_linked(&self, pid: &Pid) -> bool {
        let queue = self.queue();
        !queue.closed && queue.links.contains(pid)
    }

    /// Closes this peer without exits and gives its links and its queue to the one that takes its place.
    pub(crate) fn replace(&self) -> Self {
        let mut queue = self.queue();
        queue.closed = true;
        let taken = Queue {
            bytes: std::mem::take(&mut queue.bytes),
            links: std::mem::take(&mut queue.links),
            ..Queue::default()
        };
        self.changed.notify_one();
        Self { queue: Mutex::new(taken), ..Self::new(self.address) }
    }

    fn is_draining(&self) -> bool {
        self.queue().draining
    }

    pub(crate) async fn drained(&self) {
        // ORDER: an answer that is unread when the daemon ends resets the connection, and what is still under way on it
        // is lost.
        self.queue().draining = true;
        self.changed.notify_one();
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            // ORDER: enabled before the queue is looked at, so that no notification falls between.
            drained.as_mut().enable();
            {
                let queue = self.queue();
                if queue.closed || queue.bytes.is_empty() && !queue.writing {
                    return;
                }
            }
            drained.await;
        }
    }

    /// Exchanges a written buffer for what waits.
    fn take(&self, written: &mut Vec<u8>) -> Next {
        written.clear();
        if written.capacity() > KEPT_BYTES_MAX {
            *written = Vec::new();
        }
        let mut queue = self.queue();
        if queue.closed {
            return Next::Close;
        }
        std::mem::swap(&mut queue.bytes, written);
        queue.writing = !written.is_empty();
        if queue.writing {
            return Next::Write;
        }
        self.drained.notify_waiters();
        if queue.links.is_empty() { Next::Linger } else { Next::Wait }
    }

    /// Closes an unlinked and empty queue. False if it is neither.
    fn retire(&self) -> bool {
        let mut queue = self.queue();
        if queue.closed || !queue.bytes.is_empty() || !queue.links.is_empty() {
            return false;
        }
        queue.closed = true;
        true
    }

    /// Closes the queue whatever is in it, and returns those whose link broke.
    fn close(&self) -> BTreeSet<Pid> {
        let mut queue = self.queue();
        queue.closed = true;
        queue.writing = false;
        if !queue.bytes.is_empty() {
            tracing::debug!(peer = %self.address, bytes = queue.bytes.len(), "dropped messages");
        }
        queue.bytes = Vec::new();
        self.drained.notify_waiters();
        std::mem::take(&mut queue.links)
    }
}

/// What the task does next.
enum Next {
    Write,
    /// Nothing to write, and links to watch.
    Wait,
    /// Nothing to write, and no link.
    Linger,
    Close,
}

/// How carrying ended.
enum End {
    /// The connection broke, or none could be made.
    Broken(io::Error),
    /// The queue was closed from outside, perhaps before there was a connection.
    Closed(Option<TcpStream>),
    /// Everything is written and nobody watches.
    Retired(TcpStream),
}

/// Carries the peer's queue until its connection ends, then raises the exits.
pub(crate) async fn run(
    peer: Arc<Peer>,
    limits: TransportLimits,
    shared: Weak<Shared>,
    exits: mpsc::Sender<Exited>,
) {
    let end = match connect(&peer, &limits).await {
        Ok(Some(stream)) => carry(&peer, &limits, stream).await,
        Ok(None) => End::Closed(None),
        Err(error) => End::Broken(error),
    };
    // ORDER: closed before it is forgotten and before the exits, so that a link made from now on gets a new connection and
    // an exit of its own.
    let links = peer.close();
    Shared::forget(&shared, &peer);
    if let End::Broken(error) = &end {
        tracing::info!(peer = %peer.address, %error, links = links.len(), "a connection broke");
    }
    for pid in links {
        // Without a receiver nobody wants to know.
        let _ = exits.send(Exited(pid)).await;
    }
    match end {
        End::Broken(_) | End::Closed(None) => {}
        End::Closed(Some(stream)) | End::Retired(stream) => farewell(stream).await,
    }
}

/// Connects, unless the queue is closed meanwhile.
async fn connect(peer: &Peer, limits: &TransportLimits) -> io::Result<Option<TcpStream>> {
    let connecting = timeout(limits.connect, TcpStream::connect(peer.address));
    tokio::pin!(connecting);
    loop {
        tokio::select! {
            connected = &mut connecting => {
                let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                http::tune(&stream);
                return Ok(Some(stream));
            }
            () = peer.changed.notified() => {
                if peer.is_closed() {
                    return Ok(None);
                }
            }
        }
    }
}

async fn carry(peer: &Peer, limits: &TransportLimits, stream: TcpStream) -> End {
    let mut buffer = Vec::new();
    // Bytes written since the answers were last read.
    let mut unanswered = 0;
    loop {
        let next = peer.take(&mut buffer);
        let went = match next {
            Next::Write => {
                unanswered += buffer.len();
                write(peer, limits, &stream, &buffer).await
            }
            Next::Wait | Next::Linger if unanswered > 0 && !peer.is_draining() => {
                settle(peer, &stream, &mut unanswered).await
            }
            Next::Wait => wait(peer, &stream, None).await,
            Next::Linger => wait(peer, &stream, Some(limits.linger)).await,
            Next::Close => Ok(Went::Closed),
        };
        match went {
            Ok(Went::On) => {}
            Ok(Went::Closed) => return End::Closed(Some(stream)),
            Ok(Went::Quiet) => {
                if peer.retire() {
                    return End::Retired(stream);
                }
            }
            Err(error) => return End::Broken(error),
        }
    }
}

enum Went {
    On,
    Closed,
    /// Nothing happened for the given time.
    Quiet,
}

/// Writes a whole buffer, and takes the answers meanwhile, lest both sides wait for each other.
async fn write(peer: &Peer, limits: &TransportLimits, stream: &TcpStream, buffer: &[u8]) -> io::Result<Went> {
    let mut written = 0;
    while written < buffer.len() {
        match stream.try_write(&buffer[written..]) {
            Ok(count) => {
                written += count;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        tokio::select! {
            ready = stream.writable() => ready?,
            ready = stream.readable() => {
                ready?;
                discard(stream)?;
            }
            () = peer.changed.notified() => {
                if peer.is_closed() {
                    return Ok(Went::Closed);
                }
            }
            () = sleep(limits.stall) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    Ok(Went::On)
}

/// Waits as [`wait`] does, but leaves answers where they are while there is more to write: an answer says nothing, and
/// being woken for each one costs as much as writing a message.
async fn settle(peer: &Peer, stream: &TcpStream, unanswered: &mut usize) -> io::Result<Went> {
    if *unanswered > UNANSWERED_BYTES_MAX {
        discard(stream)?;
        // The last ones are still on their way.
        *unanswered = 1;
    }
    tokio::select! {
        () = peer.changed.notified() => return Ok(Went::On),
        // Ready once the peer has closed its side, and not for bytes that arrive.
        closed = stream.ready(Interest::PRIORITY) => drop(closed?),
        () = sleep(ANSWERS_WAIT) => {}
    }
    *unanswered = 0;
    discard(stream)?;
    Ok(Went::On)
}

/// Waits until the queue changes or the connection ends; answers are thrown away.
async fn wait(peer: &Peer, stream: &TcpStream, quiet: Option<Duration>) -> io::Result<Went> {
    let silence = async {
        match quiet {
            Some(quiet) => sleep(quiet).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(silence);
    loop {
        tokio::select! {
            () = peer.changed.notified() => return Ok(Went::On),
            ready = stream.readable() => {
                ready?;
                discard(stream)?;
            }
            () = &mut silence => return Ok(Went::Quiet),
        }
    }
}

/// Reads and drops what has arrived. The end of the stream is an error, perhaps only of the next call.
fn discard(stream: &TcpStream) -> io::Result<()> {
    let mut bytes = [0; 4096];
    loop {
        match stream.try_read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            // A short read has emptied the socket.
            Ok(count) if count < bytes.len() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Closes in order: the last answers are read first.
async fn farewell(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let gone = async { while stream.readable().await.is_ok() && discard(&stream).is_ok() {} };
    // A peer that keeps its side open is not waited for longer.
    let _ = timeout(FAREWELL, gone).await;
}
