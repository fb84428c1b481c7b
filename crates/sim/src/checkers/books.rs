//! Total = free + offered + used, on each agent: what is offered or used is there, and is as much as its parts.

use std::collections::BTreeMap;

use master_core::{AgentView, View};
use resources::{Name, Quantities, Resources};
use types::{AgentId, FrameworkId};

/// The first agent whose books are wrong, and how.
pub(crate) fn check(view: &View) -> Result<(), String> {
    let mut tasks: BTreeMap<(AgentId, FrameworkId), Resources> = BTreeMap::new();
    for framework in &view.frameworks {
        for task in framework.tasks.iter().filter(|task| !types::is_terminal(task.state())) {
            let key = (AgentId::from(&task.agent_id), framework.id.clone());
            *tasks.entry(key).or_default() += &Resources::from_checked_protos(&task.resources);
        }
    }
    for agent in &view.agents {
        check_agent(agent, &tasks)?;
    }
    Ok(())
}

fn check_agent(agent: &AgentView, tasks: &BTreeMap<(AgentId, FrameworkId), Resources>) -> Result<(), String> {
    let id = &agent.id;
    let mut used = Quantities::new();
    for (framework, resources) in &agent.used {
        let mut parts = tasks.get(&(id.clone(), framework.clone())).cloned().unwrap_or_default();
        for executor in agent.executors.get(framework).into_iter().flat_map(BTreeMap::values) {
            parts += &Resources::from_checked_protos(&executor.resources);
        }
        if Quantities::of(&parts) != Quantities::of(resources) {
            return Err(format!("{framework} uses {resources} of {id}, its tasks and executors {parts}"));
        }
        used += &Quantities::of_scalars(resources);
    }
    let (total, offered) = (Quantities::of_scalars(&agent.total), Quantities::of_scalars(&agent.offered));
    for name in [Name::CPUS, Name::MEM] {
        let (total, used, offered) = (total.get(&name), used.get(&name), offered.get(&name));
        let free = total.milli() - used.milli() - offered.milli();
        // An agent may come back with more in use than it has; then nothing of it is offered.
        if free < 0 && !offered.is_zero() {
            return Err(format!("{id} has {total} {name}, and {used} are used and {offered} offered"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn sees_what_is_offered_twice_and_what_nobody_uses() {
        let mut view = testing::busy_view();
        assert_eq!(check(&view), Ok(()));
        let index = view.agents.iter().position(|agent| !agent.used.is_empty()).expect("one runs something");
        let mut agent = (*view.agents[index]).clone();
        agent.offered = agent.total.clone();
        view.agents[index] = agent.clone().into();
        assert!(check(&view).is_err_and(|why| why.contains("offered")));
        agent.offered = Resources::new();
        for used in agent.used.values_mut() {
            *used = agent.total.clone();
        }
        view.agents[index] = agent.into();
        assert!(check(&view).is_err_and(|why| why.contains("its tasks and executors")));
    }
}
