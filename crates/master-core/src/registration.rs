//! How agents come: for the first time, back after a broken link, or back from
//! being unreachable or unknown.
//!
//! An agent with an id reports all that runs on it. What this master does not know
//! of that is adopted; what it knows and the agent does not is asked back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use machine::WallTime;
use proto::mesos::internal;
use proto::mesos::v1;
use proto::mesos::v1::agent_info::capability;
use proto::mesos::v1::task_status::{Reason, Source};
use resources::Resources;
use types::{AgentId, ExecutorId, FrameworkId, Pid, Role, TaskId, is_terminal};

use crate::Master;
use crate::agents::{Agent, Transition};
use crate::allocation::{agent_options, agent_profile};
use crate::capabilities::AgentCapabilities;
use crate::departure::Leave;
use crate::effect::Effect;
use crate::frameworks::roles_of;
use crate::maintenance::Machine;
use crate::message::Outgoing;
use crate::observers::Observer;
use crate::operations::tell_checkpointed;
use crate::operators;
use crate::pending::Pending;
use crate::registry::Operation;
use crate::step::Step;
use crate::subscribe::update_message;
use crate::tasks::{Task, Verdict};
use crate::validation;
use crate::view::AgentView;

/// What both registration messages say of an agent.
struct Facts<'a> {
    info: &'a v1::AgentInfo,
    version: &'a str,
    capabilities: &'a [v1::agent_info::Capability],
    checkpointed: &'a [v1::Resource],
    resource_version: Option<v1::Uuid>,
}

impl Master {
    pub(crate) fn on_register_agent(
        &mut self,
        from: &Pid,
        mut message: internal::RegisterSlaveMessage,
        step: &mut Step<'_>,
    ) {
        self.counters().messages_register_agent += 1;
        if self.refuse_if_down(from, &message.slave, step) {
            return;
        }
        let welcome = validation::register_agent(&message)
            .and_then(|()| self.check_agent(&message.slave, message.version()));
        if welcome.is_err() || self.agents.admitting.contains(from) {
            // COMPAT(mesos): no answer; the agent tries again.
            return;
        }
        if let Err(why) = whole(&message.slave, &message.checkpointed_resources) {
            return shut_down(from, &why, step);
        }
        if let Some(id) = self.agents.at_pid(from).cloned() {
            if self.agents.get(id.as_str()).is_some_and(Agent::is_connected) {
                return self.say_registered(&id, step);
            }
            self.remove_agent(&id, Leave::Replaced, step);
        }
        let id = self.agents.next_id(&self.config.master.id);
        message.slave.id = Some((&id).into());
        self.agents.admitting.insert(from.clone());
        let operation = Operation::AdmitAgent(Box::new(message.slave.clone()));
        self.ask_registry(operation, Pending::Admit { pid: from.clone(), message: Box::new(message) }, step);
    }

    /// Whether an agent of this description may join.
    fn check_agent(&self, info: &v1::AgentInfo, version: &str) -> Result<(), String> {
        validation::agent_version(version)?;
        if info.domain.is_some() && self.config.master.domain.is_none() {
            return Err("the agent has a domain, the master has none".to_owned());
        }
        if info.domain.is_none() && self.config.require_agent_domain {
            return Err("the agent has no domain".to_owned());
        }
        Ok(())
    }

    pub(crate) fn on_admitted(
        &mut self,
        pid: &Pid,
        message: &internal::RegisterSlaveMessage,
        changed: bool,
        step: &mut Step<'_>,
    ) {
        self.agents.admitting.remove(pid);
        if !changed {
            // The id is in the registry already: the agent tries again and gets another.
            return;
        }
        let facts = Facts {
            info: &message.slave,
            version: message.version(),
            capabilities: &message.agent_capabilities,
            checkpointed: &message.checkpointed_resources,
            resource_version: message.resource_version_uuid.clone(),
        };
        self.counters().agent_registrations += 1;
        let Some(id) = self.add_agent(pid, facts, None, step) else { return };
        self.announce_agent(&id, step);
        self.say_registered(&id, step);
        self.ping(&id, step);
    }

