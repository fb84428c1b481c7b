//! A small world around one agent: a clock, a master, and names for long ids.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agent_core::{
    Agent, Config, Effect, Entry, Event, Master, Message, Record, Recovered, RecoveredContainer, RequestId,
    StreamId, Write,
};
use machine::{Instant, Machine, Now, WallTime};
use proto::json;
use proto::mesos::slave::ContainerTermination;
use proto::mesos::v1;
use resources::Resources;
use types::{AgentId, ContainerId, Pid, Uuid};

pub(crate) const MASTER: &str = "master@127.0.0.1:5050";

/// What commands write for a task and a framework.
const FRAMEWORK: &str = r#""user":"ann","name":"fw","id":{"value":"F"},"roles":["*"],
    "capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"}]"#;
const RESOURCES: &str =
    r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1},"allocation_info":{"role":"*"}}]"#;

pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) now: Instant,
    /// Long ids and what they print as.
    pub(crate) names: BTreeMap<String, String>,
    containers: Vec<ContainerId>,
    uuids: usize,
    /// What was checkpointed, by path.
    pub(crate) disk: BTreeMap<String, Entry>,
    /// The directories of persistent volumes.
    pub(crate) volumes: BTreeSet<String>,
    /// What the containerizer keeps of containers that were asked for by name.
    kept: BTreeMap<ContainerId, RecoveredContainer>,
    /// How many more things become durable before the power fails.
    pub(crate) power: Option<usize>,
    /// What the flags say the agent has.
    resources: Vec<v1::Resource>,
    /// Whether the flags say that sandboxes of containers by name are collected.
    pub(crate) collects: bool,
    /// Whether the flags say to clean up.
    pub(crate) cleans_up: bool,
    /// How often executors with drivers are called back.
    pub(crate) call_back_secs: Option<u64>,
    /// What the kernel calls this boot; empty if it does not tell.
    pub(crate) boot: String,
    /// Which agents this machine was before.
    pub(crate) former: Vec<AgentId>,
    /// Directories of this one of which nothing else is known.
    pub(crate) leftovers: Vec<String>,
}

