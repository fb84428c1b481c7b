//! Roles whose tasks are short: each must say by when it ends.
//!
//! A part of each agent is for these roles alone (the allocator's `ShortTasks`), which
//! is only worth something when their tasks end soon. So a task in such a role must have
//! a `max_completion_time` within the role's bound; its executor ends it then.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::mesos::v1::TaskInfo;
use resources::Resources;
use types::Role;

/// What is for short tasks, and how short they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortTasks {
    /// The part of each agent, in thousandths (`--short_task_share`).
    pub permille: u32,
    /// The longest that a task may run, by role (`--short_task_roles`).
    pub bounds: BTreeMap<Role, Duration>,
}

impl ShortTasks {
    /// What the allocator must know of it.
    pub(crate) fn share(&self) -> allocator::ShortTasks {
        allocator::ShortTasks { permille: self.permille, roles: self.bounds.keys().cloned().collect() }
    }

    /// Checks how long a task on these resources may run.
    pub(crate) fn check(&self, task: &TaskInfo, resources: &Resources) -> Result<(), String> {
        let roles = resources.allocation_roles();
        let bound = roles.into_iter().find_map(|role| Some((self.bounds.get(&role)?.as_nanos(), role)));
        let Some((bound, role)) = bound else { return Ok(()) };
        let must = |found: String| {
            format!(
                "Task of role '{role}' must have a 'max_completion_time' of at most {} secs, but has {found}",
                secs(bound)
            )
        };
        match task.max_completion_time {
            None => Err(must("none".to_owned())),
            Some(time) => match u128::try_from(time.nanoseconds) {
                Ok(nanos) if nanos <= bound => Ok(()),
                Ok(nanos) => Err(must(format!("{} secs", secs(nanos)))),
                Err(_) => Err("Task's `max_completion_time` must be non-negative".to_owned()),
            },
        }
    }
}

/// Nanoseconds as seconds, for people.
fn secs(nanos: u128) -> String {
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:09}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(role: &str, nanos: Option<i64>) -> Result<(), String> {
        let short =
            ShortTasks { permille: 200, bounds: [(Role::from("quick"), Duration::from_secs(300))].into() };
        let task = TaskInfo {
            max_completion_time: nanos.map(|nanoseconds| proto::mesos::v1::DurationInfo { nanoseconds }),
            ..TaskInfo::default()
        };
        let resources = Resources::parse("cpus:1", "*").map_err(|why| why.to_string())?;
        short.check(&task, &resources.allocated(&Role::from(role)))
    }

    #[test]
    fn a_task_of_a_short_role_says_by_when_it_ends() {
        const SECOND: i64 = 1_000_000_000;
        let most = "Task of role 'quick' must have a 'max_completion_time' of at most 300 secs, but has ";
        assert_eq!(check("quick", Some(300 * SECOND)), Ok(()));
        assert_eq!(check("quick", Some(0)), Ok(()));
        assert_eq!(check("quick", Some(300 * SECOND + SECOND / 2)), Err(format!("{most}300.5 secs")));
        assert_eq!(check("quick", None), Err(format!("{most}none")));
        // Other roles may do as they like, also those below it.
        assert_eq!(check("other", None), Ok(()));
        assert_eq!(check("quick/sub", Some(i64::MAX)), Ok(()));
    }
}
