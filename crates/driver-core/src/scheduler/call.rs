//! What the scheduler calls, and the messages that come of it.

use bytes::Bytes;
use machine::Now;
use proto::mesos::v1::offer::{Operation, operation};
use proto::mesos::v1::scheduler::call::{self, Type};
use proto::mesos::v1::{self, TaskState};
use proto::mesos::{internal, scheduler};
use types::AgentId;

use super::{Callback, Driver, Effect, Outgoing};

/// A call of the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// `acceptOffers`, and `launchTasks` with one LAUNCH.
    Accept {
        /// The offers, all of one agent.
        offer_ids: Vec<v1::OfferId>,
        /// What to do with them.
        operations: Vec<Operation>,
        /// What becomes of the rest.
        filters: v1::Filters,
    },
    /// `declineOffer`.
    Decline {
        /// The offer.
        offer_id: v1::OfferId,
        /// For how long.
        filters: v1::Filters,
    },
    /// `reviveOffers` of these roles, or of all.
    Revive(Vec<String>),
    /// `suppressOffers` of these roles, or of all.
    Suppress(Vec<String>),
    /// `killTask`.
    Kill(v1::TaskId),
    /// `requestResources`.
    Request(Vec<v1::Request>),
    /// `acknowledgeStatusUpdate`.
    Acknowledge(Box<v1::TaskStatus>),
    /// `sendFrameworkMessage`.
    Message {
        /// For whom.
        executor_id: v1::ExecutorId,
        /// Where that runs.
        agent_id: v1::AgentId,
        /// What to say.
        data: Bytes,
    },
    /// `reconcileTasks`: these, or all if there is none.
    Reconcile(Vec<v1::TaskStatus>),
    /// `updateFramework`.
    UpdateFramework {
        /// The framework as it shall be.
        framework: Box<v1::FrameworkInfo>,
        /// The roles that want no offers.
        suppressed_roles: Vec<String>,
        /// Which offers are wanted at all.
        offer_constraints: Option<v1::scheduler::OfferConstraints>,
    },
}

impl Call {
    /// `launchTasks`. Without tasks it declines.
    #[must_use]
    pub fn launch(offer_ids: Vec<v1::OfferId>, tasks: Vec<v1::TaskInfo>, filters: v1::Filters) -> Self {
        let launch = Operation {
            r#type: Some(operation::Type::Launch.into()),
            launch: Some(operation::Launch { task_infos: tasks }),
            ..Operation::default()
        };
        Self::Accept { offer_ids, operations: vec![launch], filters }
    }
}

impl Driver {
    pub(super) fn on_call(&mut self, now: Now, call: Call, fx: &mut Vec<Effect>) {
        if self.is_over() {
            return;
        }
        match call {
            Call::Accept { offer_ids, operations, filters } => {
                self.accept(now, offer_ids, operations, filters, fx);
            }
            Call::Decline { offer_id, filters } => {
                let mut call = self.call(Type::Decline);
                if self.offers.remove(offer_id.value.as_str()).is_none() && self.connected().is_some() {
                    let warning = format!("Attempting to decline an unknown offer {}", offer_id.value);
                    fx.push(Effect::Warn(warning));
                }
                call.decline = Some(call::Decline { offer_ids: vec![offer_id], filters: Some(filters) });
                self.say(call, fx);
            }
            Call::Revive(roles) => self.revive(roles, fx),
            Call::Suppress(roles) => self.suppress(roles, fx),
            Call::Kill(task_id) => {
                let mut call = self.call(Type::Kill);
                call.kill = Some(call::Kill { task_id, ..call::Kill::default() });
                self.say(call, fx);
            }
            Call::Request(requests) => {
                let mut call = self.call(Type::Request);
                call.request = Some(call::Request { requests });
                self.say(call, fx);
            }
            Call::Acknowledge(status) => self.acknowledge(*status, fx),
            Call::Message { executor_id, agent_id, data } => self.message(executor_id, agent_id, data, fx),
            Call::Reconcile(statuses) => {
                let tasks = statuses.into_iter().map(|status| call::reconcile::Task {
                    task_id: status.task_id,
                    agent_id: status.agent_id,
                });
                let mut call = self.call(Type::Reconcile);
                call.reconcile = Some(call::Reconcile { tasks: tasks.collect() });
                self.say(call, fx);
            }
            Call::UpdateFramework { framework, suppressed_roles, offer_constraints } => {
                self.update_framework(*framework, suppressed_roles, offer_constraints, fx);
            }
        }
    }

    /// Sends a call, if there is a master that would take it.
    fn say(&self, call: scheduler::Call, fx: &mut Vec<Effect>) {
        if let Some(leader) = self.connected() {
            let message = Outgoing::Call(Box::new(call));
            fx.push(Effect::Send { to: leader.clone(), message });
        }
    }

    fn accept(
        &mut self,
        now: Now,
        offer_ids: Vec<v1::OfferId>,
        operations: Vec<Operation>,
        filters: v1::Filters,
        fx: &mut Vec<Effect>,
    ) {
        // COMPAT(mesos): there the whole process is aborted for it.
        if operations.iter().any(|operation| operation.id.is_some()) {
            let message = "An offer operation's 'id' field was set, which is disallowed because the SchedulerDriver \
                           cannot handle offer operation status updates";
            self.fail(message.to_owned(), fx);
            return;
        }
        if self.connected().is_none() {
            self.lose(now, &operations, fx);
            return;
        }
        for id in &offer_ids {
            let Some((agent_id, pid)) = self.offers.remove(id.value.as_str()) else {
                fx.push(Effect::Warn(format!("Attempting to accept an unknown offer {}", id.value)));
                continue;
            };
            for task in launched(&operations) {
                if AgentId::from(&task.agent_id) == agent_id {
                    self.agents.insert(agent_id.clone(), pid.clone());
                } else {
                    let warning = format!(
                        "Attempting to launch task {} with the wrong agent id {}",
                        task.task_id.value, task.agent_id.value
                    );
                    fx.push(Effect::Warn(warning));
                }
            }
        }
        let mut call = self.call(Type::Accept);
        call.accept = Some(call::Accept { offer_ids, operations, filters: Some(filters) });
        self.say(call, fx);
    }