fn config(resources: &[v1::Resource]) -> Config {
    let resources = resources.to_vec();
    let info =
        v1::AgentInfo { hostname: "host".to_owned(), port: Some(5051), resources, ..Default::default() };
    let pid = "slave(1)@127.0.0.1:5051".parse().expect("a pid");
    let mut config = Config::new(info, pid, "/w");
    config.command_executor = Some("/usr/libexec/mesos/mesos-executor".to_owned());
    config.seed = 1;
    config
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            agent: Agent::new(config(&[])),
            now: Instant::ZERO,
            names: (1..10).flat_map(operation_names).collect(),
            containers: Vec::new(),
            uuids: 0,
            disk: BTreeMap::new(),
            volumes: BTreeSet::new(),
            kept: BTreeMap::new(),
            power: None,
            resources: Vec::new(),
            collects: false,
            cleans_up: false,
            call_back_secs: None,
            boot: String::new(),
            former: Vec::new(),
            leftovers: Vec::new(),
        }
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            gc_non_executor_container_sandboxes: self.collects,
            cleans_up: self.cleans_up,
            executor_reregistration_retry_interval: self.call_back_secs.map(Duration::from_secs),
            ..config(&self.resources)
        }
    }

    /// A world whose agent, or the next one, has these resources.
    pub(crate) fn set_resources(&mut self, text: &str) {
        self.resources = Resources::parse(text, "*").expect("resources").to_protos();
        if self.disk.is_empty() {
            self.agent = Agent::new(self.config());
        }
    }

    pub(crate) fn event(&self, verb: &str, rest: &str) -> Event {
        let (first, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        match verb {
            "recovered" => Event::Recovered(Box::default()),
            "detect" if rest == "none" => Event::MasterDetected(None),
            "detect" => detected(rest),
            "message" => {
                let (name, body) = tail.split_once(' ').unwrap_or((tail, "{}"));
                self.message(first, name, &self.expand(body))
            }
            "run" => self.run_task(first, tail),
            "group" => self.run_group(first, tail),
            "container" => Event::ContainerCall {
                request: RequestId(first.parse().expect("a number")),
                call: Box::new(read(&self.expand(tail))),
            },
            "kill" => {
                let body = format!(r#"{{"framework_id":{{"value":"F"}},"task_id":{{"value":"{first}"}}}}"#);
                self.message(MASTER, "KillTaskMessage", &body)
            }
            "ack" => {
                let uuid = self.expand(tail);
                let body = format!(
                    r#"{{"slave_id":{{"value":"S"}},"framework_id":{{"value":"F"}},"task_id":{{"value":"{first}"}},"uuid":"{uuid}"}}"#
                );
                self.message(MASTER, "StatusUpdateAcknowledgementMessage", &body)
            }
            "apply" => {
                let uuid = operation_uuid(first.parse().expect("a number"));
                let body = format!(
                    r#"{{"framework_id":{{"value":"F"}},"operation_info":{},"operation_uuid":{{"value":"{uuid}"}},"resource_version_uuid":{{"uuid":{{"value":"{uuid}"}}}}}}"#,
                    operation(tail)
                );
                self.message(MASTER, "ApplyOperationMessage", &body)
            }
            "heard" => {
                let (operation, status) = (self.expand(first), self.expand(tail));
                let body = format!(
                    r#"{{"operation_uuid":{{"value":"{operation}"}},"status_uuid":{{"value":"{status}"}}}}"#
                );
                self.message(MASTER, "AcknowledgeOperationStatusMessage", &body)
            }
            "drain" => self.message(MASTER, "DrainSlaveMessage", &format!(r#"{{"config":{rest}}}"#)),
            "subscribe" => {
                let (executor, body) = tail.split_once(' ').unwrap_or((tail, "{}"));
                let call = format!(
                    r#"{{"type":"SUBSCRIBE","framework_id":{{"value":"F"}},"executor_id":{{"value":"{executor}"}},"subscribe":{body}}}"#
                );
                let call = Box::new(read(&call));
                Event::ExecutorSubscribe { stream: StreamId(first.parse().expect("a number")), call }
            }
            "status" => self.status(first, tail),
            "call" => Event::ExecutorCall {
                request: RequestId(first.parse().expect("a number")),
                call: Box::new(read(&self.expand(tail))),
            },
            "closed" => Event::StreamClosed(StreamId(first.parse().expect("a number"))),
            "exited" => Event::Exited(first.parse().expect("an address")),
            "launched" => Event::ContainerLaunched {
                container: self.container(first),
                status: Box::new(v1::ContainerStatus {
                    executor_pid: Some(77),
                    network_infos: networks(tail),
                    ..Default::default()
                }),
            },
            "failed" => Event::ContainerFailed { container: self.container(first), message: tail.to_owned() },
            "ended" => Event::ContainerExited {
                container: self.container(first),
                termination: Box::new(if tail.is_empty() {
                    ContainerTermination::default()
                } else {
                    read(tail)
                }),
            },
            "not-updated" => {
                Event::ContainerUpdateFailed { container: self.container(first), message: tail.to_owned() }
            }
            "disk" => Event::DiskUsage { permille: first.parse().expect("a number") },
            "leave" => Event::Leave { message: rest.to_owned() },
            other => panic!("no such command: {other}"),
        }
    }

    /// `run TASK [executor=E] [new=BOOL] [checkpoint] [command=TEXT] [docker=IMAGE]`
    fn run_task(&self, task: &str, options: &str) -> Event {
        let mut framework = format!("{{{FRAMEWORK}}}");
        let mut what = r#""command":{"value":"sleep 600"}"#.to_owned();
        let (mut more, mut resources) = (String::new(), RESOURCES.to_owned());
        for option in options.split_whitespace() {
            match option.split_once('=').unwrap_or((option, "")) {
                ("checkpoint", _) => framework = format!(r#"{{{FRAMEWORK},"checkpoint":true}}"#),
                ("executor", id) => {
                    what = format!(
                        r#""executor":{{"executor_id":{{"value":"{id}"}},"command":{{"value":"./{id}"}},"resources":{RESOURCES}}}"#
                    );
                }
                ("new", value) => more.push_str(&format!(r#","launch_executor":{value}"#)),
                ("volume", text) => {
                    let (id, path) = text.split_once(':').expect("an id and a path");
                    resources = resources.replacen('[', &format!("[{},", volume(id, path, "64")), 1);
                }
                ("grace", secs) => {
                    let nanos = secs.parse::<i64>().expect("seconds") * 1_000_000_000;
                    what.push_str(&format!(r#","kill_policy":{{"grace_period":{{"nanoseconds":{nanos}}}}}"#));
                }
                // Of the executor, if that was named before, else of the task.
                ("docker", image) => {
                    let container =
                        format!(r#""container":{{"type":"DOCKER","docker":{{"image":"{image}"}}}}"#);
                    match what.strip_suffix('}').filter(|what| what.starts_with(r#""executor""#)) {
                        Some(executor) => what = format!("{executor},{container}}}"),
                        None => what.push_str(&format!(",{container}")),
                    }
                }
                ("command", text) => what = format!(r#""command":{{"value":"{text}"}}"#),
                (other, _) => panic!("no such option: {other}"),
            }
        }
        let body = format!(
            r#"{{"framework":{framework},"task":{{"name":"{task}","task_id":{{"value":"{task}"}},"slave_id":{{"value":"S"}},"resources":{resources},{what}}}{more}}}"#
        );
        self.message(MASTER, "RunTaskMessage", &body)
    }

    /// `group EXECUTOR TASK,TASK... [new=BOOL] [checkpoint]`
    fn run_group(&self, executor: &str, options: &str) -> Event {
        let (tasks, options) = options.split_once(' ').unwrap_or((options, ""));
        let task = |id: &str| {
            format!(
                r#"{{"name":"{id}","task_id":{{"value":"{id}"}},"slave_id":{{"value":"S"}},"resources":{RESOURCES},"command":{{"value":"run {id}"}}}}"#
            )
        };
        let tasks: Vec<String> = tasks.split(',').map(task).collect();
        let (mut framework, mut more) = (format!("{{{FRAMEWORK}}}"), String::new());
        for option in options.split_whitespace() {
            match option.split_once('=').unwrap_or((option, "")) {
                ("checkpoint", _) => framework = format!(r#"{{{FRAMEWORK},"checkpoint":true}}"#),
                ("new", value) => more.push_str(&format!(r#","launch_executor":{value}"#)),
                (other, _) => panic!("no such option: {other}"),
            }
        }
        let body = format!(
            r#"{{"framework":{framework},"executor":{{"type":"DEFAULT","executor_id":{{"value":"{executor}"}},"resources":{RESOURCES}}},"task_group":{{"tasks":[{}]}}{more}}}"#,
            tasks.join(",")
        );
        self.message(MASTER, "RunTaskGroupMessage", &body)
    }

    /// `status REQUEST EXECUTOR TASK STATE NUMBER`: a v1 update whose UUID is made of that number.
    fn status(&self, request: &str, rest: &str) -> Event {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [executor, task, state, number] = words[..] else { panic!("status: {rest}") };
        let mut call: v1::executor::Call = read(&format!(
            r#"{{"type":"UPDATE","framework_id":{{"value":"F"}},"executor_id":{{"value":"{executor}"}},"update":{{"status":{{"task_id":{{"value":"{task}"}},"state":"{state}","source":"SOURCE_EXECUTOR"}}}}}}"#
        ));
        let status = &mut call.update.as_mut().expect("it has one").status;
        let mut uuid = [number.parse().expect("a number"); 16];
        (uuid[6], uuid[8]) = (0x40, 0x80);
        status.uuid = Some(uuid.to_vec().into());
        Event::ExecutorCall { request: RequestId(request.parse().expect("a number")), call: Box::new(call) }
    }

    pub(crate) fn message(&self, from: &str, name: &str, body: &str) -> Event {
        let message = Message::from_json(name, body).expect("a message's name").expect("a message's body");
        Event::Message { from: from.parse().expect("a pid"), message }
    }

    pub(crate) fn handle(&mut self, event: Event) -> Vec<Effect> {
        if let Event::ContainerExited { container, termination } = &event
            && let Some(kept) = self.kept.get_mut(container)
        {
            kept.ended = Some((**termination).clone());
        }
        let mut fx = Vec::new();
        let now = self.time();
        self.agent.handle_event(now, event, &mut fx);
        self.agent.assert_invariants();
        self.note(&fx);
        fx
    }

    /// The agent is killed, and another begins with what is on its disk.
    pub(crate) fn restart(&mut self, rebooted: bool) -> Vec<Effect> {
        self.agent = Agent::new(Config { seed: 2, ..self.config() });
        self.power = None;
        let below = "/w/meta/slaves/S/";
        let known = self.disk.contains_key("/w/meta/slaves/latest");
        let files = self.disk.iter().filter_map(|(path, entry)| {
            let name = path.strip_prefix(below).filter(|_| known);
            let resources = path.strip_prefix("/w/meta/").filter(|name| name.starts_with("resources/"));
            Some((name.or(resources)?.to_owned(), entry.clone()))
        });
        let mut recovered = Recovered::from_files(&files.collect(), rebooted);
        recovered.nested = self.kept.values().cloned().collect();
        let kept = self.disk.get("/w/meta/boot_id");
        let now = Entry::File(self.boot.clone().into_bytes());
        recovered.boot = (kept != Some(&now) && !self.boot.is_empty()).then(|| self.boot.clone());
        recovered.former = self.former.clone();
        recovered.leftovers = self.leftovers.clone();
        self.handle(Event::Recovered(Box::new(recovered)))
    }

    fn write(&mut self, record: &Record) {
        let path = record.path("/w");
        match record.write("/w") {
            Write::Replace(bytes) => {
                self.disk.insert(path, Entry::File(bytes.to_vec()));
            }
            Write::Append(bytes) => {
                let entry = self.disk.entry(path).or_insert_with(|| Entry::File(Vec::new()));
                let Entry::File(file) = entry else { panic!("a link is no log") };
                file.extend_from_slice(&bytes);
            }
            Write::Touch => {
                self.disk.insert(path, Entry::File(Vec::new()));
            }
            Write::Link { target } => {
                self.disk.insert(path, Entry::Link(target));
            }
            Write::Remove => {
                self.disk.remove(&path);
            }
            Write::RemoveDirectory => {
                self.disk.retain(|name, _| !name.starts_with(&format!("{path}/")));
            }
            Write::Rename { from } => {
                let entry = self.disk.remove(&from).expect("the target was written");
                self.disk.insert(path, entry);
            }
        }
    }

    /// Lets time pass; what happens meanwhile is returned at once.
    pub(crate) fn elapse(&mut self, duration: Duration) -> Vec<Effect> {
        let end = self.now + duration;
        let mut fx = Vec::new();
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let now = self.time();
            self.agent.handle_timeout(now, &mut fx);
            self.agent.assert_invariants();
        }
        self.now = end;
        self.note(&fx);
        fx
    }

    pub(crate) fn time(&self) -> Now {
        let nanos = i64::try_from(self.now.as_nanos()).expect("a short test");
        Now { mono: self.now, wall: WallTime::from_nanos(1_700_000_000_000_000_000 + nanos) }
    }

    /// Gives names to what is new.
    pub(crate) fn note(&mut self, fx: &[Effect]) {
        for effect in fx {
            if self.is_durable(effect) {
                match effect {
                    Effect::Checkpoint(record) => self.write(record),
                    Effect::SyncVolumes { create, remove } => {
                        self.volumes.extend(create.iter().map(|directory| directory.path.clone()));
                        for directory in remove.iter().filter(|directory| !directory.is_mount) {
                            self.volumes.remove(&directory.path);
                        }
                    }
                    _ => {}
                }
            }
            if let Effect::Launch(spec) = effect {
                self.containers.push(spec.container.clone());
                let number = self.containers.len();
                self.names.insert(spec.container.to_string(), format!("C{number}"));
            }
            self.keep(effect);
            let text = effect.to_string();
            let tasks = quoted(&text, "\"uuid\":\"");
            for uuid in tasks.into_iter().chain(quoted(&text, "\"uuid\":{\"value\":\"")) {
                if uuid.len() == 24 && !self.names.contains_key(&uuid) {
                    self.uuids += 1;
                    self.names.insert(uuid, format!("U{}", self.uuids));
                }
            }
        }
    }

    /// What the containerizer would keep of an effect.
    fn keep(&mut self, effect: &Effect) {
        match effect {
            Effect::LaunchContainer(spec) => {
                let kept = RecoveredContainer {
                    container: spec.container.clone(),
                    directory: spec.directory.clone(),
                    user: spec.user.clone(),
                    environment: spec.environment.clone(),
                    pid: Some(88),
                    ended: None,
                    is_session: spec.is_session,
                };
                self.kept.insert(spec.container.clone(), kept);
            }
            Effect::RemoveContainer { container, .. } => {
                self.kept.remove(container);
            }
            _ => {}
        }
    }

    /// Whether an effect comes before the power fails.
    fn is_durable(&mut self, effect: &Effect) -> bool {
        if !matches!(effect, Effect::Checkpoint(_) | Effect::SyncVolumes { .. }) {
            return false;
        }
        match &mut self.power {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// Names of a script to what they stand for; the longest first.
    fn expand(&self, text: &str) -> String {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(_, short)| std::cmp::Reverse(short.len()));
        names.into_iter().fold(text.to_owned(), |text, (long, short)| text.replace(short, long))
    }

    /// `C1`, or `C1.a.b` for one below it; `.a` stands alone.
    fn container(&self, name: &str) -> ContainerId {
        if let Some((above, value)) = name.rsplit_once('.') {
            let parent = (!above.is_empty()).then(|| Arc::new(self.container(above)));
            return ContainerId { value: value.into(), parent };
        }
        let number: usize = name.trim_start_matches('C').parse().expect("a container's name");
        self.containers[number - 1].clone()
    }
}

/// What stands between `before` and the next quotation mark.
fn quoted(text: &str, before: &str) -> Vec<String> {
    text.split(before).skip(1).filter_map(|part| part.split('"').next()).map(str::to_owned).collect()
}

pub(crate) fn detected(pid: &str) -> Event {
    let pid: Pid = pid.parse().expect("a pid");
    Event::MasterDetected(Some(Box::new(Master { pid, info: v1::MasterInfo::default() })))
}

/// What the UUID of an operation prints as, on the wire and in text.
fn operation_names(number: u8) -> [(String, String); 2] {
    let text = Uuid::from_bytes([number; 16]).to_string();
    [(operation_uuid(number), format!("O{number}")), (text, format!("op-{number}"))]
}

/// The UUID of an operation that a script names by number, as bytes in base64.
pub(crate) fn operation_uuid(number: u8) -> String {
    let uuid = Uuid::from_bytes([number; 16]);
    let message = v1::Uuid { value: uuid.into() };
    quoted(&json::to_string(&message, json::Names::V1), "\"value\":\"").remove(0)
}

/// `RESERVE MIB`, `CREATE ID MIB [shared]`, `GROW_VOLUME ID MIB MORE`, ...: an operation on disk for the role `web`.
fn operation(text: &str) -> String {
    if text.starts_with('{') {
        return text.to_owned();
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let body = match words[..] {
        ["RESERVE", mib] => format!(r#""reserve":{{"resources":[{}]}}"#, disk(mib, "")),
        ["UNRESERVE", mib] => format!(r#""unreserve":{{"resources":[{}]}}"#, disk(mib, "")),
        ["CREATE", id, mib] => format!(r#""create":{{"volumes":[{}]}}"#, volume(id, "data", mib)),
        ["DESTROY", id, mib] => format!(r#""destroy":{{"volumes":[{}]}}"#, volume(id, "data", mib)),
        ["GROW_VOLUME", id, mib, more] => {
            let volume = volume(id, "data", mib);
            format!(r#""grow_volume":{{"volume":{volume},"addition":{}}}"#, disk(more, ""))
        }
        ["SHRINK_VOLUME", id, mib, less] => {
            let volume = volume(id, "data", mib);
            format!(r#""shrink_volume":{{"volume":{volume},"subtract":{{"value":{less}}}}}"#)
        }
        _ => panic!("no such operation: {text}"),
    };
    format!(r#"{{"type":"{}","id":{{"value":"op"}},{body}}}"#, words[0])
}

fn disk(mib: &str, more: &str) -> String {
    format!(
        r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":{mib}}},"allocation_info":{{"role":"web"}},"reservations":[{{"type":"DYNAMIC","role":"web"}}]{more}}}"#
    )
}

fn volume(id: &str, path: &str, mib: &str) -> String {
    let more = format!(
        r#","disk":{{"persistence":{{"id":"{id}"}},"volume":{{"container_path":"{path}","mode":"RW"}}}}"#
    );
    disk(mib, &more)
}

fn read<T: json::Json>(text: &str) -> T {
    json::from_slice(text.as_bytes()).expect("a document of that type")
}

/// `NAME=IP` as networks that a container is in.
fn networks(text: &str) -> Vec<v1::NetworkInfo> {
    let network = |(name, ip): (&str, &str)| v1::NetworkInfo {
        name: Some(name.to_owned()),
        ip_addresses: vec![v1::network_info::IpAddress { protocol: None, ip_address: Some(ip.to_owned()) }],
        ..v1::NetworkInfo::default()
    };
    text.split_whitespace().filter_map(|word| word.split_once('=')).map(network).collect()
}
