//! Named points at which a process dies if it is told to, as by `kill -9`: tests learn what it leaves behind there.
//!
//! `MESOS_FAIL_POINT=name` kills the process when it comes to that point, `name:3` when it comes there for the third
//! time, `name@/file` once there is such a file, `name:3@/file` for the third time since. Only programs that are built with debug assertions have any of this: in a release [`fail_point`] is nothing.
//!
//! A point that is not listed in [`POINTS`] panics, and the test that kills an agent at each of them
//! (`crates/e2e/tests/fail_points.rs`) fails for one that is never reached.

/// Every point there is.
pub const POINTS: &[&str] = &[
    "acknowledgement.after",
    "acknowledgement.before",
    "checkpoint.agent_info.after",
    "checkpoint.agent_info.before",
    "checkpoint.boot_id.after",
    "checkpoint.boot_id.before",
    "checkpoint.command_task.after",
    "checkpoint.command_task.before",
    "checkpoint.commit_resource_state.after",
    "checkpoint.commit_resource_state.before",
    "checkpoint.commit_resources.after",
    "checkpoint.commit_resources.before",
    "checkpoint.drain_config.after",
    "checkpoint.drain_config.before",
    "checkpoint.executor_info.after",
    "checkpoint.executor_info.before",
    "checkpoint.framework_info.after",
    "checkpoint.framework_info.before",
    "checkpoint.framework_pid.after",
    "checkpoint.framework_pid.before",
    "checkpoint.http_marker.after",
    "checkpoint.http_marker.before",
    "checkpoint.latest_agent.after",
    "checkpoint.latest_agent.before",
    "checkpoint.latest_run.after",
    "checkpoint.latest_run.before",
    "checkpoint.libprocess_pid.after",
    "checkpoint.libprocess_pid.before",
    "checkpoint.no_agent.after",
    "checkpoint.no_agent.before",
    "checkpoint.no_drain_config.after",
    "checkpoint.no_drain_config.before",
    "checkpoint.no_operation.after",
    "checkpoint.no_operation.before",
    "checkpoint.operation_update.after",
    "checkpoint.operation_update.before",
    "checkpoint.renaming",
    "checkpoint.resource_state_target.after",
    "checkpoint.resource_state_target.before",
    "checkpoint.resources_target.after",
    "checkpoint.resources_target.before",
    "checkpoint.sentinel.after",
    "checkpoint.sentinel.before",
    "checkpoint.task_acknowledgement.after",
    "checkpoint.task_acknowledgement.before",
    "checkpoint.task_info.after",
    "checkpoint.task_info.before",
    "checkpoint.task_update.after",
    "checkpoint.task_update.before",
    "container.adopted",
    "container.cgroups_made",
    "container.cloned",
    "container.ended",
    "container.fetched",
    "container.forgotten",
    "container.half_destroyed",
    "container.killed",
    "container.killing",
    "container.marked",
    "container.pid_written",
    "container.recorded",
    "container.told",
    "executor.ended",
    "executor.started",
    "executor.subscribing",
    "executor.updating",
    "fetch.half",
    "gc.removed",
    "gc.removing",
    "image.pulled",
    "recovery.agent_recovered",
    "recovery.files_read",
    "recovery.orphan_destroyed",
    "recovery.orphans_destroyed",
    "root.made",
    "root.noted",
    "root.removed",
    "root.unmounted",
    "sandbox.linked",
    "sandbox.made",
    "update.forwarded",
    "update.forwarding",
    "volume.deleted",
    "volume.deleting",
    "volume.made",
    "volume.making",
];

/// The variable that names the point to die at.
pub const VARIABLE: &str = "MESOS_FAIL_POINT";

/// Dies here, if that was asked for.
#[cfg(debug_assertions)]
pub fn fail_point(name: &str) {
    armed::reach(name);
}

/// Dies here, if that was asked for: never in a release.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn fail_point(_: &str) {}

#[cfg(debug_assertions)]
mod armed {
    use std::io::Write as _;
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// A point, at which time it is heeded, and the file that must be there.
    #[derive(Debug, PartialEq, Eq)]
    pub(crate) struct Armed {
        pub(crate) name: String,
        pub(crate) nth: u32,
        pub(crate) since: Option<PathBuf>,
    }

    impl Armed {
        pub(crate) fn parse(text: &str) -> Option<Self> {
            let (text, since) = match text.split_once('@') {
                Some((text, file)) => (text, Some(file.into())),
                None => (text, None),
            };
            let (name, nth) = match text.split_once(':') {
                Some((name, nth)) => (name, nth.parse().ok()?),
                None => (text, 1),
            };
            (nth > 0 && super::POINTS.contains(&name)).then(|| Self { name: name.to_owned(), nth, since })
        }
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    static REACHED: AtomicU32 = AtomicU32::new(0);

    pub(crate) fn reach(name: &str) {
        assert!(super::POINTS.contains(&name), "the fail point '{name}' is not listed");
        let armed = ARMED.get_or_init(|| {
            let text = std::env::var(super::VARIABLE).ok()?;
            Some(Armed::parse(&text).unwrap_or_else(|| panic!("{}={text}: no such point", super::VARIABLE)))
        });
        let Some(armed) = armed.as_ref().filter(|armed| armed.name == name) else { return };
        if armed.since.as_ref().is_some_and(|file| !file.exists()) {
            return;
        }
        if REACHED.fetch_add(1, Ordering::SeqCst) + 1 != armed.nth {
            return;
        }
        // What cannot be said is seen in the status all the same.
        let _ = writeln!(std::io::stderr(), "fail point {name}: dying");
        loop {
            // Nothing handles that signal, so that this is the last that the process does.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::armed::Armed;
    use super::*;

    #[test]
    fn points_are_listed_once_and_in_order() {
        assert!(POINTS.is_sorted_by(|one, other| one < other));
        assert!(POINTS.len() >= 30);
        POINTS.iter().for_each(|point| eprintln!("{point}"));
    }

    #[test]
    fn points_are_named_with_a_count() {
        let armed = |nth, since: Option<&str>| {
            Some(Armed { name: "gc.removed".to_owned(), nth, since: since.map(Into::into) })
        };
        assert_eq!(Armed::parse("gc.removed"), armed(1, None));
        assert_eq!(Armed::parse("gc.removed:3"), armed(3, None));
        assert_eq!(Armed::parse("gc.removed@/f"), armed(1, Some("/f")));
        assert_eq!(Armed::parse("gc.removed:2@/f:1"), armed(2, Some("/f:1")));
        for bad in ["", "gc", "gc.removed:0", "gc.removed:x", "gc.removed:", "@/f"] {
            assert_eq!(Armed::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_not_armed_goes_on() {
        fail_point("gc.removed");
    }

    #[test]
    #[should_panic(expected = "the fail point 'gc.misspelt' is not listed")]
    fn a_misspelt_point_is_noticed() {
        fail_point("gc.misspelt");
    }
}
