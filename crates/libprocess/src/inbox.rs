//! Where received messages go: the queue of the process they name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use types::Pid;

use crate::decoder::Received;

/// A message that reached one of our processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The process's id.
    pub to: Arc<str>,
    /// Who sent it, by its own account.
    pub from: Pid,
    /// Its name, the full name of its protobuf type.
    pub name: String,
    /// Its serialized body.
    pub body: Bytes,
}

/// The processes of this daemon that take messages. Their queues are bounded: while one is full its senders' connections
/// are not read, so that they feel it.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    processes: BTreeMap<Arc<str>, mpsc::Sender<Message>>,
    families: Vec<(String, mpsc::Sender<Message>)>,
    same_ip: bool,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is in its process's queue. Answered 202.
    Accepted,
    /// There is no such process. Answered 404.
    NoSuchProcess,
    /// It says that it comes from somebody it cannot come from. Answered 400 with this reason.
    Refused(String),
}

impl Inbox {
    /// An inbox without processes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a process.
    pub fn process(mut self, id: &str, queue: mpsc::Sender<Message>) -> Self {
        self.processes.insert(id.into(), queue);
        self
    }

    /// Adds all processes `name(1)`, `name(2)` and so on: the master has a `slave-observer(N)` for each agent, to which the
    /// agent's PONG goes.
    pub fn family(mut self, name: &str, queue: mpsc::Sender<Message>) -> Self {
        self.families.push((format!("{name}("), queue));
        self
    }

    /// Refuses messages whose sender's address is not the one their connection comes from
    /// (`LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH`).
    pub fn require_same_ip(mut self, same_ip: bool) -> Self {
        self.same_ip = same_ip;
        self
    }

    /// Queues a message, waiting while the queue is full.
    pub async fn deliver(&self, received: Received, peer: SocketAddr) -> Delivery {
        let Received { to, from, name, body, keeps_alive: _ } = received;
        let Some(from) = from else {
            return Delivery::Refused("Failed to determine sender from request headers".to_owned());
        };
        if self.same_ip && from.address.ip() != peer.ip() {
            return Delivery::Refused(format!(
                "UPID IP address validation failed: Message from {from} was sent from IP {}",
                peer.ip()
            ));
        }
        let Some((to, queue)) = self.find(&to) else { return Delivery::NoSuchProcess };
        match queue.send(Message { to, from, name, body }).await {
            Ok(()) => Delivery::Accepted,
            Err(_) => Delivery::NoSuchProcess,
        }
    }

    fn find(&self, id: &str) -> Option<(Arc<str>, &mpsc::Sender<Message>)> {
        if let Some((to, queue)) = self.processes.get_key_value(id) {
            return Some((Arc::clone(to), queue));
        }
        let belongs = |name: &str| {
            let number = id.strip_prefix(name).and_then(|rest| rest.strip_suffix(')'));
            number
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let (_, queue) = self.families.iter().find(|(name, _)| belongs(name))?;
        Some((id.into(), queue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_processes_and_families() {
        let (queue, _messages) = mpsc::channel(1);
        let inbox = Inbox::new().process("master", queue.clone()).family("slave-observer", queue);
        for (id, known) in [
            ("master", true),
            ("slave-observer(1)", true),
            ("slave-observer(12)", true),
            ("slave-observer()", false),
            ("slave-observer(x)", false),
            ("slave-observer(1", false),
            ("slave-observer", false),
            ("", false),
        ] {
            assert_eq!(inbox.find(id).map(|(to, _)| to), known.then(|| id.into()), "{id}");
        }
    }
}
