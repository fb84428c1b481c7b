//! An agent's machine: its disk, its containers, and the agent's process, the real core driven as the shell drives it.
//!
//! Effects are carried out one after the other; the process, or the whole machine, may die between any two.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use agent_core::{Agent, Config, Effect, Event, Master, Record, RequestId, StreamId};
use machine::Machine as _;
use proto::mesos::slave::ContainerTermination;
use proto::mesos::v1;
use types::{ContainerId, Pid};

use crate::container::{Container, ContainerEvent};
use crate::disk::{Disk, WORK_DIR};
use crate::master::Flow;
use crate::network::{Lane, Packet, Path};
use crate::node::{Clock, MILLI, Nanos, Node, SECOND};
use crate::world::{Happening, World};

/// An agent's machine.
#[derive(Default)]
pub(crate) struct AgentHost {
    pub(crate) incarnation: u64,
    pub(crate) up: bool,
    pub(crate) rebooted: bool,
    /// Whether an agent has recovered in this boot.
    pub(crate) boot_noted: bool,
    pub(crate) process: Option<AgentProcess>,
    pub(crate) disk: Disk,
    pub(crate) containers: BTreeMap<String, Container>,
    /// Names of updates that the agent has taken, as its disk says.
    pub(crate) taken: BTreeSet<Vec<u8>>,
    /// Names of those whose acknowledgement it has.
    pub(crate) acknowledged: BTreeSet<Vec<u8>>,
}

/// How an agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Process,
    Machine,
}

/// An agent that runs.
pub(crate) struct AgentProcess {
    pub(crate) core: Agent,
    pub(crate) clock: Clock,
    queue: VecDeque<Event>,
    follow_ups: VecDeque<Event>,
    pub(crate) wake: Option<Nanos>,
    /// Who leads, as far as its detector knows.
    pub(crate) leader: Option<v1::MasterInfo>,
    pub(crate) dies: Option<(u64, Death, Nanos)>,
    /// Calls that wait for their reply.
    pub(crate) requests: BTreeSet<RequestId>,
    /// Whose executors' streams these are.
    pub(crate) streams: BTreeMap<StreamId, String>,
    /// Records that a broken build writes only later.
    late: Vec<Record>,
}

impl World {
    /// An agent's process begins, on a machine that may have to be switched on first.
    pub(crate) fn start_agent(&mut self, agent: usize) {
        let now = self.now;
        let node = Node::Agent(agent);
        if self.agents[agent].process.is_some() {
            return;
        }
        let clock = Clock { began: now, drift_ppm: self.drift(node), wall_off_nanos: self.wall_off(node) };
        let mut config = Config::new(agent_info(agent), Pid::new("slave(1)", node.address()), WORK_DIR);
        config.seed = self.draw();
        config.command_executor = Some("/usr/libexec/mesos/mesos-executor".to_owned());
        config.switch_user = false;
        let host = &mut self.agents[agent];
        host.up = true;
        host.incarnation += 1;
        let mut found = host.disk.recover(host.rebooted);
        found.boot = (!host.boot_noted).then(|| "boot".to_owned());
        if let Some(error) = found.errors.first() {
            let error = error.clone();
            self.violate("recovery", format!("{node} cannot read what it wrote: {error}"));
        }
        let known: BTreeSet<String> = found.containers().map(|id| id.value.to_string()).collect();
        let orphans: Vec<String> =
            self.agents[agent].containers.keys().filter(|id| !known.contains(*id)).cloned().collect();
        for id in orphans {
            self.agents[agent].containers.remove(&id);
        }
        let process = AgentProcess {
            core: Agent::new(config),
            clock,
            queue: VecDeque::from([Event::Recovered(Box::new(found))]),
            follow_ups: VecDeque::new(),
            wake: None,
            leader: None,
            dies: None,
            requests: BTreeSet::new(),
            streams: BTreeMap::new(),
            late: Vec::new(),
        };
        self.agents[agent].process = Some(process);
        self.wake_agent_at(agent, now + MILLI);
        self.look_for_leader(node);
    }

    /// Hands an event to an agent that runs.
    pub(crate) fn tell_agent(&mut self, agent: usize, event: Event) {
        let at = self.now + self.pause(MILLI / 2);
        let Some(process) = self.agents[agent].process.as_mut() else { return };
        process.queue.push_back(event);
        self.wake_agent_at(agent, at);
    }

    fn wake_agent_at(&mut self, agent: usize, at: Nanos) {
        let host = &mut self.agents[agent];
        let incarnation = host.incarnation;
        let Some(process) = host.process.as_mut() else { return };
        if process.wake.is_none_or(|wake| at < wake) {
            process.wake = Some(at);
            self.schedule(at, Happening::AgentWake { agent, incarnation });
        }
    }

