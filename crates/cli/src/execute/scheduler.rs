//! The decisions of `mesos execute` as a framework: take the first offer that fits, watch its tasks.

use proto::mesos::v1::scheduler::{Call, Event, call, event};
use proto::mesos::v1::{self, TaskInfo, TaskState, TaskStatus, offer};
use resources::{Reservation, Resources};
use types::{Role, is_terminal};

use super::plan::Plan;

/// What the framework wants done.
#[derive(Debug)]
pub(crate) enum Step {
    /// Make this call.
    Call(Box<Call>),
    /// Tell the user.
    Say(String),
    /// The tasks were given to this agent.
    Launched(Box<v1::Offer>),
    /// The tasks are over: the last status of the one that ended worst.
    Over(Box<TaskStatus>),
}

/// Offers that do not fit are not wanted again for this long.
const REFUSE_SECONDS: f64 = 10.0;

/// The executor of a group. COMPAT(mesos): the same name.
const GROUP_EXECUTOR: &str = "default-executor";

/// The framework of one task, or of one group.
#[derive(Debug)]
pub(crate) struct Scheduler {
    plan: Plan,
    framework_id: Option<v1::FrameworkId>,
    launched: Option<v1::AgentId>,
    /// The last status of each task that is over, in the order of their ends.
    over: Vec<TaskStatus>,
}

