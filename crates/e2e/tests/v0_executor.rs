//! An executor driver of the v0 API at our agent, message by message, with a framework of the v1 API at the
//! other end.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use e2e::{Cluster, Framework, Message, Options, Process, eventually};
use proto::mesos::internal::{
    ExecutorRegisteredMessage, ExecutorReregisteredMessage, ExecutorToFrameworkMessage,
    FrameworkToExecutorMessage, KillTaskMessage, ReconnectExecutorMessage, RegisterExecutorMessage,
    ReregisterExecutorMessage, RunTaskMessage, ShutdownExecutorMessage, StatusUpdate,
    StatusUpdateAcknowledgementMessage, StatusUpdateMessage,
};
use proto::mesos::v1::{self, TaskState};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// The process that the agent starts only tells its environment; the test plays the driver that it would be.
/// It ends by itself, since nobody ends it once the agent is killed with the test.
const COMMAND: &str = "env > environment.part && mv environment.part environment && exec sleep 120";

fn cluster(flags: &[&str]) -> Cluster {
    let agent_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Cluster::start(&Options { agent_flags, ..Options::default() }).expect("a cluster")
}

fn framework(cluster: &Cluster) -> Framework {
    let info = json!({"user": "root", "name": "executor", "failover_timeout": 60.0, "checkpoint": true});
    Framework::subscribe(cluster.master.address, &info)
}

/// Launches task `t` for an executor `e`, and gives the agent's id.
fn launch(framework: &mut Framework) -> Value {
    let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
    let offer = &offers["offers"]["offers"][0];
    let resources = json!([
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}, "role": "*"},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}, "role": "*"},
    ]);
    framework.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [{
            "name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"], "data": "AAH/",
            "executor": {
                "executor_id": {"value": "e"}, "name": "e", "command": {"value": COMMAND},
                "resources": resources, "shutdown_grace_period": {"nanoseconds": 1_000_000_000},
            },
            "resources": resources,
        }]}}],
        "filters": {"refuse_seconds": 1000},
    }}));
    offer["agent_id"].clone()
}

/// Every file of this name under a directory.
fn find(directory: &Path, name: &str, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("a file type");
        if kind.is_dir() {
            find(&entry.path(), name, found);
        } else if kind.is_file() && entry.file_name() == name {
            found.push(entry.path());
        }
    }
}

