//! One accepted socket before and under HTTP: its first head, the refusal of stalled peers, and [`FirstLook`], by which
//! another protocol on the same port takes the connections that are its own.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// A connection nobody has answered on yet.
#[derive(Debug)]
pub struct Fresh {
    /// The socket.
    pub stream: TcpStream,
    /// What was read from it and not consumed.
    pub buffered: BytesMut,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// How much to read at once: more while the peer has much to say.
    appetite: usize,
}

/// Bounds of one read.
const READ_MIN: usize = 4 * 1024;
const READ_MAX: usize = 64 * 1024;

/// A protocol that shares the port with HTTP and sees each connection first.
pub trait FirstLook: Send + Sync + 'static {
    /// Called when the first request head has been read. Serves the connection as long as its requests belong to this
    /// protocol and gives it back, with the first foreign request still buffered, or keeps it to its end (`None`).
    fn look(&self, fresh: Fresh) -> Pin<Box<dyn Future<Output = Option<Fresh>> + Send + '_>>;
}

impl Fresh {
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr) -> Self {
        Self { stream, buffered: BytesMut::new(), peer, appetite: READ_MIN }
    }

    /// Waits for a whole request head, or more than `head_max` bytes without one, which is left to others to refuse.
    /// False when the peer has gone, or takes longer than `patience` once it has begun.
    ///
    /// COMPAT(mesos): a peer that has sent nothing may be silent for days: that is what a link looks like.
    pub(crate) async fn read_head(&mut self, head_max: usize, patience: Duration) -> bool {
        if !self.read_some().await {
            return false;
        }
        let read = async {
            let mut scanned = 0;
            loop {
                if self.buffered[scanned..].windows(4).any(|end| end == b"\r\n\r\n")
                    || self.buffered.len() > head_max
                {
                    return true;
                }
                scanned = self.buffered.len().saturating_sub(3);
                if !self.read_some().await {
                    return false;
                }
            }
        };
        tokio::time::timeout(patience, read).await.unwrap_or(false)
    }

    /// Waits for some bytes and appends them. False at the end of the connection.
    pub async fn read_some(&mut self) -> bool {
        poll_fn(|cx| self.poll_some(cx)).await
    }

    fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if ready!(self.stream.poll_read_ready(cx)).is_err() {
            return Poll::Ready(false);
        }
        // Allocated only now, so that silent connections cost no buffer.
        self.buffered.reserve(self.appetite);
        let room = self.buffered.capacity() - self.buffered.len();
        // Read by way of the future, which knows that a short read has emptied the socket, and does not try again.
        let read = self.stream.read_buf(&mut self.buffered);
        let read = pin!(read).poll(cx);
        match read {
            Poll::Ready(Ok(count)) => {
                if count == room {
                    self.appetite = (self.appetite * 2).min(READ_MAX);
                } else if count < self.appetite / 4 {
                    self.appetite = (self.appetite / 2).max(READ_MIN);
                }
                Poll::Ready(count > 0)
            }
            Poll::Ready(Err(_)) => Poll::Ready(false),
            Poll::Pending => {
                if self.buffered.is_empty() {
                    self.buffered = BytesMut::new();
                }
                Poll::Pending
            }
        }
    }
}

/// Sets what every Mesos socket wants: no delay of small writes, and probes that find a peer which vanished without a word
/// (after 60 s of silence, four probes 15 s apart).
pub fn tune(stream: &TcpStream) {
    let tuned = stream.set_nodelay(true);
    let probing = rustix::net::sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| rustix::net::sockopt::set_tcp_keepidle(stream, Duration::from_secs(60)))
        .and_then(|()| rustix::net::sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15)))
        .and_then(|()| rustix::net::sockopt::set_tcp_keepcnt(stream, 4));
    if tuned.is_err() || probing.is_err() {
        tracing::debug!("a socket keeps its default options");
    }
}

/// A socket whose first bytes were read before, and whose writes must make progress.
pub(crate) struct Guarded {
    stream: TcpStream,
    buffered: Bytes,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    /// `patience` bounds the time the peer may take no byte of what is being written.
    pub(crate) fn new(fresh: Fresh, patience: Duration) -> Self {
        Self { stream: fresh.stream, buffered: fresh.buffered.freeze(), patience, stalled: None }
    }

    fn judge(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffered.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.buffered.len().min(buf.remaining());
        buf.put_slice(&self.buffered[..count]);
        self.buffered.advance(count);
        if self.buffered.is_empty() {
            self.buffered = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