    /// Puts an agent into the books, running nothing so far.
    fn add_agent(
        &mut self,
        pid: &Pid,
        facts: Facts<'_>,
        back: Option<WallTime>,
        step: &mut Step<'_>,
    ) -> Option<AgentId> {
        let id = AgentId::from(facts.info.id.as_ref()?);
        let mut info = facts.info.clone();
        resources::format::upgrade_all(&mut info.resources);
        let checkpointed = Resources::from_checked_protos(facts.checkpointed);
        let configured = Resources::from_checked_protos(&info.resources);
        let total = configured.with_checkpointed(&checkpointed).unwrap_or(configured);
        let deactivated = self.agents.drains.deactivated.contains(&id);
        let machine = Machine::of_agent(&info.hostname, pid.address.ip());
        let view = AgentView {
            id: id.clone(),
            pid: pid.clone(),
            version: facts.version.into(),
            capabilities: kinds(facts.capabilities),
            connected: true,
            active: !deactivated,
            deactivated,
            drain_info: self.agents.drains.info.get(&id).copied(),
            drain_started: None,
            unavailability: self.maintenance.unavailability(&machine),
            registered_time: step.now.wall,
            reregistered_time: back,
            total,
            used: BTreeMap::new(),
            offered: Resources::new(),
            executors: BTreeMap::new(),
            operations: BTreeMap::new(),
            info: Arc::new(info),
        };
        let checkpointed = view.total.checkpointed();
        self.observers += 1;
        let observer = Observer::new(self.observers);
        let capabilities = AgentCapabilities::of(facts.capabilities);
        self.agents.add(Agent::new(view, capabilities, checkpointed, facts.resource_version, observer));
        step.fx.push(Effect::Link { pid: pid.clone(), reconnect: false });
        Some(id)
    }

    /// Lets the allocator and the operators know of an agent whose books are complete.
    fn announce_agent(&mut self, id: &AgentId, step: &mut Step<'_>) {
        if let Some(agent) = self.agents.get_mut(id.as_str()) {
            // It may run tasks on a reservation that it lost.
            agent.take_stock();
        }
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        let view = agent.view();
        let used: Vec<_> = view.used.iter().map(|(id, used)| (id.clone(), used.clone())).collect();
        self.allocator.add_agent(id, agent_options(agent, &self.config), view.total.clone(), &used);
        self.allocator.set_unavailable(id, view.unavailability.is_some());
        self.allocator.set_agent_profile(id, agent_profile(&view.info));
        if self.operators.any() {
            self.publish(operators::agent_added(view), step);
        }
    }

    fn connection(&self) -> internal::MasterSlaveConnection {
        let total = self.config.agent_ping_interval * self.config.agent_pings_max;
        internal::MasterSlaveConnection { total_ping_timeout_seconds: Some(total.as_secs_f64()) }
    }

    fn say_registered(&self, id: &AgentId, step: &mut Step<'_>) {
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        let (slave_id, connection) = (id.into(), Some(self.connection()));
        let message = internal::SlaveRegisteredMessage { slave_id, connection };
        step.send(agent.pid(), Outgoing::AgentRegistered(message));
    }

    pub(crate) fn on_reregister_agent(
        &mut self,
        from: &Pid,
        message: internal::ReregisterSlaveMessage,
        step: &mut Step<'_>,
    ) {
        self.counters().messages_reregister_agent += 1;
        let Some(id) = message.slave.id.as_ref().map(AgentId::from) else { return };
        if self.agents.transitions.contains_key(&id) {
            // The registry is at work on this agent; it tries again.
            return;
        }
        if self.agents.gone.contains_key(&id) {
            return shut_down(from, "Agent has been marked gone", step);
        }
        if self.refuse_if_down(from, &message.slave, step) {
            return;
        }
        let welcome = validation::reregister_agent(&message)
            .and_then(|()| self.check_agent(&message.slave, message.version()));
        if welcome.is_err() {
            return;
        }
        if let Err(why) = whole(&message.slave, &message.checkpointed_resources) {
            return shut_down(from, &why, step);
        }
        let message = Box::new(message);
        if let Some(agent) = self.agents.get(id.as_str()) {
            let known = agent.view();
            if known.pid.address.ip() != from.address.ip() || known.info.hostname != message.slave.hostname {
                return shut_down(from, "Agent attempted to reregister with different IP / hostname", step);
            }
            if same_agent(&known.info, &message.slave) {
                return self.on_known_agent_back(from, *message, step);
            }
            let operation = Operation::UpdateAgent(Box::new(message.slave.clone()));
            return self.begin(
                &id,
                Transition::Reregistering,
                operation,
                Pending::Update { pid: from.clone(), message },
                step,
            );
        }
        let operation = match self.agents.recovered.get(&id) {
            Some(known) if same_agent(known, &message.slave) => {
                return self.on_lost_agent_back(from, *message, step);
            }
            Some(_) => Operation::UpdateAgent(Box::new(message.slave.clone())),
            None => Operation::MarkReachable(Box::new(message.slave.clone())),
        };
        self.begin(
            &id,
            Transition::Reregistering,
            operation,
            Pending::Readmit { pid: from.clone(), message },
            step,
        );
    }

