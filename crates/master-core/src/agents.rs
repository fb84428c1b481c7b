//! The agents: which are registered, expected back, unreachable or gone.
//!
//! ```text
//! (register) -> Admitting -> Connected <-> Disconnected -> unreachable -> (reregister) -> Connected
//!                               |                              |
//!                               +--> removed       gone <------+
//! ```
//!
//! Only the indexes live here; what a transition entails is done in
//! `registration` and `departure`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use machine::TimerId;
use proto::mesos::v1;
use resources::Resources;
use types::{AgentId, ExecutorId, FrameworkId, OfferId, Pid, TaskId};

use crate::capabilities::AgentCapabilities;
use crate::drain::Drains;
use crate::observers::Observer;
use crate::view::AgentView;

/// One registered agent.
#[derive(Debug)]
pub(crate) struct Agent {
    /// What readers see, and the sums.
    view: Arc<AgentView>,
    pub(crate) capabilities: AgentCapabilities,
    /// What all its offers have in common.
    pub(crate) template: Arc<v1::Offer>,
    pub(crate) resource_version: Option<v1::Uuid>,
    /// The reservations and volumes that operations made of what it was configured with.
    pub(crate) checkpointed: Resources,
    /// What is held of it that it does not have: it came back with a reservation lost
    /// on the way, or with less to oversubscribe. Operations add nothing to it, for they
    /// change what is held and the total alike.
    pub(crate) missing: Resources,
    tasks: BTreeMap<FrameworkId, BTreeSet<TaskId>>,
    pub(crate) offers: BTreeSet<OfferId>,
    /// Tasks that a framework wants dead; told again when the agent returns.
    pub(crate) killed: BTreeSet<(FrameworkId, TaskId)>,
    pub(crate) observer: Observer,
    pub(crate) reregister: Option<TimerId>,
}

impl Agent {
    pub(crate) fn new(
        view: AgentView,
        capabilities: AgentCapabilities,
        checkpointed: Resources,
        resource_version: Option<v1::Uuid>,
        observer: Observer,
    ) -> Self {
        Self {
            template: Arc::new(offer_template(&view)),
            view: Arc::new(view),
            capabilities,
            resource_version,
            checkpointed,
            missing: Resources::new(),
            tasks: BTreeMap::new(),
            offers: BTreeSet::new(),
            killed: BTreeSet::new(),
            observer,
            reregister: None,
        }
    }

    pub(crate) fn view(&self) -> &Arc<AgentView> {
        &self.view
    }

    /// The facts, for changing them.
    pub(crate) fn facts(&mut self) -> &mut AgentView {
        Arc::make_mut(&mut self.view)
    }

    /// Makes what offers say of the agent current.
    pub(crate) fn renew_template(&mut self) {
        self.template = Arc::new(offer_template(&self.view));
    }

    pub(crate) fn id(&self) -> &AgentId {
        &self.view.id
    }

    pub(crate) fn pid(&self) -> &Pid {
        &self.view.pid
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.view.connected
    }

    pub(crate) fn executor(&self, framework: &str, id: &str) -> Option<&Arc<v1::ExecutorInfo>> {
        self.view.executors.get(framework)?.get(id)
    }

    pub(crate) fn tasks(&self) -> &BTreeMap<FrameworkId, BTreeSet<TaskId>> {
        &self.tasks
    }

    /// Takes over a new total, and what of it was made by operations.
    pub(crate) fn set_total(&mut self, total: Resources) {
        self.checkpointed = total.checkpointed();
        self.facts().total = total;
    }

    /// Notes what is held of the agent that it says it does not have. Not during an
    /// ACCEPT, when what its offers held is neither used nor offered.
    pub(crate) fn take_stock(&mut self) {
        self.missing = lacking(&self.view.total, &self.view.held());
    }

    /// The agent as errors name it.
    pub(crate) fn describe(&self) -> String {
        format!("{} at {} ({})", self.view.id, self.view.pid, self.view.info.hostname)
    }

    /// The frameworks that run something here.
    pub(crate) fn frameworks(&self) -> BTreeSet<FrameworkId> {
        self.tasks.keys().chain(self.view.executors.keys()).cloned().collect()
    }

    pub(crate) fn add_task(&mut self, framework: &FrameworkId, id: &TaskId) {
        match self.tasks.get_mut(framework) {
            Some(tasks) => drop(tasks.insert(id.clone())),
            None => drop(self.tasks.insert(framework.clone(), BTreeSet::from([id.clone()]))),
        }
    }

    pub(crate) fn remove_task(&mut self, framework: &FrameworkId, id: &TaskId) {
        let Some(tasks) = self.tasks.get_mut(framework) else { return };
        tasks.remove(id);
        if tasks.is_empty() {
            self.tasks.remove(framework);
        }
        if !self.killed.is_empty() {
            self.killed.remove(&(framework.clone(), id.clone()));
        }
    }

    pub(crate) fn charge(&mut self, framework: &FrameworkId, resources: &Resources) {
        let used = &mut self.facts().used;
        match used.get_mut(framework) {
            Some(used) => *used += resources,
            None => drop(used.insert(framework.clone(), resources.clone())),
        }
    }

    pub(crate) fn release(&mut self, framework: &FrameworkId, resources: &Resources) {
        let all = &mut self.facts().used;
        let Some(used) = all.get_mut(framework) else { return };
        *used -= resources;
        if used.is_empty() {
            all.remove(framework);
        }
    }

