//! A view of the agent, taken between two steps.

use std::sync::Arc;

use crate::agent::Agent;
use crate::executor::Executor;
use crate::framework::Framework;
use crate::view::{ExecutorView, FrameworkView, View};

impl Agent {
    /// The agent as it is now. Costs a counter per task, so take one per tick and share it.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            info: Arc::clone(&self.info),
            phase: self.phase,
            master: self.registration.master().cloned(),
            total: Arc::clone(&self.holdings.total),
            operations: self.operations.known.values().cloned().collect(),
            drain: self.drain.clone(),
            frameworks: self.frameworks.values().map(framework).collect(),
            completed_frameworks: self.completed.iter().map(framework).collect(),
            nested: self.nested_view(),
            counters: self.counters,
        }
    }
}

fn framework(framework: &Framework) -> FrameworkView {
    FrameworkView {
        id: framework.id.clone(),
        info: Arc::clone(&framework.info),
        pid: framework.pid.clone(),
        executors: framework.executors.values().map(executor).collect(),
        completed_executors: framework.completed.iter().map(executor).collect(),
    }
}

fn executor(executor: &Executor) -> ExecutorView {
    ExecutorView {
        id: executor.id.clone(),
        info: Arc::clone(&executor.info),
        container: executor.container.clone(),
        status: executor.status.clone(),
        directory: Arc::clone(&executor.directory),
        phase: executor.phase,
        command_task: executor.command_task,
        resources: executor.allocated(),
        queued: executor.queued().to_vec(),
        launched: executor.launched().values().cloned().collect(),
        terminated: executor.terminated().values().cloned().collect(),
        completed: executor.completed().iter().cloned().collect(),
    }
}
