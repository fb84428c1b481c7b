//! The registry of this master: in memory, or in a file of its work directory.
//!
//! A file is written by a thread of its own, several operations in one commit where
//! they come faster than the disk. The core waits for the report of each operation
//! before it tells anyone, so nothing is known that is not durable.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context;
use coordination::{Change, Local};
use master_core::registry::{Key, Operation, Outcome, State};
use master_core::{Event, Ticket};
use proto::mesos::internal::Registry;

use crate::reactor::Input;
use crate::timing::Timings;

/// Operations that wait for the disk. A master with more than that under way does
/// not get well by waiting.
const QUEUE_MAX: usize = 262_144;

/// Operations that one commit makes durable.
const BATCH_MAX: usize = 4096;

/// A registry, open and read.
#[derive(Debug)]
pub(crate) struct Store {
    state: State,
    file: Option<Local>,
}

impl Store {
    /// A registry that lives as long as its process.
    pub(crate) fn in_memory() -> Self {
        Self { state: State::default(), file: None }
    }

    /// The registry in the file below `work_dir`.
    pub(crate) fn local(work_dir: &Path) -> anyhow::Result<Self> {
        let file = Local::open(&work_dir.join("registry")).context("Failed to open the registry")?;
        let entries = file.read().context("Failed to read the registry")?;
        let pairs = entries.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        let state = State::from(State::from_entries(pairs).context("Failed to read the registry")?);
        tracing::info!(entries = entries.len(), epoch = file.epoch(), "read the registry");
        Ok(Self { state, file: Some(file) })
    }

    /// The registry as it is now.
    pub(crate) fn fetch(&self) -> Registry {
        Registry::from(&self.state)
    }

    /// Begins to take operations; those of a file are reported to `reports`.
    pub(crate) fn start(
        self,
        reports: tokio::sync::mpsc::Sender<Input>,
        timings: Arc<Timings>,
    ) -> anyhow::Result<Writer> {
        let Self { state, file } = self;
        let Some(file) = file else { return Ok(Writer::Memory { state: Box::new(state), timings }) };
        let (jobs, queue) = mpsc::sync_channel(QUEUE_MAX);
        let mut disk = Disk { state, file, reports, timings };
        let thread = std::thread::Builder::new().name("registry".to_owned()).spawn(move || disk.run(&queue));
        Ok(Writer::File { jobs: Some(jobs), thread: Some(thread.context("Failed to start a thread")?) })
    }
}

/// One operation and the name of its report.
#[derive(Debug)]
pub(crate) struct Job {
    ticket: Ticket,
    operation: Operation,
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
    File {
        /// The thread's queue; none while this is dropped.
        jobs: Option<SyncSender<Job>>,
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
            Self::File { jobs, thread: _ } => {
                let sent = jobs.as_ref().map(|jobs| jobs.try_send(Job { ticket, operation }));
                match sent {
                    Some(Ok(())) => None,
                    Some(Err(TrySendError::Full(_))) => {
                        Some(Outcome::Lost(format!("{QUEUE_MAX} operations wait for the disk")))
                    }
                    Some(Err(TrySendError::Disconnected(_))) | None => {
                        Some(Outcome::Lost("the registry's thread has ended".to_owned()))
                    }
                }
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Self::File { jobs, thread } = self {
            drop(jobs.take());
            if let Some(thread) = thread.take()
                && thread.join().is_err()
            {
                tracing::error!("the registry's thread panicked");
            }
        }
    }
}

/// The thread that writes the file.
struct Disk {
    state: State,
    file: Local,
    reports: tokio::sync::mpsc::Sender<Input>,
    timings: Arc<Timings>,
}

impl Disk {
    /// Runs until nobody can ask any more, or the file fails.
    fn run(&mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let batch: Vec<Job> =
                std::iter::once(first).chain(queue.try_iter().take(BATCH_MAX - 1)).collect();
            let outcomes = self.apply(&batch);
            let failed = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Lost(_)));
            for (job, outcome) in batch.into_iter().zip(outcomes) {
                let event = Event::RegistryApplied { ticket: job.ticket, outcome };
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

    /// Applies a batch, durably, as one commit.
    fn apply(&mut self, batch: &[Job]) -> Vec<Outcome> {
        let began = Instant::now();
        let mut keys: Vec<Key> = Vec::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for Job { ticket: _, operation } in batch {
            let changed = self.state.apply(operation);
            if changed {
                keys.extend(operation.keys());
            }
            outcomes.push(Outcome::Applied { changed });
        }
        keys.sort_unstable();
        keys.dedup();
        let change = |key: &Key| Change { key: key.to_string(), value: self.state.value(key) };
        let changes: Vec<_> = keys.iter().map(change).collect();
        let committed = if changes.is_empty() { Ok(()) } else { self.file.commit(&changes) };
        self.timings.state_store.record(began.elapsed());
        match committed {
            Ok(()) => outcomes,
            Err(error) => {
                let error = anyhow::Error::from(error);
                vec![Outcome::Lost(format!("{error:#}")); batch.len()]
            }
        }
    }
}
