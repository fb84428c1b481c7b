//! The frameworks: who they are, how they are reached, what they run and hold.
//!
//! ```text
//! (agents report it) -> Recovered --SUBSCRIBE--> Connected <--SUBSCRIBE-- Disconnected
//!                            (new) --SUBSCRIBE-->    |  --link or stream breaks-->  |
//!                                                    +---- TEARDOWN ----+-- timeout -+
//!                                                                       v
//!                                                                   completed
//! ```
//!
//! Only the indexes live here; what a transition entails (offers, tasks, agents)
//! is done in `subscribe` and `lifecycle`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use machine::{TimerId, WallTime};
use proto::mesos::v1;
use resources::Resources;
use types::{AgentId, FrameworkId, OfferId, Pid, Role, TaskId};

use crate::capabilities::FrameworkCapabilities;
use crate::connection::Connection;
use crate::event::StreamId;
use crate::explain::Waiting;
use crate::metrics::FrameworkCounters;
use crate::tasks::Task;
use crate::view::FrameworkView;

/// Whether a framework is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Known only from agents since the election.
    Recovered,
    /// Subscribed.
    Connected,
    /// It was subscribed, and has its failover timeout to be so again.
    Disconnected,
}

/// One framework that is not completed.
#[derive(Debug)]
pub(crate) struct Framework {
    pub(crate) id: FrameworkId,
    pub(crate) info: Arc<v1::FrameworkInfo>,
    pub(crate) capabilities: FrameworkCapabilities,
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) suppressed: BTreeSet<Role>,
    pub(crate) constraints: Option<Arc<v1::scheduler::OfferConstraints>>,
    connection: Connection,
    phase: Phase,
    active: bool,
    pub(crate) registered_time: WallTime,
    pub(crate) reregistered_time: WallTime,
    pub(crate) heartbeat: Option<TimerId>,
    pub(crate) failover: Option<TimerId>,
    pub(crate) waiting: Waiting,
    pub(crate) wait_timer: Option<TimerId>,
    /// Whether a timer will look if it starves.
    pub(crate) starvation_watched: bool,
    tasks: BTreeMap<TaskId, Task>,
    unreachable: BTreeMap<TaskId, Task>,
    /// The order in which tasks became unreachable; the first are forgotten first.
    unreachable_order: VecDeque<TaskId>,
    completed: VecDeque<Arc<v1::Task>>,
    used: BTreeMap<AgentId, Resources>,
    offered: Resources,
    pub(crate) offers: BTreeSet<OfferId>,
    counters: Arc<FrameworkCounters>,
}

impl Framework {
    /// A framework nobody heard of.
    pub(crate) fn new(id: FrameworkId, info: v1::FrameworkInfo, phase: Phase, now: WallTime) -> Self {
        let mut framework = Self {
            id,
            info: Arc::default(),
            capabilities: FrameworkCapabilities::default(),
            roles: BTreeSet::new(),
            suppressed: BTreeSet::new(),
            constraints: None,
            connection: Connection::None,
            phase,
            active: phase == Phase::Connected,
            registered_time: now,
            reregistered_time: now,
            heartbeat: None,
            failover: None,
            waiting: Waiting::default(),
            wait_timer: None,
            starvation_watched: false,
            tasks: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            unreachable_order: VecDeque::new(),
            completed: VecDeque::new(),
            used: BTreeMap::new(),
            offered: Resources::new(),
            offers: BTreeSet::new(),
            counters: Arc::default(),
        };
        framework.describe(info);
        framework
    }

