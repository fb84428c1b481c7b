//! What concerns a whole framework: its messages, its changes, its end; and the
//! end of the agent itself, which is that of all frameworks.

use bytes::Bytes;
use proto::mesos::internal::{
    ExecutorToFrameworkMessage, FrameworkToExecutorMessage, UnregisterSlaveMessage, UpdateFrameworkMessage,
};
use types::{ExecutorId, FrameworkId, Pid};

use crate::agent::{Agent, Place};
use crate::channel::Saying;
use crate::checkpoint::{Record, meta};
use crate::effect::Effect;
use crate::gc::hurry;
use crate::message::Outgoing;
use crate::step::Step;
use crate::view::{AgentPhase, ExecutorPhase};

impl Agent {
    /// From a framework to its executor.
    pub(crate) fn on_framework_message(&mut self, message: FrameworkToExecutorMessage, step: &mut Step<'_>) {
        let place = Place {
            framework: FrameworkId::from(&message.framework_id),
            executor: ExecutorId::from(&message.executor_id),
        };
        let why = match self.framework(&place.framework) {
            _ if self.phase != AgentPhase::Running => "the agent is not registered",
            None => "framework does not exist",
            Some(framework) if framework.terminating => "framework is terminating",
            Some(framework) => match framework.executors.get(&place.executor) {
                None => "executor does not exist",
                Some(executor) if executor.phase != ExecutorPhase::Running => "executor is not running",
                Some(_) => {
                    self.counters.valid_framework_messages += 1;
                    self.tell(&place, Saying::Message(message.data), step);
                    return;
                }
            },
        };
        self.counters.invalid_framework_messages += 1;
        step.warn(format!("Dropping message from framework {} because {why}", place.framework));
    }

    /// From an executor to its framework: to its driver, or through the master.
    pub(crate) fn on_executor_message(&mut self, place: &Place, data: Bytes, step: &mut Step<'_>) {
        let why = match (self.framework(&place.framework), self.registration.master()) {
            (Some(framework), Some(master))
                if self.phase == AgentPhase::Running && !framework.terminating =>
            {
                let to = framework.pid.as_ref().unwrap_or(&master.pid);
                let message = ExecutorToFrameworkMessage {
                    slave_id: (&self.id).into(),
                    framework_id: (&place.framework).into(),
                    executor_id: (&place.executor).into(),
                    data,
                };
                step.send(to, Outgoing::ExecutorToFramework(Box::new(message)));
                self.counters.valid_framework_messages += 1;
                return;
            }
            (None, _) => "framework does not exist",
            (Some(_), _) if self.phase == AgentPhase::Running => "framework is terminating",
            (Some(_), _) => "the agent is not registered",
        };
        self.counters.invalid_framework_messages += 1;
        step.warn(format!(
            "Dropping message from executor '{}' to framework {} because {why}",
            place.executor, place.framework
        ));
    }

    pub(crate) fn on_update_framework(
        &mut self,
        from: &Pid,
        message: UpdateFrameworkMessage,
        step: &mut Step<'_>,
    ) {
        if self.is_stranger(from, "update framework", step) || self.phase != AgentPhase::Running {
            return;
        }
        let id = FrameworkId::from(&message.framework_id);
        let Some(framework) = self.frameworks.get_mut(&id) else {
            step.info(format!("Ignoring info update for framework {id} because it does not exist"));
            return;
        };
        if framework.terminating {
            return;
        }
        if let Some(info) = message.framework_info {
            framework.info = info.into();
        }
        // The address of nobody does not parse: the framework speaks HTTP now.
        framework.pid = message.pid.and_then(|pid| pid.parse().ok());
        framework.checkpoint(&self.id, step);
        // The framework may be a new one in the place of the old: it gets what the old one did not take.
        self.resume_updates(step);
    }

    pub(crate) fn on_shutdown_framework(&mut self, from: &Pid, id: &FrameworkId, step: &mut Step<'_>) {
        if self.is_stranger(from, "shutdown framework", step) {
            return;
        }
        match self.phase {
            AgentPhase::Running | AgentPhase::Leaving => self.shut_down_framework(id, step),
            AgentPhase::Recovering | AgentPhase::Disconnected => step.warn(format!(
                "Ignoring shutdown framework message for {id} because the agent has not yet registered with the \
                 master"
            )),
        }
    }

