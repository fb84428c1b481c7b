//! Containers that somebody asks for by name: those nested in an executor's, and those that stand alone.
//!
//! ```text
//! LAUNCH -> Launching -> Running -> Ended -> REMOVE, or the end of the outermost container
//!               \___________________^
//! ```
//!
//! An executor of task groups runs each task in one. Nobody else is told of them: no task, no resource of the master's
//! depends on them here.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use proto::mesos::slave::ContainerTermination;
use proto::mesos::v1;
use proto::mesos::v1::agent::call::Type;
use proto::mesos::v1::agent::response::{self, Type as Kind};
use proto::mesos::v1::agent::{Call, Response};
use proto::mesos::v1::container_info;
use types::ContainerId;

use crate::agent::Agent;
use crate::effect::{ContainerSpec, Effect, RanBy, Reply, Status};
use crate::environment;
use crate::event::RequestId;
use crate::launch::user;
use crate::recovered::RecoveredContainer;
use crate::step::Step;
use crate::view::NestedView;

/// Ended and running containers below one outermost container. What is checked by a command now and then leaves one
/// behind each time until it is removed.
const BELOW_ROOT_MAX: usize = 10_000;

/// Requests that wait for the end of one container. Past it the oldest is sent away.
const WAITERS_MAX: usize = 64;

const SIGKILL: i32 = 9;

/// The numbers of Linux's signals.
const SIGNALS: RangeInclusive<i32> = 1..=64;

type Environment = Vec<(String, String)>;

/// The containers that were asked for by name, and who waits for containers.
#[derive(Debug, Default)]
pub(crate) struct Nested {
    known: BTreeMap<ContainerId, Inner>,
    waiters: BTreeMap<ContainerId, Vec<Waiter>>,
}

impl Nested {
    /// The networks that a container runs in. None where it is not known, or in the machine's.
    pub(crate) fn networks(&self, container: &v1::ContainerId) -> Option<&[v1::NetworkInfo]> {
        let inner = self.known.get(&ContainerId::from(container))?;
        (!inner.networks.is_empty()).then_some(&inner.networks)
    }
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    /// Its sandbox, an absolute path.
    directory: String,
    user: Option<String>,
    /// What a session in it inherits.
    environment: Environment,
    /// The networks that it is in, where it is not in the machine's.
    networks: Vec<v1::NetworkInfo>,
}

#[derive(Debug)]
enum Phase {
    /// The request waits for the outcome.
    Launching(RequestId),
    Running,
    Ended(ContainerTermination),
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    request: RequestId,
    /// The call of old has an answer of its own.
    by_old_call: bool,
}

/// What is to be launched.
struct Launch {
    id: ContainerId,
    command: v1::CommandInfo,
    container: Option<v1::ContainerInfo>,
    resources: Vec<v1::Resource>,
    limits: BTreeMap<String, v1::value::Scalar>,
    /// Looks into its parent, and shares all of it.
    is_session: bool,
}

/// Where a container is put, and what it takes from the one around it.
struct Around {
    directory: String,
    user: Option<String>,
    environment: Environment,
}

impl Agent {
    #[expect(deprecated, reason = "the calls of old are still served")]
    pub(crate) fn on_container_call(&mut self, request: RequestId, call: Call, step: &mut Step<'_>) {
        let kind = call.r#type();
        match proto::unions::agent(&call) {
            Ok(_) => {}
            Err(why) => {
                let reply = Reply::bad_request(format!("Failed to validate agent::Call: {why}"));
                step.push(Effect::Reply { request, reply });
                return;
            }
        }
        let id =
            |id: Option<&v1::ContainerId>| id.map(ContainerId::from).unwrap_or_else(|| ContainerId::root(""));
        match kind {
            Type::LaunchNestedContainer | Type::LaunchContainer | Type::LaunchNestedContainerSession => {
                if let Some(launch) = Launch::of(call) {
                    self.launch_nested(request, launch, step);
                }
            }
            Type::WaitNestedContainer => {
                let id = id(call.wait_nested_container.as_ref().map(|call| &call.container_id));
                self.wait_for(&id, Waiter { request, by_old_call: true }, step);
            }
            Type::WaitContainer => {
                let id = id(call.wait_container.as_ref().map(|call| &call.container_id));
                self.wait_for(&id, Waiter { request, by_old_call: false }, step);
            }
            Type::KillNestedContainer => {
                let call = call.kill_nested_container.unwrap_or_default();
                self.kill_nested(request, &id(Some(&call.container_id)), call.signal, step);
            }
            Type::KillContainer => {
                let call = call.kill_container.unwrap_or_default();
                self.kill_nested(request, &id(Some(&call.container_id)), call.signal, step);
            }
            Type::RemoveNestedContainer => {
                let id = id(call.remove_nested_container.as_ref().map(|call| &call.container_id));
                self.remove_nested(request, &id, step);
            }
            Type::RemoveContainer => {
                let id = id(call.remove_container.as_ref().map(|call| &call.container_id));
                self.remove_nested(request, &id, step);
            }
            // The shell hands over calls about containers only.
            _ => {
                let reply = Reply { status: Status::NotImplemented, text: String::new() };
                step.push(Effect::Reply { request, reply });
            }
        }
    }