impl Scheduler {
    /// A framework that has not launched anything.
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan, framework_id: None, launched: None, over: Vec::new() }
    }

    /// The executor, and where in its sandbox each task's output is.
    pub(crate) fn outputs(&self) -> (&str, Vec<String>) {
        let tasks = self.plan.tasks.iter().map(|task| task.task_id.value.as_str());
        match &self.plan.executor {
            Some(_) => (GROUP_EXECUTOR, tasks.map(|task| format!("tasks/{task}/")).collect()),
            // A command executor has the id of its task.
            None => (&self.plan.tasks[0].task_id.value, vec![String::new()]),
        }
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

    /// The calls that kill the tasks, once there are any.
    pub(crate) fn kill(&self) -> Vec<Call> {
        let Some(agent_id) = self.launched.clone() else { return Vec::new() };
        let kill = |task: &TaskInfo| {
            let kill = call::Kill {
                task_id: task.task_id.clone(),
                agent_id: Some(agent_id.clone()),
                kill_policy: None,
            };
            Call { r#type: Some(call::Type::Kill.into()), kill: Some(kill), ..Default::default() }
        };
        self.plan.tasks.iter().map(kill).collect()
    }

    fn on_subscribed(&mut self, subscribed: Option<event::Subscribed>, steps: &mut Vec<Step>) {
        self.framework_id = subscribed.map(|subscribed| subscribed.framework_id);
        let id = self.framework_id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
        steps.push(Step::Say(format!("Subscribed with ID {id}")));
        if let Some(agent_id) = self.launched.clone() {
            // Another subscription: what was said meanwhile may be lost.
            let task = |task: &TaskInfo| call::reconcile::Task {
                task_id: task.task_id.clone(),
                agent_id: Some(agent_id.clone()),
            };
            let reconcile = Some(call::Reconcile { tasks: self.plan.tasks.iter().map(task).collect() });
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
        let wanted = self.launched.is_none().then(|| fitting(&available, &self.plan.needed())).flatten();
        let filters = Some(v1::Filters { refuse_seconds: Some(REFUSE_SECONDS) });
        let Some(fit) = wanted else {
            let decline = Some(call::Decline { offer_ids: vec![offer.id], filters });
            let kind = Some(call::Type::Decline.into());
            steps.push(Step::Call(Box::new(Call { r#type: kind, decline, ..Default::default() })));
            return;
        };
        let launch = self.launch(&offer.agent_id, |resources| fit.of(resources).allocated(&role).to_protos());
        let accept =
            Some(call::Accept { offer_ids: vec![offer.id.clone()], operations: vec![launch], filters });
        let kind = Some(call::Type::Accept.into());
        steps.push(Step::Call(Box::new(Call { r#type: kind, accept, ..Default::default() })));
        let suppress = Some(call::Suppress::default());
        let kind = Some(call::Type::Suppress.into());
        steps.push(Step::Call(Box::new(Call { r#type: kind, suppress, ..Default::default() })));
        let what = match &self.plan.executor {
            None => format!("task '{}'", self.plan.tasks[0].name),
            Some(_) => {
                let ids: Vec<&str> = self.plan.tasks.iter().map(|task| task.task_id.value.as_str()).collect();
                format!("task group with tasks [ {} ]", ids.join(", "))
            }
        };
        steps.push(Step::Say(format!("Submitted {what} to agent '{}'", offer.agent_id.value)));
        self.launched = Some(offer.agent_id.clone());
        steps.push(Step::Launched(Box::new(offer)));
    }

    /// The operation that launches everything.
    fn launch(
        &self,
        agent: &v1::AgentId,
        take: impl Fn(&Resources) -> Vec<v1::Resource>,
    ) -> offer::Operation {
        let both = self.plan.tasks.iter().zip(&self.plan.resources);
        let tasks = both.map(|(task, resources)| TaskInfo {
            agent_id: agent.clone(),
            resources: take(resources),
            ..task.clone()
        });
        let tasks = tasks.collect();
        let Some(resources) = &self.plan.executor else {
            return offer::Operation {
                r#type: Some(offer::operation::Type::Launch.into()),
                launch: Some(offer::operation::Launch { task_infos: tasks }),
                ..Default::default()
            };
        };
        let executor = v1::ExecutorInfo {
            r#type: Some(v1::executor_info::Type::Default.into()),
            executor_id: v1::ExecutorId { value: GROUP_EXECUTOR.to_owned() },
            framework_id: self.framework_id.clone(),
            resources: take(resources),
            container: self.plan.executor_container.clone(),
            ..Default::default()
        };
        let task_group = v1::TaskGroupInfo { tasks };
        offer::Operation {
            r#type: Some(offer::operation::Type::LaunchGroup.into()),
            launch_group: Some(offer::operation::LaunchGroup { executor, task_group }),
            ..Default::default()
        }
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
        if is_terminal(status.state()) && !self.over.iter().any(|over| over.task_id == status.task_id) {
            self.over.push(status);
        }
        if self.over.len() < self.plan.tasks.len() {
            return;
        }
        // The first that did not finish has taken the others along.
        let failed = self.over.iter().find(|status| status.state() != TaskState::TaskFinished);
        if let Some(status) = failed.or(self.over.last()) {
            steps.push(Step::Over(Box::new(status.clone())));
        }
    }
}

/// In which form resources are taken from an offer.
enum Fit {
    /// As they are needed.
    Plain,
    /// With these reservations.
    Reserved(Vec<Reservation>),
}

impl Fit {
    fn of(&self, needed: &Resources) -> Resources {
        match self {
            Self::Plain => needed.clone(),
            Self::Reserved(reservations) => {
                needed.map(|resource| resource.with_reservations(reservations.clone()))
            }
        }
    }
}

/// How `available` gives `needed`: unreserved resources first, else whatever has the same name.
fn fitting(available: &Resources, needed: &Resources) -> Option<Fit> {
    // A role's own reservations serve it as well.
    let reserved = available.reserved();
    let reserved = reserved.iter().map(|reserved| Fit::Reserved(reserved.reservations().to_vec()));
    std::iter::once(Fit::Plain).chain(reserved).find(|fit| available.contains(&fit.of(needed)))
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
    fn a_group_is_over_when_all_its_tasks_are() {
        let resources = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]"#;
        let task = |id: &str| {
            format!(
                r#"{{"name":"{id}","task_id":{{"value":"{id}"}},"agent_id":{{"value":""}},"resources":{resources}}}"#
            )
        };
        let group = format!(r#"{{"tasks":[{},{}]}}"#, task("a"), task("b"));
        let flags = ExecuteFlags { task_group: Some(group), ..Default::default() };
        let mut scheduler = Scheduler::new(Plan::new(&flags, "root").expect("a plan"));
        let mut steps = Vec::new();
        // The executor needs something too.
        scheduler.handle(offered("cpus:2;mem:32;disk:32"), &mut steps);
        scheduler.handle(offered("cpus:2.1;mem:32;disk:32"), &mut steps);
        assert_eq!(kinds(&steps), ["DECLINE", "ACCEPT", "SUPPRESS", "say", "launched"]);
        let Step::Call(accept) = &steps[1] else { panic!("a call") };
        let operation = &accept.accept.as_ref().expect("an accept").operations[0];
        let launch = operation.launch_group.as_ref().expect("a group");
        assert_eq!((launch.task_group.tasks.len(), launch.executor.resources.len()), (2, 3));
        assert_eq!(scheduler.outputs().1, ["tasks/a/", "tasks/b/"]);
        let mut end = |id: &str, state: TaskState, message: &str| {
            let status = TaskStatus {
                task_id: v1::TaskId { value: id.to_owned() },
                state: state.into(),
                message: Some(message.to_owned()),
                ..Default::default()
            };
            steps.clear();
            scheduler.on_status(status, &mut steps);
            kinds(&steps)
        };
        assert_eq!(end("b", TaskState::TaskFailed, "Command exited with status 4"), ["say"]);
        let last = end("a", TaskState::TaskKilled, "Command terminated with signal Terminated");
        assert_eq!(last, ["say", "over 4"]);
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
