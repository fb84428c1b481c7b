//! The world: a clock, a network that loses, disks, containerizers, and who lives in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_core as agent;
use bytes::Bytes;
use machine::{Instant, Machine, Now, Rng, WallTime};
use master_core as master;
use master_core::registry::{Outcome, State};
use proto::mesos::v1;
use types::{ContainerId, Pid, Uuid};

use crate::executor::{Act, Executor};
use crate::framework::{Framework, is_terminal};

const STREAM: master::StreamId = master::StreamId(1);

/// What goes wrong until the world is healed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Messages between master and agents that are lost, in a thousand. The link breaks with each.
    pub(crate) lost_permille: u64,
    /// Executors that die, over two minutes.
    pub(crate) executor_deaths: u64,
    /// Agents that die and come back, over two minutes.
    pub(crate) agent_deaths: u64,
}

/// What happens at an instant.
enum Due {
    ToMaster { from: Pid, to: Arc<str>, name: &'static str, body: Bytes },
    ToAgent { to: Pid, from: Pid, name: &'static str, body: Bytes },
    MasterLost(Pid),
    AgentEvent { host: usize, life: u32, event: Box<agent::Event> },
    Executor { host: usize, container: ContainerId, act: Act },
    Subscribe { host: usize, container: ContainerId },
    Framework(Vec<v1::scheduler::Call>),
    Reconcile,
    KillExecutor,
    KillAgent,
    StartAgent(usize),
}

/// A machine with an agent on it.
struct Host {
    pid: Pid,
    core: Option<agent::Agent>,
    /// Counts the agent's starts; what was meant for an earlier one is void.
    life: u32,
    disk: BTreeMap<String, agent::Entry>,
    containers: BTreeMap<ContainerId, Executor>,
    streams: BTreeMap<agent::StreamId, ContainerId>,
}

pub(crate) struct World {
    seed: u64,
    now: Instant,
    due: BTreeMap<(Instant, u64), Due>,
    sequence: u64,
    rng: Rng,
    faults: Faults,
    master: master::Master,
    master_pid: Pid,
    registry: State,
    hosts: Vec<Host>,
    framework: Framework,
    numbers: u64,
}

impl World {
    pub(crate) fn new(seed: u64, hosts: usize, tasks: usize, faults: Faults) -> Self {
        let master_pid: Pid = "master@127.0.0.1:5050".parse().unwrap();
        let info = v1::MasterInfo {
            id: "M".to_owned(),
            ip: 0x0100_007f,
            port: 5050,
            pid: Some(master_pid.to_string()),
            ..Default::default()
        };
        let mut config = master::Config::new(info);
        config.seed = seed;
        let mut world = Self {
            seed,
            now: Instant::ZERO,
            due: BTreeMap::new(),
            sequence: 0,
            rng: Rng::new(seed ^ 0x5eed),
            faults,
            master: master::Master::new(config),
            master_pid,
            registry: State::default(),
            hosts: Vec::new(),
            framework: Framework::new(tasks),
            numbers: 1,
        };
        for number in 0..hosts {
            world.hosts.push(Host {
                pid: format!("slave(1)@127.0.0.{}:5051", number + 2).parse().unwrap(),
                core: None,
                life: 0,
                disk: BTreeMap::new(),
                containers: BTreeMap::new(),
                streams: BTreeMap::new(),
            });
            world.at(Duration::ZERO, Due::StartAgent(number));
        }
        world.master_event(master::Event::Elected);
        world.master_event(master::Event::Recovered(Box::default()));
        world.master_event(master::Event::Subscribe {
            stream: STREAM,
            uuid: Uuid::random(&mut Rng::new(seed)),
            principal: None,
            call: Box::new(Framework::subscribe()),
        });
        world.at(Duration::from_secs(30), Due::Reconcile);
        for _ in 0..faults.executor_deaths {
            let when = Duration::from_millis(world.rng.below(120_000));
            world.at(when, Due::KillExecutor);
        }
        for _ in 0..faults.agent_deaths {
            let when = Duration::from_millis(world.rng.below(120_000));
            world.at(when, Due::KillAgent);
        }
        world
    }

    pub(crate) fn heal(&mut self) {
        self.faults = Faults::default();
    }

    pub(crate) fn finished(&self) -> usize {
        self.framework.tasks.values().filter(|state| **state == Some(v1::TaskState::TaskFinished)).count()
    }

    /// After everything is over.
    pub(crate) fn check(&self) {
        let seed = self.seed;
        let unfinished: Vec<_> =
            self.framework.tasks.iter().filter(|(_, state)| !state.is_some_and(is_terminal)).collect();
        assert!(unfinished.is_empty(), "seed {seed}: these tasks have no end: {unfinished:?}");
        for host in &self.hosts {
            let view = host.core.as_ref().unwrap().view();
            assert!(view.registered(), "seed {seed}: {} is not back", host.pid);
            assert!(view.frameworks.is_empty(), "seed {seed}: left on {}: {:#?}", host.pid, view.frameworks);
            assert!(host.containers.is_empty(), "seed {seed}: a container is left on {}", host.pid);
        }
        let view = self.master.view();
        for framework in &view.frameworks {
            assert!(framework.tasks.is_empty(), "seed {seed}: the master still has {:?}", framework.tasks);
        }
        for agent in &view.agents {
            assert!(agent.used.values().all(resources_empty), "seed {seed}: {:?} in use", agent.used);
        }
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let cores = self.hosts.iter().filter_map(|host| host.core.as_ref()?.poll_timeout());
            let next = cores
                .chain(self.master.poll_timeout())
                .chain(self.due.first_key_value().map(|((at, _), _)| *at))
                .min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            while let Some(entry) = self.due.first_entry()
                && entry.key().0 <= self.now
            {
                let due = entry.remove();
                self.happen(due);
            }
            self.timeouts();
        }
        self.now = end;
    }

    fn timeouts(&mut self) {
        let now = self.time();
        if self.master.poll_timeout().is_some_and(|at| at <= self.now) {
            let mut fx = Vec::new();
            self.master.handle_timeout(now, &mut fx);
            self.master.assert_invariants();
            self.master_effects(fx);
        }
        for host in 0..self.hosts.len() {
            let mut fx = Vec::new();
            if let Some(core) = &mut self.hosts[host].core
                && core.poll_timeout().is_some_and(|at| at <= self.now)
            {
                core.handle_timeout(now, &mut fx);
                core.assert_invariants();
            }
            self.agent_effects(host, fx);
        }
    }

    fn time(&self) -> Now {
        let nanos = i64::try_from(self.now.as_nanos()).unwrap();
        Now { mono: self.now, wall: WallTime::from_nanos(1_700_000_000_000_000_000 + nanos) }
    }

    fn at(&mut self, wait: Duration, due: Due) {
        self.sequence += 1;
        self.due.insert((self.now + wait, self.sequence), due);
    }

    /// All messages take the same time, so that none overtakes another.
    fn travel(&mut self, due: Due) {
        self.at(Duration::from_millis(1), due);
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn host_of(&self, pid: &Pid) -> Option<usize> {
        self.hosts.iter().position(|host| host.pid.address == pid.address)
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::ToMaster { from, to, name, body } => {
                let message = master::Message::decode(name, &body).unwrap();
                self.master_event(master::Event::Message { from, to, message });
            }
            Due::ToAgent { to, from, name, body } => {
                let host = self.host_of(&to).unwrap();
                if self.hosts[host].core.is_none() {
                    self.travel(Due::MasterLost(to));
                    return;
                }
                let message = agent::Message::decode(name, &body).unwrap();
                self.agent_event(host, agent::Event::Message { from, message });
            }
            Due::MasterLost(pid) => self.master_event(master::Event::Exited(pid.address)),
            Due::AgentEvent { host, life, event } => {
                if self.hosts[host].life == life {
                    self.agent_event(host, *event);
                }
            }
            Due::Executor { host, container, act } => self.act(host, container, act),
            Due::Subscribe { host, container } => self.subscribe(host, container),
            Due::Framework(calls) => calls.into_iter().for_each(|call| self.framework_call(call)),
            Due::Reconcile => {
                let call = self.framework.reconcile();
                self.framework_call(call);
                self.at(Duration::from_secs(30), Due::Reconcile);
            }
            Due::KillExecutor => self.kill_executor(),
            Due::KillAgent => self.kill_agent(),
            Due::StartAgent(host) => self.start_agent(host),
        }
    }

    fn master_event(&mut self, event: master::Event) {
        let mut fx = Vec::new();
        self.master.handle_event(self.time(), event, &mut fx);
        self.master.assert_invariants();
        self.master_effects(fx);
    }

    fn master_effects(&mut self, fx: Vec<master::Effect>) {
        for effect in fx {
            match effect {
                master::Effect::Send { from, to, message } => {
                    let from = Pid::new(from.to_string(), self.master_pid.address);
                    if self.is_lost() {
                        self.travel(Due::MasterLost(to));
                    } else {
                        let (name, body) = (message.name(), message.encode());
                        self.travel(Due::ToAgent { to, from, name, body });
                    }
                }
                master::Effect::SchedulerEvent { event, .. } => {
                    let calls = self.framework.on_event(*event);
                    self.travel(Due::Framework(calls));
                }
                master::Effect::Registry { ticket, operation } => {
                    let changed = self.registry.apply(&operation);
                    let outcome = Outcome::Applied { changed };
                    self.master_event(master::Event::RegistryApplied { ticket, outcome });
                }
                master::Effect::Reply { reply, .. } => {
                    assert!(reply.status.code() < 300, "seed {}: {reply:?}", self.seed);
                }
                master::Effect::Close { .. } | master::Effect::Abort(_) => {
                    panic!("seed {}: {effect:?}", self.seed)
                }
                _ => {}
            }
        }
    }

    fn framework_call(&mut self, call: v1::scheduler::Call) {
        let request = master::RequestId(self.number());
        let stream_id = Some(Uuid::random(&mut Rng::new(self.seed)).to_string());
        self.master_event(master::Event::SchedulerCall {
            request,
            stream_id,
            principal: None,
            call: Box::new(call),
        });
    }

    fn is_lost(&mut self) -> bool {
        self.rng.below(1000) < self.faults.lost_permille
    }

    fn agent_event(&mut self, host: usize, event: agent::Event) {
        let now = self.time();
        let Some(core) = &mut self.hosts[host].core else { return };
        let mut fx = Vec::new();
        core.handle_event(now, event, &mut fx);
        core.assert_invariants();
        self.agent_effects(host, fx);
    }

    fn later(&mut self, host: usize, longest_ms: u64, event: agent::Event) {
        let wait = Duration::from_millis(1 + self.rng.below(longest_ms));
        let life = self.hosts[host].life;
        self.at(wait, Due::AgentEvent { host, life, event: Box::new(event) });
    }

    fn agent_effects(&mut self, host: usize, fx: Vec<agent::Effect>) {
        for effect in fx {
            match effect {
                agent::Effect::Send { to, message } => {
                    let from = self.hosts[host].pid.clone();
                    if self.is_lost() {
                        self.later(host, 1, agent::Event::Exited(to.address));
                        self.travel(Due::MasterLost(from));
                    } else {
                        let (name, body) = (message.name(), message.encode());
                        self.travel(Due::ToMaster { from, to: to.id, name, body });
                    }
                }
                agent::Effect::Redetect => {
                    let master = self.detected();
                    self.later(host, 10, master);
                }
                agent::Effect::Checkpoint(record) => write(&mut self.hosts[host].disk, &record),
                agent::Effect::Launch(spec) => {
                    let agent = self.hosts[host].core.as_ref().unwrap().view().info.id.clone().unwrap();
                    let executor =
                        Executor::new(spec.framework.as_str(), spec.executor.as_str(), &agent.value);
                    let container = spec.container;
                    self.hosts[host].containers.insert(container.clone(), executor);
                    self.later(
                        host,
                        200,
                        agent::Event::ContainerLaunched {
                            container: container.clone(),
                            status: Box::default(),
                        },
                    );
                    self.at(Duration::from_millis(300), Due::Subscribe { host, container });
                }
                agent::Effect::Adopt { container, .. } => {
                    if self.hosts[host].containers.contains_key(&container) {
                        self.later(
                            host,
                            5,
                            agent::Event::ContainerLaunched { container, status: Box::default() },
                        );
                    } else {
                        self.later(host, 5, exited(container));
                    }
                }
                agent::Effect::Destroy { container } => self.end(host, &container),
                agent::Effect::ExecutorEvent { stream, event } => {
                    let Some(container) = self.hosts[host].streams.get(&stream).cloned() else { continue };
                    let Some(executor) = self.hosts[host].containers.get_mut(&container) else { continue };
                    let acts = executor.on_event(*event, &mut self.rng);
                    self.plan(host, &container, acts);
                }
                agent::Effect::CloseStream { stream } => drop(self.hosts[host].streams.remove(&stream)),
                agent::Effect::RefuseStream { stream, .. } => {
                    // An executor that nobody knows ends itself.
                    if let Some(container) = self.hosts[host].streams.remove(&stream) {
                        self.end(host, &container);
                    }
                }
                agent::Effect::Exit { .. } => panic!("seed {}: {effect:?}", self.seed),
                _ => {}
            }
        }
    }

    fn plan(&mut self, host: usize, container: &ContainerId, acts: Vec<(Duration, Act)>) {
        for (wait, act) in acts {
            self.at(wait, Due::Executor { host, container: container.clone(), act });
        }
    }

    fn act(&mut self, host: usize, container: ContainerId, act: Act) {
        let Some(executor) = self.hosts[host].containers.get_mut(&container) else { return };
        match act {
            Act::Call(call) => {
                let request = agent::RequestId(self.number());
                self.agent_event(host, agent::Event::ExecutorCall { request, call });
            }
            Act::Next(task) => {
                let acts = executor.on_next(&task, &mut self.rng);
                self.plan(host, &container, acts);
            }
            Act::Exit => self.end(host, &container),
        }
    }

    fn subscribe(&mut self, host: usize, container: ContainerId) {
        let Some(executor) = self.hosts[host].containers.get(&container) else { return };
        if self.hosts[host].core.is_none() {
            self.at(Duration::from_millis(500), Due::Subscribe { host, container });
            return;
        }
        let call = Box::new(executor.subscribe());
        let stream = agent::StreamId(self.number());
        self.hosts[host].streams.insert(stream, container);
        self.agent_event(host, agent::Event::ExecutorSubscribe { stream, call });
    }

    /// A container's processes are gone.
    fn end(&mut self, host: usize, container: &ContainerId) {
        if self.hosts[host].containers.remove(container).is_some() {
            self.later(host, 20, exited(container.clone()));
        }
    }

    fn kill_executor(&mut self) {
        let host = usize::try_from(self.rng.below(u64::try_from(self.hosts.len()).unwrap())).unwrap();
        let containers: Vec<_> = self.hosts[host].containers.keys().cloned().collect();
        if !containers.is_empty() {
            let at = self.rng.below(u64::try_from(containers.len()).unwrap());
            self.end(host, &containers[usize::try_from(at).unwrap()]);
        }
    }

    fn kill_agent(&mut self) {
        let host = usize::try_from(self.rng.below(u64::try_from(self.hosts.len()).unwrap())).unwrap();
        if self.hosts[host].core.take().is_none() {
            return;
        }
        self.hosts[host].life += 1;
        self.hosts[host].streams.clear();
        let pid = self.hosts[host].pid.clone();
        self.travel(Due::MasterLost(pid));
        let down = Duration::from_millis(100 + self.rng.below(3000));
        self.at(down, Due::StartAgent(host));
    }

    fn start_agent(&mut self, host: usize) {
        let info = v1::AgentInfo {
            hostname: format!("host{host}"),
            port: Some(5051),
            resources: resources::Resources::parse("cpus:4;mem:4096", "*").unwrap().to_protos(),
            ..Default::default()
        };
        let place = &mut self.hosts[host];
        let mut config = agent::Config::new(info, place.pid.clone(), "/w");
        config.seed =
            self.seed.wrapping_mul(1000) + u64::from(place.life) * 10 + u64::try_from(host).unwrap();
        config.command_executor = Some("/mesos-executor".to_owned());
        place.core = Some(agent::Agent::new(config));
        let recovered = recovered(&place.disk);
        let containers: Vec<_> = place.containers.keys().cloned().collect();
        self.agent_event(host, agent::Event::Recovered(Box::new(recovered)));
        for container in containers {
            self.at(Duration::from_millis(100), Due::Subscribe { host, container });
        }
        let master = self.detected();
        self.agent_event(host, master);
    }

    fn detected(&self) -> agent::Event {
        let pid = self.master_pid.clone();
        agent::Event::MasterDetected(Some(Box::new(agent::Master { pid, info: v1::MasterInfo::default() })))
    }
}

fn exited(container: ContainerId) -> agent::Event {
    agent::Event::ContainerExited { container, termination: Box::default() }
}

fn resources_empty(resources: &resources::Resources) -> bool {
    resources.is_empty()
}

fn write(disk: &mut BTreeMap<String, agent::Entry>, record: &agent::Record) {
    let path = record.path("");
    match record.write("") {
        agent::Write::Replace(bytes) => drop(disk.insert(path, agent::Entry::File(bytes.to_vec()))),
        agent::Write::Append(bytes) => {
            let entry = disk.entry(path).or_insert_with(|| agent::Entry::File(Vec::new()));
            let agent::Entry::File(file) = entry else { panic!("a link is no log") };
            file.extend_from_slice(&bytes);
        }
        agent::Write::Touch => drop(disk.insert(path, agent::Entry::File(Vec::new()))),
        agent::Write::Link { target } => drop(disk.insert(path, agent::Entry::Link(target))),
        agent::Write::Remove => drop(disk.remove(&path)),
        agent::Write::RemoveDirectory => disk.retain(|name, _| !name.starts_with(&format!("{path}/"))),
        agent::Write::Rename { from } => {
            let entry = disk.remove(&from).expect("what is renamed was written");
            disk.insert(path, entry);
        }
    }
}

fn recovered(disk: &BTreeMap<String, agent::Entry>) -> agent::Recovered {
    let below = match disk.get("/meta/slaves/latest") {
        Some(agent::Entry::Link(latest)) => Some(format!("{latest}/")),
        Some(agent::Entry::File(_)) | None => None,
    };
    let files = disk.iter().filter_map(|(path, entry)| {
        let own = below.as_ref().and_then(|below| path.strip_prefix(below));
        let resources = path.strip_prefix("/meta/").filter(|name| name.starts_with("resources/"));
        Some((own.or(resources)?.to_owned(), entry.clone()))
    });
    agent::Recovered::from_files(&files.collect(), false)
}
