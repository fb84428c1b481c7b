//! What the checkers are shown, where it happens.

use std::collections::BTreeMap;

use agent_core::Outgoing;
use master_core::{Event, StreamId};
use proto::mesos::v1::{executor, scheduler};

use crate::checkers::{books, updates};
use crate::node::Node;
use crate::world::World;

impl World {
    /// An event is about to reach a master's core.
    pub(crate) fn observe_master_event(&mut self, event: &Event) {
        let Event::SchedulerCall { call, .. } = event else { return };
        let accepted = call.accept.iter().flat_map(|accept| &accept.offer_ids);
        let declined = call.decline.iter().flat_map(|decline| &decline.offer_ids);
        for offer in accepted.chain(declined) {
            self.oracle.offers.ended(&offer.value);
        }
    }

    /// A master tells a framework something.
    pub(crate) fn observe_told(
        &mut self,
        master: usize,
        framework: usize,
        stream: StreamId,
        event: &scheduler::Event,
    ) {
        for offer in event.offers.iter().flat_map(|offers| &offers.offers) {
            if let Err(why) = self.oracle.offers.offered(master, stream, framework, &offer.id.value) {
                self.violate("offers", why);
            }
        }
        if let Some(rescind) = &event.rescind {
            self.oracle.offers.ended(&rescind.offer_id.value);
        }
    }

    /// A round of a master's is over.
    pub(crate) fn after_master(&mut self, master: usize) {
        let Some(process) = self.masters[master].process.as_ref() else { return };
        process.core.assert_invariants();
        let view = process.core.view();
        let found = [
            ("books", books::check(&view)),
            ("offers", self.oracle.offers.check(master, &view)),
            ("limits", self.oracle.limits.check(&view)),
        ];
        for (checker, outcome) in found {
            if let Err(why) = outcome {
                self.violate(checker, why);
            }
        }
    }

    /// A round of an agent's is over.
    pub(crate) fn after_agent(&mut self, agent: usize) {
        if let Some(process) = self.agents[agent].process.as_ref() {
            process.core.assert_invariants();
        }
    }

    /// An agent says something to its master.
    pub(crate) fn observe_agent_message(&mut self, agent: usize, message: &Outgoing) {
        let Outgoing::StatusUpdate(message) = message else { return };
        let Some(uuid) = &message.update.status.uuid else { return };
        if let Err(why) = updates::sent(&self.agents[agent].acknowledged, uuid) {
            self.violate("acknowledged", format!("agent {agent}: {why}"));
        }
    }

    /// An agent tells one of its executors something.
    pub(crate) fn observe_executor_told(&mut self, agent: usize, container: &str, event: &executor::Event) {
        let Some(acknowledged) = &event.acknowledged else { return };
        let host = &self.agents[agent];
        if !host.containers.get(container).is_some_and(|container| container.checkpoint) {
            return;
        }
        if let Err(why) = updates::told_executor(&host.taken, &acknowledged.uuid) {
            self.violate("durable", format!("agent {agent}: {why}"));
        }
    }

