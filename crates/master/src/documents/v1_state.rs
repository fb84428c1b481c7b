//! GET_STATE and its parts, in JSON and in protobuf.
//!
//! COMPAT(mesos): in JSON, C++ Mesos prints these lists even when they are empty and leaves out those that it has
//! deprecated; in protobuf they are ordinary messages. Hence the two ways below.

use http::Codec;
use master_core::{AgentView, FrameworkView, View};
use prost::Message as _;
use proto::json::{Json, Names, Writer};
use proto::mesos::v1::master::{Event, Response, event, response};
use proto::mesos::v1::{self, agent_info};

use super::{agents, frameworks, quantities};

/// Seconds between heartbeats of an operator's stream, as SUBSCRIBED tells it.
const HEARTBEAT_SECS: f64 = 15.0;

/// Which part of the state is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// GET_STATE.
    State,
    /// GET_AGENTS.
    Agents,
    /// GET_FRAMEWORKS.
    Frameworks,
    /// GET_EXECUTORS.
    Executors,
    /// GET_TASKS.
    Tasks,
    /// GET_OPERATIONS.
    Operations,
}

/// The answer to a call for `part`.
pub(crate) fn answer(view: &View, part: Part, codec: Codec) -> Vec<u8> {
    match codec {
        Codec::Json => json_answer(view, part),
        Codec::Protobuf => {
            let (kind, mut answer) = match part {
                Part::State => (
                    response::Type::GetState,
                    Response { get_state: Some(state(view)), ..Response::default() },
                ),
                Part::Agents => (
                    response::Type::GetAgents,
                    Response { get_agents: Some(all_agents(view)), ..Response::default() },
                ),
                Part::Frameworks => (
                    response::Type::GetFrameworks,
                    Response { get_frameworks: Some(all_frameworks(view)), ..Response::default() },
                ),
                Part::Executors => (
                    response::Type::GetExecutors,
                    Response { get_executors: Some(all_executors(view)), ..Response::default() },
                ),
                Part::Tasks => (
                    response::Type::GetTasks,
                    Response { get_tasks: Some(all_tasks(view)), ..Response::default() },
                ),
                Part::Operations => (
                    response::Type::GetOperations,
                    Response { get_operations: Some(all_operations(view)), ..Response::default() },
                ),
            };
            answer.r#type = Some(kind as i32);
            answer.encode_to_vec()
        }
    }
}

/// The first event of an operator's stream.
pub(crate) fn subscribed(view: &View, codec: Codec) -> Vec<u8> {
    match codec {
        Codec::Json => {
            let mut w = Writer::new();
            w.object(|w| {
                w.field_str("type", event::Type::Subscribed.as_str_name());
                w.field_object("subscribed", |w| {
                    w.field_object("get_state", |w| write_state(w, view));
                    w.field_f64("heartbeat_interval_seconds", HEARTBEAT_SECS);
                });
            });
            w.into_bytes()
        }
        Codec::Protobuf => {
            let subscribed = event::Subscribed {
                get_state: Some(state(view)),
                heartbeat_interval_seconds: Some(HEARTBEAT_SECS),
            };
            Event {
                r#type: Some(event::Type::Subscribed as i32),
                subscribed: Some(subscribed),
                ..Event::default()
            }
            .encode_to_vec()
        }
    }
}

fn json_answer(view: &View, part: Part) -> Vec<u8> {
    let mut w = Writer::new();
    let (kind, key, write): (&str, &str, fn(&mut Writer, &View)) = match part {
        Part::State => ("GET_STATE", "get_state", write_state),
        Part::Agents => ("GET_AGENTS", "get_agents", write_agents),
        Part::Frameworks => ("GET_FRAMEWORKS", "get_frameworks", write_frameworks),
        Part::Executors => ("GET_EXECUTORS", "get_executors", write_executors),
        Part::Tasks => ("GET_TASKS", "get_tasks", write_tasks),
        Part::Operations => ("GET_OPERATIONS", "get_operations", write_operations),
    };
    w.object(|w| {
        w.field_str("type", kind);
        w.field_object(key, |w| write(w, view));
    });
    w.into_bytes()
}

fn write_state(w: &mut Writer, view: &View) {
    w.field_object("get_tasks", |w| write_tasks(w, view));
    w.field_object("get_executors", |w| write_executors(w, view));
    w.field_object("get_frameworks", |w| write_frameworks(w, view));
    w.field_object("get_agents", |w| write_agents(w, view));
}

fn write_list<'m, M: Json + 'm>(w: &mut Writer, key: &str, messages: impl IntoIterator<Item = &'m M>) {
    w.field_array(key, |w| messages.into_iter().for_each(|message| message.write_json(w, Names::V1)));
}

fn write_agents(w: &mut Writer, view: &View) {
    w.field_array("agents", |w| {
        view.agents.iter().for_each(|agent| agent_message(agent).write_json(w, Names::V1Internal));
    });
    w.field_array("recovered_agents", |w| {
        view.recovered_agents.iter().for_each(|info| info.write_json(w, Names::V1Internal));
    });
}

fn write_frameworks(w: &mut Writer, view: &View) {
    for (key, list) in
        [("frameworks", &view.frameworks), ("completed_frameworks", &view.completed_frameworks)]
    {
        w.field_array(key, |w| list.iter().for_each(|one| framework_message(one).write_json(w, Names::V1)));
    }
}

fn write_executors(w: &mut Writer, view: &View) {
    w.field_array("executors", |w| {
        for (agent, info) in executors(view) {
            w.object(|w| {
                w.field_message("executor_info", info, Names::V1);
                w.field_object("agent_id", |w| w.field_str("value", agent));
            });
        }
    });
}

