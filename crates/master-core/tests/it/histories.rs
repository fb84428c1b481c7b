//! Random histories: whatever happens in whatever order, the books agree, and a
//! task's framework hears of its end.

use master_core::View;
use proptest::prelude::*;
use proto::mesos::v1::TaskState;

use crate::random_operations;
use crate::random_settings::{self, Setting};
use crate::world::World;

/// One step of a history. Numbers pick among what is there at that moment.
#[derive(Clone, Debug)]
enum Step {
    Agent(u8),
    AgentBack { agent: u8, forgets: u8 },
    LinkBreaks(u8),
    Unregister(u8),
    Silence(u8),
    Subscribe { stream: u8, kind: u8 },
    Resubscribe { stream: u8, framework: u8 },
    Driver { place: u8, framework: u8, force: bool },
    StreamBreaks(u8),
    Accept { offer: u8, tasks: u8, mem: u8, executor: bool, stale: bool },
    Decline { offer: u8, seconds: u8 },
    Operate { offer: u8, picks: Vec<u8>, named: bool },
    Operator { agent: u8, pick: u8 },
    Reported { agent: u8, pick: u8 },
    Confirmed(u8),
    Oversubscribed { agent: u8, cpus: u8 },
    Revive(u8),
    Suppress(u8),
    Kill(u8),
    Update { task: u8, state: u8, latest: u8 },
    Acknowledge(u8),
    ExecutorEnds(u8),
    Reconcile(u8),
    Teardown(u8),
    Gone(u8),
    Set(Setting),
    InverseAnswer { ask: u8, accept: bool },
    Failover,
    Watch(u8),
    RegistryHolds,
    RegistryGoesOn,
    Seconds(u8),
}

const COMMON: &str = "MULTI_ROLE,HIERARCHICAL_ROLE,RESERVATION_REFINEMENT,RESIZE_VOLUME";
const REPORTS: &str = ",RESOURCE_PROVIDER,AGENT_OPERATION_FEEDBACK";
const DRAINS: &str = ",AGENT_DRAINING";

