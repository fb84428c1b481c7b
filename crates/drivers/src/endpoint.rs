//! A driver's side of libprocess: one process that takes messages, on a runtime and thread of its own.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::{Body, Handler, Request, Response, Server};
use libprocess::{
    Exited, Inbox, Message, Mixed, Reading, Receiver, ReceiverLimits, Transport, TransportLimits,
};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use types::Pid;

use crate::place::Place;

/// What waits for the core's thread, which may be in a callback for a minute. While it is full, the connections that
/// messages come on are not read, and a master gives up on peers that read nothing.
const INPUTS_MAX: usize = 16 * 1024;

/// How long last words may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where a driver listens, and its way to others. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// This driver's process.
    pub(crate) own: Pid,
    /// Runs what waits for sockets and clocks.
    pub(crate) runtime: Handle,
    transport: Transport,
    /// Its end ends the runtime.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What messages and broken links are to a core.
#[derive(Debug)]
pub(crate) struct Reader<E> {
    /// Reads a message; of others nothing is made.
    pub(crate) message: fn(Message) -> Option<E>,
    /// A link broke.
    pub(crate) exited: fn(Pid) -> E,
}

impl Endpoint {
    /// Listens as the process `id`, and begins to run `others` beside. What comes goes to the receiver.
    pub(crate) fn open<E: Send + 'static, F: Future<Output = ()> + Send + 'static>(
        id: &str,
        place: Place,
        reader: Reader<E>,
        others: impl FnOnce(mpsc::Sender<E>) -> F + Send + 'static,
    ) -> Result<(Self, mpsc::Receiver<E>), String> {
        let (inputs, receiver) = mpsc::channel(INPUTS_MAX);
        let (opened, opening) = std::sync::mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let process = id.to_owned();
        let thread = std::thread::Builder::new().name("mesos-io".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(opened.send(Err(format!("Failed to begin a runtime: {error}")))),
            };
            let handle = runtime.handle().clone();
            runtime.block_on(async move {
                match listen(&process, place, &inputs, reader.message) {
                    Ok((own, server, inbox)) => {
                        let (transport, exits) = Transport::new(own, TransportLimits::default());
                        let told = opened.send(Ok((own, handle, transport.clone())));
                        if told.is_err() {
                            return;
                        }
                        tokio::spawn(report(exits, transport.clone(), inputs.clone(), reader.exited));
                        tokio::spawn(others(inputs));
                        let until = async {
                            // Either it is told, or the driver is gone.
                            let _ = stopped.await;
                        };
                        let receiver = Receiver::new(Arc::clone(&inbox), ReceiverLimits::default());
                        let serving = Server::new(Mixed::new(inbox, Nothing)).first_look(receiver);
                        serving.run(server, until).await;
                    }
                    Err(error) => drop(opened.send(Err(error))),
                }
            });
        });
        let thread = thread.map_err(|error| format!("Failed to begin a thread: {error}"))?;
        let (own, runtime, transport) =
            opening.recv().map_err(|_| "The thread for sockets ended".to_owned())??;
        let own = Pid::new(id, own);
        Ok((Self { own, runtime, transport, stop: Some(stop), thread: Some(thread) }, receiver))
    }

    pub(crate) fn link(&self, pid: &Pid) {
        self.transport.link(pid);
    }

    pub(crate) fn reconnect(&self, pid: &Pid) {
        self.transport.reconnect(pid);
    }

    pub(crate) fn send(&self, to: &Pid, name: &str, body: &[u8]) {
        self.transport.send(&self.own.id, to, name, body);
    }

    /// Waits until everything said is on its way, or cannot be.
    pub(crate) fn drain(&self) {
        let drained =
            self.runtime.block_on(async { tokio::time::timeout(FAREWELL, self.transport.drain()).await });
        if drained.is_err() {
            tracing::warn!("what the driver said last could not be sent within {FAREWELL:?}");
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread for sockets failed");
        }
    }
}

/// Binds the socket.
fn listen<E: Send + 'static>(
    process: &str,
    place: Place,
    inputs: &mpsc::Sender<E>,
    read: fn(Message) -> Option<E>,
) -> Result<(SocketAddr, tokio::net::TcpListener, Arc<Inbox>), String> {
    let failed = |error| format!("Failed to initialize: Failed to bind on {}: {error}", place.listen);
    let listener = http::listen(place.listen).map_err(failed)?;
    let own = place.advertised(listener.local_addr().map_err(failed)?);
    if own.ip().is_loopback() {
        tracing::warn!(
            "Driver bound to loopback interface! Cannot communicate with remote peers. You might want to set \
             'LIBPROCESS_IP' environment variable to use a routable IP address."
        );
    }
    let queue = Reading::new(inputs.clone(), read);
    let inbox = Inbox::new().process(process, queue).require_same_ip(place.same_ip);
    Ok((own, listener, Arc::new(inbox)))
}

/// Tells of broken links, unless they have been made anew meanwhile.
async fn report<E>(
    mut exits: mpsc::Receiver<Exited>,
    transport: Transport,
    inputs: mpsc::Sender<E>,
    exited: fn(Pid) -> E,
) {
    while let Some(Exited(pid)) = exits.recv().await {
        if !transport.is_linked(&pid) && inputs.send(exited(pid)).await.is_err() {
            return;
        }
    }
}

/// A driver has no pages.
struct Nothing;

impl Handler for Nothing {
    async fn handle(&self, _: Request<Body>) -> Response {
        Response::not_found()
    }
}