    /// An agent that this master has no books of is back: all that it reports is adopted.
    pub(crate) fn on_lost_agent_back(
        &mut self,
        pid: &Pid,
        message: internal::ReregisterSlaveMessage,
        step: &mut Step<'_>,
    ) {
        let Some(id) = message.slave.id.as_ref().map(AgentId::from) else { return };
        let after_election = self.agents.recovered.contains_key(&id);
        let was_unreachable = self.agents.unreachable.contains_key(&id);
        for info in &message.frameworks {
            let unknown = info.id.as_ref().is_some_and(|id| {
                self.frameworks.get(&id.value).is_none() && !self.frameworks.is_completed(&id.value)
            });
            if unknown {
                self.recover_framework(info.clone(), step);
            }
        }
        let roles = first_roles(&message.frameworks);
        let tasks = self.adopted_tasks(message.tasks, &roles);
        if !after_election {
            self.tell_reregistered(&tasks, was_unreachable, step);
        }
        if was_unreachable {
            self.forget_unreachable(&id);
        }
        let facts = Facts {
            info: &message.slave,
            version: message.version.as_deref().unwrap_or_default(),
            capabilities: &message.agent_capabilities,
            checkpointed: &message.checkpointed_resources,
            resource_version: message.resource_version_uuid.clone(),
        };
        let Some(id) = self.add_agent(pid, facts, Some(step.now.wall), step) else { return };
        self.counters().agent_reregistrations += 1;
        for executor in message.executor_infos {
            self.adopt_executor(&id, executor, &roles);
        }
        for (framework, task) in tasks {
            self.add_task(&framework, task, step);
        }
        self.adopt_completed(message.completed_frameworks);
        self.announce_agent(&id, step);
        let reregistered = internal::SlaveReregisteredMessage {
            slave_id: (&id).into(),
            reconciliations: Vec::new(),
            connection: Some(self.connection()),
        };
        step.send(pid, Outgoing::AgentReregistered(Box::new(reregistered)));
        self.resume_drain(&id, step);
        for info in &message.frameworks {
            let Some(framework) = &info.id else { continue };
            if self.frameworks.is_completed(&framework.value) {
                shut_down_framework(pid, framework, step);
            }
        }
        self.update_frameworks_on(pid, &message.frameworks, step);
        self.ping(&id, step);
    }

    /// The tasks of an agent that are not of completed frameworks.
    pub(crate) fn adopted_tasks(
        &self,
        tasks: Vec<v1::Task>,
        roles: &BTreeMap<FrameworkId, Role>,
    ) -> Vec<(FrameworkId, Task)> {
        let mut seen = BTreeSet::new();
        let mut adopted = Vec::new();
        for proto in tasks {
            let framework = FrameworkId::from(&proto.framework_id);
            let fresh = seen.insert((framework.clone(), proto.task_id.value.clone()));
            let known = self.frameworks.get(framework.as_str());
            if fresh && known.is_some_and(|f| f.task(&TaskId::from(&proto.task_id)).is_none()) {
                let resources = allocated(&proto.resources, roles.get(&framework));
                adopted.push((framework, Task::reported(proto, resources)));
            }
        }
        adopted
    }

