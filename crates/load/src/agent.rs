//! An emulated agent: a state machine of some two hundred bytes that knows no socket and no clock.
//!
//! ```text
//! Silent -> Registering -> Registered <-> Reregistering        task: RUNNING -> acknowledged -> FINISHED -> acknowledged
//! ```

use bytes::Bytes;
use prost::Message as _;
use proto::mesos::internal::{
    KillTaskMessage, PingSlaveMessage, PongSlaveMessage, RegisterSlaveMessage, ReregisterSlaveMessage,
    RunTaskMessage, SlaveRegisteredMessage, SlaveReregisteredMessage, StatusUpdate,
    StatusUpdateAcknowledgementMessage, StatusUpdateMessage, UpdateSlaveMessage,
};
use proto::mesos::v1::agent_info::{Capability, capability};
use proto::mesos::v1::{self, TaskState, task_status};
use proto::schema::Described;
use proto::wire;
use types::{AgentId, FrameworkId, Pid};

use crate::ledger::Ledger;
use crate::options::Fault;
use crate::settings::{Amount, FAULTY_TASK, PROBE, Settings};

/// The version that agents say they are.
const VERSION: &str = "1.12.0";

/// After this an update that nobody acknowledged is sent again.
const RESEND_US: u64 = 10_000_000;

/// When an update that need not be sent again was sent.
const SILENT_US: u64 = u64::MAX - RESEND_US;

/// How late an update is that is late on purpose.
const LATE_US: u64 = 500_000;

/// The first wait for an answer to a registration; it doubles up to eight times this.
const REGISTER_AGAIN_US: u64 = 2_000_000;

/// What an agent acts on.
pub(crate) struct World<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) ledger: &'a mut Ledger,
    /// Messages to send, in order.
    pub(crate) posts: &'a mut Vec<Post>,
    /// Tasks that end by themselves, and when.
    pub(crate) ends: &'a mut Vec<(u64, u32)>,
    /// Microseconds since the run began.
    pub(crate) now_us: u64,
}

/// A message to the master.
#[derive(Debug, PartialEq)]
pub(crate) struct Post {
    /// The observer to send to, for an answer to a ping; the master otherwise.
    pub(crate) to: Option<Pid>,
    /// The message's name.
    pub(crate) name: &'static str,
    /// The message.
    pub(crate) body: Vec<u8>,
}

impl Post {
    fn to_master<M: prost::Message + Described>(message: &M) -> Self {
        Self { to: None, name: M::NAME, body: message.encode_to_vec() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Silent,
    /// Waits for the master's answer; says so again at that time.
    Registering {
        again_us: u64,
        wait_us: u64,
    },
    Registered,
}

/// A task on an agent.
#[derive(Debug)]
struct Running {
    task: u32,
    framework: FrameworkId,
    amount: Amount,
    finished: bool,
    /// When its time is up, once it is.
    over_us: Option<u64>,
    /// Whether its start was acknowledged.
    acknowledged: bool,
    /// When its update was last sent.
    sent_us: u64,
}

/// An agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pid: Pid,
    phase: Phase,
    id: Option<AgentId>,
    free: Amount,
    tasks: Vec<Running>,
}

impl Agent {
    /// An agent at this address, with room for `slots` tasks.
    pub(crate) fn new(pid: Pid, slots: u32) -> Self {
        Self { pid, phase: Phase::Silent, id: None, free: Amount::tasks(slots), tasks: Vec::new() }
    }

    pub(crate) fn pid(&self) -> &Pid {
        &self.pid
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.phase == Phase::Registered
    }

    /// It has these tasks of these frameworks in turn, as if they had been launched and their start acknowledged.
    pub(crate) fn fill(&mut self, tasks: std::ops::Range<u32>, frameworks: &[FrameworkId]) {
        for task in tasks {
            let Some(framework) =
                usize::try_from(task).ok().and_then(|at| frameworks.get(at % frameworks.len()))
            else {
                return;
            };
            self.free = self.free.less(Amount::TASK).unwrap_or_default();
            self.tasks.push(Running {
                task,
                framework: framework.clone(),
                amount: Amount::TASK,
                finished: false,
                over_us: None,
                acknowledged: true,
                sent_us: SILENT_US,
            });
        }
    }

