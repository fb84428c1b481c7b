//! A snapshot for readers: what the operator API shows, taken in one cheap step
//! and rendered elsewhere.
//!
//! Everything that is large is behind an `Arc` that the core shares and copies on
//! write, so that a view never changes under its reader. Collections are in id
//! order unless said otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use machine::WallTime;
use proto::mesos::v1;
use types::{AgentId, ExecutorId, FrameworkId, Pid, Role, TaskId};

use crate::config::Config;
use crate::metrics::{Counters, FrameworkCounters};

/// Amounts of an agent, an offer or a task. Becomes `resources::Resources` when that lands.
pub type Resources = Vec<v1::Resource>;

/// The master's state at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The settings, with this master's `MasterInfo`.
    pub config: Arc<Config>,
    /// When this master was elected, if it was.
    pub elected_time: Option<WallTime>,
    /// Whether the registry has been read, so that calls are served.
    pub recovered: bool,
    /// The registered agents, connected or not.
    pub agents: Vec<Arc<AgentView>>,
    /// Agents of the registry that have not come back since the election.
    pub recovered_agents: Vec<Arc<v1::AgentInfo>>,
    /// How many agents are unreachable.
    pub unreachable_agents: usize,
    /// The frameworks that are not completed.
    pub frameworks: Vec<Arc<FrameworkView>>,
    /// The completed ones, oldest first.
    pub completed_frameworks: Vec<Arc<FrameworkView>>,
    /// How many operators watch.
    pub operator_streams: usize,
    /// How many offers are outstanding.
    pub offers: usize,
    /// What was counted since the start.
    pub counters: Arc<Counters>,
}

/// One registered agent.
#[derive(Clone, Debug)]
pub struct AgentView {
    /// Its id.
    pub id: AgentId,
    /// What it said of itself, with the id set. Resources are in the form with reservations.
    pub info: Arc<v1::AgentInfo>,
    /// Its process.
    pub pid: Pid,
    /// The version of its program.
    pub version: Arc<str>,
    /// What it can do.
    pub capabilities: Arc<[v1::agent_info::capability::Type]>,
    /// Whether its link holds and it has not been lost.
    pub connected: bool,
    /// Whether it gets offers: connected and not deactivated.
    pub active: bool,
    /// Whether an operator deactivated it.
    pub deactivated: bool,
    /// When it was first admitted by this master.
    pub registered_time: WallTime,
    /// When it last came back.
    pub reregistered_time: Option<WallTime>,
    /// All that it has, checkpointed changes included.
    pub total: Resources,
    /// What tasks and executors of each framework use, allocated to roles.
    pub used: BTreeMap<FrameworkId, Resources>,
    /// What is in outstanding offers, allocated to roles.
    pub offered: Resources,
    /// Its executors, by framework.
    pub executors: BTreeMap<FrameworkId, BTreeMap<ExecutorId, Arc<v1::ExecutorInfo>>>,
}

/// One framework, live or completed.
#[derive(Clone, Debug)]
pub struct FrameworkView {
    /// Its id.
    pub id: FrameworkId,
    /// What it said of itself, with the id set.
    pub info: Arc<v1::FrameworkInfo>,
    /// Its process, where it uses a driver; none for a stream.
    pub pid: Option<Pid>,
    /// Whether it gets offers.
    pub active: bool,
    /// Whether it is subscribed.
    pub connected: bool,
    /// Whether it is only known from agents since the election.
    pub recovered: bool,
    /// When it first subscribed.
    pub registered_time: WallTime,
    /// When it last subscribed; the same as `registered_time` if it did so once.
    pub reregistered_time: WallTime,
    /// When it was removed; zero while it lives.
    pub unregistered_time: WallTime,
    /// The roles that it wants no offers for.
    pub suppressed_roles: Vec<Role>,
    /// Where it wants offers from.
    pub offer_constraints: Option<Arc<v1::scheduler::OfferConstraints>>,
    /// What its tasks and executors use, by agent.
    pub used: BTreeMap<AgentId, Resources>,
    /// What it is offered, on all agents.
    pub offered: Resources,
    /// Its outstanding offers, as it was sent them but with allocation info and
    /// reservations in full.
    pub offers: Vec<Arc<v1::Offer>>,
    /// Its tasks that are not completed.
    pub tasks: BTreeMap<TaskId, Arc<v1::Task>>,
    /// Its tasks on unreachable agents.
    pub unreachable_tasks: BTreeMap<TaskId, Arc<v1::Task>>,
    /// Its completed tasks, oldest first.
    pub completed_tasks: Vec<Arc<v1::Task>>,
    /// Its executors, by agent.
    pub executors: BTreeMap<AgentId, BTreeMap<ExecutorId, Arc<v1::ExecutorInfo>>>,
    /// What was counted for it.
    pub counters: Arc<FrameworkCounters>,
}
