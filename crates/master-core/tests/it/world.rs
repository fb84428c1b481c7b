//! A master in a box: scripted events in, every effect out as one line.
//!
//! Commands (`{..}` is JSON in v1 names; streams and requests are numbered by the
//! scenario):
//!
//! ```text
//! master [key=value ..]                  a new master that is not elected (first block only)
//! elect                                  elected, with an empty registry
//! successor [key=value ..]               a new master is elected, and reads the registry as it is
//! recover ID .. [{..}]                   elected, with these agents (and the rest) in the registry
//! quota ROLE=GUARANTEE<LIMIT .. [force]  UPDATE_QUOTA
//! subscribe STREAM [principal=P] {..}    v1 SUBSCRIBE; the body is FrameworkInfo
//! call STREAM [id=TEXT|id=] [principal=P] {..}   any other v1 call, of the stream's framework
//! close STREAM                           a stream broke
//! message FROM NAME {..}                 a libprocess message to the master
//! silent N                               agent N answers no more pings; others do, unseen
//! pong N                                 silent agent N answers its last ping
//! agent N [resources] [legacy|feedback] [key=value ..]   agent N registers
//!                                        (RegisterSlaveMessage): it reports no operations, or all
//! ops STREAM OFFER[,OFFER] OPERATION ..  ACCEPT with operations on resources, as in `operations`
//! operate KIND AGENT BODY [source=..] [principal=P]   an operator's operation, as in `operations`
//! operation N INDEX STATE [latest=STATE] [uuid=none] [framework=none]   agent N reports the operation that it was told of INDEX-th
//! operator [principal=P] {..}            any call of an operator
//! accept STREAM OFFER[,OFFER] TASK ..    ACCEPT with LAUNCH; TASK is id[:cpus[:mem[:executor]]]
//! update N FRAMEWORK TASK STATE [key=value ..]   agent N sends a status update
//! exited N                               the link to agent N breaks (or `exited IP:PORT`)
//! watch STREAM                           an operator subscribes
//! teardown ID | gone ID                  operator calls
//! maintain WHAT {..}                     operator calls: schedule, down, up, drain, deactivate, reactivate
//! maintenance                            the schedule, machines, agents and answers that readers see
//! registry hold|release [lost]           whether registry operations wait
//! time DURATION [quiet]                  time passes: 15s, 10m, 500ms; quiet hides heartbeats and pings
//! whitelist HOST .. | *                  the only hosts that are offered
//! weights                                the weights of roles
//! completed ID                           the completed tasks of a framework
//! check                                  only the invariants
//! ```

#![expect(clippy::unwrap_used, reason = "a scenario that is wrong shall stop the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use machine::{Instant, Machine, Now, WallTime};
use master_core::registry::{Outcome, State};
use master_core::{
    Answer, Config, Effect, Event, Master, Message, OperatorCall, Outgoing, Process, Question, RequestId,
    StreamId, Ticket, View,
};
use proto::json::{self, Names};
use proto::mesos::internal::{self, Registry};
use proto::mesos::v1;
use resources::Quantities;
use scenario::Block;
use types::{Pid, Uuid};

use crate::operations;

/// The wall clock at the beginning: a round number in 2023.
const EPOCH_NANOS: i64 = 1_700_000_000_000_000_000;

pub(crate) struct World {
    pub(crate) master: Master,
    now: Instant,
    fx: Vec<Effect>,
    out: String,
    pub(crate) registry: State,
    /// What the master that led before this one knew.
    pub(crate) former: Option<View>,
    /// Inverse offers, and whose they are.
    pub(crate) asks: BTreeMap<String, String>,
    held: Option<Vec<(Ticket, master_core::registry::Operation)>>,
    frameworks: BTreeMap<u64, String>,
    requests: u64,
    /// Pings that wait for a `pong`, by the agent's process.
    last_ping: BTreeMap<String, String>,
    /// Agents that do not answer pings by themselves.
    silent: BTreeSet<String>,
    quiet: bool,
    /// The streams that are open, and whose they are.
    open: BTreeMap<u64, String>,
    numbers: std::cell::Cell<u64>,
    /// The operations that agents were told of.
    applied: Vec<internal::ApplyOperationMessage>,
}

impl Default for World {
    fn default() -> Self {
        Self::new(config())
    }
}

