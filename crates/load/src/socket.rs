//! A non-blocking TCP connection with its two buffers, and the loop's view on many of them.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::BytesMut;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Bytes that may wait to be written; past this the peer is taken for dead.
const WAITING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Events taken at once.
const EVENTS_MAX: usize = 1024;

/// A connection.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// What has arrived and was not yet decoded.
    pub(crate) input: BytesMut,
    waiting: Vec<u8>,
    written: usize,
    /// False until the connection is made, and while the kernel takes no more.
    writable: bool,
}

impl Socket {
    /// Begins to connect, from the address `from` if given. The loop tells when it is made, or has failed.
    pub(crate) fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        if let Some(from) = from {
            rustix::net::bind(&socket, &SocketAddr::new(from, 0))?;
        }
        match rustix::net::connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        Ok(Self { stream, input: BytesMut::new(), waiting: Vec::new(), written: 0, writable: false })
    }

    /// A connection that a listener took.
    pub(crate) fn accepted(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: BytesMut::new(), waiting: Vec::new(), written: 0, writable: true })
    }

    /// The bytes to write next; append to them, then [`Socket::flush`].
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.waiting
    }

    /// The kernel has room, or the connection was made.
    pub(crate) fn on_writable(&mut self) -> io::Result<()> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        if !self.writable {
            self.stream.set_nodelay(true)?;
            self.writable = true;
        }
        self.flush()
    }

    /// Writes what the kernel takes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.writable && self.written < self.waiting.len() {
            match self.stream.write(&self.waiting[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.written == self.waiting.len() {
            self.waiting.clear();
            self.written = 0;
        } else if self.waiting.len() - self.written > WAITING_BYTES_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Reads what has arrived into `input`. False at the end of the stream. With `hung_up` it reads to the very end.
    pub(crate) fn fill(&mut self, scratch: &mut Scratch, hung_up: bool) -> io::Result<bool> {
        loop {
            match self.stream.read(&mut scratch.0) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.input.extend_from_slice(&scratch.0[..count]);
                    // A short read has emptied the socket; what comes later is a new event.
                    if count < scratch.0.len() && !hung_up {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Where bytes are read before they are known to be few or many: one for all sockets.
#[derive(Debug)]
pub(crate) struct Scratch(Box<[u8]>);

impl Default for Scratch {
    fn default() -> Self {
        Self(vec![0; READ_BYTES].into())
    }
}

/// What happened to one of the registered sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has closed its side, or the connection failed.
    pub(crate) hung_up: bool,
}

/// The kernel's list of sockets to watch.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl std::fmt::Debug for Poll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poll").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Watches a connection. A closed socket leaves the list by itself.
    pub(crate) fn add(&self, socket: &Socket, token: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket.stream.as_fd(), EventData::new_u64(token), flags)?)
    }

    /// Watches a listener.
    pub(crate) fn add_listener(&self, listener: &TcpListener, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, listener.as_fd(), EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Waits for events, at most so long.
    pub(crate) fn wait(&mut self, most: Duration, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        self.events.clear();
        let timeout = Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(most.subsec_nanos()),
        };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ready.extend(self.events.iter().map(|event| {
            let flags = event.flags;
            let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            Ready {
                token: event.data.u64(),
                readable: hung_up || flags.contains(EventFlags::IN),
                writable: flags.contains(EventFlags::OUT),
                hung_up,
            }
        }));
        Ok(())
    }
}
