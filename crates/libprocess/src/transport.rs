//! Sending messages, and links: who shall be told when a remote address can no longer be reached.
//!
//! A send never waits: it appends to the queue of its remote address, and that address's task writes the queue out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use types::Pid;

use crate::peer::{self, Peer};

/// Bounds of sending.
#[derive(Clone, Copy, Debug)]
pub struct TransportLimits {
    /// Time to connect.
    pub connect: Duration,
    /// Time in which a peer must take some more of what is being written to it.
    pub stall: Duration,
    /// How long a connection without links stays open after its queue has drained.
    pub linger: Duration,
    /// Bytes that may wait for one address. A message that would go over it closes the connection; a single message may
    /// be larger.
    pub queue_bytes_max: usize,
    /// Exits that may wait to be taken. Further ones wait in the tasks of their peers.
    pub exits_max: usize,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            linger: Duration::from_secs(1),
            queue_bytes_max: 64 * 1024 * 1024,
            exits_max: 1024,
        }
    }
}

/// A linked process can no longer be reached: its connection broke, or none could be made. Its link is gone.
///
/// By the time this is taken from the queue the process may have been linked again; ask [`Transport::is_linked`] whether
/// the news is stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exited(pub Pid);

/// Sends the messages of one daemon. Clones share their connections; the last one to go closes them.
#[derive(Clone, Debug)]
pub struct Transport {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// Where this daemon listens, as senders write it.
    own: String,
    limits: TransportLimits,
    runtime: Handle,
    exits: mpsc::Sender<Exited>,
    /// Locked because every task of the daemon may send, and sending must not wait for a task to take turns. Held only to
    /// look a peer up or to change the map.
    peers: Mutex<Peers>,
}

#[derive(Debug, Default)]
struct Peers {
    by_address: BTreeMap<SocketAddr, Arc<Peer>>,
    tasks: JoinSet<()>,
}

impl Transport {
    /// A transport for the daemon that listens at `own`, and the queue of its exits. To be made within a tokio runtime,
    /// which will run its tasks.
    pub fn new(own: SocketAddr, limits: TransportLimits) -> (Self, mpsc::Receiver<Exited>) {
        let (exits, exited) = mpsc::channel(limits.exits_max.max(1));
        let shared = Shared {
            own: own.to_string(),
            limits,
            runtime: Handle::current(),
            exits,
            peers: Mutex::default(),
        };
        (Self { shared: Arc::new(shared) }, exited)
    }

    /// Sends a message of our process `from`. In order with the others to that address; lost if its connection breaks.
    pub fn send(&self, from: &str, to: &Pid, name: &str, body: &[u8]) {
        let limits = &self.shared.limits;
        while !self.shared.peer(to.address).push(limits, |out, address| {
            crate::encode::encode(out, from, &self.shared.own, &to.id, address, name, body);
        }) {
            // That peer's task was just ending; the next look gives a new one.
        }
    }

    /// Watches a process: connects if there is no connection to its address, keeps the connection open, and raises
    /// [`Exited`] once when it breaks or cannot be made.
    pub fn link(&self, pid: &Pid) {
        while !self.shared.peer(pid.address).link(pid) {}
    }

    /// As [`Transport::link`], on a new connection in place of the one there is, which is closed without raising exits.
    /// What was not yet being written goes over the new one.
    ///
    /// COMPAT(mesos): the master does this when an agent registers again, because the old connection may be half open.
    pub fn reconnect(&self, pid: &Pid) {
        self.shared.replace(pid);
    }

    /// Ends the watch over a process. Without other links the connection closes once its queue has drained.
    pub fn unlink(&self, pid: &Pid) {
        let peer = self.shared.peers().by_address.get(&pid.address).cloned();
        if let Some(peer) = peer {
            peer.unlink(pid);
        }
    }

    /// Whether the process is watched over a connection not known to be broken.
    pub fn is_linked(&self, pid: &Pid) -> bool {
        let peer = self.shared.peers().by_address.get(&pid.address).cloned();
        peer.is_some_and(|peer| peer.is_linked(pid))
    }

    /// The remote addresses with a connection, open or being made.
    pub fn connections(&self) -> usize {
        self.shared.peers().by_address.len()
    }

    /// Waits until every queue is written out or lost: for a daemon's last words. Give it a timeout.
    pub async fn drain(&self) {
        let peers: Vec<Arc<Peer>> = self.shared.peers().by_address.values().cloned().collect();
        for peer in peers {
            peer.drained().await;
        }
    }
}

impl Shared {
    fn peers(&self) -> MutexGuard<'_, Peers> {
        // Nothing that can panic runs under the lock.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer at `address`, started if there is none.
    fn peer(self: &Arc<Self>, address: SocketAddr) -> Arc<Peer> {
        let mut peers = self.peers();
        if let Some(peer) = peers.by_address.get(&address)
            && !peer.is_closed()
        {
            return Arc::clone(peer);
        }
        let peer = Arc::new(Peer::new(address));
        self.start(&mut peers, &peer);
        peer
    }

    fn replace(self: &Arc<Self>, pid: &Pid) {
        let mut peers = self.peers();
        let peer = Arc::new(match peers.by_address.get(&pid.address) {
            Some(old) => old.replace(),
            None => Peer::new(pid.address),
        });
        // A new peer is open, so this holds.
        let linked = peer.link(pid);
        debug_assert!(linked);
        self.start(&mut peers, &peer);
    }

    fn start(self: &Arc<Self>, peers: &mut Peers, peer: &Arc<Peer>) {
        while peers.tasks.try_join_next().is_some() {}
        peers.by_address.insert(peer.address(), Arc::clone(peer));
        let task = peer::run(Arc::clone(peer), self.limits, Arc::downgrade(self), self.exits.clone());
        peers.tasks.spawn_on(task, &self.runtime);
    }

    /// Forgets a peer whose task ends, unless another has taken its place.
    pub(crate) fn forget(shared: &Weak<Self>, peer: &Arc<Peer>) {
        let Some(shared) = shared.upgrade() else { return };
        let mut peers = shared.peers();
        let current = peers.by_address.get(&peer.address());
        if current.is_some_and(|current| Arc::ptr_eq(current, peer)) {
            peers.by_address.remove(&peer.address());
        }
    }
}
