//! Draining: the agent lets its tasks go and takes no more, until nothing is left.
//!
//! The master says so; the agent remembers it over restarts and forgets it once nothing of a framework is here any
//! more. Whether the agent gets work again after that is the master's matter.

use machine::WallTime;
use proto::mesos::internal::DrainSlaveMessage;
use proto::mesos::v1::task_status::Reason;
use proto::mesos::v1::{self, DrainConfig, TaskState};
use types::{Pid, TaskId};

use crate::agent::{Agent, Place};
use crate::channel::Saying;
use crate::checkpoint::Record;
use crate::framework::knows_partitions;
use crate::launch::Refusal;
use crate::step::Step;
use crate::view::ExecutorPhase;

/// What a draining agent was told, and when it began.
#[derive(Clone, Debug, PartialEq)]
pub struct Drain {
    /// What it was told.
    pub config: DrainConfig,
    /// When it began, or began again after a restart; none while executors are expected back.
    pub since: Option<WallTime>,
}

impl Agent {
    pub(crate) fn on_drain(&mut self, from: &Pid, message: DrainSlaveMessage, step: &mut Step<'_>) {
        if !self.is_stranger(from, "drain", step) {
            self.drain(message.config, step);
        }
    }

    fn drain(&mut self, config: DrainConfig, step: &mut Step<'_>) {
        if self.is_drained() {
            step.info(
                "Asked to drain; agent has no stored frameworks, tasks, or operations, so draining is already \
                 complete",
            );
            return;
        }
        step.info("Initiating drain");
        step.checkpoint(Record::DrainConfig(self.id.clone(), config));
        self.drain = Some(Drain { config, since: Some(step.now.wall) });
        for (place, task, policy) in self.live_tasks() {
            let policy = shortened(config.max_grace_period, policy.as_ref());
            self.kill_for_drain(&place, task, policy, step);
        }
    }

    /// All tasks that may still run, launched ones before those that wait.
    fn live_tasks(&self) -> Vec<(Place, TaskId, Option<v1::KillPolicy>)> {
        let mut all = Vec::new();
        for executor in self.frameworks.values().flat_map(|framework| framework.executors.values()) {
            let place = Place { framework: executor.framework.clone(), executor: executor.id.clone() };
            let launched = executor.launched().iter().map(|(id, task)| (id.clone(), task.kill_policy));
            let queued = executor.queued().iter();
            let queued = queued.map(|task| (TaskId::from(&task.task_id), task.kill_policy));
            all.extend(launched.chain(queued).map(|(task, policy)| (place.clone(), task, policy)));
        }
        all
    }

    fn kill_for_drain(
        &mut self,
        place: &Place,
        task: TaskId,
        policy: Option<v1::KillPolicy>,
        step: &mut Step<'_>,
    ) {
        // An earlier kill of this drain may have ended the executor.
        let Some(executor) = self.executor(place) else { return };
        match executor.phase {
            ExecutorPhase::Registering | ExecutorPhase::Running if executor.is_queued(&task) => {
                self.kill_queued(place, task, step);
            }
            ExecutorPhase::Running => self.tell(place, Saying::Kill(task, policy), step),
            // What is not back after a restart is about to be killed with its container.
            ExecutorPhase::Registering | ExecutorPhase::Terminating | ExecutorPhase::Terminated => {}
        }
    }

    /// The restarted agent goes on draining, once its executors are back or given up.
    pub(crate) fn resume_drain(&mut self, step: &mut Step<'_>) {
        let Some(drain) = &self.drain else { return };
        let config = drain.config;
        self.update_drain(step);
        if self.drain.is_some() {
            step.info("Replaying in-process agent draining");
            self.drain(config, step);
        }
    }

    /// Forgets the drain once nothing is left.
    pub(crate) fn update_drain(&mut self, step: &mut Step<'_>) {
        if self.drain.is_some() && self.is_drained() {
            step.info("Agent finished draining");
            step.checkpoint(Record::NoDrainConfig(self.id.clone()));
            self.drain = None;
        }
    }

    fn is_drained(&self) -> bool {
        self.operations.known.is_empty() && self.frameworks.is_empty()
    }

    /// Why a task cannot be taken now.
    pub(crate) fn refuses_for_drain(&self) -> Result<(), Refusal> {
        match &self.drain {
            Some(_) => {
                let why = "Task was received while agent was already draining";
                Err(Refusal::dropped(Reason::AgentDraining, why))
            }
            None => Ok(()),
        }
    }

    /// A draining agent gives its own reason for the tasks that it kills.
    pub(crate) fn mark_drained(&self, framework: &v1::FrameworkInfo, status: &mut v1::TaskStatus) {
        let Some(drain) = &self.drain else { return };
        let killed = status.state() == TaskState::TaskKilled;
        if !killed && status.state() != TaskState::TaskKilling {
            return;
        }
        status.set_reason(Reason::AgentDraining);
        // An agent of Mesos says so of tasks that are being killed too, which ends them in everyone's books while they
        // still run.
        if killed && drain.config.mark_gone() && knows_partitions(framework) {
            status.set_state(TaskState::TaskGoneByOperator);
        }
    }
}

/// The kill policy that a drain puts in place of a task's own, if that would take longer.
fn shortened(longest: Option<v1::DurationInfo>, own: Option<&v1::KillPolicy>) -> Option<v1::KillPolicy> {
    let longest = longest?;
    let own = own.and_then(|policy| policy.grace_period);
    let shorter = own.is_some_and(|own| own.nanoseconds <= longest.nanoseconds);
    (!shorter).then_some(v1::KillPolicy { grace_period: Some(longest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_grace_period_counts() {
        let duration = |nanoseconds| v1::DurationInfo { nanoseconds };
        let policy = |own: Option<i64>| v1::KillPolicy { grace_period: own.map(duration) };
        let check = |longest: Option<i64>, own: Option<v1::KillPolicy>, want: Option<i64>| {
            let got = shortened(longest.map(duration), own.as_ref());
            assert_eq!(got, want.map(|want| policy(Some(want))));
        };
        check(None, Some(policy(Some(5))), None);
        check(Some(3), None, Some(3));
        check(Some(3), Some(policy(None)), Some(3));
        check(Some(3), Some(policy(Some(5))), Some(3));
        check(Some(3), Some(policy(Some(3))), None);
        check(Some(3), Some(policy(Some(1))), None);
    }
}