    pub(crate) fn add_offer(&mut self, id: OfferId, resources: &Resources) {
        self.offers.insert(id);
        self.facts().offered += resources;
    }

    pub(crate) fn remove_offer(&mut self, id: &OfferId, resources: &Resources) {
        self.offers.remove(id);
        self.facts().offered -= resources;
    }

    pub(crate) fn add_executor(&mut self, framework: &FrameworkId, info: Arc<v1::ExecutorInfo>) {
        let id = ExecutorId::from(&info.executor_id);
        self.facts().executors.entry(framework.clone()).or_default().insert(id, info);
    }

    pub(crate) fn take_executor(
        &mut self,
        framework: &FrameworkId,
        id: &ExecutorId,
    ) -> Option<Arc<v1::ExecutorInfo>> {
        let all = &mut self.facts().executors;
        let executors = all.get_mut(framework)?;
        let info = executors.remove(id);
        if executors.is_empty() {
            all.remove(framework);
        }
        info
    }
}

/// Whether an agent that has `total` can have given away `held`: of a shared volume
/// any number of copies.
pub(crate) fn covers(total: &Resources, held: &Resources) -> bool {
    total.contains(&held.non_shared())
        && held.shared().iter().all(|volume| total.shared().iter().any(|mine| mine.same_object(volume)))
}

/// What of `held` an agent that has `total` cannot have given away.
fn lacking(total: &Resources, held: &Resources) -> Resources {
    let mine = total.shared();
    let shared = held.shared();
    let lost = shared.into_iter().filter(|volume| !mine.iter().any(|one| one.same_object(volume)));
    &(&held.non_shared() - total) + &lost.collect()
}

fn offer_template(agent: &AgentView) -> v1::Offer {
    let address = agent.pid.address;
    v1::Offer {
        agent_id: (&agent.id).into(),
        hostname: agent.info.hostname.clone(),
        attributes: agent.info.attributes.clone(),
        url: Some(v1::Url {
            scheme: "http".to_owned(),
            address: v1::Address {
                hostname: Some(agent.info.hostname.clone()),
                ip: Some(address.ip().to_string()),
                port: i32::from(address.port()),
            },
            path: Some(format!("/{}", agent.pid.id)),
            ..v1::Url::default()
        }),
        domain: agent.info.domain.clone(),
        unavailability: agent.unavailability,
        ..v1::Offer::default()
    }
}

/// What the registry is doing about an agent. One thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transition {
    /// It comes back.
    Reregistering,
    /// It is marked unreachable.
    MarkingUnreachable,
    /// It is marked gone.
    MarkingGone,
    /// It is removed.
    Removing,
}

/// All agents.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    registered: BTreeMap<AgentId, Agent>,
    by_address: BTreeMap<SocketAddr, BTreeMap<Arc<str>, AgentId>>,
    /// Agents of the registry that did not come back since the election.
    pub(crate) recovered: BTreeMap<AgentId, Arc<v1::AgentInfo>>,
    /// How many there were in it.
    pub(crate) expected: usize,
    pub(crate) unreachable: BTreeMap<AgentId, v1::TimeInfo>,
    pub(crate) gone: BTreeMap<AgentId, v1::TimeInfo>,
    /// Processes whose first registration is being admitted.
    pub(crate) admitting: BTreeSet<Pid>,
    pub(crate) transitions: BTreeMap<AgentId, Transition>,
    /// Which are emptied or switched off by an operator.
    pub(crate) drains: Drains,
    given: u64,
}

impl Agents {
    /// A new id, `<master>-SN`.
    pub(crate) fn next_id(&mut self, master: &str) -> AgentId {
        let id = AgentId::from(format!("{master}-S{}", self.given));
        self.given += 1;
        id
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Agent> {
        self.registered.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Agent> {
        self.registered.get_mut(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.registered.values()
    }

    pub(crate) fn at_pid(&self, pid: &Pid) -> Option<&AgentId> {
        self.by_address.get(&pid.address)?.get(&pid.id)
    }

    pub(crate) fn at_address(&self, address: SocketAddr) -> Vec<AgentId> {
        self.by_address.get(&address).map(|at| at.values().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn add(&mut self, agent: Agent) {
        let (id, pid) = (agent.id().clone(), agent.pid().clone());
        self.unreachable.remove(&id);
        self.recovered.remove(&id);
        self.by_address.entry(pid.address).or_default().insert(pid.id, id.clone());
        let old = self.registered.insert(id, agent);
        assert!(old.is_none(), "an agent is added once");
    }

    /// Takes an agent out of the registered ones.
    pub(crate) fn remove(&mut self, id: &AgentId) -> Option<Agent> {
        let agent = self.registered.remove(id)?;
        self.forget_pid(agent.pid(), id);
        Some(agent)
    }

    /// Notes that an agent has another process now.
    pub(crate) fn move_to(&mut self, id: &AgentId, pid: &Pid) {
        let Some(agent) = self.registered.get_mut(id) else { return };
        let old = std::mem::replace(&mut agent.facts().pid, pid.clone());
        self.forget_pid(&old, id);
        self.by_address.entry(pid.address).or_default().insert(Arc::clone(&pid.id), id.clone());
    }

    fn forget_pid(&mut self, pid: &Pid, id: &AgentId) {
        let Some(at) = self.by_address.get_mut(&pid.address) else { return };
        if at.get(&pid.id) == Some(id) {
            at.remove(&pid.id);
        }
        if at.is_empty() {
            self.by_address.remove(&pid.address);
        }
    }
}
