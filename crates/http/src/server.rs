//! The accept loop and what happens to a connection: bounded in number, in head and body, and in patience.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::compress;
use crate::connection::{FirstLook, Fresh, Guarded, tune};
use crate::lane::Lane;
use crate::request::{Body, Query, Request};
use crate::response::{Payload, Response};

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Requests of one connection come one after the other, in order; where they overlap, each is
    /// polled for the first time before the next one comes.
    fn handle(&self, request: Request<Body>) -> impl Future<Output = Response> + Send;

    /// Whether requests for this path may come while earlier ones of their connection still wait for their answers.
    fn overlaps(&self, path: &str) -> bool {
        let _ = path;
        false
    }
}

/// What a server grants its peers.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections. Above that, accepting waits until one closes.
    pub connections_max: usize,
    /// Bytes of a request head.
    pub head_bytes_max: usize,
    /// Bytes of a request body.
    pub body_bytes_max: usize,
    /// Time for a head, from its first byte.
    pub head_patience: Duration,
    /// Time in which a peer must send or take some more of a body.
    pub body_patience: Duration,
    /// Time that an HTTP connection may idle between requests. Mesos has no such bound, so it is long.
    pub idle_patience: Duration,
    /// Time that open requests have to finish once the server is told to stop.
    pub stop_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 100_000,
            head_bytes_max: 64 * 1024,
            body_bytes_max: 64 * 1024 * 1024,
            head_patience: Duration::from_secs(30),
            body_patience: Duration::from_secs(60),
            idle_patience: Duration::from_secs(3600),
            stop_patience: Duration::from_secs(2),
        }
    }
}

/// An HTTP server over one handler.
pub struct Server<H> {
    shared: Arc<Shared<H>>,
}

struct Shared<H> {
    handler: H,
    first_look: Option<Box<dyn FirstLook>>,
    limits: Limits,
}

impl<H: Handler> Server<H> {
    /// A server with the usual limits.
    pub fn new(handler: H) -> Self {
        Self::with_limits(handler, Limits::default())
    }

    /// A server with these limits.
    pub fn with_limits(handler: H, limits: Limits) -> Self {
        Self { shared: Arc::new(Shared { handler, first_look: None, limits }) }
    }

    /// Lets another protocol see each connection before HTTP does.
    pub fn first_look(self, first_look: impl FirstLook) -> Self {
        let Ok(shared) = Arc::try_unwrap(self.shared).map_err(|_| ()) else {
            unreachable!("a server is shared only once it runs");
        };
        Self { shared: Arc::new(Shared { first_look: Some(Box::new(first_look)), ..shared }) }
    }

    /// Serves until `stop` completes, then gives open requests a little time and closes everything.
    pub async fn run(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let shared = self.shared;
        let slots = Arc::new(Semaphore::new(shared.limits.connections_max.min(Semaphore::MAX_PERMITS)));
        let (stopping, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                (stream, peer, slot) = accept(&listener, &slots) => {
                    tune(&stream);
                    let connection = serve(Arc::clone(&shared), stream, peer, stopped.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task failed");
                    }
                }
            }
        }
        drop(listener);
        drop(stopping);
        let ending = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(shared.limits.stop_patience, ending).await.is_err() {
            connections.shutdown().await;
        }
    }
}

/// Listens at an address (port 0: any), with room for a whole cluster that connects at once after a failover.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A daemon that restarts must not wait for its old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connections that may wait to be accepted. The kernel lowers it to its own bound (`net.core.somaxconn`).
const BACKLOG: u32 = 16 * 1024;

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) => {
                // Mostly the process is out of file descriptors; trying again at once would only burn the processor.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve<H: Handler>(
    shared: Arc<Shared<H>>,
    stream: TcpStream,
    peer: SocketAddr,
    mut stopped: watch::Receiver<()>,
) {
    let fresh = Fresh::new(stream, peer);
    let first = tokio::select! {
        fresh = begin(&shared, fresh) => fresh,
        _ = stopped.changed() => None,
    };
    let Some(fresh) = first else { return };
    let lane = Lane::new(&shared.handler, &shared.limits, fresh);
    // Boxed like what follows.
    if let Some(fresh) = Box::pin(lane.serve(&mut stopped)).await {
        // Boxed, because HTTP's state is large and most connections of a big cluster carry only messages.
        Box::pin(serve_http(&shared, fresh, stopped)).await;
    }
}

async fn serve_http<H: Handler>(shared: &Shared<H>, fresh: Fresh, mut stopped: watch::Receiver<()>) {
    let peer = fresh.peer;
    let limits = &shared.limits;
    let cut = Arc::new(Notify::new());
    let service = service_fn(|request| answer(shared, request, peer, &cut));
    let io = TokioIo::new(Guarded::new(fresh, limits.body_patience));
    // Without `pipeline_flush`: it would lift hyper's bound on what is buffered for a peer that does not read.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_patience)
        .title_case_headers(true)
        .max_header_size(limits.head_bytes_max)
        .serve_connection(io, service);
    tokio::pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "a connection broke");
                }
                return;
            }
            () = cut.notified() => {
                tracing::info!(%peer, "closed the connection of a reader that fell behind");
                return;
            }
            _ = stopped.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn begin<H: Handler>(shared: &Shared<H>, mut fresh: Fresh) -> Option<Fresh> {
    let limits = &shared.limits;
    if !fresh.read_head(limits.head_bytes_max, limits.head_patience).await {
        return None;
    }
    match &shared.first_look {
        Some(first_look) => first_look.look(fresh).await,
        None => Some(fresh),
    }
}

async fn answer<H: Handler>(
    shared: &Shared<H>,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    cut: &Arc<Notify>,
) -> Result<hyper::Response<Payload>, std::convert::Infallible> {
    let gzip = compress::wanted(request.headers());
    let request = convert(request, peer, &shared.limits);
    let handling = AssertUnwindSafe(shared.handler.handle(request)).catch_unwind();
    let response = handling.await.unwrap_or_else(|_| {
        tracing::error!(%peer, "a request's handler panicked");
        Response::internal_error()
    });
    if let Payload::Stream(stream) = &response.payload {
        stream.attach(cut);
    }
    let response = if gzip { compress::compress(response).await } else { response };
    Ok(response.into_hyper())
}

fn convert(request: hyper::Request<Incoming>, peer: SocketAddr, limits: &Limits) -> Request<Body> {
    let (parts, incoming) = request.into_parts();
    let raw_query = parts.uri.query().map(str::to_owned);
    Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        tail: String::new(),
        query: raw_query.as_deref().map(Query::parse).unwrap_or_default(),
        raw_query,
        headers: parts.headers,
        peer,
        body: Body::new(incoming, limits.body_bytes_max, limits.body_patience),
    }
}
