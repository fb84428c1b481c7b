//! LAUNCH: each task by itself, on a new executor or one that runs.

use std::sync::Arc;

use proto::mesos::internal::{ResourceVersionUuid, RunTaskMessage};
use proto::mesos::v1::offer::Operation;
use proto::mesos::v1::task_status::Reason;
use proto::mesos::v1::{self, TaskInfo, TaskState};
use resources::Resources;

use super::Basket;
use crate::Master;
use crate::agents::Agent;
use crate::message::Outgoing;
use crate::step::Step;
use crate::tasks::{Task, Verdict};
use crate::validation;

impl Master {
    pub(crate) fn launch(&mut self, operation: Operation, basket: &mut Basket, step: &mut Step<'_>) {
        let tasks = operation.launch.map(|launch| launch.task_infos).unwrap_or_default();
        for mut task in tasks {
            complete(&mut task, &basket.framework);
            match self.check_task(&task, basket) {
                Ok(needs) => self.launch_one(task, needs, basket, step),
                Err(why) => {
                    let verdict = Verdict::new(TaskState::TaskError, Reason::TaskInvalid, why);
                    let framework = basket.framework.clone();
                    self.refuse_task(&framework, &task, verdict, step);
                }
            }
        }
    }

    /// Checks a task against its framework, its agent and what is left of the offers.
    fn check_task(&self, task: &TaskInfo, basket: &Basket) -> Result<validation::Needs, String> {
        let framework = self.frameworks.get(basket.framework.as_str());
        let agent = self.agents.get(basket.agent.as_str());
        let (Some(framework), Some(agent)) = (framework, agent) else {
            return Err("Agent removed".to_owned());
        };
        let needs = if basket.shared.is_empty() {
            validation::task(task, framework, agent, &basket.left)?
        } else {
            validation::task(task, framework, agent, &(&basket.left.non_shared() + &basket.shared))?
        };
        self.config.short_tasks.check(task, &needs.task)?;
        Ok(needs)
    }

    fn launch_one(
        &mut self,
        task: TaskInfo,
        needs: validation::Needs,
        basket: &mut Basket,
        step: &mut Step<'_>,
    ) {
        let validation::Needs { task: resources, executor } = needs;
        let launch_executor = task.executor.is_none() || executor.is_some();
        // Copies of shared volumes beyond those offered are charged beside the offer.
        if !basket.shared.is_empty() {
            let more = &resources.shared() - &basket.left.shared();
            self.allocator.add_allocation(&basket.framework, &basket.agent, &more);
        }
        basket.left -= &resources;
        if let (Some(info), Some(needed)) = (&task.executor, executor) {
            basket.left -= &needed;
            self.add_executor(info.clone(), &needed, basket);
        }
        let record = Task::staged(&task, &basket.framework, resources);
        self.add_task(&basket.framework, record, step);
        let Some(framework) = self.frameworks.get_mut(basket.framework.as_str()) else { return };
        framework.counters_mut().operation(v1::offer::operation::Type::Launch);
        let Some(agent) = self.agents.get(basket.agent.as_str()) else { return };
        let mut message = RunTaskMessage {
            framework: (*framework.info).clone(),
            pid: framework.pid_text(),
            task,
            resource_version_uuids: versions(agent),
            launch_executor: Some(launch_executor),
            ..RunTaskMessage::default()
        };
        if !agent.capabilities.reservation_refinement {
            downgrade_all(&mut message.task);
        }
        step.send(agent.pid(), Outgoing::RunTask(Box::new(message)));
    }

    pub(super) fn add_executor(&mut self, info: v1::ExecutorInfo, needed: &Resources, basket: &Basket) {
        if let Some(framework) = self.frameworks.get_mut(basket.framework.as_str()) {
            framework.charge(&basket.agent, needed);
        }
        if let Some(agent) = self.agents.get_mut(basket.agent.as_str()) {
            agent.charge(&basket.framework, needed);
            agent.add_executor(&basket.framework, Arc::new(info));
        }
    }
}

/// Fills in what a framework may leave out (as observed of Mesos).
pub(super) fn complete(task: &mut TaskInfo, framework: &types::FrameworkId) {
    if let Some(executor) = &mut task.executor {
        executor.framework_id.get_or_insert_with(|| framework.into());
    }
    if let Some(check) = &mut task.health_check
        && check.r#type.is_none()
    {
        let kind = match (&check.command, &check.http) {
            (Some(_), None) => Some(v1::health_check::Type::Command),
            (None, Some(_)) => Some(v1::health_check::Type::Http),
            (Some(_), Some(_)) | (None, None) => None,
        };
        check.r#type = kind.map(Into::into);
    }
}

/// Puts a task's resources in the form that old agents know. Refined reservations
/// are never on such agents.
pub(super) fn downgrade_all(task: &mut TaskInfo) {
    downgrade_resources(&mut task.resources);
    if let Some(executor) = &mut task.executor {
        downgrade_resources(&mut executor.resources);
    }
}

pub(super) fn downgrade_resources(resources: &mut [v1::Resource]) {
    for resource in resources {
        drop(resources::format::convert(resource, resources::Format::PreRefinement));
    }
}

/// What the agent's resources are thought to be, so that it may refuse a launch on others.
pub(super) fn versions(agent: &Agent) -> Vec<ResourceVersionUuid> {
    let version = agent.resource_version.iter();
    version.map(|uuid| ResourceVersionUuid { resource_provider_id: None, uuid: uuid.clone() }).collect()
}
