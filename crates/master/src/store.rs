//! The registry of this master: in memory, in a file of its work directory, or in ZooKeeper or etcd.
//!
//! What outlives the master is written by a thread of its own, several operations in one commit where
//! they come faster than commits are done. The core waits for the report of each operation
//! before it tells anyone, so nothing is known that is not durable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use coordination::{Change, Local, StoreError, StoreTimeouts, Url};
use master_core::registry::{Key, Operation, Outcome, State};
use master_core::{Event, Ticket};
use proto::mesos::internal::Registry;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::reactor::Input;
use crate::timing::Timings;

/// Operations that wait for the disk. A master with more than that under way does
/// not get well by waiting.
const QUEUE_MAX: usize = 262_144;

/// What a key takes beside its value, about.
const KEY_BYTES: usize = 256;

/// Operations that one commit makes durable.
const BATCH_MAX: usize = 4096;

/// What keeps the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryKind {
    /// The process, until it ends.
    InMemory,
    /// A file below this work directory.
    Local(PathBuf),
    /// ZooKeeper or etcd, beside the election.
    Shared {
        /// Where the election is.
        url: Url,
        /// The session there.
        session_timeout: Duration,
        /// How long reading the registry may take.
        fetch_timeout: Duration,
        /// How long writing it may take.
        store_timeout: Duration,
    },
}

/// A registry, open and read.
#[derive(Debug)]
pub(crate) struct Store {
    state: State,
    kept: Option<Box<dyn coordination::Store>>,
}

impl Store {
    /// Opens the registry, begins an epoch of leadership in it and reads it. Blocks its thread, which must be none of the
    /// runtime's own.
    pub(crate) fn open(kind: &RegistryKind, runtime: &Handle) -> anyhow::Result<Self> {
        let mut kept: Box<dyn coordination::Store> = match kind {
            RegistryKind::InMemory => return Ok(Self { state: State::default(), kept: None }),
            RegistryKind::Local(work_dir) => {
                Box::new(Local::open(&work_dir.join("registry")).context("Failed to open the registry")?)
            }
            RegistryKind::Shared { url, session_timeout, fetch_timeout, store_timeout } => {
                let timeouts =
                    StoreTimeouts { session: *session_timeout, fetch: *fetch_timeout, store: *store_timeout };
                coordination::open(url, timeouts, runtime).context("Failed to open the registry")?
            }
        };
        let entries = kept.read().context("Failed to read the registry")?;
        let pairs = entries.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        let state = State::from(State::from_entries(pairs).context("Failed to read the registry")?);
        tracing::info!(entries = entries.len(), epoch = kept.epoch(), "read the registry");
        Ok(Self { state, kept: Some(kept) })
    }

    /// The registry as it is now.
    pub(crate) fn fetch(&self) -> Registry {
        Registry::from(&self.state)
    }

    /// Begins to take operations; those of what outlives the master are reported to `reports`.
    pub(crate) fn start(
        self,
        reports: tokio::sync::mpsc::Sender<Input>,
        timings: Arc<Timings>,
    ) -> anyhow::Result<Writer> {
        let Self { state, kept } = self;
        let Some(store) = kept else { return Ok(Writer::Memory { state: Box::new(state), timings }) };
        let (jobs, queue) = mpsc::sync_channel(QUEUE_MAX);
        let sizes: BTreeMap<Key, usize> =
            state.entries().into_iter().map(|(key, value)| (key, value.len())).collect();
        let bytes = sizes.values().sum::<usize>().max(1) as u64;
        timings.registry_bytes.store(bytes, Ordering::Relaxed);
        let queued = Arc::clone(&timings);
        let mut keeper = Keeper { state, store, reports, timings, sizes };
        let thread =
            std::thread::Builder::new().name("registry".to_owned()).spawn(move || keeper.run(&queue));
        Ok(Writer::Thread {
            jobs: Some(jobs),
            timings: queued,
            thread: Some(thread.context("Failed to start a thread")?),
        })
    }
}

/// What the thread is asked.
#[derive(Debug)]
pub(crate) enum Job {
    /// One operation and the name of its report.
    Apply {
        /// The name.
        ticket: Ticket,
        /// The operation.
        operation: Operation,
    },
    /// Somebody wants to see the registry.
    Show(oneshot::Sender<Registry>),
}

/// The way to the registry.
#[derive(Debug)]
pub(crate) enum Writer {
    /// It applies at once.
    Memory {
        /// What it is.
        state: Box<State>,
        /// How long that takes.
        timings: Arc<Timings>,
    },
    /// It applies on its own thread. Dropping this waits until all is written.
    Thread {
        /// The thread's queue; none while this is dropped.
        jobs: Option<SyncSender<Job>>,
        /// How much waits in it.
        timings: Arc<Timings>,
        /// The thread.
        thread: Option<JoinHandle<()>>,
    },
}

impl Writer {
    /// Takes an operation. Its outcome, or none if it is reported later.
    pub(crate) fn submit(&mut self, ticket: Ticket, operation: Operation) -> Option<Outcome> {
        match self {
            Self::Memory { state, timings } => {
                let began = Instant::now();
                let changed = state.apply(&operation);
                timings.state_store.record(began.elapsed());
                Some(Outcome::Applied { changed })
            }
            Self::Thread { jobs, timings, thread: _ } => {
                // ORDER: before the thread may count it down.
                timings.registry_queued.fetch_add(1, Ordering::Relaxed);
                let sent = jobs.as_ref().map(|jobs| jobs.try_send(Job::Apply { ticket, operation }));
                if !matches!(sent, Some(Ok(()))) {
                    timings.registry_queued.fetch_sub(1, Ordering::Relaxed);
                }
                match sent {
                    Some(Ok(())) => None,
                    Some(Err(TrySendError::Full(_))) => {
                        Some(Outcome::Lost(format!("{QUEUE_MAX} operations wait to be written")))
                    }
                    Some(Err(TrySendError::Disconnected(_))) | None => {
                        Some(Outcome::Lost("the registry's thread has ended".to_owned()))
                    }
                }
            }
        }
    }
}

