//! What ended is kept by the daemon for a while, for people to look at, and then removed: one task for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use docker::Client;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use types::ContainerId;

/// How long is waited after the daemon could not remove a container.
const RETRY: Duration = Duration::from_secs(30);

/// Containers that wait to be removed. What is above it is removed by the next agent, as an orphan.
const WAITING_MAX: usize = 100_000;

/// What is to be removed, and when. Dropping it ends the work; the next agent finds what is left.
pub(crate) struct Removals {
    waiting: Arc<Waiting>,
    /// What the daemon calls containers of an earlier agent, which may have named them otherwise.
    names: Mutex<BTreeMap<ContainerId, String>>,
    /// Owns the task.
    _worker: JoinSet<()>,
}

#[derive(Default)]
struct Waiting {
    /// A lock between those whose containers end and the task that removes; held for one insertion or removal.
    containers: Mutex<BTreeSet<(Instant, String)>>,
    changed: Notify,
}

impl Removals {
    pub(crate) fn start(client: Client) -> Self {
        let waiting = Arc::new(Waiting::default());
        let mut worker = JoinSet::new();
        worker.spawn(remove(client, Arc::clone(&waiting)));
        Self { waiting, names: Mutex::default(), _worker: worker }
    }

    /// Has a container removed after that time, even if it should run then.
    pub(crate) fn later(&self, name: String, delay: Duration) {
        let now = Instant::now();
        // A delay beyond all clocks is one that never ends.
        let Some(due) = now.checked_add(delay) else { return };
        let mut containers = self.waiting.lock();
        if containers.len() < WAITING_MAX {
            containers.insert((due, name));
            self.waiting.changed.notify_one();
        }
    }

    pub(crate) fn set_old_names(&self, names: BTreeMap<ContainerId, String>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    pub(crate) fn old_name(&self, container: &ContainerId) -> Option<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(container)
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Instant, String)>> {
        // Nothing is left half done under this lock, so a panic elsewhere does not spoil it.
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn remove(client: Client, waiting: Arc<Waiting>) {
    loop {
        let first = waiting.lock().first().cloned();
        let Some((due, name)) = first else {
            waiting.changed.notified().await;
            continue;
        };
        if due > Instant::now() {
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = waiting.changed.notified() => {}
            }
            continue;
        }
        waiting.lock().remove(&(due, name.clone()));
        if let Err(error) = client.remove(&name).await {
            tracing::warn!(name, %error, "cannot remove a Docker container; trying again later");
            waiting.lock().insert((Instant::now() + RETRY, name));
        }
    }
}