    /// It does not know its last task any more.
    pub(crate) fn forget_task(&mut self) {
        self.tasks.pop();
    }

    /// Says who it is, for the first time or again.
    pub(crate) fn register(&mut self, world: &mut World<'_>) {
        let wait_us = match self.phase {
            Phase::Registering { wait_us, .. } => (wait_us * 2).min(8 * REGISTER_AGAIN_US),
            Phase::Silent | Phase::Registered => REGISTER_AGAIN_US,
        };
        self.phase = Phase::Registering { again_us: world.now_us + wait_us, wait_us };
        world.posts.push(self.registration(world.settings));
    }

    /// The message with which it says so.
    pub(crate) fn registration(&self, settings: &Settings) -> Post {
        match &self.id {
            None => Post::to_master(&RegisterSlaveMessage {
                slave: self.info(settings),
                version: Some(VERSION.to_owned()),
                agent_capabilities: capabilities(),
                resource_version_uuid: Some(self.resource_version()),
                ..RegisterSlaveMessage::default()
            }),
            Some(id) => Post::to_master(&ReregisterSlaveMessage {
                slave: v1::AgentInfo { id: Some(id.into()), ..self.info(settings) },
                tasks: self.tasks.iter().map(|running| running.report(id, settings)).collect(),
                frameworks: self.frameworks(),
                version: Some(VERSION.to_owned()),
                agent_capabilities: capabilities(),
                resource_version_uuid: Some(self.resource_version()),
                ..ReregisterSlaveMessage::default()
            }),
        }
    }

    /// A message of the master. `from` is the process to answer a ping at.
    pub(crate) fn on_message(&mut self, name: &str, body: &Bytes, from: Option<&Pid>, world: &mut World<'_>) {
        let known = match name {
            RunTaskMessage::NAME => decode(body).map(|message| self.on_run_task(message, world)),
            StatusUpdateAcknowledgementMessage::NAME => {
                decode(body).map(|message| self.on_acknowledged(&message, world))
            }
            PingSlaveMessage::NAME => decode(body).map(|message| self.on_ping(message, from, world)),
            SlaveRegisteredMessage::NAME => decode(body)
                .map(|message: SlaveRegisteredMessage| self.on_registered(message.slave_id, world)),
            SlaveReregisteredMessage::NAME => decode(body)
                .map(|message: SlaveReregisteredMessage| self.on_registered(message.slave_id, world)),
            KillTaskMessage::NAME => {
                // Nobody here kills.
                world.ledger.complain(format!("the master told {} to kill a task", self.pid));
                Some(())
            }
            "mesos.internal.ShutdownMessage" => {
                world.ledger.complain(format!("the master told {} to shut down", self.pid));
                Some(())
            }
            // What concerns executors, frameworks' addresses and checkpoints has no meaning without a disk.
            _ => Some(()),
        };
        if known.is_none() {
            world.ledger.complain(format!("{} got a {name} that cannot be read", self.pid));
        }
    }

    /// The connection to the master broke.
    pub(crate) fn on_link_broken(&mut self) {
        self.phase = Phase::Silent;
    }

    /// Time has passed: what nobody answered is said again.
    pub(crate) fn on_tick(&mut self, world: &mut World<'_>) {
        match self.phase {
            Phase::Registering { again_us, .. } if again_us <= world.now_us => self.register(world),
            Phase::Registering { .. } | Phase::Silent => {}
            Phase::Registered => {
                for at in 0..self.tasks.len() {
                    if self.tasks[at].sent_us + RESEND_US <= world.now_us {
                        self.send_update(at, world);
                    }
                }
            }
        }
    }

    fn on_registered(&mut self, id: v1::AgentId, world: &mut World<'_>) {
        let id = AgentId::from(id);
        if let Some(known) = &self.id
            && *known != id
        {
            world.ledger.complain(format!("agent {known} was given the id {id} too"));
        }
        let again = self.is_registered();
        self.phase = Phase::Registered;
        self.id = Some(id.clone());
        if again {
            return;
        }
        world.posts.push(Post::to_master(&UpdateSlaveMessage {
            slave_id: id.into(),
            update_oversubscribed_resources: Some(true),
            resource_version_uuid: Some(self.resource_version()),
            ..UpdateSlaveMessage::default()
        }));
        for at in 0..self.tasks.len() {
            if self.tasks[at].finished || !self.tasks[at].acknowledged {
                self.send_update(at, world);
            }
        }
    }

