//! How a task gets from the master to its executor: refused, queued or sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::mesos::internal::{ExitedExecutorMessage, RunTaskGroupMessage, RunTaskMessage};
use proto::mesos::v1;
use proto::mesos::v1::task_status::Reason;
use resources::Resource;
use types::{ContainerId, ExecutorId, FrameworkId, IdError, Pid, TaskId, Uuid, check_id};

use crate::agent::{Agent, Due, Place};
use crate::checkpoint::{ExecutorPath, Record, RunPath, meta};
use crate::command_executor;
use crate::default_executor;
use crate::effect::{Effect, LaunchSpec, Sandbox};
use crate::environment;
use crate::executor::{Executor, new_task};
use crate::framework::Framework;
use crate::message::Outgoing;
use crate::step::Step;
use crate::update::{Origin, Word};
use crate::view::{AgentPhase, ExecutorPhase};
use crate::volumes::mounts;

/// Tasks that come together and the executor they are for.
struct Launch {
    framework: FrameworkId,
    executor: v1::ExecutorInfo,
    kind: LaunchKind,
    tasks: Vec<v1::TaskInfo>,
    /// Whether the master counts on a new executor; old masters do not say.
    expects_new: Option<bool>,
}

/// What the tasks of a launch are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaunchKind {
    /// One task with a command, whose executor the agent makes.
    CommandTask,
    /// One task for an executor.
    Task,
    /// Tasks that live and die together.
    Group,
}

/// Why tasks that came are not begun.
pub(crate) struct Refusal {
    /// What becomes of them; none for tasks that another attempt may begin.
    state: Option<v1::TaskState>,
    reason: Reason,
    why: String,
}

impl Refusal {
    pub(crate) fn dropped(reason: Reason, why: impl Into<String>) -> Self {
        Self { state: None, reason, why: why.into() }
    }

    fn invalid(why: String) -> Self {
        Self { state: Some(v1::TaskState::TaskError), reason: Reason::TaskInvalid, why }
    }
}

impl Launch {
    fn place(&self) -> Place {
        Place { framework: self.framework.clone(), executor: ExecutorId::from(&self.executor.executor_id) }
    }
}

impl Agent {
    pub(crate) fn on_run_task(&mut self, from: &Pid, message: RunTaskMessage, step: &mut Step<'_>) {
        if self.is_stranger(from, "run task", step) {
            return;
        }
        let RunTaskMessage { framework, pid, mut task, resource_version_uuids, launch_executor, .. } =
            message;
        let name = format!("task '{}'", task.task_id.value);
        let Some(id) = self.admit_launch(&framework, &[&task], &name, step) else { return };
        if task.executor.is_some() == task.command.is_some() {
            step.warn(format!("Ignoring running {name} because it has not either a command or an executor"));
            return;
        }
        let pid = pid.and_then(|pid| pid.parse().ok());
        self.meet_framework(&id, framework, pid, step);
        let Some(known) = self.frameworks.get(&id) else { return };
        allocate(&known.info, &mut task.resources);
        let kind = if task.executor.is_none() { LaunchKind::CommandTask } else { LaunchKind::Task };
        let executor = match &mut task.executor {
            Some(executor) => {
                allocate(&known.info, &mut executor.resources);
                executor.framework_id.get_or_insert_with(|| (&id).into());
                executor.clone()
            }
            None => command_executor::info(&self.config, &known.info, &task),
        };
        let launch =
            Launch { framework: id, executor, kind, tasks: vec![task], expects_new: launch_executor };
        step.info(format!("Got assigned {name} for framework {}", launch.framework));
        if let Err(refusal) = self.check_resources(&launch, &resource_version_uuids) {
            self.refuse_launch(&launch, &refusal, step);
            return;
        }
        self.launch(launch, step);
    }

