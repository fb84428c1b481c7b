//! Random lives of an agent. After each step its books must balance; once everything
//! has ended and been acknowledged, nothing may be left of it.

mod crashes;
mod torn;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::{Effect, Event, Outgoing};
use proptest::prelude::*;
use proto::mesos::v1;
use types::ContainerId;
use world::{MASTER, World};

/// What a containerizer knows of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Launching,
    Running,
}

/// The world outside the agent: a containerizer, and a master that remembers what it was sent.
struct Life {
    world: World,
    containers: BTreeMap<ContainerId, Phase>,
    /// Updates that were sent and not acknowledged: framework, task, uuid.
    unacknowledged: Vec<(String, String, Vec<u8>)>,
    numbers: u64,
    exited: bool,
}

#[derive(Clone, Debug)]
enum Op {
    Run { task: u8, executor: Option<u8>, new: Option<bool>, checkpoint: bool, volume: Option<&'static str> },
    Apply { operation: String },
    Hear,
    Drain { gone: bool },
    Kill { task: u8 },
    Subscribe { executor: String },
    Closed { back: u8 },
    Register { executor: String, again: bool },
    Status { executor: String, task: u8, state: &'static str, number: u8 },
    DriverStatus { task: u8, state: &'static str, number: u8 },
    Launched { at: u8 },
    Failed { at: u8 },
    Ended { at: u8 },
    Acknowledge { at: u8 },
    Wait { secs: u64 },
    Master { registered: bool },
    NoMaster,
    ShutdownExecutor { executor: String },
    ShutdownFramework,
    UpdateFramework,
    Disk { permille: u32 },
    Restart { rebooted: bool },
    Leave,
}

fn executor() -> impl Strategy<Value = String> {
    prop_oneof![(0..2u8).prop_map(|id| format!("E{id}")), (0..4u8).prop_map(|id| format!("t{id}"))]
}

fn state() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED"])
}

/// A volume that may be there, under a name that may be taken.
fn volume() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(vec!["v1:data", "v2:data", "v2:more", "v1:../data"]))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4u8, prop::option::of(0..2u8), prop::option::of(any::<bool>()), any::<bool>(), volume())
            .prop_map(|(task, executor, new, checkpoint, volume)| Op::Run { task, executor, new, checkpoint, volume }),
        4 => crashes::operation().prop_map(|operation| Op::Apply { operation }),
        2 => Just(Op::Hear),
        1 => any::<bool>().prop_map(|gone| Op::Drain { gone }),
        2 => (0..4u8).prop_map(|task| Op::Kill { task }),
        5 => executor().prop_map(|executor| Op::Subscribe { executor }),
        1 => (0..3u8).prop_map(|back| Op::Closed { back }),
        2 => (executor(), any::<bool>()).prop_map(|(executor, again)| Op::Register { executor, again }),
        5 => (executor(), 0..4u8, state(), 0..30u8)
            .prop_map(|(executor, task, state, number)| Op::Status { executor, task, state, number }),
        2 => (0..4u8, state(), 0..30u8)
            .prop_map(|(task, state, number)| Op::DriverStatus { task, state, number }),
        4 => (0..4u8).prop_map(|at| Op::Launched { at }),
        1 => (0..4u8).prop_map(|at| Op::Failed { at }),
        2 => (0..4u8).prop_map(|at| Op::Ended { at }),
        5 => (0..4u8).prop_map(|at| Op::Acknowledge { at }),
        3 => (0..100u64).prop_map(|secs| Op::Wait { secs }),
        3 => prop::bool::weighted(0.8).prop_map(|registered| Op::Master { registered }),
        1 => Just(Op::NoMaster),
        1 => executor().prop_map(|executor| Op::ShutdownExecutor { executor }),
        1 => Just(Op::ShutdownFramework),
        1 => Just(Op::UpdateFramework),
        1 => (0..=1000u32).prop_map(|permille| Op::Disk { permille }),
        1 => any::<bool>().prop_map(|rebooted| Op::Restart { rebooted }),
        1 => prop::bool::weighted(0.1).prop_filter("rarely", |leave| *leave).prop_map(|_| Op::Leave),
    ]
}

impl Life {
    fn new() -> Self {
        let mut life = Self {
            world: crashes::world(),
            containers: BTreeMap::new(),
            unacknowledged: Vec::new(),
            numbers: 0,
            exited: false,
        };
        life.command("recovered");
        life.master(true);
        life
    }

    fn command(&mut self, command: &str) {
        if self.exited {
            return;
        }
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let event = self.world.event(verb, rest);
        let answers = expected_answers(&event);
        let fx = self.world.handle(event);
        let got = fx.iter().filter(|effect| is_answer(effect)).count();
        assert_eq!(got, answers, "one answer to each question: {command}");
        self.take(fx);
    }

