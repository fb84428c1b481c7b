//! What this master gave up and an agent still runs.
//!
//! Of a framework that does not checkpoint, all that runs on an agent is given up when the agent's link breaks: an
//! agent that ends takes it along. But the link may break and the agent live on. Mesos never looks for such tasks:
//! what they use it offers to others. Here they are put back into the books, and killed, since their framework was
//! told that they are lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::task_status::Reason;
use types::{AgentId, ExecutorId, FrameworkId, TaskId, is_terminal};

use crate::Master;
use crate::agents::Agent;
use crate::message::Outgoing;
use crate::registration::{allocated, first_roles};
use crate::step::Step;
use crate::tasks::{Task, Verdict};

impl Master {
    /// Puts back into the books what an agent reports of frameworks that are known and of which this master has no
    /// record, and has it killed.
    pub(crate) fn take_back(
        &mut self,
        id: &AgentId,
        message: &internal::ReregisterSlaveMessage,
        step: &mut Step<'_>,
    ) {
        let roles = first_roles(&message.frameworks);
        let executors = self.unknown_executors(id, &message.executor_infos);
        let mut tasks = self.adopted_tasks(message.tasks.clone(), &roles);
        // The last word on a task that is over comes by itself, and again until it is acknowledged.
        tasks.retain(|(_, task)| !is_terminal(task.state()));
        if tasks.is_empty() && executors.is_empty() {
            return;
        }
        // Offers may be of what these use.
        self.end_offers_on(id, step);
        for info in executors {
            let Some(framework) = info.framework_id.as_ref().map(FrameworkId::from) else { continue };
            let resources = allocated(&info.resources, roles.get(&framework));
            self.allocator.add_allocation(&framework, id, &resources);
            self.adopt_executor(id, info, &roles);
        }
        for (framework, task) in tasks {
            self.take_back_task(id, &framework, task, step);
        }
        if let Some(agent) = self.agents.get_mut(id.as_str()) {
            agent.take_stock();
        }
    }

    /// Ends the records of tasks that are over and of which the agent knows nothing any more: it lost its power before
    /// the acknowledgement was through, and it would call them unknown.
    pub(crate) fn end_missing(&mut self, id: &AgentId, theirs: &BTreeSet<(&str, &str)>, step: &mut Step<'_>) {
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        let all = agent.tasks().iter().flat_map(|(framework, ids)| ids.iter().map(move |id| (framework, id)));
        let missing = all.filter(|(framework, task)| !theirs.contains(&(framework.as_str(), task.as_str())));
        let over: Vec<(FrameworkId, TaskId)> = missing
            .filter(|(framework, task)| {
                let known = self.frameworks.get(framework.as_str()).and_then(|owner| owner.task(task));
                known.is_some_and(|task| is_terminal(task.state()))
            })
            .map(|(framework, task)| (framework.clone(), task.clone()))
            .collect();
        for (framework, task_id) in over {
            let owner = self.frameworks.get(framework.as_str());
            let Some(task) = owner.and_then(|owner| owner.task(&task_id)) else { continue };
            let verdict =
                Verdict::new(task.state(), Reason::AgentReregistered, "Agent reregistered without it");
            let update = verdict.report_of(task, step);
            self.remove_task(&framework, &task_id, false, step);
            self.forward(framework.as_str(), update, None, step);
        }
    }

    fn take_back_task(&mut self, id: &AgentId, framework: &FrameworkId, mut task: Task, step: &mut Step<'_>) {
        task.agent = id.clone();
        Arc::make_mut(&mut task.proto).agent_id = id.into();
        if task.is_running() {
            self.allocator.add_allocation(framework, id, &task.resources);
        }
        let task_id = task.id.clone();
        self.add_task(framework, task, step);
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        agent.killed.insert((framework.clone(), task_id.clone()));
        let kill = internal::KillTaskMessage {
            framework_id: framework.into(),
            task_id: task_id.into(),
            kill_policy: None,
        };
        step.send(&agent.pid().clone(), Outgoing::KillTask(kill));
    }

    fn unknown_executors(&self, id: &AgentId, theirs: &[v1::ExecutorInfo]) -> Vec<v1::ExecutorInfo> {
        let known: BTreeSet<(&FrameworkId, &ExecutorId)> = self
            .agents
            .get(id.as_str())
            .map(Agent::view)
            .into_iter()
            .flat_map(|view| &view.executors)
            .flat_map(|(framework, all)| all.keys().map(move |executor| (framework, executor)))
            .collect();
        let unknown = |info: &&v1::ExecutorInfo| {
            let Some(framework) = info.framework_id.as_ref().map(FrameworkId::from) else { return false };
            let executor = ExecutorId::from(&info.executor_id);
            self.frameworks.get(framework.as_str()).is_some() && !known.contains(&(&framework, &executor))
        };
        theirs.iter().filter(unknown).cloned().collect()
    }
}
