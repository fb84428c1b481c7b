//! In the end all agree: with nothing wrong any more, master, agents and frameworks say the same of every task, within
//! a bound.

use std::collections::BTreeMap;

use agent_core::AgentPhase;
use proto::mesos::v1::{Task, TaskState};

use crate::node::Node;
use crate::world::World;

/// What a task is said to be: its state, or that it is over.
type Said = BTreeMap<(String, String), TaskState>;

impl World {
    /// What they do not agree on, in words; nothing where they do.
    pub(crate) fn disagreements(&self) -> Vec<String> {
        let mut all = Vec::new();
        let Some(master) = self.serving() else { return vec!["nobody leads".to_owned()] };
        let Some(process) = self.masters[master].process.as_ref() else {
            return vec!["nobody leads".to_owned()];
        };
        let view = process.core.view();
        let mut masters = Said::new();
        for framework in &view.frameworks {
            for task in &framework.tasks {
                masters.insert(key(framework.id.as_str(), task), task.state());
            }
        }
        let mut agents = Said::new();
        for (index, host) in self.agents.iter().enumerate() {
            let Some(process) = &host.process else {
                all.push(format!("agent {index} does not run"));
                continue;
            };
            let own = process.core.view();
            let address = Node::Agent(index).address();
            let known = view.agents.iter().find(|agent| agent.pid.address == address);
            if own.phase != AgentPhase::Running || known.is_none_or(|known| !known.connected) {
                all.push(format!(
                    "agent {index} is {:?}, and the master knows {}",
                    own.phase,
                    known.is_some()
                ));
            }
            for framework in &own.frameworks {
                for executor in &framework.executors {
                    for task in executor.launched.iter().chain(&executor.terminated) {
                        agents.insert(key(framework.id.as_str(), task), task.state());
                    }
                    for task in &executor.queued {
                        let key = (framework.id.as_str().to_owned(), task.task_id.value.clone());
                        agents.insert(key, TaskState::TaskStaging);
                    }
                }
            }
        }
        compare("the master", &masters, "agents", &agents, &mut all);
        let mut frameworks = Said::new();
        for (index, host) in self.frameworks.iter().enumerate() {
            if let Some(why) = &host.failed {
                all.push(format!("framework {index} was sent away: {why}"));
            }
            if !host.process.as_ref().is_some_and(|process| process.subscribed) {
                all.push(format!("framework {index} is not subscribed"));
            }
            let Some(id) = &host.id else { continue };
            for (task, known) in host.live() {
                match known.state {
                    // It was told that nobody knows it any more.
                    TaskState::TaskLost | TaskState::TaskUnknown | TaskState::TaskGoneByOperator => {
                        if masters.contains_key(&(id.clone(), task.clone())) {
                            all.push(format!("framework {index} gave up {task}, and the master has it"));
                        }
                    }
                    state => drop(frameworks.insert((id.clone(), task.clone()), state)),
                }
            }
        }
        compare("frameworks", &frameworks, "the master", &masters, &mut all);
        all
    }
}

fn key(framework: &str, task: &Task) -> (String, String) {
    (framework.to_owned(), task.task_id.value.clone())
}

fn compare(one: &str, ones: &Said, other: &str, others: &Said, all: &mut Vec<String>) {
    for (key, state) in ones {
        let theirs = others.get(key);
        if theirs != Some(state) {
            let theirs = theirs.map_or("nothing", |state| state.as_str_name());
            all.push(format!("{} of {}: {one} say {}, {other} {theirs}", key.1, key.0, state.as_str_name()));
        }
    }
    for (key, state) in others.iter().filter(|(key, _)| !ones.contains_key(*key)) {
        all.push(format!("{} of {}: {one} say nothing, {other} {}", key.1, key.0, state.as_str_name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_one_says_and_the_other_does_not() {
        let said = |task: &str, state| (("f".to_owned(), task.to_owned()), state);
        let ones = Said::from([said("a", TaskState::TaskRunning), said("b", TaskState::TaskStaging)]);
        let others = Said::from([said("b", TaskState::TaskRunning), said("c", TaskState::TaskRunning)]);
        let mut all = Vec::new();
        compare("x", &ones, "y", &ones, &mut all);
        assert!(all.is_empty());
        compare("x", &ones, "y", &others, &mut all);
        assert_eq!(all.len(), 3, "{all:?}");
    }
}