    /// One round of the core's task.
    pub(crate) fn on_agent_wake(&mut self, agent: usize, incarnation: u64) {
        let now = self.now;
        let host = &mut self.agents[agent];
        let Some(process) = host.process.as_mut().filter(|process| process.wake == Some(now)) else { return };
        if host.incarnation != incarnation {
            return;
        }
        process.wake = None;
        if self.agent_round(agent) == Flow::Dead {
            return;
        }
        self.after_agent(agent);
        let Some(process) = self.agents[agent].process.as_mut() else { return };
        let late = std::mem::take(&mut process.late);
        if let Some(due) = process.core.poll_timeout() {
            let at = process.clock.reaches(due).max(now + 1);
            self.wake_agent_at(agent, at);
        }
        for record in late {
            self.checkpoint(agent, &record);
        }
    }

    fn agent_round(&mut self, agent: usize) -> Flow {
        let Some(process) = self.agents[agent].process.as_mut() else { return Flow::Dead };
        for event in std::mem::take(&mut process.queue) {
            if self.step_agent(agent, event) == Flow::Dead {
                return Flow::Dead;
            }
        }
        let now = self.now;
        let Some(process) = self.agents[agent].process.as_mut() else { return Flow::Dead };
        let time = process.clock.now(now);
        if process.core.poll_timeout().is_some_and(|due| due <= time.mono) {
            let mut effects = Vec::new();
            process.core.handle_timeout(time, &mut effects);
            if self.carry_out_agent(agent, effects) == Flow::Dead {
                return Flow::Dead;
            }
            return self.follow_up_agent(agent);
        }
        Flow::Continue
    }

    fn step_agent(&mut self, agent: usize, event: Event) -> Flow {
        let now = self.now;
        let Some(process) = self.agents[agent].process.as_mut() else { return Flow::Dead };
        if let Event::StreamClosed(stream) = &event {
            process.streams.remove(stream);
        }
        let mut effects = Vec::new();
        process.core.handle_event(process.clock.now(now), event, &mut effects);
        if self.carry_out_agent(agent, effects) == Flow::Dead {
            return Flow::Dead;
        }
        self.follow_up_agent(agent)
    }

    fn follow_up_agent(&mut self, agent: usize) -> Flow {
        let Some(process) = self.agents[agent].process.as_mut() else { return Flow::Dead };
        match process.follow_ups.pop_front() {
            Some(event) => self.step_agent(agent, event),
            None => Flow::Continue,
        }
    }

    /// Runs the effects of one step, in their order.
    fn carry_out_agent(&mut self, agent: usize, effects: Vec<Effect>) -> Flow {
        for effect in effects {
            if let Some((death, down)) = self.agent_dies_here(agent) {
                self.kill_agent(agent, death, down);
                return Flow::Dead;
            }
            self.note_agent(agent, &effect);
            if let Effect::Exit { message, .. } = &effect {
                self.journal.note(Node::Agent(agent), "exits", &[], || message.clone());
                let down = SECOND + self.pause(3 * SECOND);
                self.kill_agent(agent, Death::Process, down);
                return Flow::Dead;
            }
            self.carry_out_agent_one(agent, effect);
        }
        Flow::Continue
    }

    fn agent_dies_here(&mut self, agent: usize) -> Option<(Death, Nanos)> {
        let process = self.agents[agent].process.as_mut()?;
        let (left, death, down) = process.dies.as_mut()?;
        if *left == 0 {
            return Some((*death, *down));
        }
        *left -= 1;
        None
    }