    fn launch_nested(&mut self, request: RequestId, launch: Launch, step: &mut Step<'_>) {
        let around = match self.check_nested(&launch) {
            Ok(around) => around,
            Err(reply) => {
                step.push(Effect::Reply { request, reply });
                return;
            }
        };
        let Launch { id, mut command, container, resources, limits, is_session } = launch;
        let own = command.user.take().filter(|_| self.config.switch_user);
        let user = own.or(around.user);
        let directory = self.sandbox_of(&id, &around.directory);
        let asked = command.environment.take().unwrap_or_default();
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        if is_session {
            environment.extend(around.environment);
        } else {
            environment.insert("MESOS_SANDBOX".to_owned(), directory.clone());
        }
        let given = asked.variables.iter();
        environment
            .extend(given.filter_map(|it| Some((it.name.clone(), types::variable_value(it)?.to_owned()))));
        // Whoever launches it refuses what cannot be resolved, keeps secrets from the disk, and lets an image have a say
        // in what was not asked for.
        command.environment = Some(asked).filter(|asked| !asked.variables.is_empty());
        let environment: Environment = environment.into_iter().collect();
        step.info(format!("Launching container {id} in '{directory}'"));
        step.push(Effect::CreateNestedSandbox { path: directory.clone(), user: user.clone() });
        step.push(Effect::LaunchContainer(Box::new(ContainerSpec {
            container: id.clone(),
            directory: directory.clone(),
            working_directory: is_session.then_some(around.directory),
            user: user.clone(),
            command,
            environment: environment.clone(),
            resources,
            limits,
            container_info: container,
            is_session,
        })));
        let inner =
            Inner { phase: Phase::Launching(request), directory, user, environment, networks: Vec::new() };
        self.nested.known.insert(id, inner);
    }

    /// Why a container is not launched, or where it goes.
    fn check_nested(&self, launch: &Launch) -> Result<Around, Reply> {
        let id = &launch.id;
        match self.nested.known.get(id).map(|inner| &inner.phase) {
            Some(Phase::Launching(_) | Phase::Running) => return Err(Reply::accepted()),
            Some(Phase::Ended(_)) => {
                return Err(Reply::bad_request(format!("Container {id} has already terminated")));
            }
            None => {}
        }
        if self.containers.contains_key(id) {
            return Err(Reply::accepted());
        }
        let info = launch.container.as_ref();
        if info.is_some_and(|info| info.r#type() != container_info::Type::Mesos) {
            return Err(Reply::bad_request("The provided ContainerInfo is not supported"));
        }
        let root = root_of(id);
        let below = self.nested.known.keys().filter(|other| root_of(other) == root).count();
        if below >= BELOW_ROOT_MAX {
            return Err(Reply::bad_request(format!(
                "Container {root} has {below} containers below it already, the limit is {BELOW_ROOT_MAX}: remove \
                 those that have terminated"
            )));
        }
        match id.parent.as_deref() {
            None => Ok(Around {
                directory: format!("{}/containers", self.config.work_dir),
                user: None,
                environment: Vec::new(),
            }),
            Some(parent) => self
                .around(parent)
                .ok_or_else(|| Reply::bad_request(format!("Parent container {parent} does not exist"))),
        }
    }