    /// A line for the journal of what a master does.
    pub(crate) fn note_master(&mut self, master: usize, effect: &master_core::Effect) {
        use master_core::Effect;
        let node = Node::Master(master);
        let (what, bytes) = match effect {
            Effect::Reply { reply, .. } => ("replies", reply.text.as_bytes().to_vec()),
            Effect::SchedulerEvent { event, .. } => {
                ("tells", event.r#type().as_str_name().as_bytes().to_vec())
            }
            Effect::Close { .. } => ("closes", Vec::new()),
            Effect::Send { to, message, .. } => (message.name(), to.to_string().into_bytes()),
            Effect::Link { .. } => ("links", Vec::new()),
            Effect::Unlink { .. } => ("unlinks", Vec::new()),
            Effect::Registry { operation, .. } => ("registry", operation.to_string().into_bytes()),
            Effect::OperatorSubscribed { .. } | Effect::OperatorEvent { .. } | Effect::Publish(_) => return,
            Effect::Log(text) => ("logs", text.as_bytes().to_vec()),
            Effect::Abort(why) => ("aborts", why.as_bytes().to_vec()),
        };
        let line = || match effect {
            Effect::Send { to, message, .. } => format!("-> {to} {}", message.to_json()),
            Effect::SchedulerEvent { stream, event } => {
                format!("stream {} {}", stream.0, proto::json::to_string(&**event, proto::json::Names::V1))
            }
            other => format!("{other:?}"),
        };
        self.journal.note(node, what, &bytes, line);
    }

    /// A line for the journal of what an agent does.
    pub(crate) fn note_agent(&mut self, agent: usize, effect: &agent_core::Effect) {
        use agent_core::Effect;
        let (what, bytes) = match effect {
            Effect::Send { to, message } => (message.name(), to.to_string().into_bytes()),
            Effect::Checkpoint(record) => ("checkpoints", record.path(crate::disk::WORK_DIR).into_bytes()),
            Effect::Log { text, .. } => ("logs", text.as_bytes().to_vec()),
            Effect::ExecutorEvent { event, .. } => {
                ("tells", event.r#type().as_str_name().as_bytes().to_vec())
            }
            Effect::Launch(_) => ("launches", Vec::new()),
            Effect::Destroy { .. } => ("destroys", Vec::new()),
            Effect::Link { .. }
            | Effect::Redetect
            | Effect::Reply { .. }
            | Effect::Answer { .. }
            | Effect::OpenStream { .. }
            | Effect::RefuseStream { .. }
            | Effect::CloseStream { .. }
            | Effect::SyncVolumes { .. }
            | Effect::CreateSandbox(_)
            | Effect::AttachSandbox(_)
            | Effect::CreateNestedSandbox { .. }
            | Effect::LaunchContainer(_)
            | Effect::Signal { .. }
            | Effect::RemoveContainer { .. }
            | Effect::Adopt { .. }
            | Effect::UpdateContainer { .. }
            | Effect::RemovePath { .. }
            | Effect::Exit { .. } => ("does", Vec::new()),
        };
        let line = || match effect {
            Effect::Send { to, message } => format!("-> {to} {message}"),
            Effect::Log { text, .. } => text.clone(),
            Effect::ExecutorEvent { stream, event } => {
                format!("stream {} {}", stream.0, proto::json::to_string(&**event, proto::json::Names::V1))
            }
            other => format!("{other:?}"),
        };
        self.journal.note(Node::Agent(agent), what, &bytes, line);
    }

    /// The state of all, by name, for whoever follows a history.
    pub(crate) fn show(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for (index, host) in self.masters.iter().enumerate() {
            let Some(process) = &host.process else {
                all.insert(format!("master {index}"), "down".to_owned());
                continue;
            };
            all.insert(format!("master {index}"), format!("{} {:?}", process.info.id, process.standing));
            let view = process.core.view();
            for agent in &view.agents {
                let used: Vec<_> = agent.used.values().map(ToString::to_string).collect();
                let text = format!(
                    "connected {} active {} offered {} used {}",
                    agent.connected,
                    agent.active,
                    agent.offered,
                    used.join(" + ")
                );
                all.insert(format!("master {index}: agent {}", agent.id), text);
            }
            for framework in &view.frameworks {
                let text = format!("connected {} active {}", framework.connected, framework.active);
                all.insert(format!("master {index}: framework {}", framework.id), text);
                for task in framework.tasks.iter().chain(&framework.unreachable_tasks) {
                    let key = format!("master {index}: task {} of {}", task.task_id.value, framework.id);
                    all.insert(key, task.state().as_str_name().to_owned());
                }
            }
        }
        for (index, host) in self.agents.iter().enumerate() {
            let Some(process) = &host.process else {
                all.insert(format!("agent {index}"), if host.up { "down" } else { "off" }.to_owned());
                continue;
            };
            let view = process.core.view();
            all.insert(format!("agent {index}"), format!("{:?}", view.phase));
            for executor in view.frameworks.iter().flat_map(|framework| &framework.executors) {
                let key = format!("agent {index}: executor {}", executor.id);
                all.insert(key, format!("{:?} in {}", executor.phase, executor.container));
                for task in executor.launched.iter().chain(&executor.terminated) {
                    let key = format!("agent {index}: task {}", task.task_id.value);
                    all.insert(key, task.state().as_str_name().to_owned());
                }
            }
            for (id, container) in &host.containers {
                all.insert(format!("agent {index}: container {id}"), container.show());
            }
        }
        for (index, host) in self.frameworks.iter().enumerate() {
            let up = host
                .process
                .as_ref()
                .map_or("down", |process| if process.subscribed { "subscribed" } else { "not subscribed" });
            all.insert(format!("framework {index}"), format!("{up} as {:?}", host.id));
            for (task, known) in &host.tasks {
                all.insert(format!("framework {index}: task {task}"), known.state.as_str_name().to_owned());
            }
        }
        all
    }
}
