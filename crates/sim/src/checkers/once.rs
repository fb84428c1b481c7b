//! No task runs twice.

use std::collections::{BTreeMap, BTreeSet};

use types::FrameworkId;

/// A task, by its framework.
pub(crate) type Key = (FrameworkId, String);

/// Which tasks have run, and where.
#[derive(Debug, Default)]
pub(crate) struct Once {
    started: BTreeMap<Key, String>,
    alive: BTreeSet<Key>,
}

impl Once {
    /// A task's own work begins.
    pub(crate) fn started(&mut self, task: &Key, place: &str) -> Result<(), String> {
        self.alive.insert(task.clone());
        match self.started.insert(task.clone(), place.to_owned()) {
            None => Ok(()),
            Some(before) => Err(format!("{} of {} begins in {place}, and did in {before}", task.1, task.0)),
        }
    }

    pub(crate) fn container_gone(&mut self, tasks: &[Key]) {
        for task in tasks {
            self.alive.remove(task);
        }
    }

    /// How many tasks ever ran.
    pub(crate) fn count(&self) -> usize {
        self.started.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_task_that_begins_again() {
        let mut once = Once::default();
        let task = (FrameworkId::from("f"), "t".to_owned());
        assert_eq!(once.started(&task, "here"), Ok(()));
        once.container_gone(std::slice::from_ref(&task));
        assert!(once.started(&task, "there").is_err_and(|why| why.contains("there, and did in here")));
    }
}