/// A master with the id `M`.
pub(crate) fn config() -> Config {
    Config::new(v1::MasterInfo {
        id: "M".to_owned(),
        ip: 0x0100_007f,
        port: 5050,
        ..v1::MasterInfo::default()
    })
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            master: Master::new(config),
            now: Instant::ZERO + Duration::from_secs(1),
            fx: Vec::new(),
            out: String::new(),
            registry: State::default(),
            former: None,
            asks: BTreeMap::new(),
            held: None,
            frameworks: BTreeMap::new(),
            requests: 0,
            last_ping: BTreeMap::new(),
            silent: BTreeSet::new(),
            quiet: false,
            open: BTreeMap::new(),
            numbers: std::cell::Cell::new(0),
            applied: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        let elapsed = i64::try_from(self.now.as_nanos()).unwrap();
        Now { mono: self.now, wall: WallTime::from_nanos(EPOCH_NANOS + elapsed) }
    }

    /// Runs one block and returns everything that came of it.
    pub(crate) fn act(&mut self, block: &Block) -> String {
        self.out.clear();
        let input = format!("{} {}", block.arguments, block.body);
        let (words, json) = match input.find('{') {
            Some(at) => input.split_at(at),
            None => (input.as_str(), ""),
        };
        let words: Vec<&str> = words.split_whitespace().collect();
        self.command(&block.command, &words, json);
        std::mem::take(&mut self.out)
    }

    /// Runs one command and returns everything that came of it.
    pub(crate) fn run(&mut self, command: &str, rest: &str) -> String {
        let block =
            Block { command: command.to_owned(), arguments: rest.to_owned(), body: String::new(), line: 0 };
        self.act(&block)
    }

    /// The stream of a connected framework.
    pub(crate) fn stream_of(&self, framework: &str) -> Option<u64> {
        self.open.iter().find(|(_, id)| *id == framework).map(|(stream, _)| *stream)
    }

    /// Whether nobody is at the end of a stream.
    pub(crate) fn is_free(&self, stream: u64) -> bool {
        !self.open.contains_key(&stream)
    }

    /// A number that was not used before.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// Whether all that was asked of the registry is done.
    pub(crate) fn is_registry_idle(&self) -> bool {
        self.held.as_ref().is_none_or(Vec::is_empty)
    }

    fn command(&mut self, command: &str, words: &[&str], json: &str) {
        match command {
            "master" => *self = Self::new(configured(words)),
            "elect" => {
                self.event(Event::Elected);
                self.event(Event::Recovered(Box::default()));
            }
            "successor" => {
                let registry = std::mem::take(&mut self.registry);
                let (former, numbers) = (self.master.view(), self.numbers.clone());
                *self = Self { registry, former: Some(former), numbers, ..Self::new(configured(words)) };
                self.event(Event::Elected);
                self.event(Event::Recovered(Box::new(Registry::from(&self.registry))));
            }
            "recover" => self.recover(words, json),
            "quota" => self.operator(crate::quota::update(words)),
            "subscribe" => self.subscribe(words, json),
            "call" => self.call(words, json),
            "close" => {
                let stream = stream(words[0]);
                self.open.remove(&stream.0);
                self.event(Event::StreamClosed(stream));
            }
            "message" => self.message(words[0], words[1], json),
            "silent" => drop(self.silent.insert(place(words[0]))),
            "pong" => self.pong(words[0]),
            "agent" => self.agent(words),
            "accept" => self.accept(words),
            "ops" => self.operations(words),
            "operate" => self.operate(words),
            "operator" => self.operator_call(words, json),
            "operation" => self.operation(words),
            "update" => self.update(words),
            "exited" => {
                let address = if words[0].contains(':') { words[0].to_owned() } else { place(words[0]) };
                self.event(Event::Exited(address.parse().unwrap()));
            }
            "watch" => {
                let stream = stream(words[0]);
                self.event(Event::OperatorSubscribe { stream, principal: None });
            }
            "teardown" => self.operator(OperatorCall::Teardown(words[0].into())),
            "gone" => self.operator(OperatorCall::MarkAgentGone(words[0].into())),
            "maintain" => self.maintain(words[0], json),
            "maintenance" => self.print_maintenance(),
            "registry" => self.hold(words),
            "time" => {
                self.quiet = words.get(1) == Some(&"quiet");
                self.pass(words[0]);
                self.quiet = false;
            }
            "explain" => self.explain(words),
            "whitelist" => {
                let hosts = words.iter().map(|host| (*host).to_owned()).collect();
                self.event(Event::Whitelist(Some(hosts).filter(|_| words != ["*"])));
            }
            "weights" => {
                for (role, weight) in self.master.view().weights.iter() {
                    writeln!(self.out, "{role} {weight}").unwrap();
                }
            }
            "completed" => self.completed(words[0]),
            "check" => self.master.assert_invariants(),
            unknown => panic!("no command '{unknown}'"),
        }
    }

    /// One event, all that follows from it at this instant, and the invariants.
    pub(crate) fn event(&mut self, event: Event) {
        let now = self.now();
        self.master.handle_event(now, event, &mut self.fx);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            self.print_effects();
            if self.master.poll_timeout().is_none_or(|due| due > self.now) {
                break;
            }
            let now = self.now();
            self.master.handle_timeout(now, &mut self.fx);
        }
        self.master.assert_invariants();
    }

    fn pass(&mut self, text: &str) {
        let digits = text.trim_end_matches(char::is_alphabetic);
        let amount: u64 = digits.parse().unwrap();
        let duration = match &text[digits.len()..] {
            "ms" => Duration::from_millis(amount),
            "s" => Duration::from_secs(amount),
            "m" => Duration::from_secs(amount * 60),
            unit => panic!("no unit '{unit}'"),
        };
        let end = self.now + duration;
        while let Some(due) = self.master.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let now = self.now();
            self.master.handle_timeout(now, &mut self.fx);
            self.settle();
        }
        self.now = end;
    }

    fn explain(&mut self, words: &[&str]) {
        let question = match words[0].strip_prefix("role=") {
            Some(role) => Question::Role(role.into()),
            None => Question::Framework(words[0].into()),
        };
        match self.master.explain(self.now, &question) {
            None => writeln!(self.out, "nobody").unwrap(),
            Some(Answer::Framework(answer)) => {
                for sentence in answer.roles.iter().flat_map(|role| &role.sentences) {
                    writeln!(self.out, "{sentence}").unwrap();
                }
            }
            Some(Answer::Role { report, pending }) => {
                writeln!(self.out, "{} has {}", report.role, report.allocated).unwrap();
                for one in &report.frameworks {
                    let (id, role) = (&one.framework, &one.role);
                    let offers = pending[id].offers;
                    writeln!(self.out, "{id} in {role}: place {:?}, {offers} offers", one.place).unwrap();
                }
            }
        }
    }

    fn completed(&mut self, id: &str) {
        let view = self.master.view();
        let framework = view.frameworks.iter().find(|framework| framework.id.as_str() == id).unwrap();
        for task in &framework.completed_tasks {
            writeln!(self.out, "{} {}", task.task_id.value, task.state().as_str_name()).unwrap();
        }
    }

    fn recover(&mut self, ids: &[&str], json: &str) {
        let rest: Registry =
            if json.is_empty() { Registry::default() } else { json::from_slice(json.as_bytes()).unwrap() };
        let slave = |id: &&str| internal::registry::Slave {
            info: v1::AgentInfo {
                id: Some(v1::AgentId { value: (*id).to_owned() }),
                hostname: "recovered".to_owned(),
                ..v1::AgentInfo::default()
            },
            ..internal::registry::Slave::default()
        };
        let slaves = ids.iter().map(slave).collect();
        let registry = Registry { slaves: Some(internal::registry::Slaves { slaves }), ..rest };
        self.registry = State::from(registry.clone());
        self.event(Event::Elected);
        self.event(Event::Recovered(Box::new(registry)));
    }

    fn subscribe(&mut self, words: &[&str], json: &str) {
        let mut body: v1::scheduler::call::Subscribe =
            json::from_slice(json.as_bytes()).unwrap_or_else(|_| {
                let info = json::from_slice(json.as_bytes()).unwrap();
                v1::scheduler::call::Subscribe { framework_info: info, ..Default::default() }
            });
        let number: u64 = words[0].parse().unwrap();
        let framework_id = body.framework_info.id.clone();
        body.framework_info.id.clone_from(&framework_id);
        let call = v1::scheduler::Call {
            framework_id,
            r#type: Some(v1::scheduler::call::Type::Subscribe.into()),
            subscribe: Some(body),
            ..v1::scheduler::Call::default()
        };
        self.event(Event::Subscribe {
            stream: StreamId(number),
            uuid: uuid(number),
            principal: option(words, "principal").map(Into::into),
            call: Box::new(call),
        });
    }

    fn call(&mut self, words: &[&str], json: &str) {
        let number: u64 = words[0].parse().unwrap();
        let mut call: v1::scheduler::Call = json::from_slice(json.as_bytes()).unwrap();
        if let Some(id) = self.frameworks.get(&number)
            && call.framework_id.is_none()
            && option(words, "framework") != Some("none")
        {
            call.framework_id = Some(v1::FrameworkId { value: id.clone() });
        }
        let stream_id = match option(words, "id") {
            Some("") => None,
            Some(text) => Some(text.to_owned()),
            None => Some(uuid(number).to_string()),
        };
        let principal = option(words, "principal").map(Into::into);
        self.requests += 1;
        let request = RequestId(self.requests);
        self.event(Event::SchedulerCall { request, stream_id, principal, call: Box::new(call) });
    }

    /// What came of the calls since the last block.
    pub(crate) fn said(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.out.push_str(text);
    }

    pub(crate) fn operator(&mut self, call: OperatorCall) {
        self.operator_as(None, call);
    }

    fn operator_as(&mut self, principal: Option<&str>, call: OperatorCall) {
        self.requests += 1;
        let principal = principal.map(Into::into);
        self.event(Event::Operator { request: RequestId(self.requests), principal, call });
    }

    fn operator_call(&mut self, words: &[&str], json: &str) {
        let call: v1::master::Call = json::from_slice(json.as_bytes()).unwrap();
        self.operator_as(option(words, "principal"), OperatorCall::parse(call).unwrap());
    }

    fn operate(&mut self, words: &[&str]) {
        let call = operations::operator_call(words[0], words[1], words[2], option(words, "source"));
        self.operator_call(words, &call);
    }

    fn operations(&mut self, words: &[&str]) {
        let agent = option(words, "agent").unwrap_or("M-S0");
        let refuse = option(words, "refuse").unwrap_or("1000");
        let offers: Vec<_> = words[1].split(',').map(offer_id).collect();
        let setting = |word: &&&str| word.starts_with("agent=") || word.starts_with("refuse=");
        let operations = words[2..].iter().filter(|word| !setting(word));
        let operations: Vec<_> = operations.map(|word| operations::operation(word, agent)).collect();
        let json = format!(
            r#"{{"type":"ACCEPT","accept":{{"offer_ids":[{}],"operations":[{}],"filters":{{"refuse_seconds":{refuse}}}}}}}"#,
            offers.join(","),
            operations.join(","),
        );
        self.call(&words[..1], &json);
    }

    fn operation(&mut self, words: &[&str]) {
        let index: usize = words[1].parse().unwrap();
        let applied = self.applied[index].clone();
        let state = |text: &str| v1::OperationState::from_str_name(text).unwrap().into();
        let mut uuid = uuid(900 + index as u64).as_bytes().to_vec();
        uuid[0] = 7;
        let status = v1::OperationStatus {
            operation_id: applied.operation_info.id,
            state: state(words[2]),
            uuid: (option(words, "uuid") != Some("none")).then(|| v1::Uuid { value: uuid.into() }),
            agent_id: Some(v1::AgentId { value: option(words, "agent").unwrap_or("M-S0").to_owned() }),
            ..v1::OperationStatus::default()
        };
        let latest = v1::OperationStatus {
            state: option(words, "latest").map_or(status.state, state),
            ..status.clone()
        };
        let message = internal::UpdateOperationStatusMessage {
            framework_id: applied.framework_id.filter(|_| option(words, "framework") != Some("none")),
            slave_id: status.agent_id.clone(),
            status,
            latest_status: Some(latest),
            operation_uuid: Some(applied.operation_uuid),
        };
        self.message(words[0], "UpdateOperationStatusMessage", &json::to_string(&message, Names::V1));
    }

    fn message(&mut self, from: &str, name: &str, json: &str) {
        let name = if name.contains('.') { name.to_owned() } else { format!("mesos.internal.{name}") };
        let message = Message::from_json(&name, if json.is_empty() { "{}" } else { json }).unwrap();
        let from = if from.contains('@') { from.to_owned() } else { format!("slave(1)@{}", place(from)) };
        self.event(Event::Message { from: from.parse().unwrap(), to: "master".into(), message });
    }

    fn pong(&mut self, agent: &str) {
        let from: Pid = format!("slave(1)@{}", place(agent)).parse().unwrap();
        let to = self.last_ping.get(&from.to_string()).cloned().unwrap();
        let message = Message::from_json("mesos.internal.PongSlaveMessage", "{}").unwrap();
        self.event(Event::Message { from, to: to.as_str().into(), message });
    }

    fn agent(&mut self, words: &[&str]) {
        let resources = words.iter().find(|word| word.contains(':') && !word.contains('='));
        let resources = resources.copied().unwrap_or("cpus:4;mem:2048");
        let parsed = resources::Resources::parse(resources, "*").unwrap();
        let list: Vec<_> = parsed.to_protos().iter().map(|r| json::to_string(r, Names::V1)).collect();
        let plain = "MULTI_ROLE,HIERARCHICAL_ROLE,RESERVATION_REFINEMENT,TASK_RESOURCE_LIMITS";
        let (usual, told) = if words.contains(&"legacy") {
            (format!("{plain},RESIZE_VOLUME"), "")
        } else if words.contains(&"feedback") {
            let all = format!("{plain},RESOURCE_PROVIDER,RESIZE_VOLUME,AGENT_OPERATION_FEEDBACK");
            (all, r#","resource_version_uuid":{"value":"AAAAAAAAQACAAAAAAAAAAg=="}"#)
        } else {
            (
                "MULTI_ROLE,HIERARCHICAL_ROLE,RESERVATION_REFINEMENT,RESOURCE_PROVIDER,TASK_RESOURCE_LIMITS,AGENT_DRAINING"
                    .to_owned(),
                "",
            )
        };
        let capabilities = option(words, "capabilities").unwrap_or(&usual);
        let capabilities: Vec<_> = capabilities
            .split(',')
            .filter(|name| !name.is_empty())
            .map(|name| format!(r#"{{"type":"{name}"}}"#))
            .collect();
        let version = option(words, "version").unwrap_or("1.12.0");
        let place = option(words, "region").map(domain);
        let place = place.map(|domain| format!(r#","domain":{}"#, json::to_string(&domain, Names::V1)));
        let json = format!(
            r#"{{"slave":{{"hostname":"host{}","resources":[{}],"checkpoint":true{}}},"version":"{version}","agent_capabilities":[{}]{told}}}"#,
            words[0],
            list.join(","),
            place.unwrap_or_default(),
            capabilities.join(","),
        );
        self.message(words[0], "RegisterSlaveMessage", &json);
    }

    fn accept(&mut self, words: &[&str]) {
        let offers: Vec<_> = words[1].split(',').map(offer_id).collect();
        let agent = option(words, "agent").unwrap_or("M-S0");
        let tasks: Vec<_> = words[2..].iter().filter(|w| !w.contains('=')).map(|w| task(w, agent)).collect();
        let refuse = option(words, "refuse").unwrap_or("1000");
        let json = format!(
            r#"{{"type":"ACCEPT","accept":{{"offer_ids":[{}],"operations":[{{"type":"LAUNCH","launch":{{"task_infos":[{}]}}}}],"filters":{{"refuse_seconds":{refuse}}}}}}}"#,
            offers.join(","),
            tasks.join(","),
        );
        self.call(&words[..1], &json);
    }

    fn update(&mut self, words: &[&str]) {
        let (agent, framework, task, state) = (words[0], words[1], words[2], words[3]);
        let id = option(words, "agent").unwrap_or("M-S0");
        let uuid = option(words, "uuid").unwrap_or("AAAAAAAAQACAAAAAAAAAAQ==");
        let latest = option(words, "latest").unwrap_or(state);
        let data = option(words, "data").map(|d| format!(r#","data":"{d}""#)).unwrap_or_default();
        let pid = format!("slave(1)@{}", place(agent));
        let json = format!(
            r#"{{"update":{{"framework_id":{{"value":"{framework}"}},"slave_id":{{"value":"{id}"}},"status":{{"task_id":{{"value":"{task}"}},"state":"{state}","source":"SOURCE_EXECUTOR","agent_id":{{"value":"{id}"}},"timestamp":1700000001.5,"uuid":"{uuid}"{data}}},"timestamp":1700000001.5,"uuid":"{uuid}","latest_state":"{latest}"}},"pid":"{pid}"}}"#
        );
        self.message(agent, "StatusUpdateMessage", &json);
    }

    fn hold(&mut self, words: &[&str]) {
        if words[0] == "hold" {
            self.held = Some(Vec::new());
            return;
        }
        let lost = words.get(1) == Some(&"lost");
        for (ticket, operation) in self.held.take().unwrap_or_default() {
            let outcome = if lost {
                Outcome::Lost("no quorum".to_owned())
            } else {
                Outcome::Applied { changed: self.registry.apply(&operation) }
            };
            self.event(Event::RegistryApplied { ticket, outcome });
        }
    }

    fn print_effects(&mut self) {
        for effect in std::mem::take(&mut self.fx) {
            if let Effect::Send { from: from @ Process::Observer(_), to, .. } = &effect
                && !self.silent.contains(&to.address.to_string())
            {
                let message = Message::from_json("mesos.internal.PongSlaveMessage", "{}").unwrap();
                let pong = Event::Message { from: to.clone(), to: from.to_string().into(), message };
                let now = self.now();
                self.master.handle_event(now, pong, &mut self.fx);
                continue;
            }
            let line = print(&effect);
            if !(self.quiet && (line.contains("HEARTBEAT") || line.contains("PingSlaveMessage"))) {
                writeln!(self.out, "{line}").unwrap();
            }
            match effect {
                Effect::Registry { ticket, operation } => match &mut self.held {
                    Some(held) => held.push((ticket, operation)),
                    None => {
                        let changed = self.registry.apply(&operation);
                        let outcome = Outcome::Applied { changed };
                        let now = self.now();
                        let event = Event::RegistryApplied { ticket, outcome };
                        self.master.handle_event(now, event, &mut self.fx);
                    }
                },
                Effect::SchedulerEvent { stream, event } => {
                    if let Some(asked) = event.inverse_offers {
                        let asked = asked.inverse_offers.into_iter();
                        self.asks.extend(asked.map(|ask| (ask.id.value, ask.framework_id.value)));
                    }
                    if let Some(subscribed) = event.subscribed {
                        self.open.insert(stream.0, subscribed.framework_id.value.clone());
                        self.frameworks.insert(stream.0, subscribed.framework_id.value);
                    }
                }
                Effect::Send { message: Outgoing::ApplyOperation(message), .. } => {
                    self.applied.push(*message)
                }
                Effect::Send { from: from @ Process::Observer(_), to, .. } => {
                    self.last_ping.insert(to.to_string(), from.to_string());
                }
                Effect::Close { stream } => drop(self.open.remove(&stream.0)),
                Effect::Reply { .. }
                | Effect::Send { .. }
                | Effect::Link { .. }
                | Effect::Unlink { .. }
                | Effect::OperatorSubscribed { .. }
                | Effect::OperatorEvent { .. }
                | Effect::Publish(_)
                | Effect::Log(_)
                | Effect::Abort(_) => {}
            }
        }
        if !self.fx.is_empty() {
            self.print_effects();
        }
    }
}

fn print(effect: &Effect) -> String {
    match effect {
        Effect::Reply { request, reply } => {
            format!("reply {}: {} {}", request.0, reply.status.code(), reply.text).trim_end().to_owned()
        }
        Effect::SchedulerEvent { stream, event } => {
            format!("stream {} <- {}", stream.0, json::to_string(&**event, Names::V1))
        }
        Effect::Close { stream } => format!("stream {} closes", stream.0),
        Effect::Send { from, to, message } => {
            let name = message.name().trim_start_matches("mesos.internal.");
            format!("{from} -> {to} {name} {}", message.to_json())
        }
        Effect::Link { pid, reconnect } => {
            format!("link {pid}{}", if *reconnect { " anew" } else { "" })
        }
        Effect::Unlink { pid } => format!("unlink {pid}"),
        Effect::Registry { ticket, operation } => format!("registry {}: {}", ticket.0, operation),
        Effect::OperatorSubscribed { stream, view } => format!(
            "stream {} <- SUBSCRIBED with {} agents, {} frameworks",
            stream.0,
            view.agents.len(),
            view.frameworks.len()
        ),
        Effect::OperatorEvent { stream, event } => {
            format!("stream {} <- {}", stream.0, json::to_string(&**event, Names::V1))
        }
        Effect::Publish(event) => format!("publish {}", json::to_string(&**event, Names::V1)),
        Effect::Log(text) => format!("log: {text}"),
        Effect::Abort(why) => format!("abort: {why}"),
    }
}

fn configured(words: &[&str]) -> Config {
    let mut config = config();
    if let Some(id) = option(words, "id") {
        config.master.id = id.to_owned();
    }
    if let Some(region) = option(words, "region") {
        config.master.domain = Some(domain(region));
    }
    if option(words, "require_agent_domain") == Some("true") {
        config.require_agent_domain = true;
    }
    if let Some(text) = option(words, "offer_wait_warning") {
        config.offer_wait_warning = Some(Duration::from_secs(text.parse().unwrap()));
    }
    if let Some(text) = option(words, "min_offer") {
        let (role, size) = text.split_once('=').unwrap();
        config.min_offers.insert(role.into(), Quantities::parse(size).unwrap());
    }
    if let Some(text) = option(words, "short_tasks") {
        let (permille, role) = text.split_once(',').unwrap();
        config.short_tasks = master_core::ShortTasks {
            permille: permille.parse().unwrap(),
            bounds: [(role.into(), Duration::from_secs(300))].into(),
        };
    }
    if let Some(text) = option(words, "revocation") {
        let mut parts = text.split(',').map(|part| part.parse().ok().map(Duration::from_secs));
        config.revocation = Some(master_core::revocation::Settings {
            after: parts.next().flatten().unwrap(),
            grace: parts.next().flatten().unwrap(),
            any_task: text.ends_with(",any"),
        });
    }
    if let Some(text) = option(words, "offer_timeout") {
        config.offer_timeout = Some(Duration::from_secs(text.parse().unwrap()));
    }
    if let Some(text) = option(words, "completed_tasks") {
        config.completed_tasks_max = text.parse().unwrap();
    }
    if let Some(text) = option(words, "operators") {
        config.operator_streams_max = text.parse().unwrap();
    }
    if let Some(text) = option(words, "roles") {
        config.roles = Some(text.split(',').map(ToOwned::to_owned).collect());
    }
    if let Some(text) = option(words, "weights") {
        config.weights = master_core::parse_weights(text, config.roles.as_deref()).unwrap();
    }
    if let Some(text) = option(words, "removal_permille") {
        config.removal_permille = text.parse().unwrap();
    }
    if let Some(text) = option(words, "recovery_permille") {
        config.recovery_permille = text.parse().unwrap();
    }
    if option(words, "root_submissions") == Some("false") {
        config.root_submissions = false;
    }
    config
}

fn task(word: &str, agent: &str) -> String {
    let mut parts = word.split(':');
    let id = parts.next().unwrap();
    let cpus = parts.next().unwrap_or("1");
    let mem = parts.next().unwrap_or("32");
    let run = parts.next().map_or_else(
        || r#""command":{"value":"true"}"#.to_owned(),
        |executor| {
            format!(
                r#""executor":{{"type":"CUSTOM","executor_id":{{"value":"{executor}"}},"command":{{"value":"run"}},"resources":[{}]}}"#,
                scalar("cpus", "0.1")
            )
        },
    );
    format!(
        r#"{{"name":"{id}","task_id":{{"value":"{id}"}},"agent_id":{{"value":"{agent}"}},"resources":[{},{}],{run}}}"#,
        scalar("cpus", cpus),
        scalar("mem", mem)
    )
}

fn scalar(name: &str, value: &str) -> String {
    format!(r#"{{"name":"{name}","type":"SCALAR","scalar":{{"value":{value}}}}}"#)
}

fn option<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words
        .iter()
        .find_map(|word| word.split_once('=').filter(|(name, _)| *name == key).map(|(_, value)| value))
}

/// The fault domain of the only zone of a region.
fn domain(region: &str) -> v1::DomainInfo {
    let json = format!(r#"{{"fault_domain":{{"region":{{"name":"{region}"}},"zone":{{"name":"z"}}}}}}"#);
    json::from_slice(json.as_bytes()).unwrap()
}

fn stream(word: &str) -> StreamId {
    StreamId(word.parse().unwrap())
}

/// An offer's id; without that of the master it is of master `M`.
fn offer_id(id: &str) -> String {
    let master = if id.starts_with('O') { "M-" } else { "" };
    format!(r#"{{"value":"{master}{id}"}}"#)
}

/// Agent N is at 127.0.0.N.
fn place(agent: &str) -> String {
    format!("127.0.0.{agent}:5051")
}

fn uuid(stream: u64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&stream.to_be_bytes());
    bytes[6] = 0x40;
    Uuid::from_bytes(bytes)
}