    /// What containers in this one find around them. None if it does not run.
    fn around(&self, parent: &ContainerId) -> Option<Around> {
        if let Some(inner) = self.nested.known.get(parent) {
            return match inner.phase {
                Phase::Launching(_) | Phase::Running => Some(Around {
                    directory: inner.directory.clone(),
                    user: inner.user.clone(),
                    environment: inner.environment.clone(),
                }),
                Phase::Ended(_) => None,
            };
        }
        let place = self.containers.get(parent)?;
        let framework = self.framework(&place.framework)?;
        let executor = self.executor(place)?;
        let facts = environment::Facts {
            executor: &executor.info,
            agent: self.id.as_str(),
            directory: &executor.directory,
            checkpoint: framework.checkpoints(),
        };
        Some(Around {
            directory: executor.directory.to_string(),
            user: user(self.config.switch_user, &framework.info, &executor.info),
            environment: environment::executor(&self.config, &facts),
        })
    }

    fn sandbox_of(&self, id: &ContainerId, around: &str) -> String {
        match id.parent {
            Some(_) => format!("{around}/containers/{}", id.value),
            None => format!("{around}/{}", id.value),
        }
    }

    fn wait_for(&mut self, id: &ContainerId, waiter: Waiter, step: &mut Step<'_>) {
        match self.nested.known.get(id).map(|inner| &inner.phase) {
            Some(Phase::Ended(termination)) => return answer(waiter, termination, step),
            Some(Phase::Launching(_) | Phase::Running) => {}
            None if self.containers.contains_key(id) => {}
            None => return not_found(waiter, id, step),
        }
        let waiters = self.nested.waiters.entry(id.clone()).or_default();
        if waiters.len() == WAITERS_MAX {
            let oldest = waiters.remove(0);
            let text = format!("More than {WAITERS_MAX} requests wait for container {id}");
            step.push(Effect::Reply { request: oldest.request, reply: Reply::unavailable(text) });
        }
        waiters.push(waiter);
    }

    fn kill_nested(
        &mut self,
        request: RequestId,
        id: &ContainerId,
        signal: Option<i32>,
        step: &mut Step<'_>,
    ) {
        let signal = signal.unwrap_or(SIGKILL);
        if !SIGNALS.contains(&signal) {
            let (first, last) = (SIGNALS.start(), SIGNALS.end());
            let text = format!("{signal} is not a signal: those are {first} to {last}");
            step.push(Effect::Reply { request, reply: Reply::bad_request(text) });
            return;
        }
        let launching = match self.nested.known.get(id).map(|inner| &inner.phase) {
            Some(Phase::Launching(_)) => true,
            Some(Phase::Running) => false,
            None if self.containers.contains_key(id) => false,
            Some(Phase::Ended(_)) | None => {
                let text = format!("Container '{id}' cannot be found (or is already killed)");
                step.push(Effect::Reply { request, reply: Reply { status: Status::NotFound, text } });
                return;
            }
        };
        step.info(format!("Sending signal {signal} to container {id}"));
        let container = id.clone();
        if launching || signal == SIGKILL {
            step.push(Effect::Destroy { container });
        } else {
            step.push(Effect::Signal { container, signal });
        }
        step.push(Effect::Reply { request, reply: Reply::ok() });
    }