    /// Tells frameworks that tasks which they may have given up are there.
    fn tell_reregistered(
        &mut self,
        tasks: &[(FrameworkId, Task)],
        was_unreachable: bool,
        step: &mut Step<'_>,
    ) {
        let message =
            if was_unreachable { "Unreachable agent re-reregistered" } else { "Unknown agent reregistered" };
        for (id, task) in tasks {
            if let Some(framework) = self.frameworks.get_mut(id.as_str()) {
                framework.take_unreachable(&task.id);
                framework.forget_completed(&task.id);
            }
            // Not its latest state: what comes next of its updates may be behind that.
            let verdict = Verdict::new(task.told_state(), Reason::AgentReregistered, message);
            let update = verdict.report_of(task, step);
            self.forward(id.as_str(), update, None, step);
        }
    }

    fn forget_unreachable(&mut self, agent: &AgentId) {
        for framework in self.frameworks.iter_mut() {
            for task in framework.unreachable_on(agent) {
                framework.take_unreachable(&task);
            }
        }
    }

    pub(crate) fn adopt_executor(
        &mut self,
        agent_id: &AgentId,
        mut info: v1::ExecutorInfo,
        roles: &BTreeMap<FrameworkId, Role>,
    ) {
        let Some(framework_id) = info.framework_id.as_ref().map(FrameworkId::from) else { return };
        let resources = allocated(&info.resources, roles.get(&framework_id));
        info.resources = resources.to_protos();
        let Some(agent) = self.agents.get_mut(agent_id.as_str()) else { return };
        agent.charge(&framework_id, &resources);
        agent.add_executor(&framework_id, Arc::new(info));
        if let Some(framework) = self.frameworks.get_mut(framework_id.as_str()) {
            framework.charge(agent_id, &resources);
        }
    }

    fn adopt_completed(&mut self, archives: Vec<internal::archive::Framework>) {
        let max = self.config.completed_tasks_max;
        for archive in archives {
            let id = archive.framework_info.id.map(|id| id.value).unwrap_or_default();
            let Some(framework) = self.frameworks.get_mut(&id) else { continue };
            for task in archive.tasks {
                framework.complete(Arc::new(task), max);
            }
        }
    }

    /// Tells an agent where the frameworks are that it runs something of.
    fn update_frameworks_on(&self, pid: &Pid, infos: &[v1::FrameworkInfo], step: &mut Step<'_>) {
        for info in infos {
            let id = info.id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
            if let Some(framework) = self.frameworks.get(id) {
                step.send(pid, Outgoing::UpdateFramework(Box::new(update_message(framework))));
            }
        }
    }

    /// An agent that this master has books of registers again.
    pub(crate) fn on_known_agent_back(
        &mut self,
        pid: &Pid,
        message: internal::ReregisterSlaveMessage,
        step: &mut Step<'_>,
    ) {
        let Some(id) = message.slave.id.as_ref().map(AgentId::from) else { return };
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        let total = match renewed_total(agent, &message) {
            Ok(total) => total,
            Err(why) => return shut_down(pid, &why, step),
        };
        let other = !same_attributes(&agent.view().info.attributes, &message.slave.attributes);
        if total != agent.view().total {
            // Offers may be of what is not there any more.
            self.end_offers_on(&id, step);
        }
        self.agents.move_to(&id, pid);
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        // The agent may have restarted while the old connection looks well from here.
        step.fx.push(Effect::Link { pid: pid.clone(), reconnect: true });
        renew(agent, &message, total.clone(), step.now.wall);
        let options = agent_options(agent, &self.config);
        let profile = agent_profile(&agent.view().info);
        self.allocator.update_agent(&id, total);
        self.allocator.set_agent_options(&id, options);
        self.allocator.set_agent_profile(&id, profile);
        if other {
            // Frameworks may have refused it for what it lacked, and have no way to learn of this.
            self.allocator.forget_refusals(&id);
        }
        self.reconcile_agent(&id, pid, &message, step);
        self.reconnect_agent(&id);
        self.resume_drain(&id, step);
        for info in &message.frameworks {
            let unknown = info.id.as_ref().is_some_and(|id| {
                self.frameworks.get(&id.value).is_none() && !self.frameworks.is_completed(&id.value)
            });
            if unknown {
                self.recover_framework(info.clone(), step);
            }
        }
        self.take_back(&id, &message, step);
        self.update_frameworks_on(pid, &message.frameworks, step);
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        if !agent.capabilities.resource_provider {
            tell_checkpointed(agent, step);
        }
    }

