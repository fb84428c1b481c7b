//! The libprocess side: messages from agents and drivers to the core, and the core's messages and links to them.
//!
//! ```text
//! sockets -> Inbox, decoded there -> core        core -> Transport -> sockets        broken links -> core
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use libprocess::{Exited, Inbox, Message, Reading, Transport, TransportLimits};
use master_core::{DecodeError, Event, Outgoing, Process};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use types::Pid;

use crate::reactor::Input;

/// The way to the peers. It belongs to the core's task.
#[derive(Debug)]
pub(crate) struct Peers {
    transport: Transport,
    /// Reports broken links; ends with this.
    _tasks: JoinSet<()>,
}

impl Peers {
    /// The peers of a master that others reach at `own`, and the inbox of its processes. What comes in goes to `inputs`.
    /// With `same_ip`, messages are taken only from the address that they say they come from.
    pub(crate) fn new(own: SocketAddr, same_ip: bool, inputs: &mpsc::Sender<Input>) -> (Self, Arc<Inbox>) {
        let (transport, exits) = Transport::new(own, TransportLimits::default());
        let queue = || Reading::new(inputs.clone(), read);
        let inbox = Inbox::new()
            .process("master", queue())
            .family("slave-observer", queue())
            .require_same_ip(same_ip);
        let mut tasks = JoinSet::new();
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

/// Decodes a message, on its connection's task.
fn read(Message { to, from, name, body }: Message) -> Option<Input> {
    match master_core::Message::decode(&name, &body) {
        Ok(message) => Some(Input::Event(Event::Message { from, to, message })),
        // COMPAT(mesos): a name that nothing is installed for is dropped without a word.
        Err(DecodeError::Unknown(name)) => {
            tracing::debug!(%from, name, "dropped a message that nothing handles");
            None
        }
        Err(error @ DecodeError::Malformed { .. }) => {
            tracing::warn!(%from, %error, "dropped a message");
            None
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