    fn remove_nested(&mut self, request: RequestId, id: &ContainerId, step: &mut Step<'_>) {
        let failed = |text: &str, step: &mut Step<'_>| {
            let reply = Reply { status: Status::InternalServerError, text: text.to_owned() };
            step.push(Effect::Reply { request, reply });
        };
        match self.nested.known.get(id).map(|inner| &inner.phase) {
            Some(Phase::Launching(_) | Phase::Running) => {
                failed("Nested container has not terminated yet", step);
            }
            Some(Phase::Ended(_)) => {
                let Some(inner) = self.nested.known.remove(id) else { return };
                // What was in it ended with it.
                for (_, within) in self.nested.known.extract_if(.., |other, _| is_within(other, id)) {
                    self.gc.keep(&within.directory);
                }
                self.gc.keep(&inner.directory);
                let container = id.clone();
                step.push(Effect::RemoveContainer { request, container, directory: inner.directory });
            }
            None if self.containers.contains_key(id) => failed("Container has not terminated yet", step),
            None => {
                let root = root_of(id);
                if self.containers.contains_key(root) || self.nested.known.contains_key(root) {
                    step.push(Effect::Reply { request, reply: Reply::ok() });
                } else {
                    failed("Unknown root container", step);
                }
            }
        }
    }

    /// A container runs that was asked for by name. False if it was not.
    pub(crate) fn nested_launched(
        &mut self,
        id: &ContainerId,
        status: &v1::ContainerStatus,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(inner) = self.nested.known.get_mut(id) else { return false };
        inner.networks.clone_from(&status.network_infos);
        if let Phase::Launching(request) = inner.phase {
            step.push(Effect::Reply { request, reply: Reply::ok() });
            inner.phase = Phase::Running;
        }
        true
    }

    /// A container could not be launched that was asked for by name. False if it was not.
    pub(crate) fn nested_failed(&mut self, id: &ContainerId, message: &str, step: &mut Step<'_>) -> bool {
        let Some(inner) = self.nested.known.get_mut(id) else { return false };
        step.warn(format!("Failed to launch container {id}: {message}"));
        self.counters.container_launch_errors += 1;
        if let Phase::Launching(request) = inner.phase {
            step.push(Effect::Reply { request, reply: Reply::bad_request(message) });
        }
        self.nested_ended(id, ContainerTermination::default(), step)
    }

    /// A container ended that was asked for by name. False if it was not.
    pub(crate) fn nested_ended(
        &mut self,
        id: &ContainerId,
        termination: ContainerTermination,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(inner) = self.nested.known.get_mut(id) else { return false };
        step.info(format!("Container {id} has ended"));
        for waiter in self.nested.waiters.remove(id).unwrap_or_default() {
            answer(waiter, &termination, step);
        }
        inner.phase = Phase::Ended(termination);
        let directory = inner.directory.clone();
        self.collect_nested(directory, step);
        true
    }

    /// Deletes the sandbox of a container that ended after a while, where that is wished. What is known of its end stays.
    fn collect_nested(&mut self, directory: String, step: &Step<'_>) {
        if self.config.gc_non_executor_container_sandboxes {
            self.gc.schedule(directory, step.now.mono + self.config.gc_delay);
        }
    }

    /// An executor's container ended, and with it everything below it.
    pub(crate) fn forget_nested(
        &mut self,
        root: &ContainerId,
        termination: &ContainerTermination,
        step: &mut Step<'_>,
    ) {
        for waiter in self.nested.waiters.remove(root).unwrap_or_default() {
            answer(waiter, termination, step);
        }
        let below: Vec<ContainerId> =
            self.nested.known.keys().filter(|id| is_within(id, root)).cloned().collect();
        for id in below {
            for waiter in self.nested.waiters.remove(&id).unwrap_or_default() {
                not_found(waiter, &id, step);
            }
            let Some(inner) = self.nested.known.remove(&id) else { continue };
            match inner.phase {
                Phase::Launching(request) => {
                    let text = format!("Parent container {root} does not exist");
                    step.push(Effect::Reply { request, reply: Reply::bad_request(text) });
                    step.push(Effect::Destroy { container: id });
                }
                // It was adopted when the other one was on its way out.
                Phase::Running => step.push(Effect::Destroy { container: id }),
                Phase::Ended(_) => {}
            }
        }
    }

    /// Takes up what an earlier agent was asked for: below executors that may still live, or standing alone.
    pub(crate) fn recover_nested(&mut self, found: Vec<RecoveredContainer>, step: &mut Step<'_>) {
        let roots: Vec<ContainerId> =
            found.iter().map(|it| it.container.clone()).filter(|id| id.parent.is_none()).collect();
        for container in found {
            let RecoveredContainer { container: id, directory, user, environment, pid, ended, is_session } =
                container;
            let root = root_of(&id);
            if !self.containers.contains_key(root) && !roots.contains(root) {
                continue;
            }
            let phase = match ended {
                Some(termination) => {
                    self.collect_nested(directory.clone(), step);
                    Phase::Ended(termination)
                }
                None => {
                    let directory = directory.clone();
                    step.push(Effect::Adopt { container: id.clone(), pid, directory, ran_by: RanBy::Mesos });
                    if is_session {
                        // Who opened it was connected to the agent that died.
                        step.push(Effect::Destroy { container: id.clone() });
                    }
                    Phase::Running
                }
            };
            let inner = Inner { phase, directory, user, environment, networks: Vec::new() };
            self.nested.known.insert(id, inner);
        }
    }

    /// What readers may see of them: those that have not ended.
    pub(crate) fn nested_view(&self) -> Vec<NestedView> {
        let live = self.nested.known.iter().filter(|(_, inner)| !matches!(inner.phase, Phase::Ended(_)));
        live.map(|(id, _)| {
            let place = self.containers.get(root_of(id));
            NestedView {
                container: id.clone(),
                executor: place.map(|place| (place.framework.clone(), place.executor.clone())),
            }
        })
        .collect()
    }

    pub(crate) fn assert_nested(&self) {
        for (id, inner) in &self.nested.known {
            let root = root_of(id);
            let there = self.containers.contains_key(root) || self.nested.known.contains_key(root);
            assert!(there, "{id} is below something");
            assert!(inner.directory.ends_with(&*id.value), "{id} has a sandbox of its own");
            let ended = matches!(inner.phase, Phase::Ended(_));
            assert!(
                !ended || !self.nested.waiters.contains_key(id),
                "nobody waits for the end of what ended"
            );
        }
        for (id, waiters) in &self.nested.waiters {
            assert!(waiters.len() <= WAITERS_MAX);
            let there = self.containers.contains_key(id) || self.nested.known.contains_key(id);
            assert!(there, "{id} is waited for and is not there");
        }
    }
}

