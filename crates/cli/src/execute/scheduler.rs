//! The decisions of `mesos execute` as a framework: take the first offer that fits, watch the one task.

use proto::mesos::v1::scheduler::{Call, Event, call, event};
use proto::mesos::v1::{self, TaskInfo, TaskState, TaskStatus, offer};
use resources::Resources;
use types::{Role, is_terminal};

use super::plan::Plan;

/// What the framework wants done.
#[derive(Debug)]
pub(crate) enum Step {
    /// Make this call.
    Call(Box<Call>),
    /// Tell the user.
    Say(String),
    /// The task was given to this agent.
    Launched(Box<v1::Offer>),
    /// The task is over: its last status.
    Over(Box<TaskStatus>),
}

/// Offers that do not fit are not wanted again for this long.
const REFUSE_SECONDS: f64 = 10.0;

/// The framework of one task.
#[derive(Debug)]
pub(crate) struct Scheduler {
    plan: Plan,
    launched: Option<v1::AgentId>,
}

impl Scheduler {
    /// A framework that has not launched its task.
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan, launched: None }
    }

    /// The task's id, which is also its command executor's.
    pub(crate) fn task_id(&self) -> &str {
        &self.plan.task.task_id.value
    }

    /// Takes one event of the master.
    pub(crate) fn handle(&mut self, event: Event, steps: &mut Vec<Step>) {
        match event.r#type() {
            event::Type::Subscribed => self.on_subscribed(event.subscribed, steps),
            event::Type::Offers => {
                for offer in event.offers.into_iter().flat_map(|offers| offers.offers) {
                    self.on_offer(offer, steps);
                }
            }
            event::Type::Update => {
                if let Some(update) = event.update {
                    self.on_status(update.status, steps);
                }
            }
            event::Type::Failure => {
                if event
                    .failure
                    .is_some_and(|failure| failure.executor_id.is_none() && failure.agent_id == self.launched)
                {
                    steps.push(Step::Say("The task's agent is not reachable".to_owned()));
                }
            }
            event::Type::Unknown
            | event::Type::InverseOffers
            | event::Type::Rescind
            | event::Type::RescindInverseOffer
            | event::Type::UpdateOperationStatus
            | event::Type::Message
            | event::Type::Error
            | event::Type::Heartbeat => {}
        }
    }

    /// The call that kills the task, once there is one.
    pub(crate) fn kill(&self) -> Option<Box<Call>> {
        let agent_id = self.launched.clone()?;
        let kill = call::Kill {
            task_id: self.plan.task.task_id.clone(),
            agent_id: Some(agent_id),
            kill_policy: None,
        };
        Some(Box::new(Call { r#type: Some(call::Type::Kill.into()), kill: Some(kill), ..Default::default() }))
    }

    fn on_subscribed(&mut self, subscribed: Option<event::Subscribed>, steps: &mut Vec<Step>) {
        let id = subscribed.map(|subscribed| subscribed.framework_id.value).unwrap_or_default();
        steps.push(Step::Say(format!("Subscribed with ID {id}")));
        if let Some(agent_id) = self.launched.clone() {
            // Another subscription: what was said meanwhile may be lost.
            let task =
                call::reconcile::Task { task_id: self.plan.task.task_id.clone(), agent_id: Some(agent_id) };
            let reconcile = Some(call::Reconcile { tasks: vec![task] });
            let kind = Some(call::Type::Reconcile.into());
            steps.push(Step::Call(Box::new(Call { r#type: kind, reconcile, ..Default::default() })));
        }
    }

    fn on_offer(&mut self, offer: v1::Offer, steps: &mut Vec<Step>) {
        let role = offer
            .allocation_info
            .as_ref()
            .and_then(|info| info.role.as_deref())
            .map_or_else(Role::any, Role::from);
        let available = Resources::from_checked_protos(&offer.resources).unallocated();
        let wanted = self.launched.is_none().then(|| fitting(&available, &self.plan.resources)).flatten();
        let filters = Some(v1::Filters { refuse_seconds: Some(REFUSE_SECONDS) });
        let Some(resources) = wanted else {
            let decline = Some(call::Decline { offer_ids: vec![offer.id], filters });
            let kind = Some(call::Type::Decline.into());
            steps.push(Step::Call(Box::new(Call { r#type: kind, decline, ..Default::default() })));
            return;
        };
        let task = TaskInfo {
            agent_id: offer.agent_id.clone(),
            resources: resources.allocated(&role).to_protos(),
            ..self.plan.task.clone()
        };
        let launch = offer::Operation {
            r#type: Some(offer::operation::Type::Launch.into()),
            launch: Some(offer::operation::Launch { task_infos: vec![task] }),
            ..Default::default()
        };
        let accept =
            Some(call::Accept { offer_ids: vec![offer.id.clone()], operations: vec![launch], filters });
        let kind = Some(call::Type::Accept.into());
        steps.push(Step::Call(Box::new(Call { r#type: kind, accept, ..Default::default() })));
        let suppress = Some(call::Suppress::default());
        let kind = Some(call::Type::Suppress.into());
        steps.push(Step::Call(Box::new(Call { r#type: kind, suppress, ..Default::default() })));
        steps.push(Step::Say(format!(
            "Submitted task '{}' to agent '{}'",
            self.plan.task.name, offer.agent_id.value
        )));
        self.launched = Some(offer.agent_id.clone());
        steps.push(Step::Launched(Box::new(offer)));
    }

    fn on_status(&mut self, status: TaskStatus, steps: &mut Vec<Step>) {
        if let (Some(uuid), Some(agent_id)) = (&status.uuid, &status.agent_id) {
            let acknowledge = call::Acknowledge {
                agent_id: agent_id.clone(),
                task_id: status.task_id.clone(),
                uuid: uuid.clone(),
            };
            steps.push(Step::Call(Box::new(Call {
                r#type: Some(call::Type::Acknowledge.into()),
                acknowledge: Some(acknowledge),
                ..Default::default()
            })));
        }
        let mut line = format!(
            "Received status update {} for task '{}'",
            status.state().as_str_name(),
            status.task_id.value
        );
        if let Some(message) = status.message.as_deref().filter(|message| !message.is_empty()) {
            line.push_str(&format!("\n  message: '{message}'"));
        }
        if status.reason.is_some() {
            line.push_str(&format!("\n  reason: {}", status.reason().as_str_name()));
        }
        steps.push(Step::Say(line));
        if is_terminal(status.state()) {
            steps.push(Step::Over(Box::new(status)));
        }
    }
}

/// The part of `available` that gives `needed`: unreserved resources first, else whatever has the same name.
fn fitting(available: &Resources, needed: &Resources) -> Option<Resources> {
    if available.contains(needed) {
        return Some(needed.clone());
    }
    // A role's own reservations serve it as well.
    for reserved in available.reserved().iter() {
        let as_reserved = needed.map(|resource| resource.with_reservations(reserved.reservations().to_vec()));
        if available.contains(&as_reserved) {
            return Some(as_reserved);
        }
    }
    None
}

/// The exit status that tells how the task ended: its command's own, 128 and the signal, or 1.
///
/// COMPAT(mesos): a status carries no code; the command executor's message does.
pub(crate) fn exit_code(status: &TaskStatus) -> u8 {
    if status.state() == TaskState::TaskFinished {
        return 0;
    }
    let message = status.message();
    if let Some(code) = message.strip_prefix("Command exited with status ") {
        return code.parse().unwrap_or(1);
    }
    let Some(signal) = message.strip_prefix("Command terminated with signal ") else { return 1 };
    let signal = signal.trim_end_matches(" (core dumped)");
    (1..=64).find(|n| executor::signal_name(i32::from(*n)) == signal).map_or(1, |n| 128 + n)
}

#[cfg(test)]
mod tests {
    use super::super::flags::ExecuteFlags;
    use super::*;

    fn scheduler() -> Scheduler {
        let flags = ExecuteFlags { command: Some("true".to_owned()), ..Default::default() };
        Scheduler::new(Plan::new(&flags, "root").expect("a plan"))
    }

    fn offered(resources: &str) -> Event {
        let offer = v1::Offer {
            agent_id: v1::AgentId { value: "a".to_owned() },
            resources: Resources::parse(resources, "*").expect("resources").to_protos(),
            ..Default::default()
        };
        Event {
            r#type: Some(event::Type::Offers.into()),
            offers: Some(event::Offers { offers: vec![offer] }),
            ..Default::default()
        }
    }

    fn kinds(steps: &[Step]) -> Vec<String> {
        steps
            .iter()
            .map(|step| match step {
                Step::Call(call) => call.r#type().as_str_name().to_owned(),
                Step::Say(_) => "say".to_owned(),
                Step::Launched(_) => "launched".to_owned(),
                Step::Over(status) => format!("over {}", exit_code(status)),
            })
            .collect()
    }

    #[test]
    fn takes_the_first_offer_that_fits() {
        let mut scheduler = scheduler();
        let mut steps = Vec::new();
        scheduler.handle(offered("cpus:0.5;mem:4096"), &mut steps);
        scheduler.handle(offered("cpus:2;mem:4096"), &mut steps);
        scheduler.handle(offered("cpus:2;mem:4096"), &mut steps);
        assert_eq!(kinds(&steps), ["DECLINE", "ACCEPT", "SUPPRESS", "say", "launched", "DECLINE"]);
    }

    #[test]
    fn reserved_resources_serve() {
        let mut scheduler = scheduler();
        let mut steps = Vec::new();
        scheduler.handle(offered("cpus(dev):2;mem(dev):4096"), &mut steps);
        assert_eq!(kinds(&steps)[0], "ACCEPT");
    }

    #[test]
    fn the_exit_status_is_the_commands() {
        let check = |state: TaskState, message: &str, code: u8| {
            let status =
                TaskStatus { state: state.into(), message: Some(message.to_owned()), ..Default::default() };
            assert_eq!(exit_code(&status), code, "{message}");
        };
        check(TaskState::TaskFinished, "Command exited with status 0", 0);
        check(TaskState::TaskFailed, "Command exited with status 3", 3);
        check(TaskState::TaskFailed, "Command terminated with signal Killed", 137);
        check(TaskState::TaskKilled, "Command terminated with signal Terminated", 143);
        check(TaskState::TaskError, "Task uses more resources than available", 1);
    }
}
