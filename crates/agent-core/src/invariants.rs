//! What must always hold, recomputed from scratch; for tests and the simulation.

use std::collections::BTreeSet;

use types::{TaskId, is_terminal};

use crate::agent::{Agent, Place};
use crate::executor::Channel;
use crate::operations::is_final;
use crate::view::{AgentPhase, ExecutorPhase};
use crate::volumes::directories;

impl Agent {
    /// Recomputes every back-reference.
    ///
    /// # Panics
    /// If the agent's state contradicts itself.
    pub fn assert_invariants(&self) {
        let mut streams = 0;
        let mut live = 0;
        for framework in self.frameworks.values() {
            let mut tasks: BTreeSet<TaskId> = BTreeSet::new();
            for executor in framework.executors.values() {
                let place = Place { framework: framework.id.clone(), executor: executor.id.clone() };
                assert_eq!(executor.framework, framework.id);
                if let Channel::Stream(stream) = executor.channel {
                    streams += 1;
                    let found = self.streams.get(&stream).map(|listener| &listener.place);
                    assert_eq!(found, Some(&place), "a stream leads to its executor");
                }
                if executor.phase == ExecutorPhase::Terminated {
                    assert!(
                        executor.launched().is_empty() && executor.queued().is_empty(),
                        "its tasks ended"
                    );
                    assert_eq!(executor.channel, Channel::None, "nobody speaks to the dead");
                } else {
                    live += 1;
                    let found = self.containers.get(&executor.container);
                    assert_eq!(found, Some(&place), "a container leads to its executor");
                }
                if executor.phase == ExecutorPhase::Running {
                    assert!(executor.queued().is_empty(), "nothing waits for an executor that is there");
                    assert!(executor.deadline.is_none(), "nobody waits for an executor that is there");
                }
                for task in executor.launched().values() {
                    assert!(!is_terminal(task.state()), "launched tasks have not ended");
                }
                for (id, task) in executor.terminated() {
                    assert!(
                        framework.terminating || is_terminal(task.state()),
                        "terminated tasks have ended"
                    );
                    let key = (framework.id.clone(), id.clone());
                    assert!(framework.terminating || self.updates.contains(&key), "its end is on its way");
                }
                let queued = executor.queued().iter().map(|task| TaskId::from(&task.task_id));
                let known = executor.launched().keys().chain(executor.terminated().keys()).cloned();
                for task in queued.chain(known) {
                    assert!(tasks.insert(task), "a task is in one place");
                }
                assert!(executor.completed().len() <= self.config.completed_tasks_max);
            }
            assert!(framework.completed.len() <= self.config.completed_executors_max);
        }
        assert_eq!(streams, self.streams.len(), "no stream is left over");
        assert_eq!(live, self.containers.len(), "no container is left over");
        assert!(self.completed.len() <= self.config.completed_frameworks_max);
        let registered = self.phase == AgentPhase::Running;
        assert!(!registered || self.registration.master().is_some(), "admitted by somebody");
        assert!(!registered || self.info.id.is_some(), "admitted under an id");
        self.updates.assert_invariants();
        self.assert_operations();
        self.assert_nested();
    }

    fn assert_operations(&self) {
        self.operations.updates.assert_invariants();
        assert_eq!(self.operations.updates.len(), self.operations.known.len(), "a stream per operation");
        for (uuid, operation) in &self.operations.known {
            assert!(self.operations.updates.contains(uuid), "an operation is told of");
            assert!(is_final(operation.latest_status.state()), "an operation is carried out at once");
        }
        // Before the recovery nothing is known.
        if self.phase != AgentPhase::Recovering {
            let made = self.holdings.total.checkpointed();
            assert_eq!(made, self.holdings.checkpointed, "what operations made is on disk");
            let total = self.configured().with_checkpointed(&made).expect("the flags allow it");
            assert_eq!(total, *self.holdings.total, "operations make nothing of nothing");
            assert!(directories(&self.config.work_dir, &made).is_ok(), "each volume has a place of its own");
        }
    }
}
