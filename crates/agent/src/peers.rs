//! The libprocess side: messages from the master and drivers to the core, and the core's messages and links to them.
//!
//! ```text
//! sockets -> Inbox -> [ decode ] -> core        core -> Transport -> sockets        broken links -> core
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use agent_core::{DecodeError, Event, Outgoing};
use libprocess::{Exited, Inbox, Message, Transport, TransportLimits};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use types::Pid;

use crate::reactor::Input;

/// The agent's process.
pub(crate) const PROCESS: &str = "slave(1)";

/// Messages that wait to be decoded; while it is full, the connections they come on are not read.
const MESSAGES_MAX: usize = 1024;

/// Messages decoded per wake-up.
const BATCH_MAX: usize = 64;

/// The way to the peers. It belongs to the core's task.
#[derive(Debug)]
pub(crate) struct Peers {
    transport: Transport,
    /// Decodes what comes in and reports broken links; ends with this.
    _tasks: JoinSet<()>,
}

impl Peers {
    /// The peers of an agent that others reach at `own`, and the inbox of its process. What comes in goes to `inputs`.
    pub(crate) fn new(own: SocketAddr, inputs: &mpsc::Sender<Input>) -> (Self, Arc<Inbox>) {
        let (transport, exits) = Transport::new(own, TransportLimits::default());
        let (messages, queue) = mpsc::channel(MESSAGES_MAX);
        let inbox = Inbox::new().process(PROCESS, messages);
        let mut tasks = JoinSet::new();
        tasks.spawn(decode(queue, inputs.clone()));
        tasks.spawn(report(exits, transport.clone(), inputs.clone()));
        (Self { transport, _tasks: tasks }, Arc::new(inbox))
    }

    /// Sends a message.
    pub(crate) fn send(&self, to: &Pid, message: &Outgoing) {
        self.transport.send(PROCESS, to, message.name(), &message.encode());
    }

    /// Watches a peer.
    pub(crate) fn link(&self, pid: &Pid, reconnect: bool) {
        if reconnect {
            self.transport.reconnect(pid);
        } else {
            self.transport.link(pid);
        }
    }

    /// Waits until everything said is on its way.
    pub(crate) async fn drain(&self) {
        self.transport.drain().await;
    }
}

/// Decodes messages off the core's task, in the order in which they came.
async fn decode(mut queue: mpsc::Receiver<Message>, inputs: mpsc::Sender<Input>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        for Message { to: _, from, name, body } in batch.drain(..) {
            let message = match agent_core::Message::decode(&name, &body) {
                Ok(message) => message,
                // COMPAT(mesos): a name that nothing is installed for is dropped without a word.
                Err(DecodeError::Unknown(name)) => {
                    tracing::debug!(%from, name, "dropped a message that nothing handles");
                    continue;
                }
                Err(error @ DecodeError::Malformed { .. }) => {
                    tracing::warn!(%from, %error, "dropped a message");
                    continue;
                }
            };
            if inputs.send(Input::Event(Event::Message { from, message })).await.is_err() {
                return;
            }
        }
    }
}

/// Tells the core of broken links, unless they have been made anew meanwhile.
async fn report(mut exits: mpsc::Receiver<Exited>, transport: Transport, inputs: mpsc::Sender<Input>) {
    while let Some(Exited(pid)) = exits.recv().await {
        if transport.is_linked(&pid) {
            continue;
        }
        if inputs.send(Input::Event(Event::Exited(pid.address))).await.is_err() {
            return;
        }
    }
}
