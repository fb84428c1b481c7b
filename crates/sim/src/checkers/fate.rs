//! What has ended does not live on: after a last word nothing new says that the task runs.

use std::collections::BTreeSet;

use proto::mesos::v1::{TaskState, TaskStatus};

use crate::framework::is_over;

/// The updates that were seen.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    seen: BTreeSet<Vec<u8>>,
}

impl Fate {
    /// An update is seen by its framework. Whether it was before.
    pub(crate) fn heard(&mut self, status: &TaskStatus) -> bool {
        status.uuid.as_ref().is_some_and(|uuid| !self.seen.insert(uuid.to_vec()))
    }

    /// A framework is told something of a task that it was told the end of. An old update that comes again is its right.
    pub(crate) fn told_after_the_end(
        &mut self,
        status: &TaskStatus,
        again: bool,
        end: TaskState,
    ) -> Result<(), String> {
        if again || is_over(status.state()) {
            return Ok(());
        }
        Err(format!(
            "{} was {} and now is {}: {}",
            status.task_id.value,
            end.as_str_name(),
            status.state().as_str_name(),
            status.message()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_the_dead_rise() {
        let mut fate = Fate::default();
        let mut running = TaskStatus { uuid: Some(vec![1].into()), ..TaskStatus::default() };
        running.set_state(TaskState::TaskRunning);
        assert!(!fate.heard(&running));
        let again = fate.heard(&running);
        assert!(again);
        assert_eq!(fate.told_after_the_end(&running, again, TaskState::TaskFinished), Ok(()));
        assert!(fate.told_after_the_end(&running, false, TaskState::TaskFinished).is_err());
    }
}