/// Whether the agent of a place is new enough to be emptied.
fn can_drain(place: u8) -> bool {
    place != 2
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..4_u8;
    let byte = any::<u8>();
    prop_oneof![
        3 => n.clone().prop_map(Step::Agent),
        2 => (n.clone(), byte).prop_map(|(agent, forgets)| Step::AgentBack { agent, forgets }),
        2 => n.clone().prop_map(Step::LinkBreaks),
        1 => n.clone().prop_map(Step::Unregister),
        1 => n.clone().prop_map(Step::Silence),
        3 => (0..6_u8, 0..4_u8).prop_map(|(stream, kind)| Step::Subscribe { stream, kind }),
        2 => (0..6_u8, byte).prop_map(|(stream, framework)| Step::Resubscribe { stream, framework }),
        2 => (n.clone(), byte, any::<bool>()).prop_map(|(place, framework, force)| Step::Driver { place, framework, force }),
        2 => (0..6_u8).prop_map(Step::StreamBreaks),
        9 => (byte, 0..4_u8, byte, any::<bool>(), any::<bool>())
            .prop_map(|(offer, tasks, mem, executor, stale)| Step::Accept { offer, tasks, mem, executor, stale: stale && mem.is_multiple_of(8) }),
        2 => (byte, byte).prop_map(|(offer, seconds)| Step::Decline { offer, seconds }),
        9 => (byte, prop::collection::vec(byte, 1..5), any::<bool>())
            .prop_map(|(offer, picks, named)| Step::Operate { offer, picks, named }),
        3 => (byte, byte).prop_map(|(agent, pick)| Step::Operator { agent, pick }),
        4 => (byte, byte).prop_map(|(agent, pick)| Step::Reported { agent, pick }),
        2 => byte.prop_map(Step::Confirmed),
        1 => (byte, 0..4_u8).prop_map(|(agent, cpus)| Step::Oversubscribed { agent, cpus }),
        1 => byte.prop_map(Step::Revive),
        1 => byte.prop_map(Step::Suppress),
        2 => byte.prop_map(Step::Kill),
        9 => (byte, 0..14_u8, byte).prop_map(|(task, state, latest)| Step::Update { task, state, latest }),
        5 => byte.prop_map(Step::Acknowledge),
        2 => byte.prop_map(Step::ExecutorEnds),
        1 => byte.prop_map(Step::Reconcile),
        1 => byte.prop_map(Step::Teardown),
        1 => byte.prop_map(Step::Gone),
        3 => setting().prop_map(Step::Set),
        2 => (byte, any::<bool>()).prop_map(|(ask, accept)| Step::InverseAnswer { ask, accept }),
        1 => Just(Step::Failover),
        1 => n.prop_map(Step::Watch),
        1 => Just(Step::RegistryHolds),
        2 => Just(Step::RegistryGoesOn),
        4 => byte.prop_map(Step::Seconds),
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    let byte = any::<u8>();
    prop_oneof![
        3 => (0..32_u8, 0..32_u8, 1..9_u8)
            .prop_map(|(first, second, at)| Setting::Schedule { first, second: second & !first, at }),
        1 => (0..32_u8, 0..32_u8, 1..9_u8)
            .prop_map(|(first, second, at)| Setting::Schedule { first, second, at }),
        2 => byte.prop_map(Setting::Down),
        2 => byte.prop_map(Setting::Up),
        3 => (byte, any::<bool>()).prop_map(|(agent, mark_gone)| Setting::Drain { agent, mark_gone }),
        1 => byte.prop_map(Setting::Deactivate),
        3 => byte.prop_map(Setting::Reactivate),
        2 => (byte, 0..5_u8).prop_map(|(role, weight)| Setting::Weight { role, weight }),
        2 => (byte, 0..5_u8, 0..9_u8, any::<bool>())
            .prop_map(|(role, guarantee, limit, force)| Setting::Quota { role, guarantee, limit, force }),
    ]
}

/// Steps of a cluster that mostly works, and whose operators change settings all the time.
fn settings_step() -> impl Strategy<Value = Step> {
    let n = 0..4_u8;
    let byte = any::<u8>();
    prop_oneof![
        2 => n.clone().prop_map(Step::Agent),
        3 => (n.clone(), byte).prop_map(|(agent, forgets)| Step::AgentBack { agent, forgets }),
        1 => n.clone().prop_map(Step::LinkBreaks),
        1 => n.prop_map(Step::Silence),
        2 => (0..2_u8, 0..2_u8).prop_map(|(stream, kind)| Step::Subscribe { stream, kind }),
        12 => setting().prop_map(Step::Set),
        4 => (byte, any::<bool>()).prop_map(|(ask, accept)| Step::InverseAnswer { ask, accept }),
        4 => (byte, 1..3_u8, byte)
            .prop_map(|(offer, tasks, mem)| Step::Accept { offer, tasks, mem, executor: false, stale: false }),
        5 => byte.prop_map(|task| Step::Update { task, state: 2, latest: 2 }),
        4 => byte.prop_map(Step::Acknowledge),
        1 => Just(Step::Failover),
        1 => Just(Step::RegistryHolds),
        2 => Just(Step::RegistryGoesOn),
        3 => (1..99_u8).prop_map(Step::Seconds),
    ]
}

/// Steps of a cluster that mostly works, and mostly does operations on resources.
fn operation_step() -> impl Strategy<Value = Step> {
    let n = 0..2_u8;
    let byte = any::<u8>();
    prop_oneof![
        1 => (n.clone(), byte).prop_map(|(agent, forgets)| Step::AgentBack { agent, forgets }),
        1 => n.prop_map(Step::LinkBreaks),
        12 => (byte, prop::collection::vec(byte, 1..6), any::<bool>())
            .prop_map(|(offer, picks, named)| Step::Operate { offer, picks, named }),
        6 => (byte, byte).prop_map(|(agent, pick)| Step::Operator { agent, pick }),
        4 => (byte, byte).prop_map(|(agent, pick)| Step::Reported { agent, pick }),
        2 => byte.prop_map(Step::Confirmed),
        1 => (byte, 0..4_u8).prop_map(|(agent, cpus)| Step::Oversubscribed { agent, cpus }),
        5 => byte.prop_map(|task| Step::Update { task, state: 2, latest: 2 }),
        4 => byte.prop_map(Step::Acknowledge),
        2 => (1..9_u8).prop_map(Step::Seconds),
    ]
}

proptest! {
    #[test]
    fn operations_keep_the_books(steps in prop::collection::vec(operation_step(), 1..100)) {
        let mut world = World::default();
        world.run("elect", "");
        for step in [Step::Agent(0), Step::Agent(1), Step::Subscribe { stream: 1, kind: 0 }] {
            take(&mut world, &step);
        }
        take(&mut world, &Step::Subscribe { stream: 2, kind: 1 });
        for step in &steps {
            take(&mut world, step);
        }
    }

    #[test]
    fn settings_hold_and_are_durable(steps in prop::collection::vec(settings_step(), 1..100)) {
        let mut world = World::default();
        world.run("elect", "");
        for step in [0, 1, 2, 3].map(Step::Agent) {
            take(&mut world, &step);
        }
        take(&mut world, &Step::Subscribe { stream: 1, kind: 0 });
        for step in &steps {
            take(&mut world, step);
            random_settings::assert_durable(&world);
        }
    }

    #[test]
    fn the_books_agree_after_every_step(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = World::default();
        world.run("elect", "");
        for step in &steps {
            take(&mut world, step);
        }
    }

    #[test]
    fn one_history_has_one_outcome(steps in prop::collection::vec(step(), 1..60)) {
        let outcome = || {
            let mut world = World::default();
            let mut all = world.run("elect", "");
            for step in &steps {
                all.push_str(&take(&mut world, step));
            }
            all
        };
        prop_assert_eq!(outcome(), outcome());
    }
}

/// Takes a step and returns its effects, one per line.
fn take(world: &mut World, step: &Step) -> String {
    let view = world.master.view();
    let tasks: Vec<_> = view.frameworks.iter().flat_map(|f| &f.tasks).collect();
    let offers: Vec<_> = view.frameworks.iter().flat_map(|f| &f.offers).collect();
    let task = |at: u8| (!tasks.is_empty()).then(|| tasks[usize::from(at) % tasks.len()]);
    let framework = |at: u8| {
        (!view.frameworks.is_empty()).then(|| &view.frameworks[usize::from(at) % view.frameworks.len()])
    };
    let stream = |id: &str| world.stream_of(id);
    let agent =
        |at: u8| (!view.agents.is_empty()).then(|| view.agents[usize::from(at) % view.agents.len()].as_ref());
    let command = match step {
        // Agents of both kinds: those that report operations, and older ones.
        Step::Agent(n) => {
            let (kind, can) = if n % 2 == 1 { ("legacy", "") } else { ("feedback", REPORTS) };
            let can = format!("{COMMON}{}{can}", if can_drain(n + 1) { DRAINS } else { "" });
            Some(("agent", format!("{} cpus:4;mem:2048;disk:500 {kind} capabilities={can}", n + 1)))
        }
        Step::AgentBack { agent, forgets } => [Some(&view), world.former.as_ref()]
            .into_iter()
            .flatten()
            .find_map(|view| agent_back(view, *agent + 1, *forgets)),
        Step::LinkBreaks(n) => Some(("exited", format!("{}", n + 1))),
        Step::Unregister(n) => {
            let place = format!("127.0.0.{}:5051", n + 1);
            view.agents.iter().find(|agent| agent.pid.address.to_string() == place).map(|agent| {
                ("message", format!(r#"{} UnregisterSlaveMessage {{"slave_id":{{"value":"{}"}}}}"#, n + 1, agent.id))
            })
        }
        Step::Silence(n) => Some(("silent", format!("{}", n + 1))),
        Step::Subscribe { stream, kind } => {
            world.is_free(u64::from(*stream)).then(|| ("subscribe", format!("{stream} {}", info(*kind, None))))
        }
        Step::Resubscribe { stream, framework: at } => framework(*at)
            .filter(|_| world.is_free(u64::from(*stream)))
            .map(|f| ("subscribe", format!("{stream} {}", info(1, Some(f.id.as_str()))))),
        Step::Driver { place, framework: at, force } => {
            let id = framework(*at).filter(|_| at.is_multiple_of(2)).map(|f| f.id.as_str());
            let wish = info(3, id);
            let call = match id {
                Some(id) => format!(
                    r#"{{"type":"SUBSCRIBE","framework_id":{{"value":"{id}"}},"subscribe":{{"force":{force},"framework_info":{wish}}}}}"#
                ),
                None => format!(r#"{{"type":"SUBSCRIBE","subscribe":{{"framework_info":{wish}}}}}"#),
            };
            Some(("message", format!("scheduler@127.0.1.{}:9000 mesos.scheduler.Call {call}", place + 1)))
        }
        Step::StreamBreaks(n) => Some(("close", n.to_string())),
        Step::Accept { offer, tasks: count, mem, executor, stale } => (!offers.is_empty()).then(|| {
            let offer = offers[usize::from(*offer) % offers.len()];
            let launched: Vec<_> = (0..*count)
                .map(|n| {
                    let run = if *executor { ":exec" } else { "" };
                    format!("t{}-{n}:0.{}:{}{run}", world.next_number(), n + 1, u32::from(*mem) * 8 + 1)
                })
                .collect();
            let id = if *stale { "O999999".to_owned() } else { offer.id.as_str().to_owned() };
            let line = format!("{id} {} agent={} refuse=0", launched.join(" "), offer.agent);
            stream(offer.framework.as_str()).map(|stream| ("accept", format!("{stream} {line}")))
        }).flatten(),
        Step::Decline { offer, seconds } => (!offers.is_empty()).then(|| {
            let offer = offers[usize::from(*offer) % offers.len()];
            let call = format!(
                r#"{{"type":"DECLINE","decline":{{"offer_ids":[{{"value":"{}"}}],"filters":{{"refuse_seconds":{seconds}}}}}}}"#,
                offer.id
            );
            stream(offer.framework.as_str()).map(|stream| ("call", format!("{stream} {call}")))
        }).flatten(),
        Step::Operate { offer, picks, named } => (!offers.is_empty())
            .then(|| {
                let offer = offers[usize::from(*offer) % offers.len()];
                let accept = random_operations::accept(offer, picks, *named, world.next_number());
                call(stream(offer.framework.as_str()), &accept)
            })
            .flatten(),
        Step::Operator { agent: at, pick } => agent(*at).and_then(|agent| {
            let call = random_operations::operator(agent, *pick, world.next_number())?;
            Some(("operator", call))
        }),
        Step::Reported { agent: at, pick } => agent(*at).and_then(|agent| {
            let place = agent.pid.address.ip().to_string().replace("127.0.0.", "");
            let report = random_operations::report(agent, *pick)?;
            Some(("message", format!("{place} UpdateOperationStatusMessage {report}")))
        }),
        Step::Confirmed(at) => agent(*at).and_then(|agent| {
            let (framework, confirm) = random_operations::acknowledge(agent)?;
            call(stream(&framework), &confirm)
        }),
        Step::Oversubscribed { agent: at, cpus } => agent(*at).map(|agent| {
            let place = agent.pid.address.ip().to_string().replace("127.0.0.", "");
            let estimate = format!(r#"{{"name":"cpus","type":"SCALAR","scalar":{{"value":{cpus}}},"revocable":{{}}}}"#);
            ("message", format!(
                r#"{place} UpdateSlaveMessage {{"slave_id":{{"value":"{}"}},"oversubscribed_resources":[{estimate}],"update_oversubscribed_resources":true}}"#,
                agent.id
            ))
        }),
        Step::Revive(at) => call(framework(*at).and_then(|f| stream(f.id.as_str())), r#"{"type":"REVIVE"}"#),
        Step::Suppress(at) => call(framework(*at).and_then(|f| stream(f.id.as_str())), r#"{"type":"SUPPRESS"}"#),
        Step::Reconcile(at) => {
            call(framework(*at).and_then(|f| stream(f.id.as_str())), r#"{"type":"RECONCILE","reconcile":{}}"#)
        }
        Step::Kill(at) => task(*at).and_then(|task| {
            let kill = format!(r#"{{"type":"KILL","kill":{{"task_id":{{"value":"{}"}}}}}}"#, task.task_id.value);
            call(stream(&task.framework_id.value), &kill)
        }),
        Step::Update { task: at, state, latest } => task(*at).and_then(|task| {
            let state = TaskState::try_from(i32::from(*state)).ok()?;
            // Mostly the agent has nothing newer to say.
            let latest = TaskState::try_from(i32::from(*latest)).unwrap_or(state);
            let agent = view.agents.iter().find(|agent| agent.id.as_str() == task.agent_id.value)?;
            let place = agent.pid.address.ip().to_string().replace("127.0.0.", "");
            Some((
                "update",
                format!(
                    "{place} {} {} {} latest={} agent={}",
                    task.framework_id.value,
                    task.task_id.value,
                    state.as_str_name(),
                    latest.as_str_name(),
                    agent.id
                ),
            ))
        }),
        Step::Acknowledge(at) => task(*at).and_then(|task| {
            let acknowledge = format!(
                r#"{{"type":"ACKNOWLEDGE","acknowledge":{{"agent_id":{{"value":"{}"}},"task_id":{{"value":"{}"}},"uuid":"AAAAAAAAQACAAAAAAAAAAQ=="}}}}"#,
                task.agent_id.value, task.task_id.value
            );
            call(stream(&task.framework_id.value), &acknowledge)
        }),
        Step::ExecutorEnds(at) => {
            let all: Vec<_> = view
                .agents
                .iter()
                .flat_map(|agent| agent.executors.iter().map(move |(framework, all)| (agent, framework, all)))
                .flat_map(|(agent, framework, all)| all.keys().map(move |id| (agent, framework, id)))
                .collect();
            (!all.is_empty()).then(|| {
                let (agent, framework, id) = all[usize::from(*at) % all.len()];
                let place = agent.pid.address.ip().to_string().replace("127.0.0.", "");
                ("message", format!(
                    r#"{place} ExitedExecutorMessage {{"slave_id":{{"value":"{}"}},"framework_id":{{"value":"{framework}"}},"executor_id":{{"value":"{id}"}},"status":0}}"#,
                    agent.id
                ))
            })
        }
        Step::Teardown(at) => framework(*at).map(|f| ("teardown", f.id.to_string())),
        Step::Gone(at) => (!view.agents.is_empty())
            .then(|| ("gone", view.agents[usize::from(*at) % view.agents.len()].id.to_string())),
        Step::Set(setting) => setting.command(&view),
        Step::InverseAnswer { ask, accept } => {
            let pick = usize::from(*ask) % world.asks.len().max(1);
            world.asks.iter().nth(pick).and_then(|(id, framework)| {
                let kind = if *accept { "ACCEPT" } else { "DECLINE" };
                let body = format!(
                    r#"{{"type":"{kind}_INVERSE_OFFERS","{}_inverse_offers":{{"inverse_offer_ids":[{{"value":"{id}"}}],"filters":{{"refuse_seconds":{}}}}}}}"#,
                    kind.to_lowercase(),
                    ask % 7,
                );
                call(stream(framework), &body)
            })
        }
        Step::Failover => world.is_registry_idle().then(|| ("successor", format!("id=M{}", world.next_number()))),
        Step::Watch(n) => Some(("watch", (100 + n).to_string())),
        Step::RegistryHolds => Some(("registry", "hold".to_owned())),
        Step::RegistryGoesOn => Some(("registry", "release".to_owned())),
        Step::Seconds(n) => Some(("time", format!("{n}s"))),
    };
    command.map(|(command, rest)| world.run(command, &rest)).unwrap_or_default()
}

fn call(stream: Option<u64>, json: &str) -> Option<(&'static str, String)> {
    stream.map(|stream| ("call", format!("{stream} {json}")))
}

/// An agent registers again with the tasks and executors the master knows of, but
/// for some that it forgot.
fn agent_back(view: &View, place: u8, forgets: u8) -> Option<(&'static str, String)> {
    let address = format!("127.0.0.{place}:5051");
    let agent = view.agents.iter().find(|agent| agent.pid.address.to_string() == address)?;
    let print = |message: &dyn Fn() -> String| message();
    let mut tasks = Vec::new();
    let mut frameworks = Vec::new();
    let mut executors = Vec::new();
    for framework in &view.frameworks {
        for task in framework.tasks.iter().filter(|task| task.agent_id.value == agent.id.as_str()) {
            if (task.task_id.value.len() + usize::from(forgets)) % 3 != 0 {
                let mut task = (**task).clone();
                // Its executor may be forgotten, which a running task must not show.
                task.executor_id = None;
                tasks.push(print(&|| proto::json::to_string(&task, proto::json::Names::V1)));
            }
        }
        if let Some(all) = framework.executors.get(&agent.id).filter(|_| forgets.is_multiple_of(2)) {
            executors.extend(all.values().map(|e| proto::json::to_string(&**e, proto::json::Names::V1)));
        }
        frameworks.push(proto::json::to_string(&*framework.info, proto::json::Names::V1));
    }
    // Sometimes an agent has lost what it was told last.
    let made =
        if forgets.is_multiple_of(4) { resources::Resources::new() } else { agent.total.checkpointed() };
    let made: Vec<_> =
        made.to_protos().iter().map(|one| proto::json::to_string(one, proto::json::Names::V1)).collect();
    let checkpointed = format!("[{}]", made.join(","));
    let can = [COMMON, if can_drain(place) { DRAINS } else { "" }, if place % 2 == 1 { REPORTS } else { "" }];
    let can: Vec<_> = can.concat().split(',').map(|name| format!(r#"{{"type":"{name}"}}"#)).collect();
    let can = can.join(",");
    let mut info = (*agent.info).clone();
    if forgets.is_multiple_of(5) {
        // It was given another label, or none.
        let text = proto::mesos::v1::value::Text { value: forgets.to_string() };
        let mut label =
            proto::mesos::v1::Attribute { name: "label".to_owned(), text: Some(text), ..Default::default() };
        label.set_type(proto::mesos::v1::value::Type::Text);
        info.attributes = if forgets.is_multiple_of(2) { vec![label] } else { Vec::new() };
    }
    let slave = proto::json::to_string(&info, proto::json::Names::V1);
    Some((
        "message",
        format!(
            r#"{place} ReregisterSlaveMessage {{"slave":{slave},"version":"1.12.0","agent_capabilities":[{can}],"frameworks":[{}],"tasks":[{}],"executor_infos":[{}],"checkpointed_resources":{checkpointed},"resource_version_uuid":{{"value":"AAAAAAAAQACAAAAAAAAABQ=="}}}}"#,
            frameworks.join(","),
            tasks.join(","),
            executors.join(","),
        ),
    ))
}

/// What four kinds of frameworks say of themselves.
fn info(kind: u8, id: Option<&str>) -> String {
    let id = id.map(|id| format!(r#","id":{{"value":"{id}"}}"#)).unwrap_or_default();
    let rest = match kind {
        0 => {
            r#""capabilities":[{"type":"MULTI_ROLE"},{"type":"RESERVATION_REFINEMENT"},{"type":"SHARED_RESOURCES"},{"type":"REVOCABLE_RESOURCES"},{"type":"PARTITION_AWARE"}],"roles":["a"]"#
        }
        1 => {
            r#""failover_timeout":100,"checkpoint":true,"capabilities":[{"type":"MULTI_ROLE"},{"type":"RESERVATION_REFINEMENT"}],"roles":["a","b/c"]"#
        }
        2 => r#""failover_timeout":1000,"role":"b""#,
        _ => r#""failover_timeout":50"#,
    };
    format!(r#"{{"user":"u","name":"f",{rest}{id}}}"#)
}