    fn on_ping(&mut self, message: PingSlaveMessage, from: Option<&Pid>, world: &mut World<'_>) {
        let body = PongSlaveMessage {}.encode_to_vec();
        world.posts.push(Post { to: from.cloned(), name: PongSlaveMessage::NAME, body });
        // The master has lost the connection without this side knowing.
        if !message.connected && self.is_registered() {
            self.register(world);
        }
    }

    fn on_run_task(&mut self, message: RunTaskMessage, world: &mut World<'_>) {
        let RunTaskMessage { framework, task: info, .. } = message;
        let Some(task) = task_number(&info.task_id) else {
            return world
                .ledger
                .complain(format!("{} got the unknown task {}", self.pid, info.task_id.value));
        };
        world.ledger.on_run(task);
        if self.id.as_ref().is_none_or(|id| id.as_str() != info.agent_id.value) {
            world
                .ledger
                .complain(format!("task {task} went to {}, not to {}", self.pid, info.agent_id.value));
        }
        let amount = Amount::of(&info.resources);
        match self.free.less(amount) {
            Some(free) => self.free = free,
            None => {
                world.ledger.complain(format!(
                    "over-committed: task {task} needs {amount:?} of {}, which has {:?}",
                    self.pid, self.free
                ));
                self.free = Amount::default();
            }
        }
        let framework = framework.id.map(FrameworkId::from).unwrap_or_else(|| FrameworkId::from(""));
        world.ledger.on_busy(world.now_us);
        // A probe leaves its slot at once, lest those who probe often get more than their share.
        let over_us = (info.name == PROBE).then_some(world.now_us);
        if let Some(length) = world.settings.length.filter(|_| over_us.is_none()) {
            world.ends.push((world.now_us + length.of(task, world.settings.slots_all), task));
        }
        self.tasks.push(Running {
            task,
            framework,
            amount,
            finished: false,
            over_us,
            acknowledged: false,
            sent_us: 0,
        });
        self.send_update(self.tasks.len() - 1, world);
    }

    fn on_acknowledged(&mut self, message: &StatusUpdateAcknowledgementMessage, world: &mut World<'_>) {
        let task = task_number(&message.task_id);
        let Some(at) = self.tasks.iter().position(|running| Some(running.task) == task) else {
            // The second acknowledgement of an update that was sent twice.
            return;
        };
        let running = &mut self.tasks[at];
        if message.uuid[..] != running.update_id().to_be_bytes() {
            return;
        }
        if running.finished {
            let over = self.tasks.swap_remove(at);
            return world.ledger.on_done(over.task, world.now_us);
        }
        running.acknowledged = true;
        match (world.settings.length, running.over_us) {
            (Some(_), None) => running.sent_us = SILENT_US,
            // A task cannot end before its start is known, so its time counts from now.
            (Some(_), Some(_)) => self.finish(at, world.now_us, world),
            (None, _) => self.finish(at, world.now_us, world),
        }
    }

    /// A task's time is up.
    pub(crate) fn on_end(&mut self, task: u32, due_us: u64, world: &mut World<'_>) {
        let Some(at) = self.tasks.iter().position(|running| running.task == task) else { return };
        let running = &mut self.tasks[at];
        if running.finished {
            return;
        }
        if world.settings.fault == Some(Fault::LateUpdates) && running.over_us.is_none() {
            running.over_us = Some(due_us);
            return world.ends.push((due_us + LATE_US, task));
        }
        let due_us = *running.over_us.get_or_insert(due_us);
        if running.acknowledged {
            self.finish(at, due_us, world);
        }
    }

    fn finish(&mut self, at: usize, due_us: u64, world: &mut World<'_>) {
        let running = &mut self.tasks[at];
        running.finished = true;
        running.sent_us = 0;
        world.ledger.on_idle(world.now_us);
        if let Some(id) = &self.id {
            world.ledger.on_freed(id.as_str(), due_us);
        }
        // ORDER: freed before the update leaves, since the master may use it again as soon as it has the update.
        self.free = self.free.plus(running.amount);
        if world.settings.fault == Some(Fault::SwallowUpdate) && running.task == FAULTY_TASK {
            running.sent_us = SILENT_US;
            return;
        }
        self.send_update(at, world);
        if world.settings.fault == Some(Fault::DoubleUpdate) && self.tasks[at].task == FAULTY_TASK {
            self.post_update(at, self.tasks[at].update_id() + 1, world);
        }
    }