    /// Tasks that cannot be launched, since no master knows this driver.
    fn lose(&self, now: Now, operations: &[Operation], fx: &mut Vec<Effect>) {
        use v1::framework_info::capability::Type::PartitionAware;
        let aware = self.framework.capabilities.iter().any(|one| one.r#type() == PartitionAware);
        let state = if aware { TaskState::TaskDropped } else { TaskState::TaskLost };
        for task in launched(operations) {
            let status = v1::TaskStatus {
                task_id: task.task_id.clone(),
                state: state.into(),
                source: Some(v1::task_status::Source::Master.into()),
                reason: Some(v1::task_status::Reason::MasterDisconnected.into()),
                message: Some("Master disconnected".to_owned()),
                timestamp: Some(now.wall.as_secs_f64()),
                ..v1::TaskStatus::default()
            };
            fx.push(Effect::Callback(Callback::Update(Box::new(status))));
        }
    }

    fn revive(&mut self, roles: Vec<String>, fx: &mut Vec<Effect>) {
        if roles.is_empty() {
            self.suppressed_roles.clear();
        } else {
            self.suppressed_roles.retain(|role| !roles.contains(role));
        }
        if self.connected().is_none() {
            self.tells_framework = true;
            return;
        }
        let mut call = self.call(Type::Revive);
        call.revive = (!roles.is_empty()).then_some(call::Revive { roles });
        self.say(call, fx);
    }

    fn suppress(&mut self, roles: Vec<String>, fx: &mut Vec<Effect>) {
        if roles.is_empty() {
            self.suppressed_roles = self.framework.roles.iter().cloned().collect();
        } else {
            self.suppressed_roles.extend(roles.iter().cloned());
        }
        if self.connected().is_none() {
            self.tells_framework = true;
            return;
        }
        let mut call = self.call(Type::Suppress);
        call.suppress = (!roles.is_empty()).then_some(call::Suppress { roles });
        self.say(call, fx);
    }

    fn acknowledge(&mut self, status: v1::TaskStatus, fx: &mut Vec<Effect>) {
        if self.implicit_acknowledgements {
            // COMPAT(mesos): there the whole process is aborted for it.
            let message = "Cannot call acknowledgeStatusUpdate: Implicit acknowledgements are enabled";
            self.fail(message.to_owned(), fx);
            return;
        }
        // An update without a uuid was made by the master and needs no acknowledgement.
        if let (Some(uuid), Some(agent_id)) = (status.uuid, status.agent_id) {
            let call = self.acknowledgement(agent_id, status.task_id, uuid);
            self.say(call, fx);
        }
    }

    fn message(&self, executor_id: v1::ExecutorId, agent_id: v1::AgentId, data: Bytes, fx: &mut Vec<Effect>) {
        if self.connected().is_none() {
            return;
        }
        let Some(to) = self.agents.get(agent_id.value.as_str()) else {
            let mut call = self.call(Type::Message);
            call.message = Some(call::Message { agent_id, executor_id, data });
            self.say(call, fx);
            return;
        };
        let message = internal::FrameworkToExecutorMessage {
            slave_id: agent_id,
            framework_id: self.id().cloned().unwrap_or_default(),
            executor_id,
            data,
        };
        fx.push(Effect::Send { to: to.clone(), message: Outgoing::ToExecutor(Box::new(message)) });
    }

    fn update_framework(
        &mut self,
        framework: v1::FrameworkInfo,
        suppressed_roles: Vec<String>,
        offer_constraints: Option<v1::scheduler::OfferConstraints>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(id) = self.id() else {
            let message = "MesosSchedulerDriver::updateFramework() must not be called prior to registration with \
                           the master";
            self.fail(message.to_owned(), fx);
            return;
        };
        if framework.id.as_ref() != Some(id) {
            let given = framework.id.unwrap_or_default();
            let message = format!(
                "The 'FrameworkInfo.id' provided to MesosSchedulerDriver::updateFramework() ({}) must be equal to \
                 the value known to the MesosSchedulerDriver ({})",
                given.value, id.value
            );
            self.fail(message, fx);
            return;
        }
        let count = suppressed_roles.len();
        let roles: std::collections::BTreeSet<String> = suppressed_roles.into_iter().collect();
        if roles.len() < count {
            // COMPAT(mesos): there the whole process is aborted for it.
            let message =
                format!("Invalid suppressed role list: contains {} duplicates", count - roles.len());
            self.fail(message, fx);
            return;
        }
        self.framework = framework;
        self.suppressed_roles = roles;
        self.offer_constraints = offer_constraints;
        self.tell_framework(fx);
    }
}

/// The tasks of the LAUNCH operations.
fn launched(operations: &[Operation]) -> impl Iterator<Item = &v1::TaskInfo> {
    let launches = operations.iter().filter(|operation| operation.r#type() == operation::Type::Launch);
    launches.filter_map(|operation| operation.launch.as_ref()).flat_map(|launch| &launch.task_infos)
}