    fn reconnect_agent(&mut self, id: &AgentId) {
        let Some(agent) = self.agents.get_mut(id.as_str()) else { return };
        if agent.is_connected() {
            return;
        }
        let facts = agent.facts();
        facts.connected = true;
        facts.active = !facts.deactivated;
        let active = facts.active;
        if let Some(timer) = agent.reregister.take() {
            self.timers.cancel(timer);
        }
        if active {
            self.allocator.activate_agent(id);
        }
    }

    /// Brings the books and the agent to agree on tasks, executors and kills.
    fn reconcile_agent(
        &mut self,
        id: &AgentId,
        pid: &Pid,
        message: &internal::ReregisterSlaveMessage,
        step: &mut Step<'_>,
    ) {
        let theirs: BTreeSet<_> = message
            .tasks
            .iter()
            .map(|task| (task.framework_id.value.as_str(), task.task_id.value.as_str()))
            .collect();
        let reregistered = internal::SlaveReregisteredMessage {
            slave_id: id.into(),
            reconciliations: self.missing_tasks(id, &theirs, step),
            connection: Some(self.connection()),
        };
        step.send(pid, Outgoing::AgentReregistered(Box::new(reregistered)));
        self.end_missing(id, &theirs, step);
        self.remove_missing_executors(id, &message.executor_infos, step);
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        for task in &message.tasks {
            let key = (FrameworkId::from(&task.framework_id), TaskId::from(&task.task_id));
            if !is_terminal(task.state()) && agent.killed.contains(&key) {
                let kill = internal::KillTaskMessage {
                    framework_id: task.framework_id.clone(),
                    task_id: task.task_id.clone(),
                    kill_policy: None,
                };
                step.send(pid, Outgoing::KillTask(kill));
            }
        }
        let running: BTreeSet<_> = theirs.iter().map(|(framework, _)| *framework).collect();
        for framework in running.into_iter().filter(|id| self.frameworks.is_completed(id)) {
            shut_down_framework(pid, &v1::FrameworkId { value: framework.to_owned() }, step);
        }
    }

    /// The tasks that the agent did not report, for it to answer for each.
    fn missing_tasks(
        &self,
        id: &AgentId,
        theirs: &BTreeSet<(&str, &str)>,
        step: &Step<'_>,
    ) -> Vec<internal::ReconcileTasksMessage> {
        let Some(agent) = self.agents.get(id.as_str()) else { return Vec::new() };
        let mut all = Vec::new();
        for (framework_id, ids) in agent.tasks() {
            let Some(framework) = self.frameworks.get(framework_id.as_str()) else { continue };
            let missing = ids.iter().filter(|id| !theirs.contains(&(framework_id.as_str(), id.as_str())));
            let status = |task: &Task| v1::TaskStatus {
                task_id: task.proto.task_id.clone(),
                agent_id: Some(id.into()),
                state: task.told_state().into(),
                source: Some(Source::Master.into()),
                message: Some("Reconciliation request".to_owned()),
                reason: Some(Reason::Reconciliation.into()),
                timestamp: Some(step.now.wall.as_secs_f64()),
                ..v1::TaskStatus::default()
            };
            let tasks = missing.filter_map(|id| framework.task(id));
            let statuses: Vec<_> = tasks.filter(|task| !is_terminal(task.state())).map(status).collect();
            if !statuses.is_empty() {
                all.push(internal::ReconcileTasksMessage {
                    framework_id: framework_id.into(),
                    statuses,
                    framework: Some((*framework.info).clone()),
                });
            }
        }
        all
    }

