//! RECONCILE: telling a framework the states of its tasks (as observed of Mesos).

use proto::mesos::v1::TaskState;
use proto::mesos::v1::scheduler::call::{Reconcile, reconcile};
use proto::mesos::v1::task_status::Reason;
use types::{FrameworkId, TaskId};

use crate::Master;
use crate::connection::Say;
use crate::step::Step;
use crate::tasks::{Task, Verdict};

impl Master {
    pub(crate) fn reconcile(&mut self, id: &FrameworkId, body: Reconcile, step: &mut Step<'_>) {
        self.counters().messages_reconcile_tasks += 1;
        let Some(framework) = self.frameworks.get(id.as_str()) else { return };
        let updates: Vec<_> = if body.tasks.is_empty() {
            framework.tasks().map(|task| latest(task).report_of(task, step)).collect()
        } else {
            let answer = |asked| self.reconcile_one(id, asked, step);
            body.tasks.into_iter().filter_map(answer).collect()
        };
        let Some(framework) = self.frameworks.get_mut(id.as_str()) else { return };
        for update in updates {
            framework.tell(Say::Update { update: Box::new(update), acknowledgee: None }, step.fx);
        }
    }

    /// What is known of one task, or nothing while its agent may yet come back.
    fn reconcile_one(
        &self,
        id: &FrameworkId,
        asked: reconcile::Task,
        step: &Step<'_>,
    ) -> Option<proto::mesos::internal::StatusUpdate> {
        let framework = self.frameworks.get(id.as_str())?;
        if let Some(task) = framework.task(&TaskId::from(&asked.task_id)) {
            return Some(latest(task).report_of(task, step));
        }
        let agent = asked.agent_id.as_ref().map(|agent| agent.value.as_str());
        let mut verdict = self.unknown_task(agent)?;
        if !framework.capabilities.partition_aware {
            verdict.state = TaskState::TaskLost;
        }
        Some(verdict.update(id, asked.agent_id, asked.task_id, step))
    }

    fn unknown_task(&self, agent: Option<&str>) -> Option<Verdict> {
        let verdict = |state, message: &str| Some(Verdict::new(state, Reason::Reconciliation, message));
        let unknown = || verdict(TaskState::TaskUnknown, "Reconciliation: Task is unknown");
        let Some(agent) = agent else {
            return if self.agents.recovered.is_empty() { unknown() } else { None };
        };
        if self.agents.recovered.contains_key(agent) {
            None
        } else if self.agents.get(agent).is_some() {
            verdict(TaskState::TaskGone, "Reconciliation: Task is unknown to the agent")
        } else if let Some(since) = self.agents.unreachable.get(agent) {
            let mut verdict = verdict(TaskState::TaskUnreachable, "Reconciliation: Task is unreachable")?;
            verdict.unreachable_since = Some(*since);
            Some(verdict)
        } else if self.agents.gone.contains_key(agent) {
            verdict(TaskState::TaskGoneByOperator, "Reconciliation: Task is gone")
        } else {
            unknown()
        }
    }
}

fn latest(task: &Task) -> Verdict {
    Verdict::new(task.told_state(), Reason::Reconciliation, "Reconciliation: Latest task state")
}