    /// All of a group, or none of it.
    pub(crate) fn on_run_task_group(
        &mut self,
        from: &Pid,
        message: RunTaskGroupMessage,
        step: &mut Step<'_>,
    ) {
        if self.is_stranger(from, "run task group", step) {
            return;
        }
        let RunTaskGroupMessage {
            mut framework,
            mut executor,
            task_group,
            resource_version_uuids,
            launch_executor,
        } = message;
        let mut tasks = task_group.tasks;
        let ids: Vec<&str> = tasks.iter().map(|task| task.task_id.value.as_str()).collect();
        let name = format!("task group containing tasks [ {} ]", ids.join(", "));
        let Some(id) = self.admit_launch(&framework, &tasks.iter().collect::<Vec<_>>(), &name, step) else {
            return;
        };
        if let Err(why) = check_id(&executor.executor_id.value) {
            step.warn(format!("Ignoring running {name} because of a bad ID: {why}"));
            return;
        }
        // Groups name no driver; what is known of one stays.
        let pid = self.frameworks.get(&id).and_then(|known| known.pid.clone());
        framework.id = Some((&id).into());
        self.meet_framework(&id, framework, pid, step);
        let Some(known) = self.frameworks.get(&id) else { return };
        allocate(&known.info, &mut executor.resources);
        executor.framework_id.get_or_insert_with(|| (&id).into());
        for task in &mut tasks {
            allocate(&known.info, &mut task.resources);
            task.executor = Some(executor.clone());
        }
        let launch =
            Launch { framework: id, executor, kind: LaunchKind::Group, tasks, expects_new: launch_executor };
        step.info(format!("Got assigned {name} for framework {}", launch.framework));
        if let Err(refusal) = self.check_resources(&launch, &resource_version_uuids) {
            self.refuse_launch(&launch, &refusal, step);
            return;
        }
        self.launch(launch, step);
    }

    /// Whether tasks can be taken at all. The answer is the framework's id.
    fn admit_launch(
        &self,
        framework: &v1::FrameworkInfo,
        tasks: &[&v1::TaskInfo],
        name: &str,
        step: &mut Step<'_>,
    ) -> Option<FrameworkId> {
        let admitted = self.check_launch(framework, tasks);
        admitted.inspect_err(|why| step.warn(format!("Ignoring running {name} because {why}"))).ok()
    }

    /// Tasks that are refused here leave no trace, so nothing is said of them to the master either.
    fn check_launch(
        &self,
        framework: &v1::FrameworkInfo,
        tasks: &[&v1::TaskInfo],
    ) -> Result<FrameworkId, String> {
        let Some(id) = framework.id.as_ref().map(FrameworkId::from) else {
            return Err("it does not have a framework ID".to_owned());
        };
        // Ids become directories; the master has checked them, if it was the master.
        check_ids(&id, tasks).map_err(|why| format!("of a bad ID: {why}"))?;
        let mut seen = BTreeSet::new();
        for task in tasks {
            if !seen.insert(&task.task_id.value) {
                return Err(format!("it has the task '{}' twice", task.task_id.value));
            }
            let agent = &task.agent_id.value;
            if *agent != self.id.as_str() {
                return Err(format!("it was intended for agent {agent} and not for {}", self.id));
            }
            let task = TaskId::from(&task.task_id);
            if self.framework(&id).is_some_and(|known| known.executor_of(&task).is_some()) {
                return Err(format!("a task with the ID '{task}' is here already"));
            }
        }
        match self.phase {
            AgentPhase::Disconnected | AgentPhase::Running => Ok(id),
            // A master that hears from us again learns what runs here, and what does not.
            AgentPhase::Recovering | AgentPhase::Leaving => Err(format!("the agent is {:?}", self.phase)),
        }
    }

    /// A framework's first task here makes the framework known.
    fn meet_framework(
        &mut self,
        id: &FrameworkId,
        info: v1::FrameworkInfo,
        pid: Option<Pid>,
        step: &mut Step<'_>,
    ) {
        if self.frameworks.contains_key(id) {
            return;
        }
        let mut framework = Framework::new(id.clone(), info, pid);
        let path = framework.path(&self.id);
        self.gc.keep(&path.under(&self.config.work_dir));
        self.gc.keep(&path.under(&meta(&self.config.work_dir)));
        framework.checkpoint(&self.id, step);
        if let Some(at) = self.completed.iter().position(|completed| completed.id == *id)
            && let Some(before) = self.completed.remove(at)
        {
            framework.completed = before.completed;
        }
        self.frameworks.insert(id.clone(), framework);
    }

    /// Whether the agent takes tasks, and these on their resources.
    fn check_resources(
        &self,
        launch: &Launch,
        versions: &[proto::mesos::internal::ResourceVersionUuid],
    ) -> Result<(), Refusal> {
        self.refuses_for_drain()?;
        self.check_version(launch, versions)?;
        self.check_checkpointed(launch)?;
        self.check_volumes(launch)
    }