    fn carry_out_agent_one(&mut self, agent: usize, effect: Effect) {
        let node = Node::Agent(agent);
        let Some(process) = self.agents[agent].process.as_mut() else { return };
        match effect {
            Effect::Checkpoint(record) => {
                if self.breakage.acknowledges_early && matches!(record, Record::TaskUpdate(..)) {
                    return process.late.push(record);
                }
                self.checkpoint(agent, &record);
            }
            Effect::Send { to, message } => {
                let Some(peer) = Node::at(to.address) else { return };
                self.observe_agent_message(agent, &message);
                let from = Pid::new("slave(1)", node.address());
                let packet =
                    Packet::Message { from, to: to.id.clone(), name: message.name(), body: message.encode() };
                self.transmit(Path { from: node, to: peer, lane: Lane::Messages }, packet);
            }
            Effect::Link { pid, reconnect } => self.link(node, &pid, reconnect),
            Effect::Redetect => {
                let leader = process.leader.as_ref().and_then(described);
                process.follow_ups.push_back(Event::MasterDetected(leader));
            }
            Effect::Reply { request, reply } => {
                // Whoever is refused does nothing: sent again it would be refused again.
                if !process.requests.remove(&request) {
                    self.violate("replies", format!("{node} answers {request:?} again: {reply:?}"));
                }
            }
            Effect::OpenStream { stream } => self.executor_hears(agent, stream, ContainerEvent::Opened),
            Effect::RefuseStream { stream, reply } => {
                self.executor_hears(agent, stream, ContainerEvent::Refused(reply.text));
            }
            Effect::ExecutorEvent { stream, event } => {
                let container = process.streams.get(&stream).cloned().unwrap_or_default();
                self.observe_executor_told(agent, &container, &event);
                if self.breakage.launches_twice && event.launch.is_some() {
                    self.executor_hears(agent, stream, ContainerEvent::Told(event.clone()));
                }
                self.executor_hears(agent, stream, ContainerEvent::Told(event));
            }
            Effect::CloseStream { stream } => {
                self.executor_hears(agent, stream, ContainerEvent::StreamEnded);
                if let Some(process) = self.agents[agent].process.as_mut() {
                    process.streams.remove(&stream);
                }
            }
            Effect::Launch(spec) => self.launch_container(agent, &spec),
            Effect::Adopt { container, pid, .. } => self.adopt_container(agent, &container, pid),
            Effect::Destroy { container } => self.destroy_container(agent, &container),
            Effect::RemovePath { path } => self.agents[agent].disk.remove_path(&path),
            Effect::LaunchContainer(spec) => {
                let message = "the simulation launches no containers by name".to_owned();
                process
                    .follow_ups
                    .push_back(Event::ContainerFailed { container: spec.container.clone(), message });
            }
            Effect::Answer { .. }
            | Effect::Signal { .. }
            | Effect::RemoveContainer { .. }
            | Effect::SyncVolumes { .. }
            | Effect::CreateSandbox(_)
            | Effect::AttachSandbox(_)
            | Effect::CreateNestedSandbox { .. }
            | Effect::UpdateContainer { .. }
            | Effect::Log { .. }
            | Effect::Exit { .. } => {}
        }
    }

    fn checkpoint(&mut self, agent: usize, record: &Record) {
        let host = &mut self.agents[agent];
        if let Record::TaskUpdate(_, _, update) = record {
            match (&update.update, &update.uuid) {
                (Some(update), _) => host.taken.extend(update.status.uuid.as_ref().map(|uuid| uuid.to_vec())),
                (None, Some(uuid)) => {
                    host.acknowledged.insert(uuid.to_vec());
                    if self.breakage.forgets_acknowledgements {
                        return;
                    }
                }
                (None, None) => {}
            }
        }
        if matches!(record, Record::BootId(_)) {
            (host.rebooted, host.boot_noted) = (false, true);
        }
        host.disk.write(record);
    }

    /// An agent's process is over, or its whole machine.
    pub(crate) fn kill_agent(&mut self, agent: usize, death: Death, down: Nanos) {
        let node = Node::Agent(agent);
        let what = match death {
            Death::Process => "dies",
            Death::Machine => "loses its power",
        };
        self.journal.note(node, what, &[], String::new);
        let host = &mut self.agents[agent];
        if host.process.take().is_none() && death == Death::Process {
            return;
        }
        match death {
            Death::Process => self.agent_left_containers(agent),
            Death::Machine => {
                let mut rng = machine::Rng::new(self.draw());
                let host = &mut self.agents[agent];
                host.up = false;
                (host.rebooted, host.boot_noted) = (true, false);
                host.disk.lose_power(&mut rng);
                (host.taken, host.acknowledged) = host.disk.updates();
                let gone = std::mem::take(&mut host.containers);
                for container in gone.into_values() {
                    self.oracle.once.container_gone(&container.tasks_started());
                }
            }
        }
        self.drop_wires_of(node);
        let at = self.now + down;
        self.schedule(at, Happening::AgentStart(agent));
    }

    /// An agent's detector tells.
    pub(crate) fn agent_detects(&mut self, agent: usize, leader: Option<v1::MasterInfo>) {
        let Some(process) = self.agents[agent].process.as_mut() else { return };
        if process.leader == leader {
            return;
        }
        process.leader.clone_from(&leader);
        self.tell_agent(agent, Event::MasterDetected(leader.as_ref().and_then(described)));
    }

    /// A container's end, for an agent that waits for it.
    pub(crate) fn tell_container_exit(&mut self, agent: usize, container: &ContainerId, status: Option<i32>) {
        let termination = ContainerTermination { status, ..ContainerTermination::default() };
        let event =
            Event::ContainerExited { container: container.clone(), termination: Box::new(termination) };
        self.tell_agent(agent, event);
    }
}

fn described(info: &v1::MasterInfo) -> Option<Box<Master>> {
    Some(Box::new(Master { pid: info.pid.as_deref()?.parse().ok()?, info: info.clone() }))
}

/// What every agent has.
fn agent_info(agent: usize) -> v1::AgentInfo {
    let scalar = |name: &str, value: f64| v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    };
    v1::AgentInfo {
        hostname: format!("agent{agent}"),
        port: Some(5051),
        resources: vec![scalar("cpus", 4.0), scalar("mem", 4096.0)],
        ..v1::AgentInfo::default()
    }
}