    fn take(&mut self, fx: Vec<Effect>) {
        for effect in fx {
            assert!(!self.exited, "nothing follows an exit");
            match effect {
                Effect::Launch(spec) => {
                    assert!(self.containers.insert(spec.container, Phase::Launching).is_none());
                }
                Effect::Destroy { container } => {
                    assert!(self.containers.contains_key(&container), "only what there is is destroyed");
                }
                Effect::Send { message: Outgoing::StatusUpdate(message), .. } => self.sent(*message),
                Effect::Exit { failure, .. } => {
                    assert!(!failure, "nobody gave it a wrong id");
                    self.exited = true;
                }
                _ => {}
            }
        }
    }

    fn sent(&mut self, message: proto::mesos::internal::StatusUpdateMessage) {
        let update = message.update;
        let uuid = update.uuid.expect("updates have names").to_vec();
        let entry = (update.framework_id.value, update.status.task_id.value, uuid);
        if !self.unacknowledged.contains(&entry) {
            self.unacknowledged.push(entry);
        }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn pick(&self, at: u8, phase: Phase) -> Option<ContainerId> {
        let fitting: Vec<_> = self.containers.iter().filter(|(_, is)| **is == phase).collect();
        let at = usize::from(at) % fitting.len().max(1);
        fitting.get(at).map(|(container, _)| (*container).clone())
    }

    fn launched(&mut self, container: &ContainerId) {
        self.containers.insert(container.clone(), Phase::Running);
        self.event(Event::ContainerLaunched { container: container.clone(), status: Box::default() });
    }

    fn ended(&mut self, container: &ContainerId) {
        self.containers.remove(container);
        self.event(Event::ContainerExited { container: container.clone(), termination: Box::default() });
    }

    fn event(&mut self, event: Event) {
        if !self.exited {
            let fx = self.world.handle(event);
            self.take(fx);
        }
    }

    fn elapse(&mut self, secs: u64) {
        if !self.exited {
            let fx = self.world.elapse(Duration::from_secs(secs));
            self.take(fx);
        }
    }

    fn acknowledge(&mut self, at: usize) {
        if let Some((framework, task, uuid)) = self.unacknowledged.get(at).cloned() {
            self.unacknowledged.remove(at);
            let message = proto::mesos::internal::StatusUpdateAcknowledgementMessage {
                slave_id: v1::AgentId { value: "S".to_owned() },
                framework_id: v1::FrameworkId { value: framework },
                task_id: v1::TaskId { value: task },
                uuid: uuid.into(),
            };
            let message = agent_core::Message::StatusUpdateAcknowledgement(Box::new(message));
            self.event(Event::Message { from: MASTER.parse().expect("a pid"), message });
        }
    }

    fn master(&mut self, registered: bool) {
        self.command(&format!("detect {MASTER}"));
        self.elapse(1);
        if registered {
            let name = if self.world.agent.view().info.id.is_some() { "Reregistered" } else { "Registered" };
            self.command(&format!(r#"message {MASTER} Slave{name}Message {{"slave_id":{{"value":"S"}}}}"#));
        }
    }

    fn run(&mut self, op: Op) {
        let driver = "executor(1)@127.0.0.1:9000";
        match op {
            Op::Run { task, executor, new, checkpoint, volume } => {
                let mut command = format!("run t{task}");
                if let Some(executor) = executor {
                    command.push_str(&format!(" executor=E{executor}"));
                }
                if let Some(new) = new {
                    command.push_str(&format!(" new={new}"));
                }
                if checkpoint {
                    command.push_str(" checkpoint");
                }
                if let Some(volume) = volume {
                    command.push_str(&format!(" volume={volume}"));
                }
                self.command(&command);
            }
            Op::Apply { operation } => {
                let number = self.number() % 256;
                self.command(&format!("apply {number} {operation}"));
            }
            Op::Hear => self.hear(),
            Op::Drain { gone } => self.command(&format!(r#"drain {{"mark_gone":{gone}}}"#)),
            Op::Kill { task } => self.command(&format!("kill t{task}")),
            Op::Subscribe { executor } => {
                let stream = self.number();
                self.command(&format!("subscribe {stream} {executor}"));
            }
            Op::Closed { back } => {
                let stream = self.numbers.saturating_sub(u64::from(back));
                self.command(&format!("closed {stream}"));
            }
            Op::Register { executor, again } => {
                let name = if again { "Reregister" } else { "Register" };
                let body =
                    format!(r#"{{"framework_id":{{"value":"F"}},"executor_id":{{"value":"{executor}"}}}}"#);
                self.command(&format!("message {driver} {name}ExecutorMessage {body}"));
            }
            Op::Status { executor, task, state, number } => {
                let request = self.number();
                self.command(&format!("status {request} {executor} t{task} {state} {number}"));
            }
            Op::DriverStatus { task, state, number } => {
                let uuid = format!("AQEBAQEBQAGAAQEBAQEB{}A==", char::from(b'A' + number % 26));
                let body = format!(
                    r#"{{"pid":"{driver}","update":{{"framework_id":{{"value":"F"}},"slave_id":{{"value":"S"}},"timestamp":1,"uuid":"{uuid}","status":{{"task_id":{{"value":"t{task}"}},"slave_id":{{"value":"S"}},"state":"{state}"}}}}}}"#
                );
                self.command(&format!("message {driver} StatusUpdateMessage {body}"));
            }
            Op::Launched { at } => {
                if let Some(container) = self.pick(at, Phase::Launching) {
                    self.launched(&container);
                }
            }
            Op::Failed { at } => {
                if let Some(container) = self.pick(at, Phase::Launching) {
                    self.containers.remove(&container);
                    self.event(Event::ContainerFailed { container, message: "no".to_owned() });
                }
            }
            Op::Ended { at } => {
                if let Some(container) = self.pick(at, Phase::Running) {
                    self.ended(&container);
                }
            }
            Op::Acknowledge { at } => self.acknowledge(usize::from(at)),
            Op::Wait { secs } => self.elapse(secs),
            Op::Master { registered } => self.master(registered),
            Op::NoMaster => self.command("detect none"),
            Op::ShutdownExecutor { executor } => {
                let body =
                    format!(r#"{{"framework_id":{{"value":"F"}},"executor_id":{{"value":"{executor}"}}}}"#);
                self.command(&format!("message {MASTER} ShutdownExecutorMessage {body}"));
            }
            Op::ShutdownFramework => self.command(&format!(
                r#"message {MASTER} ShutdownFrameworkMessage {{"framework_id":{{"value":"F"}}}}"#
            )),
            Op::UpdateFramework => self.command(&format!(
                r#"message {MASTER} UpdateFrameworkMessage {{"framework_id":{{"value":"F"}}}}"#
            )),
            Op::Disk { permille } => self.command(&format!("disk {permille}")),
            Op::Restart { rebooted } => self.restart(rebooted),
            Op::Leave => self.command("leave bye"),
        }
    }

    /// The first operation's status is acknowledged.
    fn hear(&mut self) {
        if let Some(message) = crashes::acknowledgement(&self.world).filter(|_| !self.exited) {
            self.event(message);
        }
    }

    fn restart(&mut self, rebooted: bool) {
        if self.exited {
            return;
        }
        // What does not checkpoint dies with the agent, and what was being launched as well.
        let before = std::mem::take(&mut self.containers);
        self.unacknowledged.clear();
        let fx = self.world.restart(rebooted);
        let adopted: Vec<_> = fx
            .iter()
            .filter_map(|effect| match effect {
                Effect::Adopt { container, .. } => Some(container.clone()),
                _ => None,
            })
            .collect();
        self.take(fx);
        for container in adopted {
            let lives = before.get(&container) == Some(&Phase::Running);
            self.launched(&container);
            if !lives {
                self.ended(&container);
            }
        }
    }

    /// Everything ends and is acknowledged: nothing may be left.
    fn finish(&mut self) {
        self.elapse(3);
        self.master(true);
        for _ in 0..6 {
            while let Some(container) = self.pick(0, Phase::Launching) {
                self.launched(&container);
            }
            while let Some(container) = self.pick(0, Phase::Running) {
                self.ended(&container);
            }
            while !self.unacknowledged.is_empty() {
                self.acknowledge(0);
            }
            self.elapse(700);
            // An operation that failed made the agent look for its master again.
            self.master(true);
            for _ in 0..self.world.agent.view().operations.len() {
                self.hear();
            }
        }
        if self.exited {
            return;
        }
        let view = self.world.agent.view();
        assert!(view.frameworks.is_empty(), "a framework is left: {:#?}", view.frameworks);
        assert!(view.operations.is_empty(), "an operation is left: {:#?}", view.operations);
        assert_eq!(view.drain, None, "nothing is left to drain");
    }
}

fn expected_answers(event: &Event) -> usize {
    usize::from(matches!(event, Event::ExecutorCall { .. } | Event::ExecutorSubscribe { .. }))
}

fn is_answer(effect: &Effect) -> bool {
    matches!(effect, Effect::Reply { .. } | Effect::OpenStream { .. } | Effect::RefuseStream { .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn whatever_happens_the_books_balance_and_everything_ends(ops in prop::collection::vec(op(), 0..60)) {
        let mut life = Life::new();
        for op in ops {
            life.run(op);
        }
        life.finish();
    }
}