    /// A message about reservations or volumes may have been lost: a later attempt may do better.
    fn check_checkpointed(&self, launch: &Launch) -> Result<(), Refusal> {
        let tasks = launch.tasks.iter().flat_map(|task| &task.resources);
        let unknown = |messages: &[&v1::Resource]| {
            let used = messages.iter().filter_map(|message| Resource::from_proto(message).ok());
            let mut used = used.map(|resource| resource.with_allocation(None));
            used.find(|used| used.needs_checkpointing() && !self.holdings.checkpointed.contains_one(used))
        };
        for (messages, whose) in [
            (tasks.collect::<Vec<_>>(), "task or task group"),
            (launch.executor.resources.iter().collect(), "executor"),
        ] {
            if let Some(unknown) = unknown(&messages) {
                return Err(Refusal::dropped(
                    Reason::ResourcesUnknown,
                    format!(
                        "The checkpointed resources being used by the {whose} are unknown to the agent: {unknown}"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Volumes that cannot be seen in the sandbox are no reason to end tasks that run there already.
    fn check_volumes(&self, launch: &Launch) -> Result<(), Refusal> {
        let more: Vec<v1::Resource> = launch.tasks.iter().flat_map(|task| task.resources.clone()).collect();
        let work_dir = &self.config.work_dir;
        let volumes = match self.executor(&launch.place()) {
            Some(executor) => executor.volumes(work_dir, &more),
            None => mounts(work_dir, launch.executor.resources.iter().chain(&more)),
        };
        volumes.map(|_| ()).map_err(Refusal::invalid)
    }

    /// Tasks on resources that changed meanwhile are dropped.
    fn check_version(
        &self,
        launch: &Launch,
        versions: &[proto::mesos::internal::ResourceVersionUuid],
    ) -> Result<(), Refusal> {
        let outdated = Err(Refusal::dropped(Reason::InvalidOffers, "Task assumes outdated resource state"));
        let ours = versions.iter().find(|version| version.resource_provider_id.is_none());
        if ours.is_some_and(|version| version.uuid.value != self.resource_version) {
            return outdated;
        }
        let mut resources = launch.tasks.iter().flat_map(|task| &task.resources);
        if resources.any(|resource| resource.provider_id.is_some()) {
            return outdated;
        }
        Ok(())
    }

    fn launch(&mut self, launch: Launch, step: &mut Step<'_>) {
        let place = launch.place();
        let Some(framework) = self.frameworks.get(&launch.framework) else { return };
        if framework.terminating {
            // A framework that is being removed acknowledges nothing, so nothing is said.
            step.warn(format!(
                "Ignoring running tasks of framework {} because the framework is terminating",
                launch.framework
            ));
            self.never_launched(&launch, step);
            return;
        }
        let exists = framework.executors.get(&place.executor).map(|executor| executor.phase);
        if let Some(expects_new) = launch.expects_new
            && !self.check_expectation(&launch, expects_new, exists, step)
        {
            return;
        }
        if exists.is_none() {
            self.add_executor(&launch, step);
        }
        self.give(launch, &place, step);
    }

    /// Whether the master and the agent agree on whether the executor is there.
    fn check_expectation(
        &mut self,
        launch: &Launch,
        expects_new: bool,
        exists: Option<ExecutorPhase>,
        step: &mut Step<'_>,
    ) -> bool {
        let place = launch.place();
        match (expects_new, exists) {
            (_, Some(_)) if launch.kind == LaunchKind::CommandTask => {
                let why = "Cannot reuse an already existing executor for a command task";
                self.drop_tasks(launch, Reason::TaskInvalid, why, step);
                false
            }
            (true, Some(phase)) => {
                let why = "Master wants to launch executor, but one already exists";
                self.drop_tasks(launch, Reason::ExecutorTerminated, why, step);
                match phase {
                    ExecutorPhase::Terminated => self.send_exited(&place, -1, step),
                    ExecutorPhase::Registering | ExecutorPhase::Running => {
                        self.shut_down(&place, step);
                    }
                    ExecutorPhase::Terminating => {}
                }
                false
            }
            (false, None) => {
                let why = "No executor is expected to launch and there is none running";
                self.drop_tasks(launch, Reason::ExecutorTerminated, why, step);
                self.remove_framework_if_idle(&launch.framework, step);
                false
            }
            (true, None) | (false, Some(_)) => true,
        }
    }

    /// Tasks for an executor that is there: they wait, go out, or come too late.
    fn give(&mut self, launch: Launch, place: &Place, step: &mut Step<'_>) {
        let Some(executor) = self.executor(place) else { return };
        let late = match executor.phase {
            ExecutorPhase::Registering | ExecutorPhase::Running => None,
            ExecutorPhase::Terminating => Some("Executor terminating"),
            ExecutorPhase::Terminated => Some("Executor terminated"),
        };
        if let Some(why) = late {
            let state = self.frameworks[&launch.framework].dropped();
            for task in &launch.tasks {
                let word = Word::new(TaskId::from(&task.task_id), state, Reason::ExecutorTerminated, why);
                self.say(&launch.framework, word, step);
            }
            return;
        }
        let running = executor.phase == ExecutorPhase::Running;
        let run = executor.run.clone();
        let group = launch.tasks.iter().map(|task| TaskId::from(&task.task_id)).collect();
        for task in launch.tasks {
            if let Some(run) = &run {
                let task = new_task(&task, &launch.framework, v1::TaskState::TaskStaging);
                step.checkpoint(Record::TaskInfo((**run).clone(), Box::new(task)));
            }
            if let Some(executor) = self.executor_mut(place) {
                executor.queue(Arc::new(task));
            }
        }
        if launch.kind == LaunchKind::Group
            && let Some(executor) = self.executor_mut(place)
        {
            executor.queue_group(group);
        }
        if running {
            self.send_queued(place, step);
        } else if self.executor(place).is_some_and(|executor| executor.deadline.is_none()) {
            self.launch_container(place, step);
        }
    }

    /// Makes an executor's directory and records; its container comes once its tasks are recorded.
    fn add_executor(&mut self, launch: &Launch, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get_mut(&launch.framework) else { return };
        let place = launch.place();
        let at = RunPath {
            executor: ExecutorPath { framework: framework.path(&self.id), executor: place.executor.clone() },
            container: ContainerId::root(Uuid::random(&mut self.rng).to_string()),
        };
        let work_dir = &self.config.work_dir;
        let directory = at.under(work_dir);
        self.gc.keep(&at.executor.under(work_dir));
        self.gc.keep(&at.executor.under(&meta(work_dir)));
        let mut executor = Executor::new(launch.executor.clone(), &at, directory.clone());
        let command_task = launch.kind == LaunchKind::CommandTask;
        executor.command_task = command_task;
        if framework.checkpoints() {
            executor.run = Some(Arc::new(at.clone()));
            step.checkpoint(Record::ExecutorInfo(at.executor.clone(), Box::new(launch.executor.clone())));
            step.checkpoint(Record::CommandTask(at.executor.clone(), command_task));
            step.checkpoint(Record::LatestRun(at.clone()));
        }
        let user = user(self.config.switch_user, &framework.info, &launch.executor);
        step.push(Effect::CreateSandbox(sandbox(&place, directory, user)));
        framework.executors.insert(place.executor.clone(), executor);
        self.containers.insert(at.container, place);
    }

    fn launch_container(&mut self, place: &Place, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get(&place.framework) else { return };
        let Some(executor) = framework.executors.get(&place.executor) else { return };
        let facts = environment::Facts {
            executor: &executor.info,
            agent: self.id.as_str(),
            directory: &executor.directory,
            checkpoint: framework.checkpoints(),
        };
        let resources = executor.allocated();
        let user = user(self.config.switch_user, &framework.info, &executor.info);
        let spec = LaunchSpec {
            container: executor.container.clone(),
            framework: place.framework.clone(),
            executor: place.executor.clone(),
            directory: executor.directory.to_string(),
            user: user.clone(),
            command: match executor.info.r#type() {
                v1::executor_info::Type::Default => default_executor::program(&self.config, user.as_deref()),
                v1::executor_info::Type::Custom | v1::executor_info::Type::Unknown => {
                    executor.info.command.clone().unwrap_or_default()
                }
            },
            environment: environment::executor(&self.config, &facts),
            limits: executor.limits(self.config.holds_cpus),
            executor_info: v1::ExecutorInfo { resources: resources.clone(), ..(*executor.info).clone() },
            resources,
            // What cannot be seen was refused when it came.
            volumes: executor.volumes(&self.config.work_dir, &[]).unwrap_or_default(),
            container_info: executor.info.container.clone(),
            task: executor
                .command_task
                .then(|| executor.queued().first().map(|task| (**task).clone()))
                .flatten(),
            forked_pid_path: executor.run.as_ref().map(|run| run.forked_pid(&self.config.work_dir)),
        };
        let container = executor.container.clone();
        step.info(format!(
            "Launching container {container} for executor '{}' of framework {}",
            place.executor, place.framework
        ));
        step.push(Effect::Launch(Box::new(spec)));
        let at = step.now.mono + self.config.executor_registration_timeout;
        let deadline = self.timers.arm(at, Due::Executor(container));
        if let Some(executor) = self.executor_mut(place) {
            executor.deadline = Some(deadline);
        }
    }

    /// The tasks never began, and neither did the executor that the master counts on.
    fn refuse_launch(&mut self, launch: &Launch, refusal: &Refusal, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get(&launch.framework) else { return };
        let state = refusal.state.unwrap_or_else(|| framework.dropped());
        self.end_tasks(launch, state, refusal.reason, &refusal.why, step);
        self.remove_framework_if_idle(&launch.framework, step);
        self.never_launched(launch, step);
    }

    fn drop_tasks(&mut self, launch: &Launch, reason: Reason, why: &str, step: &mut Step<'_>) {
        let Some(framework) = self.frameworks.get(&launch.framework) else { return };
        let state = framework.dropped();
        self.end_tasks(launch, state, reason, why, step);
    }

    fn end_tasks(
        &mut self,
        launch: &Launch,
        state: v1::TaskState,
        reason: Reason,
        why: &str,
        step: &mut Step<'_>,
    ) {
        let executor = launch.place().executor;
        for task in &launch.tasks {
            let word = Word::new(TaskId::from(&task.task_id), state, reason, why).of(&executor);
            self.say(&launch.framework, word, step);
        }
    }

    fn never_launched(&mut self, launch: &Launch, step: &mut Step<'_>) {
        if launch.expects_new == Some(true) {
            self.send_exited(&launch.place(), -1, step);
        }
    }

    pub(crate) fn send_exited(&mut self, place: &Place, status: i32, step: &mut Step<'_>) {
        let Some(master) = self.registration.master() else { return };
        let message = ExitedExecutorMessage {
            slave_id: (&self.id).into(),
            framework_id: (&place.framework).into(),
            executor_id: (&place.executor).into(),
            status,
        };
        step.send(&master.pid, Outgoing::ExitedExecutor(Box::new(message)));
    }

    /// The agent says something of a task: the same way as an executor's word goes.
    pub(crate) fn say(&mut self, framework: &FrameworkId, word: Word, step: &mut Step<'_>) {
        let update = word.update(step.now, &mut self.rng, &self.id, framework);
        self.on_status_update(update, &Origin::Agent, step);
    }
}

fn check_ids(framework: &FrameworkId, tasks: &[&v1::TaskInfo]) -> Result<(), IdError> {
    check_id(framework.as_str())?;
    for task in tasks {
        check_id(&task.task_id.value)?;
        if let Some(executor) = &task.executor {
            check_id(&executor.executor_id.value)?;
        }
    }
    Ok(())
}

/// The names of a run's sandbox.
pub(crate) fn sandbox(place: &Place, path: String, user: Option<String>) -> Sandbox {
    let virtual_path = format!("/frameworks/{}/executors/{}/runs/latest", place.framework, place.executor);
    Sandbox { path, virtual_path, user }
}

/// Whom an executor runs as.
pub(crate) fn user(
    switch: bool,
    framework: &v1::FrameworkInfo,
    executor: &v1::ExecutorInfo,
) -> Option<String> {
    let own = executor.command.as_ref().and_then(|command| command.user.as_ref());
    switch.then(|| own.unwrap_or(&framework.user).clone())
}

/// Resources of frameworks with one role may come without an allocation, and in the form
/// of old masters.
fn allocate(framework: &v1::FrameworkInfo, resources: &mut [v1::Resource]) {
    resources::format::upgrade_all(resources);
    let [role] = &roles(framework)[..] else { return };
    for resource in resources {
        resource
            .allocation_info
            .get_or_insert_with(|| v1::resource::AllocationInfo { role: Some(role.clone()) });
    }
}

fn roles(framework: &v1::FrameworkInfo) -> Vec<String> {
    use v1::framework_info::capability::Type;
    let multi = framework.capabilities.iter().any(|capability| capability.r#type() == Type::MultiRole);
    if multi { framework.roles.clone() } else { vec![framework.role().to_owned()] }
}