    /// Takes over what the framework says of itself.
    pub(crate) fn describe(&mut self, info: v1::FrameworkInfo) {
        self.capabilities = FrameworkCapabilities::of(&info.capabilities);
        self.roles = roles_of(&info);
        self.info = Arc::new(info);
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    pub(crate) fn set_active(&mut self, active: bool) {
        self.active = active;
    }

    pub(crate) fn pid(&self) -> Option<&Pid> {
        match &self.connection {
            Connection::Driver(pid) => Some(pid),
            Connection::None | Connection::Stream { .. } => None,
        }
    }

    /// The driver's address as messages carry it; absent for a stream.
    pub(crate) fn pid_text(&self) -> Option<String> {
        self.pid().map(Pid::to_string)
    }

    pub(crate) fn counters_mut(&mut self) -> &mut FrameworkCounters {
        Arc::make_mut(&mut self.counters)
    }

    pub(crate) fn task(&self, id: &TaskId) -> Option<&Task> {
        self.tasks.get(id)
    }

    pub(crate) fn task_mut(&mut self, id: &TaskId) -> Option<&mut Task> {
        self.tasks.get_mut(id)
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    pub(crate) fn unreachable_task(&self, id: &TaskId) -> Option<&Task> {
        self.unreachable.get(id)
    }

    pub(crate) fn unreachable_tasks(&self) -> impl Iterator<Item = &Task> {
        self.unreachable.values()
    }

    pub(crate) fn add_task(&mut self, task: Task) {
        let old = self.tasks.insert(task.id.clone(), task);
        assert!(old.is_none(), "a task of a framework is added once");
    }

    pub(crate) fn take_task(&mut self, id: &TaskId) -> Option<Task> {
        self.tasks.remove(id)
    }

    /// Remembers a completed task, and forgets the oldest beyond `max`.
    pub(crate) fn complete(&mut self, task: Arc<v1::Task>, max: usize) {
        self.completed.push_back(task);
        while self.completed.len() > max {
            self.completed.pop_front();
        }
    }

    /// Forgets completed tasks of this id: it runs again.
    pub(crate) fn forget_completed(&mut self, id: &TaskId) {
        self.completed.retain(|task| task.task_id.value != id.as_str());
    }

    /// Remembers an unreachable task, and forgets the oldest beyond `max`.
    pub(crate) fn add_unreachable(&mut self, task: Task, max: usize) {
        let id = task.id.clone();
        if self.unreachable.insert(id.clone(), task).is_none() {
            self.unreachable_order.push_back(id);
        }
        while self.unreachable.len() > max {
            let Some(oldest) = self.unreachable_order.pop_front() else { break };
            self.unreachable.remove(&oldest);
        }
    }

    pub(crate) fn take_unreachable(&mut self, id: &TaskId) -> Option<Task> {
        let task = self.unreachable.remove(id)?;
        self.unreachable_order.retain(|other| other != id);
        Some(task)
    }

    /// The unreachable tasks of one agent.
    pub(crate) fn unreachable_on(&self, agent: &AgentId) -> Vec<TaskId> {
        let on = self.unreachable.values().filter(|task| task.agent == *agent);
        on.map(|task| task.id.clone()).collect()
    }

    pub(crate) fn charge(&mut self, agent: &AgentId, resources: &Resources) {
        match self.used.get_mut(agent) {
            Some(used) => *used += resources,
            None => {
                self.used.insert(agent.clone(), resources.clone());
            }
        }
    }

    pub(crate) fn release(&mut self, agent: &AgentId, resources: &Resources) {
        let Some(used) = self.used.get_mut(agent) else { return };
        *used -= resources;
        if used.is_empty() {
            self.used.remove(agent);
        }
    }

    pub(crate) fn used(&self) -> &BTreeMap<AgentId, Resources> {
        &self.used
    }

    pub(crate) fn offered(&self) -> &Resources {
        &self.offered
    }

    pub(crate) fn add_offer(&mut self, id: OfferId, resources: &Resources) {
        self.offers.insert(id);
        self.offered += resources;
    }

    pub(crate) fn remove_offer(&mut self, id: &OfferId, resources: &Resources) {
        self.offers.remove(id);
        self.offered -= resources;
    }

    /// The framework for readers, but for its offers and executors, which others own.
    pub(crate) fn view(&self) -> FrameworkView {
        FrameworkView {
            id: self.id.clone(),
            info: Arc::clone(&self.info),
            pid: self.pid().cloned(),
            active: self.active,
            connected: self.is_connected(),
            recovered: self.phase == Phase::Recovered,
            registered_time: self.registered_time,
            reregistered_time: self.reregistered_time,
            unregistered_time: WallTime::default(),
            suppressed_roles: self.suppressed.iter().cloned().collect(),
            offer_constraints: self.constraints.clone(),
            used: self.used.clone(),
            offered: self.offered.clone(),
            offers: Vec::new(),
            tasks: self.tasks.values().map(|task| Arc::clone(&task.proto)).collect(),
            unreachable_tasks: self.unreachable.values().map(|task| Arc::clone(&task.proto)).collect(),
            completed_tasks: self.completed.iter().cloned().collect(),
            executors: BTreeMap::new(),
            counters: Arc::clone(&self.counters),
        }
    }
}

/// The roles a framework is in.
pub(crate) fn roles_of(info: &v1::FrameworkInfo) -> BTreeSet<Role> {
    if FrameworkCapabilities::of(&info.capabilities).multi_role {
        return info.roles.iter().map(|role| Role::from(role.as_str())).collect();
    }
    #[expect(deprecated, reason = "the role of frameworks without MULTI_ROLE")]
    let role = info.role.as_deref().unwrap_or("*");
    BTreeSet::from([Role::from(role)])
}

/// All frameworks, and who is at the end of which line.
#[derive(Debug, Default)]
pub(crate) struct Frameworks {
    live: BTreeMap<FrameworkId, Framework>,
    by_stream: BTreeMap<StreamId, FrameworkId>,
    by_pid: BTreeMap<Pid, FrameworkId>,
    completed: VecDeque<Arc<FrameworkView>>,
    completed_ids: BTreeSet<FrameworkId>,
    given: u64,
}

impl Frameworks {
    /// A new id, `<master>-NNNN`.
    pub(crate) fn next_id(&mut self, master: &str) -> FrameworkId {
        let id = FrameworkId::from(format!("{master}-{:04}", self.given));
        self.given += 1;
        id
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Framework> {
        self.live.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Framework> {
        self.live.get_mut(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Framework> {
        self.live.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Framework> {
        self.live.values_mut()
    }

    pub(crate) fn ids(&self) -> Vec<FrameworkId> {
        self.live.keys().cloned().collect()
    }

    pub(crate) fn at_stream(&self, stream: StreamId) -> Option<FrameworkId> {
        self.by_stream.get(&stream).cloned()
    }

    pub(crate) fn at_pid(&self, pid: &Pid) -> Option<FrameworkId> {
        self.by_pid.get(pid).cloned()
    }

    pub(crate) fn at_address(&self, address: std::net::SocketAddr) -> Vec<FrameworkId> {
        let at = self.by_pid.iter().filter(|(pid, _)| pid.address == address);
        at.map(|(_, id)| id.clone()).collect()
    }

    pub(crate) fn is_completed(&self, id: &str) -> bool {
        self.completed_ids.contains(id)
    }

    pub(crate) fn completed(&self) -> impl Iterator<Item = &Arc<FrameworkView>> {
        self.completed.iter()
    }

    pub(crate) fn add(&mut self, framework: Framework) {
        let old = self.live.insert(framework.id.clone(), framework);
        assert!(old.is_none(), "a framework is added once");
    }

    /// Puts a framework at the end of a line and returns the one it had.
    pub(crate) fn connect(&mut self, id: &FrameworkId, connection: Connection) -> Connection {
        let Some(framework) = self.live.get_mut(id) else { return Connection::None };
        let old = std::mem::replace(&mut framework.connection, connection);
        framework.phase = Phase::Connected;
        match &old {
            Connection::None => {}
            Connection::Stream { stream, .. } => drop(self.by_stream.remove(stream)),
            Connection::Driver(pid) => drop(self.by_pid.remove(pid)),
        }
        match &framework.connection {
            Connection::None => {}
            Connection::Stream { stream, .. } => drop(self.by_stream.insert(*stream, id.clone())),
            Connection::Driver(pid) => drop(self.by_pid.insert(pid.clone(), id.clone())),
        }
        old
    }

    /// Notes that a framework's line broke. A driver's address is kept: calls that
    /// still come from it are told so.
    pub(crate) fn disconnect(&mut self, id: &FrameworkId) {
        let Some(framework) = self.live.get_mut(id) else { return };
        framework.phase = Phase::Disconnected;
        if let Connection::Stream { stream, .. } = framework.connection {
            self.by_stream.remove(&stream);
            framework.connection = Connection::None;
        }
    }

    /// Moves a framework from the living to the completed, and forgets the oldest
    /// beyond `max`.
    pub(crate) fn complete(&mut self, id: &FrameworkId, now: WallTime, max: usize) -> Option<Framework> {
        let framework = self.live.remove(id)?;
        match &framework.connection {
            Connection::None => {}
            Connection::Stream { stream, .. } => drop(self.by_stream.remove(stream)),
            Connection::Driver(pid) => drop(self.by_pid.remove(pid)),
        }
        let mut view = framework.view();
        view.active = false;
        view.connected = false;
        view.recovered = false;
        view.unregistered_time = now;
        self.completed_ids.insert(id.clone());
        self.completed.push_back(Arc::new(view));
        while self.completed.len() > max {
            if let Some(oldest) = self.completed.pop_front() {
                self.completed_ids.remove(&oldest.id);
            }
        }
        Some(framework)
    }
}
