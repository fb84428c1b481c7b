//! LAUNCH_GROUP: tasks that share one executor and one fate: all are launched, or none.

use proto::mesos::internal::RunTaskGroupMessage;
use proto::mesos::v1::offer::Operation;
use proto::mesos::v1::offer::operation::{LaunchGroup, Type};

use super::launch::{complete, downgrade_all, versions};
use super::{Basket, Blame};
use crate::Master;
use crate::message::Outgoing;
use crate::step::Step;
use crate::tasks::Task;
use crate::validation;

impl Master {
    pub(crate) fn launch_group(
        &mut self,
        mut operation: Operation,
        basket: &mut Basket,
        step: &mut Step<'_>,
    ) {
        let Some(mut group) = operation.launch_group.take() else { return };
        for task in &mut group.task_group.tasks {
            task.executor.get_or_insert_with(|| group.executor.clone());
            complete(task, &basket.framework);
        }
        match self.check_group(&group, basket) {
            Ok(needs) => self.launch_whole_group(group, needs, basket, step),
            Err(why) => {
                let framework = basket.framework.clone();
                operation.launch_group = Some(group);
                self.refuse_operation(&framework, operation, Blame::Task(&why), step);
            }
        }
    }

    fn check_group(&self, group: &LaunchGroup, basket: &Basket) -> Result<validation::GroupNeeds, String> {
        let framework = self.frameworks.get(basket.framework.as_str());
        let agent = self.agents.get(basket.agent.as_str());
        let (Some(framework), Some(agent)) = (framework, agent) else {
            return Err("Agent removed".to_owned());
        };
        let tasks = &group.task_group.tasks;
        let needs = validation::group(tasks, &group.executor, framework, agent, &basket.left)?;
        for (task, resources) in tasks.iter().zip(&needs.tasks) {
            let checked = self.config.short_tasks.check(task, resources);
            checked.map_err(|why| format!("Task '{}' is invalid: {why}", task.task_id.value))?;
        }
        Ok(needs)
    }

    fn launch_whole_group(
        &mut self,
        group: LaunchGroup,
        needs: validation::GroupNeeds,
        basket: &mut Basket,
        step: &mut Step<'_>,
    ) {
        let launch_executor = needs.executor.is_some();
        if let Some(needed) = needs.executor {
            basket.left -= &needed;
            self.add_executor(group.executor.clone(), &needed, basket);
        }
        for (task, resources) in group.task_group.tasks.iter().zip(needs.tasks) {
            basket.left -= &resources;
            let record = Task::staged(task, &basket.framework, resources);
            self.add_task(&basket.framework, record, step);
        }
        let Some(framework) = self.frameworks.get_mut(basket.framework.as_str()) else { return };
        framework.counters_mut().operation(Type::LaunchGroup);
        let Some(agent) = self.agents.get(basket.agent.as_str()) else { return };
        let mut message = RunTaskGroupMessage {
            framework: (*framework.info).clone(),
            executor: group.executor,
            task_group: group.task_group,
            resource_version_uuids: versions(agent),
            launch_executor: Some(launch_executor),
        };
        if !agent.capabilities.reservation_refinement {
            let tasks = message.task_group.tasks.iter_mut();
            tasks.for_each(downgrade_all);
            super::launch::downgrade_resources(&mut message.executor.resources);
        }
        step.send(agent.pid(), Outgoing::RunTaskGroup(Box::new(message)));
    }
}
