//! Which containers have which ranges of ids for their users, also over a restart of the agent.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use launch_plan::{Ids, Isolator};
use types::ContainerId;

use crate::config::Config;
use crate::entries::{Shared, root_of};

impl Config {
    /// Where it is kept which ids a container has.
    fn ids_file(&self, container: &ContainerId) -> Option<PathBuf> {
        Some(self.place(container)?.join("userns"))
    }

    fn recorded_ids(&self, container: &ContainerId) -> Option<u32> {
        fs::read_to_string(self.ids_file(container)?).ok()?.trim().parse().ok()
    }

    fn record_ids(&self, container: &ContainerId, first: u32) -> io::Result<()> {
        let Some(path) = self.ids_file(container) else { return Ok(()) };
        self.mark(container)?;
        fs::write(path, first.to_string())
    }
}

impl Shared {
    fn lock_ids(&self) -> MutexGuard<'_, Ids> {
        // Nothing is left half done under this lock.
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first of the ids that a container has: its own, or those of the one around it. None without users of its own.
    pub(crate) fn ids_of(&self, container: &ContainerId) -> Result<Option<u32>, String> {
        let root = root_of(container);
        let known = self.known_ids(root);
        if known.is_some()
            || root != container
            || !self.config.settings.isolation.has(Isolator::NamespacesUser)
        {
            return Ok(known);
        }
        let first = self.lock_ids().take()?;
        self.set_ids(container, first);
        let recorded = self.config.record_ids(container, first);
        recorded.map_err(|error| format!("Failed to note the user ids of the container: {error}"))?;
        Ok(Some(first))
    }

    /// Picks up the ids of a container of an earlier agent.
    pub(crate) fn keep_ids(&self, container: &ContainerId) {
        if let Some(first) = self.config.recorded_ids(container) {
            self.lock_ids().keep(first);
            self.set_ids(container, first);
        }
    }

    /// A container needs its ids no more.
    pub(crate) fn give_ids_back(&self, container: &ContainerId) {
        let Some(first) = self.known_ids(container) else { return };
        self.lock_ids().give_back(first);
        let Some(path) = self.config.ids_file(container) else { return };
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%container, %error, "cannot forget the user ids of a container");
            }
            Ok(()) | Err(_) => {}
        }
    }
}
