//! Agents that die in the middle of an operation, at every point at which something becomes durable. The next one
//! must have it done or not begun, with the volumes that go with that, and must remember what was told to anyone.

use std::collections::BTreeSet;
use std::time::Duration;

use agent_core::{Effect, Entry, Event, Outgoing, Recovered, ResourceState, Write};
use proptest::prelude::*;
use prost::Message;
use proto::mesos::v1::{self, OperationState};

use super::world::{MASTER, World, detected};

#[derive(Clone, Debug)]
struct Step {
    operation: String,
    /// How many things become durable before the agent dies; none if it lives.
    power: Option<usize>,
    /// Whether the framework hears of what there is to hear of afterwards.
    heard: bool,
    rebooted: bool,
}

pub(crate) fn operation() -> impl Strategy<Value = String> {
    let id = prop::sample::select(vec!["v1", "v2"]);
    let mib = prop::sample::select(vec![10, 20, 64]);
    prop_oneof![
        3 => mib.clone().prop_map(|mib| format!("RESERVE {mib}")),
        1 => mib.clone().prop_map(|mib| format!("UNRESERVE {mib}")),
        4 => (id.clone(), mib.clone()).prop_map(|(id, mib)| format!("CREATE {id} {mib}")),
        3 => (id.clone(), mib.clone()).prop_map(|(id, mib)| format!("DESTROY {id} {mib}")),
        2 => id.clone().prop_map(|id| format!("GROW_VOLUME {id} 10 10")),
        2 => id.prop_map(|id| format!("SHRINK_VOLUME {id} 20 10")),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    (operation(), prop::option::weighted(0.7, 0..9_usize), any::<bool>(), any::<bool>())
        .prop_map(|(operation, power, heard, rebooted)| Step { operation, power, heard, rebooted })
}

/// A world whose agent has something to reserve.
pub(crate) fn world() -> World {
    let mut world = World::new();
    world.set_resources("disk:200");
    world
}

/// A world with an admitted agent.
fn begin() -> World {
    let mut world = world();
    world.handle(world.event("recovered", ""));
    admit(&mut world, "SlaveRegisteredMessage");
    world
}

fn admit(world: &mut World, how: &str) {
    world.handle(detected(MASTER));
    world.elapse(Duration::from_secs(1));
    world.handle(world.message(MASTER, how, r#"{"slave_id":{"value":"S"}}"#));
}

/// Where the volumes must be that the agent says it has.
fn expected_volumes(world: &World) -> BTreeSet<String> {
    let total = world.agent.view().total;
    let ids = total.iter().filter_map(|resource| resource.disk()?.persistence.as_ref());
    ids.map(|persistence| format!("/w/volumes/roles/web/{}", persistence.id)).collect()
}

/// How many things become durable before the master is told.
fn durable_before_told(fx: &[Effect]) -> Option<usize> {
    let told =
        |effect: &Effect| matches!(effect, Effect::Send { message: Outgoing::UpdateOperationStatus(_), .. });
    let at = fx.iter().position(told)?;
    Some(fx[..at].iter().filter(|effect| is_durable(effect)).count())
}

fn is_durable(effect: &Effect) -> bool {
    matches!(effect, Effect::Checkpoint(_) | Effect::SyncVolumes { .. })
}

fn live(steps: Vec<Step>) {
    let mut world = begin();
    for (number, step) in (1..).zip(steps) {
        let before = world.agent.view().total;
        world.power = step.power;
        let fx = world.handle(world.event("apply", &format!("{number} {}", step.operation)));
        let after = world.agent.view().total;
        let told = durable_before_told(&fx).expect("each operation is answered");
        if let Some(power) = step.power {
            world.restart(step.rebooted);
            let now = world.agent.view().total;
            let knows = world.agent.view().operations.iter().any(|known| known.uuid.value[0] == number);
            assert!(*now == *before || *now == *after, "half an operation: {step:?}");
            assert!(!knows || *now == *after, "it says that it is done: {step:?}");
            assert!(power < told || knows, "it was told: {step:?}");
            admit(&mut world, "SlaveReregisteredMessage");
        } else if fx.contains(&Effect::Redetect) {
            admit(&mut world, "SlaveReregisteredMessage");
        }
        assert_eq!(world.volumes, expected_volumes(&world), "volumes go with the books: {step:?}");
        if step.heard {
            hear_all(&mut world);
        }
    }
    hear_all(&mut world);
    assert!(!world.disk.keys().any(|path| path.contains("/operations/") || path.ends_with(".target")));
}

/// Every operation's status is acknowledged.
fn hear_all(world: &mut World) {
    for _ in 0..world.agent.view().operations.len() {
        let message = acknowledgement(world).expect("one is left");
        world.handle(message);
    }
    assert!(world.agent.view().operations.is_empty());
}

/// The acknowledgement that the first operation waits for.
pub(crate) fn acknowledgement(world: &World) -> Option<Event> {
    let operation = world.agent.view().operations.first()?.clone();
    let status = operation.latest_status.uuid.clone().expect("it is to be acknowledged");
    let body = format!(
        r#"{{"operation_uuid":{},"status_uuid":{}}}"#,
        proto::json::to_string(&operation.uuid, proto::json::Names::V0),
        proto::json::to_string(&status, proto::json::Names::V0)
    );
    Some(world.message(MASTER, "AcknowledgeOperationStatusMessage", &body))
}

proptest! {
    #[test]
    fn no_operation_is_half_done(steps in prop::collection::vec(step(), 1..30)) {
        live(steps);
    }
}

/// A record as any agent of Mesos writes it.
fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).expect("a short test");
    [&length.to_ne_bytes(), &bytes[..]].concat()
}

fn reserved() -> v1::Resource {
    let text = r#"{"name":"disk","type":"SCALAR","scalar":{"value":40},"role":"web","reservation":{"principal":"p"}}"#;
    proto::json::from_slice(text.as_bytes()).expect("a resource in the old form")
}

/// The agent's disk with these files more, and what its next agent says.
fn restart_with(world: &mut World, files: Vec<(&str, Vec<u8>)>) -> Vec<Effect> {
    for (name, bytes) in files {
        world.disk.insert(format!("/w/meta/{name}"), Entry::File(bytes));
    }
    world.restart(false)
}

#[test]
fn the_disk_of_an_agent_without_feedback_is_taken_over() {
    let mut world = begin();
    restart_with(&mut world, vec![("resources/resources.info", framed(&reserved()))]);
    let total = world.agent.view().total.to_string();
    assert_eq!(total, "disk:160; disk(reservations: [(DYNAMIC,web,p)]):40");
    // It died between the two files: what it meant is done.
    let mut world = begin();
    let two =
        vec![("resources/resources.info", Vec::new()), ("resources/resources.target", framed(&reserved()))];
    let fx = restart_with(&mut world, two);
    assert_eq!(world.agent.view().total.to_string(), total);
    let renamed = |effect: &Effect| matches!(effect, Effect::Checkpoint(record) if matches!(record.write("/w"), Write::Rename { .. }));
    assert_eq!(fx.iter().filter(|effect| renamed(effect)).count(), 2);
}

#[test]
fn an_operation_that_another_agent_had_begun_is_done() {
    let mut world = begin();
    let reserve = r#"{"type":"RESERVE","reserve":{"resources":[{"name":"disk","type":"SCALAR","scalar":{"value":40},"reservations":[{"role":"web","type":"DYNAMIC"}],"allocation_info":{"role":"web"}}]}}"#;
    let pending =
        v1::OperationStatus { state: OperationState::OperationPending.into(), ..Default::default() };
    let operation = v1::Operation {
        info: proto::json::from_slice(reserve.as_bytes()).expect("an operation"),
        latest_status: pending,
        uuid: v1::Uuid { value: vec![7; 16].into() },
        ..Default::default()
    };
    let state = ResourceState { operations: vec![operation], resources: Vec::new() };
    let stray = "slaves/S/operations/09090909-0909-0909-0909-090909090909/operation.updates";
    let files = vec![("resources/resources_and_operations.state", framed(&state)), (stray, Vec::new())];
    restart_with(&mut world, files);
    let view = world.agent.view();
    assert_eq!(view.total.to_string(), "disk:160; disk(reservations: [(DYNAMIC,web)]):40");
    assert_eq!(view.operations[0].latest_status.state(), OperationState::OperationFinished);
    assert!(!world.disk.contains_key(&format!("/w/meta/{stray}")), "nobody waits for it");
    admit(&mut world, "SlaveReregisteredMessage");
    hear_all(&mut world);
}

#[test]
fn what_is_of_a_run_may_be_lost_with_the_machine() {
    let broken = b"\x05\0\0\0\xff\xff\xff\xff\xff".to_vec();
    let agent = v1::AgentInfo { hostname: "h".to_owned(), ..v1::AgentInfo::default() };
    let files = [
        ("slave.info", framed(&agent)),
        ("frameworks/F/framework.info", broken.clone()),
        ("resources/resources.info", broken),
    ];
    for (rebooted, errors, lost) in [(false, 2, 0), (true, 1, 1)] {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), Entry::File(bytes.clone())));
        let found = Recovered::from_files(&files.collect(), rebooted);
        assert_eq!((found.errors.len(), found.lost.len()), (errors, lost), "{found:?}");
        assert_eq!(found.agent, Some(agent.clone()));
    }
}

#[test]
fn bad_records_are_told_and_left_out() {
    let bad = |name: &str, bytes: &[u8]| {
        let files = [(name.to_owned(), Entry::File(bytes.to_vec()))];
        let found = Recovered::from_files(&files.into_iter().collect(), false);
        assert_eq!(found.errors.len(), 1, "{name}: {:?}", found.errors);
        assert_eq!(found.resources.intended().len(), 0);
    };
    let garbage = framed(&v1::Uuid { value: vec![1; 3].into() });
    bad("resources/resources_and_operations.state", b"\x05\0\0\0\xff\xff\xff\xff\xff");
    bad("resources/resources_and_operations.target", b"\x05\0\0\0\xff\xff\xff\xff\xff");
    bad("resources/resources.info", &[framed(&reserved()), vec![9, 0, 0, 0, 1]].concat());
    bad("resources/resources.info", &garbage[..garbage.len() - 1]);
    bad("operations/not-a-uuid/operation.updates", b"");
    // Without an agent of its own there is nobody to go on with.
    let mut world = begin();
    let fx = world.handle(Event::Recovered(Box::default()));
    assert!(fx[0].to_string().contains("Ignoring a second recovery"));
}