    fn send_update(&mut self, at: usize, world: &mut World<'_>) {
        if self.tasks[at].sent_us > world.now_us {
            return;
        }
        self.tasks[at].sent_us = world.now_us;
        self.post_update(at, self.tasks[at].update_id(), world);
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds of a run fit")]
    fn post_update(&self, at: usize, uuid: u128, world: &mut World<'_>) {
        let Some(id) = &self.id else { return };
        let running = &self.tasks[at];
        let uuid = Bytes::copy_from_slice(&uuid.to_be_bytes());
        let timestamp = world.now_us as f64 / 1e6;
        let status = v1::TaskStatus {
            task_id: running.id(),
            state: running.state().into(),
            agent_id: Some(id.into()),
            timestamp: Some(timestamp),
            source: Some(task_status::Source::Executor.into()),
            uuid: Some(uuid.clone()),
            ..v1::TaskStatus::default()
        };
        let update = StatusUpdate {
            framework_id: (&running.framework).into(),
            executor_id: None,
            slave_id: Some(id.into()),
            status,
            timestamp,
            uuid: Some(uuid),
            latest_state: Some(running.state().into()),
        };
        world.posts.push(Post::to_master(&StatusUpdateMessage { update, pid: Some(self.pid.to_string()) }));
    }

    fn info(&self, settings: &Settings) -> v1::AgentInfo {
        let twice = if settings.fault == Some(Fault::OverOffer) { 2 } else { 1 };
        v1::AgentInfo {
            hostname: self.pid.address.ip().to_string(),
            port: Some(self.pid.address.port().into()),
            resources: Amount::tasks(settings.slots * twice).resources(),
            checkpoint: Some(true),
            ..v1::AgentInfo::default()
        }
    }

    fn frameworks(&self) -> Vec<v1::FrameworkInfo> {
        let ids: std::collections::BTreeSet<_> =
            self.tasks.iter().map(|running| &running.framework).collect();
        ids.into_iter().map(|id| crate::framework::info(Some(id))).collect()
    }

    fn resource_version(&self) -> v1::Uuid {
        // Nothing here ever changes an agent's resources, so one version for all will do.
        v1::Uuid { value: Bytes::from_static(&[7; 16]) }
    }
}

impl Running {
    fn id(&self) -> v1::TaskId {
        task_id(self.task)
    }

    fn state(&self) -> TaskState {
        if self.finished { TaskState::TaskFinished } else { TaskState::TaskRunning }
    }

    /// The id of its present update: the same every time that this is sent.
    fn update_id(&self) -> u128 {
        let turn = if self.finished { 2 } else { 1 };
        // Of the form of a random UUID (version 4), which the master insists on.
        u128::from(self.task) << 80 | 4 << 76 | 2 << 62 | turn
    }