    fn shut_down_framework(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get_mut(id) else { return };
        if framework.terminating {
            return;
        }
        step.info(format!("Shutting down framework {id}"));
        framework.terminating = true;
        let executors: Vec<_> =
            framework.executors.values().map(|executor| (executor.id.clone(), executor.phase)).collect();
        for (executor, phase) in executors {
            let place = Place { framework: id.clone(), executor };
            match phase {
                ExecutorPhase::Registering | ExecutorPhase::Running => self.shut_down(&place, step),
                ExecutorPhase::Terminated => self.remove_executor(&place, step),
                ExecutorPhase::Terminating => {}
            }
        }
        self.remove_framework_if_idle(id, step);
    }

    /// A framework without executors and without updates on their way becomes history.
    ///
    /// Mesos removes it, and forgets its updates, as soon as it has no executors; here the
    /// word that a task was dropped is repeated until it is acknowledged, as any other.
    pub(crate) fn remove_framework_if_idle(&mut self, id: &FrameworkId, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get(id) else { return };
        let leaves = framework.terminating || self.phase == AgentPhase::Leaving;
        if !framework.executors.is_empty() || (!leaves && self.updates.waiting().any(|(of, _)| of == id)) {
            return;
        }
        step.info(format!("Cleaning up framework {id}"));
        self.updates.remove_if(|(of, _)| of == id);
        let Some(framework) = self.frameworks.remove(id) else { return };
        let path = framework.path(&self.id);
        let when = step.now.mono + self.config.gc_delay;
        self.gc.schedule(path.under(&self.config.work_dir), when);
        if framework.checkpoints() {
            self.gc.schedule(path.under(&meta(&self.config.work_dir)), when);
        }
        self.completed.push_back(framework);
        while self.completed.len() > self.config.completed_frameworks_max {
            self.completed.pop_front();
        }
        self.update_drain(step);
        self.exit_if_empty(step);
    }

    pub(crate) fn on_disk_usage(&mut self, permille: u32, step: &mut Step<'_>) {
        let hurry = hurry(self.config.gc_delay, self.config.gc_disk_headroom_permille, permille);
        self.gc.prune(step.now.mono + hurry, step);
    }

    /// The master wants this agent gone.
    pub(crate) fn on_shutdown(&mut self, from: &Pid, message: &str, step: &mut Step<'_>) {
        if self.is_stranger(from, "shutdown", step) {
            return;
        }
        let because = if message.is_empty() { String::new() } else { format!(" because '{message}'") };
        step.info(format!("Agent asked to shut down by {from}{because}"));
        self.leave(step);
    }

    /// The operator wants this agent gone: the master is told.
    pub(crate) fn on_leave(&mut self, message: &str, step: &mut Step<'_>) {
        step.info(format!("{message}; unregistering and shutting down"));
        if self.info.id.is_some()
            && let Some(master) = self.registration.master()
        {
            let message = UnregisterSlaveMessage { slave_id: (&self.id).into() };
            step.send(&master.pid, Outgoing::UnregisterAgent(Box::new(message)));
        }
        self.leave(step);
    }

    pub(crate) fn leave(&mut self, step: &mut Step<'_>) {
        self.phase = AgentPhase::Leaving;
        if self.frameworks.is_empty() {
            self.exit_if_empty(step);
            return;
        }
        // The last one to go ends the agent.
        for id in self.frameworks.keys().cloned().collect::<Vec<_>>() {
            self.shut_down_framework(&id, step);
        }
    }

    fn exit_if_empty(&mut self, step: &mut Step<'_>) {
        if self.phase == AgentPhase::Leaving && self.frameworks.is_empty() {
            // An agent that left does not come back: the next one here is new.
            step.checkpoint(Record::NoAgent);
            let message = "The agent has shut down".to_owned();
            step.push(Effect::Exit { failure: false, message });
        }
    }
}