/// The environment that the executor got.
fn environment(cluster: &Cluster) -> BTreeMap<String, String> {
    let file = eventually("the executor runs", PATIENCE, || {
        let mut found = Vec::new();
        find(&cluster.home.path().join("agent-0/slaves"), "environment", &mut found);
        found.pop()
    });
    let text = std::fs::read_to_string(file).expect("text");
    text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// An executor driver.
struct Driver {
    process: Process,
    link: TcpStream,
    agent: String,
    agent_id: v1::AgentId,
    framework_id: v1::FrameworkId,
    executor_id: v1::ExecutorId,
}

impl Driver {
    fn start(cluster: &Cluster, environment: &BTreeMap<String, String>) -> Self {
        let process = Process::start("executor(1)").expect("a process");
        let link = process.connect(cluster.agents[0].address).expect("a connection");
        Self {
            process,
            link,
            agent: environment["MESOS_SLAVE_PID"].clone(),
            agent_id: v1::AgentId { value: environment["MESOS_SLAVE_ID"].clone() },
            framework_id: v1::FrameworkId { value: environment["MESOS_FRAMEWORK_ID"].clone() },
            executor_id: v1::ExecutorId { value: environment["MESOS_EXECUTOR_ID"].clone() },
        }
    }

    fn send(&mut self, name: &str, body: &impl prost::Message) {
        let pid = self.process.pid.clone();
        let name = format!("mesos.internal.{name}");
        let status = self.process.post(&mut self.link, &pid, &self.agent, &name, &body.encode_to_vec());
        assert_eq!(status.expect("an answer"), 202, "{name}");
    }

    fn expect<M: prost::Message + Default>(&mut self, name: &str) -> M {
        let Message { body, from, .. } = self.process.expect(&format!("mesos.internal.{name}"), PATIENCE);
        assert_eq!(from, self.agent);
        M::decode(&body[..]).expect("a message")
    }

    fn register(&mut self) -> ExecutorRegisteredMessage {
        let message = RegisterExecutorMessage {
            framework_id: self.framework_id.clone(),
            executor_id: self.executor_id.clone(),
        };
        self.send("RegisterExecutorMessage", &message);
        self.expect("ExecutorRegisteredMessage")
    }

    /// Sends an update and waits until the agent has it.
    fn update(&mut self, state: TaskState, uuid: u8) {
        let mut bytes = vec![uuid; 16];
        bytes[6] = 0x40;
        bytes[8] = 0x80;
        let uuid = Bytes::from(bytes);
        let update = StatusUpdate {
            framework_id: self.framework_id.clone(),
            executor_id: Some(self.executor_id.clone()),
            slave_id: Some(self.agent_id.clone()),
            status: v1::TaskStatus {
                task_id: v1::TaskId { value: "t".to_owned() },
                state: state.into(),
                agent_id: Some(self.agent_id.clone()),
                data: Some(Bytes::from_static(b"\x00\xfe")),
                labels: Some(v1::Labels {
                    labels: vec![v1::Label { key: "k".to_owned(), value: Some("v".to_owned()) }],
                }),
                ..Default::default()
            },
            timestamp: 1.0,
            uuid: Some(uuid.clone()),
            latest_state: None,
        };
        let message = StatusUpdateMessage { update, pid: Some(self.process.pid.clone()) };
        self.send("StatusUpdateMessage", &message);
        let heard: StatusUpdateAcknowledgementMessage = self.expect("StatusUpdateAcknowledgementMessage");
        assert_eq!(heard.uuid, uuid);
        assert_eq!(heard.task_id.value, "t");
    }
}

#[test]
fn an_executor_driver_runs_a_task() {
    let cluster = cluster(&[]);
    let mut framework = framework(&cluster);
    let agent_id = launch(&mut framework);
    let environment = environment(&cluster);
    let agent = cluster.agents[0].address;
    let at = |name: &str| environment.get(name).map(String::as_str);
    assert_eq!(at("MESOS_AGENT_ENDPOINT"), Some(agent.to_string().as_str()));
    assert_eq!(at("MESOS_SLAVE_PID"), Some(format!("slave(1)@{agent}").as_str()));
    assert_eq!(at("MESOS_SLAVE_ID"), agent_id["value"].as_str());
    assert_eq!(at("MESOS_FRAMEWORK_ID"), framework.id["value"].as_str());
    assert_eq!(at("MESOS_EXECUTOR_ID"), Some("e"));
    assert_eq!(at("MESOS_DIRECTORY"), at("PWD"));
    assert_eq!(at("MESOS_SANDBOX"), at("PWD"));
    assert_eq!(at("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"), Some("1secs"));
    assert_eq!(at("MESOS_CHECKPOINT"), Some("1"));
    assert_eq!(at("MESOS_RECOVERY_TIMEOUT"), Some("15mins"));
    assert_eq!(at("MESOS_SUBSCRIPTION_BACKOFF_MAX"), Some("2secs"));
    assert_eq!(at("LIBPROCESS_PORT"), Some("0"));

    let mut driver = Driver::start(&cluster, &environment);
    let registered = driver.register();
    assert_eq!(registered.executor_info.executor_id.value, "e");
    assert_eq!(registered.framework_info.name, "executor");
    assert_eq!(registered.slave_info.hostname, "127.0.0.1");
    let run: RunTaskMessage = driver.expect("RunTaskMessage");
    assert_eq!(run.task.data.as_deref(), Some(&b"\x00\x01\xff"[..]));

    driver.update(TaskState::TaskRunning, 1);
    let status = framework.until_state("TASK_RUNNING");
    assert_eq!(status["data"], "AP4=");
    assert_eq!(status["labels"]["labels"][0], json!({"key": "k", "value": "v"}));
    assert_eq!(status["source"], "SOURCE_EXECUTOR");
    assert_eq!(status["executor_id"]["value"], "e");
    assert_eq!(status["agent_id"], agent_id);
    assert!(status["container_status"]["container_id"]["value"].is_string(), "{status}");
    assert!(status["timestamp"].is_f64(), "{status}");

    // Both ways; nothing is lost of the bytes.
    framework.call(json!({"type": "MESSAGE", "message": {
        "agent_id": agent_id, "executor_id": {"value": "e"}, "data": "aGk=",
    }}));
    let message: FrameworkToExecutorMessage = driver.expect("FrameworkToExecutorMessage");
    assert_eq!(&message.data[..], b"hi");
    let message = ExecutorToFrameworkMessage {
        slave_id: driver.agent_id.clone(),
        framework_id: driver.framework_id.clone(),
        executor_id: driver.executor_id.clone(),
        data: Bytes::from_static(b"\xff\x00"),
    };
    driver.send("ExecutorToFrameworkMessage", &message);
    let message = framework.stream.until("MESSAGE", |e| e["type"] == "MESSAGE").expect("a message");
    assert_eq!(message["message"]["data"], "/wA=");
    assert_eq!(message["message"]["executor_id"]["value"], "e");

    framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": "t"}}}));
    let kill: KillTaskMessage = driver.expect("KillTaskMessage");
    assert_eq!(kill.task_id.value, "t");
    driver.update(TaskState::TaskKilled, 2);
    framework.until_state("TASK_KILLED");

    framework
        .call(json!({"type": "SHUTDOWN", "shutdown": {"agent_id": agent_id, "executor_id": {"value": "e"}}}));
    driver.expect::<ShutdownExecutorMessage>("ShutdownExecutorMessage");
    // It does not go by itself, so the agent ends it after its grace.
    let failure = framework.stream.until("FAILURE", |e| e["type"] == "FAILURE").expect("a failure");
    assert_eq!(failure["failure"]["executor_id"]["value"], "e");
    assert_eq!(failure["failure"]["agent_id"], agent_id);
}

#[test]
fn an_executor_that_never_registers_fails_its_task() {
    let cluster = cluster(&["--executor_registration_timeout=1secs"]);
    let mut framework = framework(&cluster);
    launch(&mut framework);
    let status = framework.until_state("TASK_FAILED");
    assert_eq!(status["reason"], "REASON_EXECUTOR_REGISTRATION_TIMEOUT", "{status}");
    assert_eq!(status["message"], "Executor did not register within 1secs", "{status}");
}

#[test]
fn an_unknown_executor_is_told_to_end_and_the_known_one_is_still_heard() {
    let cluster = cluster(&[]);
    let mut framework = framework(&cluster);
    launch(&mut framework);
    let environment = environment(&cluster);
    let mut driver = Driver::start(&cluster, &environment);
    driver.register();
    driver.expect::<RunTaskMessage>("RunTaskMessage");
    driver.update(TaskState::TaskRunning, 1);
    framework.until_state("TASK_RUNNING");
    // A driver that names an executor which was never launched.
    let mut stranger = Driver::start(&cluster, &environment);
    let message = RegisterExecutorMessage {
        framework_id: stranger.framework_id.clone(),
        executor_id: v1::ExecutorId { value: "nobody".to_owned() },
    };
    stranger.send("RegisterExecutorMessage", &message);
    stranger.expect::<ShutdownExecutorMessage>("ShutdownExecutorMessage");
    driver.update(TaskState::TaskFinished, 2);
    framework.until_state("TASK_FINISHED");
}

#[test]
fn an_executor_driver_outlives_its_agent() {
    let mut cluster = cluster(&[]);
    let mut framework = framework(&cluster);
    launch(&mut framework);
    let environment = environment(&cluster);
    let mut driver = Driver::start(&cluster, &environment);
    driver.register();
    let run: RunTaskMessage = driver.expect("RunTaskMessage");
    driver.update(TaskState::TaskRunning, 1);
    framework.until_state("TASK_RUNNING");
    cluster.agents[0].restart().expect("an agent");
    // The new agent looks for the executors of the old one.
    let reconnect: ReconnectExecutorMessage = driver.expect("ReconnectExecutorMessage");
    assert_eq!(reconnect.slave_id, driver.agent_id);
    driver.link = driver.process.connect(cluster.agents[0].address).expect("a connection");
    let message = ReregisterExecutorMessage {
        framework_id: driver.framework_id.clone(),
        executor_id: driver.executor_id.clone(),
        tasks: vec![run.task],
        updates: Vec::new(),
    };
    driver.send("ReregisterExecutorMessage", &message);
    driver.expect::<ExecutorReregisteredMessage>("ExecutorReregisteredMessage");
    driver.update(TaskState::TaskFinished, 2);
    framework.until_state("TASK_FINISHED");
}