impl Launch {
    #[expect(deprecated, reason = "the calls of old are still served")]
    fn of(call: Call) -> Option<Self> {
        let plain = |id: &v1::ContainerId, command: Option<v1::CommandInfo>, container, is_session| Self {
            id: id.into(),
            command: command.unwrap_or_default(),
            container,
            resources: Vec::new(),
            limits: BTreeMap::new(),
            is_session,
        };
        if let Some(call) = call.launch_container {
            let launch = plain(&call.container_id, call.command, call.container, false);
            let limits = call.limits.into_iter().collect();
            return Some(Self { resources: call.resources, limits, ..launch });
        }
        if let Some(call) = call.launch_nested_container {
            return Some(plain(&call.container_id, call.command, call.container, false));
        }
        let call = call.launch_nested_container_session?;
        Some(plain(&call.container_id, call.command, call.container, true))
    }
}

/// The outermost container around this one, which may be itself.
pub(crate) fn root_of(id: &ContainerId) -> &ContainerId {
    let mut id = id;
    while let Some(parent) = id.parent.as_deref() {
        id = parent;
    }
    id
}

/// Whether a container is somewhere below another one.
fn is_within(id: &ContainerId, other: &ContainerId) -> bool {
    let mut above = id.parent.as_deref();
    while let Some(id) = above {
        if id == other {
            return true;
        }
        above = id.parent.as_deref();
    }
    false
}

fn not_found(waiter: Waiter, id: &ContainerId, step: &mut Step<'_>) {
    let text = format!("Container {id} cannot be found");
    step.push(Effect::Reply { request: waiter.request, reply: Reply { status: Status::NotFound, text } });
}

#[expect(deprecated, reason = "the calls of old have their own answers")]
fn answer(waiter: Waiter, termination: &ContainerTermination, step: &mut Step<'_>) {
    let resources = termination.limited_resources.clone();
    let limitation = (!resources.is_empty()).then_some(v1::TaskResourceLimitation { resources });
    let response = if waiter.by_old_call {
        Response {
            r#type: Some(Kind::WaitNestedContainer.into()),
            wait_nested_container: Some(response::WaitNestedContainer {
                exit_status: termination.status,
                state: termination.state,
                reason: termination.reason,
                limitation,
                message: termination.message.clone(),
            }),
            ..Response::default()
        }
    } else {
        Response {
            r#type: Some(Kind::WaitContainer.into()),
            wait_container: Some(response::WaitContainer {
                exit_status: termination.status,
                state: termination.state,
                reason: termination.reason,
                limitation,
                message: termination.message.clone(),
            }),
            ..Response::default()
        }
    };
    step.push(Effect::Answer { request: waiter.request, answer: Box::new(response) });
}
