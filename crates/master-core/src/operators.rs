//! Operators who watch, and what they are told. What they change is in `operator_calls`.

use std::collections::BTreeMap;
use std::sync::Arc;

use machine::TimerId;
use proto::mesos::v1;
use proto::mesos::v1::master::response::{get_agents, get_frameworks};
use proto::mesos::v1::master::{Event, event};
use types::AgentId;

use crate::Master;
use crate::effect::{Effect, Reply};
use crate::event::StreamId;
use crate::frameworks::{Framework, Phase};
use crate::step::{Due, Step};
use crate::view::AgentView;

/// The open streams of operators, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Operators {
    streams: BTreeMap<StreamId, TimerId>,
}

impl Operators {
    /// Whether anybody watches; nothing need be told otherwise.
    pub(crate) fn any(&self) -> bool {
        !self.streams.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn has(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }
}

impl Master {
    pub(crate) fn on_operator_subscribe(&mut self, stream: StreamId, step: &mut Step<'_>) {
        if !self.serves() {
            step.fx.push(Effect::Close { stream });
            return;
        }
        while self.operators.streams.len() >= self.config.operator_streams_max.max(1) {
            let Some((oldest, timer)) = self.operators.streams.pop_first() else { break };
            self.timers.cancel(timer);
            step.fx.push(Effect::Close { stream: oldest });
        }
        let timer = self.arm_operator_heartbeat(stream, step);
        self.operators.streams.insert(stream, timer);
        let view = Arc::new(self.view());
        step.fx.push(Effect::OperatorSubscribed { stream, view });
        step.fx.push(heartbeat(stream));
    }

    fn arm_operator_heartbeat(&mut self, stream: StreamId, step: &Step<'_>) -> TimerId {
        let due = step.after(self.config.heartbeat_interval);
        self.timers.arm(due, Due::OperatorHeartbeat(stream))
    }

    pub(crate) fn on_operator_heartbeat(&mut self, stream: StreamId, step: &mut Step<'_>) {
        if !self.operators.has(stream) {
            return;
        }
        step.fx.push(heartbeat(stream));
        let timer = self.arm_operator_heartbeat(stream, step);
        self.operators.streams.insert(stream, timer);
    }

    pub(crate) fn on_operator_closed(&mut self, stream: StreamId) {
        if let Some(timer) = self.operators.streams.remove(&stream) {
            self.timers.cancel(timer);
        }
    }

    /// Tells all operators.
    pub(crate) fn publish(&mut self, event: Event, step: &mut Step<'_>) {
        if self.operators.any() {
            step.fx.push(Effect::Publish(Box::new(event)));
        }
    }
}

/// The answer while the registry is read.
pub(crate) fn not_recovered() -> Reply {
    Reply::unavailable("Master has not finished recovery")
}

fn heartbeat(stream: StreamId) -> Effect {
    Effect::OperatorEvent { stream, event: Box::new(of(event::Type::Heartbeat)) }
}

fn of(kind: event::Type) -> Event {
    Event { r#type: Some(kind.into()), ..Event::default() }
}

/// A task was launched, or reported by an agent.
pub(crate) fn task_added(task: &v1::Task) -> Event {
    Event { task_added: Some(event::TaskAdded { task: task.clone() }), ..of(event::Type::TaskAdded) }
}

/// A task came to another state, or one of its checks did.
pub(crate) fn task_updated(task: &v1::Task, status: &v1::TaskStatus) -> Event {
    Event {
        task_updated: Some(event::TaskUpdated {
            framework_id: task.framework_id.clone(),
            status: status.clone(),
            state: task.state,
        }),
        ..of(event::Type::TaskUpdated)
    }
}

/// An agent was admitted or came back.
pub(crate) fn agent_added(agent: &AgentView) -> Event {
    Event {
        agent_added: Some(event::AgentAdded { agent: agent_message(agent) }),
        ..of(event::Type::AgentAdded)
    }
}

/// An agent left.
pub(crate) fn agent_removed(agent: &AgentId) -> Event {
    Event {
        agent_removed: Some(event::AgentRemoved { agent_id: agent.into() }),
        ..of(event::Type::AgentRemoved)
    }
}

/// A framework is known now.
pub(crate) fn framework_added(framework: &Framework) -> Event {
    Event {
        framework_added: Some(event::FrameworkAdded { framework: framework_message(framework) }),
        ..of(event::Type::FrameworkAdded)
    }
}

/// A framework subscribed again or changed.
pub(crate) fn framework_updated(framework: &Framework) -> Event {
    Event {
        framework_updated: Some(event::FrameworkUpdated { framework: framework_message(framework) }),
        ..of(event::Type::FrameworkUpdated)
    }
}

/// A framework is completed.
pub(crate) fn framework_removed(info: &v1::FrameworkInfo) -> Event {
    Event {
        framework_removed: Some(event::FrameworkRemoved { framework_info: info.clone() }),
        ..of(event::Type::FrameworkRemoved)
    }
}

fn agent_message(agent: &AgentView) -> get_agents::Agent {
    let time = |wall: machine::WallTime| v1::TimeInfo { nanoseconds: wall.as_nanos() };
    get_agents::Agent {
        agent_info: v1::AgentInfo { checkpoint: None, ..(*agent.info).clone() },
        active: agent.active,
        deactivated: Some(agent.deactivated),
        drain_info: agent.drain_info,
        estimated_drain_start_time: agent.drain_started.map(time),
        version: agent.version.to_string(),
        pid: Some(agent.pid.to_string()),
        registered_time: Some(time(agent.registered_time)),
        reregistered_time: agent.reregistered_time.map(time),
        total_resources: agent.total.to_protos(),
        allocated_resources: agent.used.values().flat_map(resources::Resources::to_protos).collect(),
        offered_resources: agent.offered.to_protos(),
        capabilities: agent
            .capabilities
            .iter()
            .map(|kind| v1::agent_info::Capability { r#type: Some((*kind).into()) })
            .collect(),
        ..get_agents::Agent::default()
    }
}

fn framework_message(framework: &Framework) -> get_frameworks::Framework {
    let time = |wall: machine::WallTime| Some(v1::TimeInfo { nanoseconds: wall.as_nanos() });
    get_frameworks::Framework {
        framework_info: (*framework.info).clone(),
        active: framework.is_active(),
        connected: framework.is_connected(),
        recovered: framework.phase() == Phase::Recovered,
        registered_time: time(framework.registered_time),
        reregistered_time: time(framework.reregistered_time),
        unregistered_time: time(machine::WallTime::default()),
        ..get_frameworks::Framework::default()
    }
}