fn write_tasks(w: &mut Writer, view: &View) {
    write_list(w, "tasks", everyone(view).flat_map(|one| one.tasks.iter()).map(AsRef::as_ref));
    let unreachable = everyone(view).flat_map(|one| one.unreachable_tasks.iter());
    write_list(w, "unreachable_tasks", unreachable.map(AsRef::as_ref));
    let completed = everyone(view).flat_map(|one| &one.completed_tasks);
    write_list(w, "completed_tasks", completed.map(AsRef::as_ref));
}

// COMPAT(mesos): an empty list of operations is not even there.
fn write_operations(w: &mut Writer, view: &View) {
    if view.agents.iter().any(|agent| !agent.operations.is_empty()) {
        write_list(w, "operations", operations(view).map(AsRef::as_ref));
    }
}

fn operations(view: &View) -> impl Iterator<Item = &std::sync::Arc<v1::Operation>> {
    view.agents.iter().flat_map(|agent| agent.operations.values())
}

fn all_operations(view: &View) -> response::GetOperations {
    response::GetOperations { operations: operations(view).map(|one| v1::Operation::clone(one)).collect() }
}

fn everyone(view: &View) -> impl Iterator<Item = &FrameworkView> {
    view.frameworks.iter().chain(&view.completed_frameworks).map(AsRef::as_ref)
}

fn executors(view: &View) -> impl Iterator<Item = (&str, &v1::ExecutorInfo)> {
    everyone(view)
        .flat_map(|one| &one.executors)
        .flat_map(|(agent, executors)| executors.values().map(|info| (agent.as_str(), info.as_ref())))
}

fn state(view: &View) -> response::GetState {
    response::GetState {
        get_tasks: Some(all_tasks(view)),
        get_executors: Some(all_executors(view)),
        get_frameworks: Some(all_frameworks(view)),
        get_agents: Some(all_agents(view)),
    }
}

fn all_tasks(view: &View) -> response::GetTasks {
    let copy = |task: &std::sync::Arc<v1::Task>| v1::Task::clone(task);
    response::GetTasks {
        tasks: everyone(view).flat_map(|one| one.tasks.iter()).map(copy).collect(),
        unreachable_tasks: everyone(view).flat_map(|one| one.unreachable_tasks.iter()).map(copy).collect(),
        completed_tasks: everyone(view).flat_map(|one| &one.completed_tasks).map(copy).collect(),
        ..response::GetTasks::default()
    }
}

fn all_executors(view: &View) -> response::GetExecutors {
    let executors = executors(view).map(|(agent, info)| response::get_executors::Executor {
        executor_info: info.clone(),
        agent_id: v1::AgentId { value: agent.to_owned() },
    });
    response::GetExecutors { executors: executors.collect(), ..response::GetExecutors::default() }
}

fn all_frameworks(view: &View) -> response::GetFrameworks {
    response::GetFrameworks {
        frameworks: view.frameworks.iter().map(|one| framework_message(one)).collect(),
        completed_frameworks: view.completed_frameworks.iter().map(|one| framework_message(one)).collect(),
        ..response::GetFrameworks::default()
    }
}

fn all_agents(view: &View) -> response::GetAgents {
    response::GetAgents {
        agents: view.agents.iter().map(|agent| agent_message(agent)).collect(),
        recovered_agents: view.recovered_agents.iter().map(|info| v1::AgentInfo::clone(info)).collect(),
    }
}

fn time(time: machine::WallTime) -> v1::TimeInfo {
    v1::TimeInfo { nanoseconds: time.as_nanos() }
}

fn agent_message(agent: &AgentView) -> response::get_agents::Agent {
    let capability =
        |kind: &agent_info::capability::Type| agent_info::Capability { r#type: Some(*kind as i32) };
    response::get_agents::Agent {
        agent_info: v1::AgentInfo::clone(&agent.info),
        active: agent.active,
        version: agent.version.to_string(),
        pid: Some(agent.pid.to_string()),
        registered_time: Some(time(agent.registered_time)),
        reregistered_time: agent.reregistered_time.map(time),
        total_resources: quantities::for_endpoint(&agent.total),
        allocated_resources: quantities::for_endpoint(&agents::used(agent)),
        offered_resources: quantities::for_endpoint(&agent.offered),
        capabilities: agent.capabilities.iter().map(capability).collect(),
        deactivated: Some(agent.deactivated),
        drain_info: agent.drain_info,
        estimated_drain_start_time: agent.drain_started.map(time),
        ..response::get_agents::Agent::default()
    }
}

fn framework_message(framework: &FrameworkView) -> response::get_frameworks::Framework {
    let unregistered = framework.unregistered_time;
    response::get_frameworks::Framework {
        framework_info: v1::FrameworkInfo::clone(&framework.info),
        active: framework.active,
        connected: framework.connected,
        recovered: framework.recovered,
        registered_time: Some(time(framework.registered_time)),
        reregistered_time: Some(time(framework.reregistered_time)),
        unregistered_time: (unregistered.as_nanos() != 0).then(|| time(unregistered)),
        offers: framework.offers.iter().map(|offer| offer.to_proto()).collect(),
        allocated_resources: quantities::for_endpoint(&frameworks::used(framework)),
        offered_resources: quantities::for_endpoint(&framework.offered),
        offer_constraints: Some(framework.offer_constraints.as_deref().cloned().unwrap_or_default()),
        ..response::get_frameworks::Framework::default()
    }
}
