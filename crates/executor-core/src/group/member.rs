//! One task of a group: how far its container is, and what its end means.

use std::sync::Arc;
use std::time::Duration;

use machine::Instant;
use proto::mesos::v1::agent::call::LaunchContainer;
use proto::mesos::v1::agent::response::WaitContainer;
use proto::mesos::v1::task_status::Reason;
use proto::mesos::v1::{self, TaskState};
use types::{ContainerId, TaskId};

use crate::health::Health;
use crate::signal_name;

/// A task of a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) task: v1::TaskInfo,
    pub(super) container: ContainerId,
    /// The call that launches it.
    pub(super) call: LaunchContainer,
    /// The tasks of its group, itself among them.
    pub(super) group: Arc<[TaskId]>,
    /// What the agent said to the launch.
    pub(super) answer: Option<Result<(), String>>,
    /// Whether its whole group has answers, so that its end is what comes next.
    pub(super) is_waited_for: bool,
    /// The number of the wait that is under way; 0 for none.
    pub(super) attempt: u64,
    pub(super) kill_when_launched: Option<Duration>,
    pub(super) killing: bool,
    /// It is killed since another one of its group ended badly, and so takes nobody along.
    pub(super) killing_group: bool,
    /// It reached its maximum completion time.
    pub(super) out_of_time: bool,
    pub(super) health: Option<Health>,
    /// The last update that was made of it.
    pub(super) last: Option<v1::TaskStatus>,
}

/// What is said of a task's end.
pub(super) struct End {
    pub(super) state: TaskState,
    pub(super) reason: Option<i32>,
    pub(super) message: Option<String>,
    pub(super) limitation: Option<v1::TaskResourceLimitation>,
}

impl Member {
    pub(super) fn new(
        task: v1::TaskInfo,
        container: ContainerId,
        call: LaunchContainer,
        group: Arc<[TaskId]>,
    ) -> Self {
        Self {
            task,
            container,
            call,
            group,
            answer: None,
            is_waited_for: false,
            attempt: 0,
            kill_when_launched: None,
            killing: false,
            killing_group: false,
            out_of_time: false,
            health: None,
            last: None,
        }
    }

    pub(super) fn begin_health(&mut self, now: Instant) {
        self.health = self.task.health_check.as_ref().map(|check| Health::new(check, now));
    }

    /// How long it may run.
    pub(super) fn completion_time(&self) -> Option<Duration> {
        let nanos = self.task.max_completion_time.as_ref()?.nanoseconds;
        u64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos)
    }

    /// The grace period of its own kill policy.
    pub(super) fn grace(&self) -> Option<Duration> {
        self.task.kill_policy.as_ref().and_then(grace_of)
    }

    fn launch_error(&self) -> Option<String> {
        self.answer.as_ref()?.as_ref().err().cloned()
    }

    /// The agent does not know its container.
    pub(super) fn lost(&self) -> End {
        let (state, message) = match (self.killing, self.launch_error()) {
            (true, _) => (TaskState::TaskKilled, None),
            (false, Some(why)) => (TaskState::TaskFailed, Some(why)),
            (false, None) => {
                let why = "Unable to retrieve command's termination information";
                (TaskState::TaskFailed, Some(why.to_owned()))
            }
        };
        End { state, reason: None, message, limitation: None }
    }

    /// Its container ended. What the agent says of it has the last word.
    pub(super) fn ended(&self, termination: &WaitContainer) -> End {
        let (state, reason, own) = match termination.exit_status {
            None => {
                let why = self.launch_error();
                let why = why.unwrap_or_else(|| "Command terminated with unknown status".to_owned());
                (TaskState::TaskFailed, None, why)
            }
            Some(status) => {
                let message = format!("Command {}", describe(status));
                if self.out_of_time {
                    (TaskState::TaskFailed, Some(Reason::MaxCompletionTimeReached.into()), message)
                } else if self.killing {
                    (TaskState::TaskKilled, None, message)
                } else if status == 0 {
                    (TaskState::TaskFinished, None, message)
                } else {
                    (TaskState::TaskFailed, None, message)
                }
            }
        };
        let message = match &termination.message {
            Some(more) => format!("{own}: {more}"),
            None => own,
        };
        End {
            state: termination.state.and_then(|state| TaskState::try_from(state).ok()).unwrap_or(state),
            reason: termination.reason.or(reason),
            message: Some(message),
            limitation: termination.limitation.clone(),
        }
    }
}

/// A policy's grace period; the master refuses negative ones.
pub(super) fn grace_of(policy: &v1::KillPolicy) -> Option<Duration> {
    let nanos = policy.grace_period.as_ref()?.nanoseconds;
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

/// A wait status in words.
fn describe(status: i32) -> String {
    if status & 0x7f == 0 {
        return format!("exited with status {}", (status >> 8) & 0xff);
    }
    let dumped = if status & 0x80 != 0 { " (core dumped)" } else { "" };
    format!("terminated with signal {}{dumped}", signal_name(status & 0x7f))
}
