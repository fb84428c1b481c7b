//! The libprocess side: messages from agents and drivers to the core, and the core's messages and links to them.
//!
//! ```text
//! sockets -> Inbox -> [ decode ] -> core        core -> Transport -> sockets        broken links -> core
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use libprocess::{Exited, Inbox, Message, Transport, TransportLimits};
use master_core::{DecodeError, Event, Outgoing, Process};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use types::Pid;

use crate::reactor::Input;

/// Messages that wait to be decoded; while it is full, the connections they come on are not read.
const MESSAGES_MAX: usize = 4096;

/// Messages decoded per wake-up.
const BATCH_MAX: usize = 256;

/// The way to the peers. It belongs to the core's task.
#[derive(Debug)]
pub(crate) struct Peers {
    transport: Transport,
    /// Decodes what comes in and reports broken links; ends with this.
    _tasks: JoinSet<()>,
}

impl Peers {
    /// The peers of a master that others reach at `own`, and the inbox of its processes. What comes in goes to `inputs`.
    /// With `same_ip`, messages are taken only from the address that they say they come from.
    pub(crate) fn new(own: SocketAddr, same_ip: bool, inputs: &mpsc::Sender<Input>) -> (Self, Arc<Inbox>) {
        let (transport, exits) = Transport::new(own, TransportLimits::default());
        let (messages, queue) = mpsc::channel(MESSAGES_MAX);
        let inbox = Inbox::new()
            .process("master", messages.clone())
            .family("slave-observer", messages)
            .require_same_ip(same_ip);
        let mut tasks = JoinSet::new();
        tasks.spawn(decode(queue, inputs.clone()));
        tasks.spawn(report(exits, transport.clone(), inputs.clone()));
        (Self { transport, _tasks: tasks }, Arc::new(inbox))
    }

    /// Sends a message.
    pub(crate) fn send(&self, from: Process, to: &Pid, message: &Outgoing) {
        let body = message.encode();
        match from {
            Process::Master => self.transport.send("master", to, message.name(), &body),
            Process::Observer(_) => self.transport.send(&from.to_string(), to, message.name(), &body),
        }
    }

    /// Watches a peer.
    pub(crate) fn link(&self, pid: &Pid, reconnect: bool) {
        if reconnect {
            self.transport.reconnect(pid);
        } else {
            self.transport.link(pid);
        }
    }

    /// Ends the watch.
    pub(crate) fn unlink(&self, pid: &Pid) {
        self.transport.unlink(pid);
    }
}

/// Decodes messages off the core's task, in the order in which they came.
async fn decode(mut queue: mpsc::Receiver<Message>, inputs: mpsc::Sender<Input>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
        for Message { to, from, name, body } in batch.drain(..) {
            let message = match master_core::Message::decode(&name, &body) {
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
            if inputs.send(Input::Event(Event::Message { from, to, message })).await.is_err() {
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