    fn report(&self, agent: &AgentId, settings: &Settings) -> v1::Task {
        v1::Task {
            name: "load".to_owned(),
            task_id: self.id(),
            framework_id: (&self.framework).into(),
            agent_id: agent.into(),
            state: self.state().into(),
            resources: self.amount.resources(),
            labels: (settings.labels > 0).then(|| v1::Labels { labels: self.labels(settings.labels) }),
            ..v1::Task::default()
        }
    }
}

impl Running {
    fn labels(&self, count: u32) -> Vec<v1::Label> {
        let label =
            |at| v1::Label { key: format!("label-{at}"), value: Some(format!("value-{}-{at}", self.task)) };
        (0..count).map(label).collect()
    }
}

fn decode<M: prost::Message + Default + Described>(body: &Bytes) -> Option<M> {
    wire::decode_unchecked(body.clone()).ok()
}

fn capabilities() -> Vec<Capability> {
    use capability::Type;
    let all = [
        Type::MultiRole,
        Type::HierarchicalRole,
        Type::ReservationRefinement,
        Type::ResourceProvider,
        Type::ResizeVolume,
        Type::AgentOperationFeedback,
        Type::AgentDraining,
        Type::TaskResourceLimits,
    ];
    all.into_iter().map(|kind| Capability { r#type: Some(kind.into()) }).collect()
}

/// The id of a task as text on the wire.
pub(crate) fn task_id(task: u32) -> v1::TaskId {
    v1::TaskId { value: format!("task-{task}") }
}

/// The task that an id stands for.
pub(crate) fn task_number(id: &v1::TaskId) -> Option<u32> {
    id.value.strip_prefix("task-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Length;

    struct Bench {
        settings: Settings,
        ledger: Ledger,
        agent: Agent,
        ends: Vec<(u64, u32)>,
        now_us: u64,
    }

    impl Bench {
        fn new(fault: Option<Fault>) -> Self {
            let mut ledger = Ledger::default();
            ledger.open_window(100, None, 0);
            for _ in 0..10 {
                ledger.launch(0);
            }
            Self {
                settings: Settings { slots: 2, batch: 2, fault, length: None, slots_all: 0, labels: 0 },
                ends: Vec::new(),
                ledger,
                agent: Agent::new("slave(1)@127.0.0.2:5051".parse().unwrap(), 2),
                now_us: 1,
            }
        }

        fn act(&mut self, act: impl FnOnce(&mut Agent, &mut World<'_>)) -> Vec<Post> {
            let mut posts = Vec::new();
            let world = &mut World {
                settings: &self.settings,
                ledger: &mut self.ledger,
                posts: &mut posts,
                ends: &mut self.ends,
                now_us: self.now_us,
            };
            act(&mut self.agent, world);
            posts
        }

        fn hear<M: prost::Message + Described>(&mut self, message: &M) -> Vec<Post> {
            let body = Bytes::from(message.encode_to_vec());
            let from = "slave-observer(3)@127.0.0.1:5050".parse().unwrap();
            self.act(|agent, world| agent.on_message(M::NAME, &body, Some(&from), world))
        }

        fn registered(fault: Option<Fault>) -> Self {
            let mut bench = Self::new(fault);
            bench.act(Agent::register);
            let slave_id = AgentId::from("S0").into();
            let posts = bench.hear(&SlaveRegisteredMessage { slave_id, connection: None });
            assert_eq!(names(&posts), ["UpdateSlaveMessage"]);
            bench
        }

        fn run(&mut self, task: u32) -> Vec<Post> {
            let framework =
                v1::FrameworkInfo { id: Some(FrameworkId::from("F").into()), ..Default::default() };
            let task = v1::TaskInfo {
                name: "load".to_owned(),
                task_id: task_id(task),
                agent_id: AgentId::from("S0").into(),
                resources: Amount::TASK.resources(),
                ..Default::default()
            };
            self.hear(&RunTaskMessage { framework, task, ..Default::default() })
        }

        fn acknowledge(&mut self, posts: &[Post]) -> Vec<Post> {
            let StatusUpdateMessage { update, .. } = wire::decode(&posts[0].body[..]).unwrap();
            self.hear(&StatusUpdateAcknowledgementMessage {
                slave_id: update.slave_id.unwrap(),
                framework_id: update.framework_id,
                task_id: update.status.task_id,
                uuid: update.uuid.unwrap(),
            })
        }
    }

    fn names(posts: &[Post]) -> Vec<&str> {
        posts.iter().map(|post| post.name.strip_prefix("mesos.internal.").unwrap()).collect()
    }

    fn state(posts: &[Post]) -> TaskState {
        let message: StatusUpdateMessage = wire::decode(&posts[0].body[..]).unwrap();
        message.update.status.state()
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Agent>() <= 200, "{} bytes", size_of::<Agent>());
    }

    #[test]
    fn a_task_lives() {
        let mut bench = Bench::registered(None);
        let running = bench.run(0);
        assert_eq!(state(&running), TaskState::TaskRunning);
        let finished = bench.acknowledge(&running);
        assert_eq!(state(&finished), TaskState::TaskFinished);
        assert_eq!(bench.acknowledge(&running), [], "acknowledged before");
        bench.ledger.on_update(0, TaskState::TaskRunning, 1, "");
        bench.ledger.on_update(0, TaskState::TaskFinished, 2, "");
        assert_eq!(bench.acknowledge(&finished), []);
        assert_eq!(bench.ledger.done(), 1);
        assert_eq!(bench.agent.free, Amount::tasks(2));
    }

    #[test]
    fn a_task_of_some_length_ends_when_its_time_is_up() {
        let mut bench = Bench::registered(None);
        bench.settings.length = Some(Length { mean_us: 100, varies: false });
        let running = bench.run(0);
        let ends = std::mem::take(&mut bench.ends);
        assert_eq!(ends, [(101, 0)]);
        assert_eq!(bench.acknowledge(&running), []);
        bench.now_us = 101;
        let finished = bench.act(|agent, world| agent.on_end(0, 101, world));
        assert_eq!(state(&finished), TaskState::TaskFinished);
        assert_eq!(bench.act(|agent, world| agent.on_end(0, 101, world)), [], "it ends once");
        bench.now_us = 141;
        bench.ledger.on_offer("S0", 141);
        assert_eq!(bench.ledger.offered().max(), 40);
        // One whose start is not acknowledged yet ends with the acknowledgement.
        let running = bench.run(1);
        assert_eq!(bench.act(|agent, world| agent.on_end(1, 150, world)), []);
        assert_eq!(state(&bench.acknowledge(&running)), TaskState::TaskFinished);
    }

    #[test]
    fn room_is_free_once_the_end_is_reported() {
        let mut bench = Bench::registered(None);
        let first = bench.run(0);
        bench.run(1);
        bench.acknowledge(&first);
        bench.run(2);
        let complaints = bench.ledger.audit(10).join("; ");
        assert!(!complaints.contains("over-committed"), "{complaints}");
        bench.run(3);
        let complaints = bench.ledger.audit(10).join("; ");
        assert!(complaints.contains("over-committed: task 3"), "{complaints}");
    }

    #[test]
    fn pings_are_answered_where_they_come_from() {
        let mut bench = Bench::registered(None);
        let posts = bench.hear(&PingSlaveMessage { connected: true });
        assert_eq!(names(&posts), ["PongSlaveMessage"]);
        assert_eq!(posts[0].to.as_ref().unwrap().id.as_ref(), "slave-observer(3)");
        let posts = bench.hear(&PingSlaveMessage { connected: false });
        assert_eq!(names(&posts), ["PongSlaveMessage", "ReregisterSlaveMessage"]);
    }

    #[test]
    fn a_broken_link_is_followed_by_a_report_of_all_tasks() {
        let mut bench = Bench::registered(None);
        bench.run(0);
        bench.agent.on_link_broken();
        assert_eq!(bench.act(Agent::on_tick), [], "silent until there is a connection");
        let posts = bench.act(Agent::register);
        let message: ReregisterSlaveMessage = wire::decode(&posts[0].body[..]).unwrap();
        assert_eq!((message.tasks.len(), message.frameworks.len()), (1, 1));
        let slave_id = AgentId::from("S0").into();
        let posts = bench.hear(&SlaveReregisteredMessage { slave_id, ..Default::default() });
        assert_eq!(names(&posts), ["UpdateSlaveMessage", "StatusUpdateMessage"]);
    }

    #[test]
    fn what_is_not_answered_is_said_again() {
        let mut bench = Bench::new(None);
        assert_eq!(names(&bench.act(Agent::register)), ["RegisterSlaveMessage"]);
        assert_eq!(bench.act(Agent::on_tick), []);
        bench.now_us += REGISTER_AGAIN_US;
        assert_eq!(names(&bench.act(Agent::on_tick)), ["RegisterSlaveMessage"]);
        let mut bench = Bench::registered(None);
        bench.run(0);
        assert_eq!(bench.act(Agent::on_tick), []);
        bench.now_us += RESEND_US;
        assert_eq!(names(&bench.act(Agent::on_tick)), ["StatusUpdateMessage"]);
    }

    #[test]
    fn faults() {
        let mut bench = Bench::registered(Some(Fault::SwallowUpdate));
        let running = bench.run(FAULTY_TASK);
        assert_eq!(bench.acknowledge(&running), []);
        let mut bench = Bench::registered(Some(Fault::DoubleUpdate));
        let running = bench.run(FAULTY_TASK);
        assert_eq!(bench.acknowledge(&running).len(), 2);
    }
}