impl Writer {
    /// Gives the registry as it is, with all that was submitted so far.
    pub(crate) fn show(&self, answer: oneshot::Sender<Registry>) {
        // Who asks is told nothing if there is nobody to ask, or too much is under way.
        match self {
            Self::Memory { state, timings: _ } => drop(answer.send(Registry::from(&**state))),
            Self::Thread { jobs, timings: _, thread: _ } => {
                drop(jobs.as_ref().map(|jobs| jobs.try_send(Job::Show(answer))));
            }
        }
    }

    /// Does not wait for what is being written. For a master that must end: whether that is done does not concern it
    /// any more, and it may take long.
    pub(crate) fn abandon(self) {
        let mut writer = self;
        match &mut writer {
            Self::Memory { .. } => {}
            Self::Thread { jobs: _, timings: _, thread } => drop(thread.take()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Self::Thread { jobs, timings: _, thread } = self {
            drop(jobs.take());
            if let Some(thread) = thread.take()
                && thread.join().is_err()
            {
                tracing::error!("the registry's thread panicked");
            }
        }
    }
}

/// The thread that writes.
struct Keeper {
    state: State,
    store: Box<dyn coordination::Store>,
    reports: tokio::sync::mpsc::Sender<Input>,
    timings: Arc<Timings>,
    /// Bytes of each value that is written.
    sizes: BTreeMap<Key, usize>,
}

impl Keeper {
    /// Runs until nobody can ask any more, or the store fails.
    fn run(&mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let (mut batch, mut asked) = (Vec::new(), Vec::new());
            for job in std::iter::once(first).chain(queue.try_iter().take(BATCH_MAX - 1)) {
                match job {
                    Job::Apply { ticket, operation } => batch.push((ticket, operation)),
                    Job::Show(answer) => asked.push(answer),
                }
            }
            let outcomes = self.apply(&batch);
            self.timings.registry_queued.fetch_sub(batch.len(), Ordering::Relaxed);
            let failed = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Lost(_)));
            if !failed && !asked.is_empty() {
                let registry = Registry::from(&self.state);
                // Whoever does not wait any more need not be told.
                asked.into_iter().for_each(|answer| drop(answer.send(registry.clone())));
            }
            for ((ticket, _), outcome) in batch.into_iter().zip(outcomes) {
                let event = Event::RegistryApplied { ticket, outcome };
                if self.reports.blocking_send(Input::Event(event)).is_err() {
                    // The core has ended; what is durable is found at the next start.
                    return;
                }
            }
            if failed {
                return;
            }
        }
    }

    /// Applies a batch, durably, in as few commits as the store lets it.
    fn apply(&mut self, batch: &[(Ticket, Operation)]) -> Vec<Outcome> {
        if batch.is_empty() {
            return Vec::new();
        }
        let began = Instant::now();
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut pending = Pending::default();
        let mut committed = Ok(());
        for (_, operation) in batch {
            // ORDER: what an operation changes goes into one commit, so that a crash leaves no half of it. So commits
            // are done between operations, when no key has a value of the next.
            let full = pending.bytes >= self.store.commit_bytes_max()
                || pending.keys.len() + operation.keys().len() > self.store.commit_keys_max();
            if committed.is_ok() && full {
                committed = self.commit(std::mem::take(&mut pending));
            }
            let changed = self.state.apply(operation);
            outcomes.push(Outcome::Applied { changed });
            if changed {
                pending.bytes += self.weigh(operation);
                pending.keys.extend(operation.keys());
            }
        }
        let committed = committed.and_then(|()| self.commit(pending));
        self.timings.state_store.record(began.elapsed());
        match committed {
            Ok(()) => outcomes,
            Err(error) => {
                let error = anyhow::Error::from(error);
                vec![Outcome::Lost(format!("{error:#}")); batch.len()]
            }
        }
    }

    fn weigh(&self, operation: &Operation) -> usize {
        let keys = operation.keys();
        let bytes = keys.iter().map(|key| match key {
            // It may be large, and is the same however many operations changed it.
            Key::Settings => 0,
            Key::Admitted(_) | Key::Unreachable(_) | Key::Gone(_) => {
                KEY_BYTES + self.state.value(key).map_or(0, |value| value.len())
            }
        });
        bytes.sum()
    }

    fn commit(&mut self, pending: Pending) -> Result<(), StoreError> {
        let change = |key: &Key| Change { key: key.to_string(), value: self.state.value(key) };
        let changes: Vec<_> = pending.keys.iter().map(change).collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.store.commit(&changes)?;
        let mut bytes = self.timings.registry_bytes.load(Ordering::Relaxed);
        for (key, Change { key: _, value }) in pending.keys.into_iter().zip(changes) {
            let old = match value.map(|value| value.len()) {
                Some(new) => {
                    bytes += new as u64;
                    self.sizes.insert(key, new)
                }
                None => self.sizes.remove(&key),
            };
            bytes -= old.unwrap_or_default() as u64;
        }
        self.timings.registry_bytes.store(bytes.max(1), Ordering::Relaxed);
        Ok(())
    }
}

/// What the next commit takes.
#[derive(Default)]
struct Pending {
    keys: BTreeSet<Key>,
    bytes: usize,
}
