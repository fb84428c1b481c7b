//! The recorded GET_STATE of a C++ master is read back into a view; every document printed from it must say what that
//! master's own documents said.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Codec, Query};
use machine::WallTime;
use master_core::{AgentView, Config, Counters, FrameworkCounters, FrameworkView, OfferView, View};
use proto::json::Writer;
use proto::mesos::v1::master::{Response, response};
use proto::mesos::v1::{self, MasterInfo};
use resources::Resources;
use serde_json::Value;
use types::{AgentId, FrameworkId, OfferId, Role};

use super::v1_state::Part;
use super::{agents, frameworks, roles, state, summary, tasks, v1_state};
use crate::identity::Identity;

fn recorded(name: &str) -> Value {
    let path = format!("{}/tests/recorded/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["body"].take()
}

fn time(time: Option<&v1::TimeInfo>) -> WallTime {
    WallTime::from_nanos(time.map_or(0, |time| time.nanoseconds))
}

fn resources(list: &[v1::Resource]) -> Resources {
    let mut list = list.to_vec();
    resources::format::upgrade_all(&mut list);
    Resources::from_protos(&list).unwrap()
}

fn agent(one: response::get_agents::Agent, used: BTreeMap<FrameworkId, Resources>) -> Arc<AgentView> {
    Arc::new(AgentView {
        id: AgentId::from(one.agent_info.id.as_ref().unwrap()),
        pid: one.pid.unwrap().parse().unwrap(),
        version: one.version.into(),
        capabilities: one.capabilities.iter().map(v1::agent_info::Capability::r#type).collect(),
        connected: true,
        active: one.active,
        deactivated: one.deactivated.unwrap(),
        drain_info: None,
        drain_started: None,
        unavailability: None,
        registered_time: time(one.registered_time.as_ref()),
        reregistered_time: None,
        total: resources(&one.total_resources),
        used,
        offered: resources(&one.offered_resources),
        executors: BTreeMap::new(),
        operations: BTreeMap::new(),
        info: Arc::new(one.agent_info),
    })
}

fn offer(one: &v1::Offer) -> Arc<OfferView> {
    Arc::new(OfferView {
        id: OfferId::from(&one.id),
        framework: FrameworkId::from(&one.framework_id),
        agent: AgentId::from(&one.agent_id),
        role: Role::from(one.allocation_info.as_ref().unwrap().role()),
        resources: resources(&one.resources),
        executors: Vec::new(),
        made: machine::Instant::ZERO,
        template: Arc::new(one.clone()),
    })
}

fn framework(one: &response::get_frameworks::Framework, all: &response::GetTasks) -> Arc<FrameworkView> {
    let id = FrameworkId::from(one.framework_info.id.as_ref().unwrap());
    let mine = |tasks: &[v1::Task]| -> Vec<Arc<v1::Task>> {
        tasks.iter().filter(|task| task.framework_id.value == id.as_str()).cloned().map(Arc::new).collect()
    };
    let running = mine(&all.tasks);
    let mut used: BTreeMap<AgentId, Resources> = BTreeMap::new();
    for task in &running {
        let sum = used.entry(AgentId::from(&task.agent_id)).or_default();
        resources(&task.resources).iter().for_each(|resource| sum.push(resource.clone()));
    }
    Arc::new(FrameworkView {
        info: Arc::new(one.framework_info.clone()),
        pid: None,
        active: one.active,
        connected: one.connected,
        recovered: one.recovered,
        registered_time: time(one.registered_time.as_ref()),
        reregistered_time: time(one.reregistered_time.as_ref()),
        unregistered_time: time(one.unregistered_time.as_ref()),
        suppressed_roles: Vec::new(),
        offer_constraints: one.offer_constraints.clone().map(Arc::new),
        used,
        offered: resources(&one.offered_resources),
        offers: one.offers.iter().map(offer).collect(),
        tasks: running,
        unreachable_tasks: Vec::new(),
        completed_tasks: mine(&all.completed_tasks),
        executors: BTreeMap::new(),
        counters: Arc::new(FrameworkCounters::default()),
        id,
    })
}

fn view() -> View {
    let answer = recorded("v1-GET_STATE").to_string();
    let answer: Response = proto::json::from_slice(answer.as_bytes()).unwrap();
    let state = answer.get_state.unwrap();
    let document = recorded("v0-state");
    let master = MasterInfo {
        id: document["id"].as_str().unwrap().to_owned(),
        pid: document["pid"].as_str().map(str::to_owned),
        port: u32::try_from(document["leader_info"]["port"].as_u64().unwrap()).unwrap(),
        hostname: document["hostname"].as_str().map(str::to_owned),
        capabilities: [1, 2, 3].map(|kind| v1::master_info::Capability { r#type: Some(kind) }).into(),
        ..MasterInfo::default()
    };
    let all = state.get_tasks.unwrap();
    let of = |list: &[response::get_frameworks::Framework]| -> Vec<Arc<FrameworkView>> {
        list.iter().map(|one| framework(one, &all)).collect()
    };
    let list = state.get_frameworks.unwrap();
    let live = of(&list.frameworks);
    let used = |agent: &AgentId| -> BTreeMap<FrameworkId, Resources> {
        live.iter().filter_map(|one| Some((one.id.clone(), one.used.get(agent)?.clone()))).collect()
    };
    let agents = state.get_agents.unwrap().agents.into_iter();
    let agents = agents.map(|mut one| {
        // v1 has no such field, so that reading the recording has dropped it.
        one.agent_info.checkpoint = Some(true);
        let used = used(&AgentId::from(one.agent_info.id.as_ref().unwrap()));
        agent(one, used)
    });
    View {
        config: Arc::new(Config::new(master)),
        elected_time: Some(WallTime::from_nanos(1_795_179_692_346_397_000)),
        recovered: true,
        agents: agents.collect(),
        recovered_agents: Vec::new(),
        unreachable_agents: 0,
        completed_frameworks: of(&list.completed_frameworks),
        frameworks: live,
        roles: BTreeMap::default(),
        weights: Arc::default(),
        maintenance: Arc::default(),
        inverse_offer_answers: Arc::default(),
        operator_streams: 0,
        offers: 3,
        quotas: Arc::default(),
        counters: Arc::new(Counters::default()),
    }
}

fn identity() -> Identity {
    Identity {
        start_time: WallTime::from_nanos(1_795_179_692_345_166_000),
        cluster: Some("reference".to_owned()),
        flags: Arc::default(),
    }
}

/// Lists whose order means nothing are put in one; what differs by nature is taken out.
fn settle(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for key in ["flags", "version", "build_date", "build_time", "build_user", "mesos_rs_version"] {
                members.remove(key);
            }
            members.values_mut().for_each(settle);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(settle);
            items.sort_by_key(Value::to_string);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check(name: &str, print: impl FnOnce(&mut Writer)) {
    let mut w = Writer::new();
    print(&mut w);
    check_bytes(name, &w.into_bytes());
}

fn check_bytes(name: &str, bytes: &[u8]) {
    let mut ours: Value = serde_json::from_slice(bytes).unwrap();
    let mut theirs = recorded(name);
    settle(&mut ours);
    settle(&mut theirs);
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let (ours, theirs) = (pretty(&ours), pretty(&theirs));
    let differs = theirs.lines().zip(ours.lines()).enumerate().find(|(_, (theirs, ours))| theirs != ours);
    assert_eq!(differs, None, "{name}: line, recorded, ours");
    assert_eq!(ours.lines().count(), theirs.lines().count(), "{name}");
}

#[test]
fn documents_say_what_was_recorded() {
    let view = view();
    let everything = Query::default();
    check("v0-state", |w| state::document(w, &view, &identity()));
    check("v0-state-summary", |w| summary::document(w, &view, &identity()));
    check("v0-slaves", |w| agents::document(w, &view, &everything));
    check("v0-frameworks", |w| frameworks::document(w, &view, &everything));
    check("v0-roles", |w| roles::document(w, &view));
    check("v0-tasks", |w| tasks::document(w, &view, &everything));
    check("v0-tasks-limit", |w| tasks::document(w, &view, &Query::parse("limit=2&order=asc")));
    check_bytes("v1-GET_STATE", &v1_state::answer(&view, Part::State, Codec::Json));
}

#[test]
fn filters_choose() {
    let view = view();
    let print = |print: &dyn Fn(&mut Writer)| -> Value {
        let mut w = Writer::new();
        print(&mut w);
        serde_json::from_slice(&w.into_bytes()).unwrap()
    };
    let id = view.agents[0].id.to_string();
    let one = print(&|w| agents::document(w, &view, &Query::parse(&format!("slave_id={id}"))));
    assert_eq!(one["slaves"].as_array().map(Vec::len), Some(1));
    assert_eq!(one["slaves"][0]["id"], id.as_str());
    let none = print(&|w| frameworks::document(w, &view, &Query::parse("framework_id=nope")));
    assert_eq!(none["frameworks"], Value::Array(Vec::new()));
    let one = print(&|w| tasks::document(w, &view, &Query::parse("task_id=long")));
    assert_eq!(one["tasks"].as_array().map(Vec::len), Some(1));
    let page = print(&|w| tasks::document(w, &view, &Query::parse("offset=4&limit=10")));
    assert_eq!(page["tasks"].as_array().map(Vec::len), Some(1));
}

#[test]
fn protobuf_says_the_same_as_json() {
    let view = view();
    let bytes = v1_state::answer(&view, Part::State, Codec::Protobuf);
    let answer: Response = proto::wire::decode(bytes.as_slice()).unwrap();
    let state = answer.get_state.unwrap();
    assert_eq!(state.get_agents.unwrap().agents.len(), 2);
    assert_eq!(state.get_tasks.unwrap().completed_tasks.len(), 3);
    assert_eq!(state.get_frameworks.unwrap().frameworks[0].offers.len(), 3);
}
