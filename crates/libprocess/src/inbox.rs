//! Where received messages go: the queue of the process they name.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
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

/// Where the messages of a process go.
pub trait Queue: Send + Sync + 'static {
    /// Takes a message, on the task of the connection that it came on.
    fn put(&self, message: Message) -> Put;
}

/// What a queue did with a message.
pub enum Put {
    /// It is in the queue, or it was one that the process drops.
    Taken,
    /// The process is gone.
    Closed,
    /// The queue is full. This puts the message there as soon as there is room; false if the process is gone by then.
    Waits(Pin<Box<dyn Future<Output = bool> + Send>>),
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "Taken",
            Self::Closed => "Closed",
            Self::Waits(_) => "Waits",
        })
    }
}

impl Queue for mpsc::Sender<Message> {
    fn put(&self, message: Message) -> Put {
        put(self, message)
    }
}

/// A queue of what is read from messages rather than of messages: they are read where they arrive.
#[derive(Debug)]
pub struct Reading<T> {
    queue: mpsc::Sender<T>,
    read: fn(Message) -> Option<T>,
}

impl<T> Reading<T> {
    /// Messages of which `read` makes nothing are dropped.
    pub fn new(queue: mpsc::Sender<T>, read: fn(Message) -> Option<T>) -> Self {
        Self { queue, read }
    }
}

impl<T: Send + 'static> Queue for Reading<T> {
    fn put(&self, message: Message) -> Put {
        match (self.read)(message) {
            Some(item) => put(&self.queue, item),
            None => Put::Taken,
        }
    }
}

fn put<T: Send + 'static>(queue: &mpsc::Sender<T>, item: T) -> Put {
    match queue.try_send(item) {
        Ok(()) => Put::Taken,
        Err(mpsc::error::TrySendError::Closed(_)) => Put::Closed,
        Err(mpsc::error::TrySendError::Full(item)) => {
            let queue = queue.clone();
            Put::Waits(Box::pin(async move { queue.send(item).await.is_ok() }))
        }
    }
}

/// The processes of this daemon that take messages. Their queues are bounded: while one is full its senders' connections
/// are not read, so that they feel it.
#[derive(Default)]
pub struct Inbox {
    processes: BTreeMap<Arc<str>, Box<dyn Queue>>,
    families: Vec<(String, Box<dyn Queue>)>,
    same_ip: bool,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let families = self.families.iter().map(|(name, _)| name.as_str());
        f.debug_set().entries(self.processes.keys().map(AsRef::as_ref).chain(families)).finish()
    }
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
    pub fn process(mut self, id: &str, queue: impl Queue) -> Self {
        self.processes.insert(id.into(), Box::new(queue));
        self
    }

    /// Adds all processes `name(1)`, `name(2)` and so on: the master has a `slave-observer(N)` for each agent, to which the
    /// agent's PONG goes.
    pub fn family(mut self, name: &str, queue: impl Queue) -> Self {
        self.families.push((format!("{name}("), Box::new(queue)));
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
        let taken = match queue.put(Message { to, from, name, body }) {
            Put::Taken => true,
            Put::Closed => false,
            Put::Waits(waiting) => waiting.await,
        };
        if taken { Delivery::Accepted } else { Delivery::NoSuchProcess }
    }

    fn find(&self, id: &str) -> Option<(Arc<str>, &dyn Queue)> {
        if let Some((to, queue)) = self.processes.get_key_value(id) {
            return Some((Arc::clone(to), queue.as_ref()));
        }
        let belongs = |name: &str| {
            let number = id.strip_prefix(name).and_then(|rest| rest.strip_suffix(')'));
            number
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let (_, queue) = self.families.iter().find(|(name, _)| belongs(name))?;
        Some((id.into(), queue.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_read_where_they_arrive_and_wait_for_room_in_order() {
        let read = |message: Message| (message.name != "none").then_some(message.name);
        let (queue, mut names) = mpsc::channel(1);
        let inbox = Arc::new(Inbox::new().process("master", Reading::new(queue, read)));
        let deliver = |name: &str| {
            let (inbox, name) = (Arc::clone(&inbox), name.to_owned());
            let from = "a@127.0.0.1:1".parse().ok();
            let received =
                Received { to: "master".to_owned(), from, name, body: Bytes::new(), keeps_alive: true };
            async move { inbox.deliver(received, "127.0.0.1:1".parse().unwrap()).await }
        };
        assert_eq!(deliver("none").await, Delivery::Accepted);
        assert_eq!(deliver("one").await, Delivery::Accepted);
        let (second, first) = tokio::join!(deliver("two"), names.recv());
        assert_eq!((first.as_deref(), second), (Some("one"), Delivery::Accepted));
        assert_eq!(names.recv().await.as_deref(), Some("two"));
        drop(names);
        assert_eq!(deliver("three").await, Delivery::NoSuchProcess);
    }

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