    fn remove_missing_executors(&mut self, id: &AgentId, theirs: &[v1::ExecutorInfo], step: &mut Step<'_>) {
        let reported: BTreeSet<_> = theirs
            .iter()
            .filter_map(|info| {
                Some((info.framework_id.as_ref()?.value.as_str(), info.executor_id.value.as_str()))
            })
            .collect();
        let Some(agent) = self.agents.get(id.as_str()) else { return };
        let missing: Vec<(FrameworkId, ExecutorId)> = agent
            .view()
            .executors
            .iter()
            .flat_map(|(framework, all)| all.keys().map(move |executor| (framework, executor)))
            .filter(|(framework, executor)| !reported.contains(&(framework.as_str(), executor.as_str())))
            .map(|(framework, executor)| (framework.clone(), executor.clone()))
            .collect();
        for (framework, executor) in missing {
            self.remove_executor(id, &framework, &executor, step);
        }
    }
}

/// Whether an agent has what its operations were made of.
fn whole(info: &v1::AgentInfo, checkpointed: &[v1::Resource]) -> Result<(), String> {
    let configured = Resources::from_checked_protos(&info.resources);
    let made = Resources::from_checked_protos(checkpointed);
    configured.with_checkpointed(&made).map(drop).map_err(|why| why.to_string())
}

/// Tells an agent to exit.
pub(crate) fn shut_down(pid: &Pid, why: &str, step: &mut Step<'_>) {
    step.send(pid, Outgoing::Shutdown(internal::ShutdownMessage { message: Some(why.to_owned()) }));
}

fn shut_down_framework(pid: &Pid, id: &v1::FrameworkId, step: &mut Step<'_>) {
    let message = internal::ShutdownFrameworkMessage { framework_id: id.clone() };
    step.send(pid, Outgoing::ShutdownFramework(message));
}

/// What an agent has that registers again. One that reports its operations knows best
/// what they made of it; of any other this master does.
fn renewed_total(agent: &Agent, message: &internal::ReregisterSlaveMessage) -> Result<Resources, String> {
    let reported = Resources::from_checked_protos(&message.checkpointed_resources);
    let made = if agent.capabilities.resource_provider { &reported } else { &agent.checkpointed };
    let configured = Resources::from_checked_protos(&message.slave.resources);
    configured.with_checkpointed(made).map_err(|why| why.to_string())
}

/// Takes over what an agent says of itself now.
fn renew(agent: &mut Agent, message: &internal::ReregisterSlaveMessage, total: Resources, now: WallTime) {
    let mut info = message.slave.clone();
    resources::format::upgrade_all(&mut info.resources);
    agent.capabilities = AgentCapabilities::of(&message.agent_capabilities);
    agent.resource_version.clone_from(&message.resource_version_uuid);
    agent.set_total(total);
    agent.take_stock();
    let facts = agent.facts();
    facts.info = Arc::new(info);
    facts.version = message.version().into();
    facts.capabilities = kinds(&message.agent_capabilities);
    facts.reregistered_time = Some(now);
    agent.renew_template();
}

/// Whether an agent describes itself as before, whatever the format of its resources.
fn same_agent(known: &v1::AgentInfo, new: &v1::AgentInfo) -> bool {
    let mut new = new.clone();
    let mut known = known.clone();
    resources::format::upgrade_all(&mut new.resources);
    resources::format::upgrade_all(&mut known.resources);
    known == new
}

/// Whether attributes are the same, in whatever order.
fn same_attributes(one: &[v1::Attribute], other: &[v1::Attribute]) -> bool {
    one.len() == other.len() && one.iter().all(|attribute| other.contains(attribute))
}

fn kinds(list: &[v1::agent_info::Capability]) -> Arc<[capability::Type]> {
    list.iter().map(v1::agent_info::Capability::r#type).collect()
}

/// The first role of each framework: where an old agent leaves out to which role
/// something is allocated, the framework has only that one.
pub(crate) fn first_roles(frameworks: &[v1::FrameworkInfo]) -> BTreeMap<FrameworkId, Role> {
    let role =
        |info: &v1::FrameworkInfo| Some((FrameworkId::from(info.id.as_ref()?), roles_of(info).pop_first()?));
    frameworks.iter().filter_map(role).collect()
}

pub(crate) fn allocated(protos: &[v1::Resource], role: Option<&Role>) -> Resources {
    let any = Role::any();
    let role = role.unwrap_or(&any);
    Resources::from_checked_protos(protos)
        .into_iter()
        .map(|resource| {
            if resource.allocation_role().is_some() {
                resource
            } else {
                resource.with_allocation(Some(role.clone()))
            }
        })
        .collect()
}
