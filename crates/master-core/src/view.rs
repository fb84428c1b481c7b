//! A snapshot for readers: what the operator API shows, taken in one cheap step
//! and rendered elsewhere.
//!
//! Everything that is large is behind an `Arc` that the core shares and copies on
//! write, so that a view never changes under its reader. Collections are in id
//! order unless said otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use allocator::Quota;
use machine::{Instant, WallTime};
use proto::mesos::v1;
use resources::Resources;
use types::{AgentId, ExecutorId, FrameworkId, OfferId, Pid, Role, Uuid};

use crate::RoleFigures;
use crate::config::Config;
use crate::maintenance::inverse_offers::Answers;
use crate::maintenance::{Machine, Maintenance};
use crate::metrics::{Counters, FrameworkCounters};

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
    /// What metrics show of the roles with subscribed frameworks.
    pub roles: BTreeMap<Role, RoleFigures>,
    /// The weights of roles.
    pub weights: Arc<crate::Weights>,
    /// The maintenance schedule, and which machines are draining or down.
    pub maintenance: Arc<Maintenance>,
    /// What frameworks answered to inverse offers.
    pub inverse_offer_answers: Arc<Answers>,
    /// How many operators watch.
    pub operator_streams: usize,
    /// How many offers are outstanding.
    pub offers: usize,
    /// The quotas in force.
    pub quotas: Arc<BTreeMap<Role, Quota>>,
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
    /// How it is emptied, if an operator asked.
    pub drain_info: Option<v1::DrainInfo>,
    /// When it was told to, if that was by this master.
    pub drain_started: Option<WallTime>,
    /// When its machine will not be there, if that is planned.
    pub unavailability: Option<v1::Unavailability>,
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
    /// The operations on it whose end was not acknowledged yet.
    pub operations: BTreeMap<Uuid, Arc<v1::Operation>>,
}

impl AgentView {
    /// The machine that the agent runs on.
    #[must_use]
    pub fn machine(&self) -> Machine {
        Machine::of_agent(&self.info.hostname, self.pid.address.ip())
    }

    /// What is used or offered of it.
    pub(crate) fn held(&self) -> Resources {
        self.used.values().fold(self.offered.clone(), |sum, used| &sum + used).unallocated()
    }
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
    /// Its outstanding offers.
    pub offers: Vec<Arc<OfferView>>,
    /// Its tasks that are not completed.
    pub tasks: Vec<Arc<v1::Task>>,
    /// Its tasks on unreachable agents.
    pub unreachable_tasks: Vec<Arc<v1::Task>>,
    /// Its completed tasks, oldest first.
    pub completed_tasks: Vec<Arc<v1::Task>>,
    /// Its executors, by agent.
    pub executors: BTreeMap<AgentId, BTreeMap<ExecutorId, Arc<v1::ExecutorInfo>>>,
    /// What was counted for it.
    pub counters: Arc<FrameworkCounters>,
}

/// One outstanding offer.
#[derive(Clone, Debug)]
pub struct OfferView {
    /// Its id.
    pub id: OfferId,
    /// Whose it is.
    pub framework: FrameworkId,
    /// Where it is.
    pub agent: AgentId,
    /// The role it is allocated to.
    pub role: Role,
    /// What is offered, allocated to the role.
    pub resources: Resources,
    /// The ids of the framework's executors on the agent.
    pub executors: Vec<ExecutorId>,
    /// When it was made.
    pub made: Instant,
    /// What all offers of the agent have in common.
    pub template: Arc<v1::Offer>,
}

impl OfferView {
    /// The offer as a message, with allocation info, in the post-refinement format.
    #[must_use]
    pub fn to_proto(&self) -> v1::Offer {
        v1::Offer {
            id: v1::OfferId::from(&self.id),
            framework_id: v1::FrameworkId::from(&self.framework),
            resources: self.resources.to_protos(),
            executor_ids: self.executors.iter().map(v1::ExecutorId::from).collect(),
            allocation_info: Some(v1::resource::AllocationInfo { role: Some(self.role.as_str().to_owned()) }),
            ..(*self.template).clone()
        }
    }
}

impl crate::Master {
    /// What readers may know, as of now. Take one per tick for all its readers: the
    /// cost grows with the number of agents and tasks, at some nanoseconds each.
    #[must_use]
    pub fn view(&self) -> View {
        let mut frameworks: BTreeMap<_, _> =
            self.frameworks.iter().map(|framework| (framework.id.clone(), framework.view())).collect();
        for offer in self.offers.iter() {
            if let Some(framework) = frameworks.get_mut(&offer.framework) {
                framework.offers.push(Arc::clone(offer));
            }
        }
        for agent in self.agents.iter() {
            for (id, executors) in &agent.view().executors {
                if let Some(framework) = frameworks.get_mut(id) {
                    framework.executors.insert(agent.id().clone(), executors.clone());
                }
            }
        }
        View {
            config: Arc::clone(&self.config),
            elected_time: self.elected_time(),
            recovered: self.serves(),
            agents: self.agents.iter().map(|agent| Arc::clone(agent.view())).collect(),
            recovered_agents: self.agents.recovered.values().cloned().collect(),
            unreachable_agents: self.agents.unreachable.len(),
            frameworks: frameworks.into_values().map(Arc::new).collect(),
            completed_frameworks: self.frameworks.completed().cloned().collect(),
            roles: self.allocator.role_figures(),
            weights: Arc::clone(&self.weights),
            maintenance: Arc::clone(&self.maintenance),
            inverse_offer_answers: Arc::clone(self.inverse_offers.answers()),
            operator_streams: self.operators.len(),
            offers: self.offers.len(),
            quotas: Arc::clone(&self.quotas.durable),
            counters: Arc::clone(&self.counters),
        }
    }
}
