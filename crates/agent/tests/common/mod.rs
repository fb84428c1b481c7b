//! A master and an executor that do what a test tells them, around an agent that really runs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use agent::{Agent, AgentConfig, AgentFlags, Running};
use bytes::Bytes;
use flags::LoggingFlags;
use http::{Call as Request, Client, Codec, Events, Router, Server};
use libprocess::{Inbox, Message, Mixed, Receiver, ReceiverLimits, Transport, TransportLimits};
use proto::json::Names;
use proto::mesos::internal::{RegisterSlaveMessage, SlaveRegisteredMessage};
use proto::mesos::v1::executor;
use proto::mesos::v1::{self, command_info};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use types::Pid;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const AGENT_ID: &str = "m-S0";
pub(crate) const FRAMEWORK_ID: &str = "m-0000";

/// A master that notes every message and says only what it is told to.
pub(crate) struct Master {
    pub(crate) pid: Pid,
    transport: Transport,
    received: mpsc::Receiver<Message>,
    kept: Vec<Message>,
    _stop: oneshot::Sender<()>,
}

impl Master {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pid = Pid::new("master", listener.local_addr().unwrap());
        let (queue, received) = mpsc::channel(1024);
        let inbox = Arc::new(Inbox::new().process("master", queue.clone()).family("slave-observer", queue));
        let (transport, _) = Transport::new(pid.address, TransportLimits::default());
        let server = Server::new(Mixed::new(Arc::clone(&inbox), Router::new("master")))
            .first_look(Receiver::new(inbox, ReceiverLimits::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.run(listener, async {
            let _ = stopped.await;
        }));
        Self { pid, transport, received, kept: Vec::new(), _stop: stop }
    }

    /// The next message of this type, others are kept for later.
    pub(crate) async fn expect<M: prost::Message + Default + proto::schema::Described>(
        &mut self,
    ) -> (Pid, M) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        if let Some(at) = self.kept.iter().position(|message| message.name == M::NAME) {
            let message = self.kept.remove(at);
            return (message.from, M::decode(message.body).unwrap());
        }
        loop {
            let next = tokio::time::timeout_at(deadline, self.received.recv()).await;
            let message = next.unwrap_or_else(|_| panic!("no {} in time", M::NAME)).unwrap();
            if message.name == M::NAME {
                return (message.from, M::decode(message.body).unwrap());
            }
            self.kept.push(message);
        }
    }

    pub(crate) fn send<M: prost::Message + proto::schema::Described>(&self, to: &Pid, message: &M) {
        self.transport.send("master", to, M::NAME, &message.encode_to_vec());
    }

    /// Waits for an agent and admits it.
    pub(crate) async fn admit(&mut self) -> (Pid, RegisterSlaveMessage) {
        let (agent, message) = self.expect::<RegisterSlaveMessage>().await;
        let admitted = SlaveRegisteredMessage {
            slave_id: v1::AgentId { value: AGENT_ID.to_owned() },
            ..SlaveRegisteredMessage::default()
        };
        self.send(&agent, &admitted);
        (agent, message)
    }
}

/// The launch helper, built if it is not there yet.
fn launcher() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let me = std::env::current_exe().unwrap();
        let helper = me.ancestors().nth(2).unwrap().join("mesos-containerizer");
        // A run of the whole workspace has just built it.
        if !helper.exists() {
            let arguments = ["build", "--quiet", "-p", "containerizer", "--bin", "mesos-containerizer"];
            assert!(Command::new(env!("CARGO")).args(arguments).status().unwrap().success());
        }
        helper
    };
    BUILT.get_or_init(build).clone()
}

/// The flags of a small agent in `directory`.
pub(crate) fn flags(directory: &Path, master: &Pid) -> AgentFlags {
    let below = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let mut flags = AgentFlags::default();
    let mut set = |name: &str, value: &str| flags::FlagSet::set(&mut flags, name, value, None).unwrap();
    set("master", &master.address.to_string());
    set("ip", "127.0.0.1");
    set("port", "0");
    set("hostname", "agent1.example");
    set("work_dir", &below("work"));
    set("runtime_dir", &below("run"));
    set("fetcher_cache_dir", &below("cache"));
    // What a test leaves running when it fails has no cgroup to leave behind.
    set("launcher", "posix");
    set("resources", "cpus:4;mem:2048;disk:10240;ports:[31000-31099];cpus(prod):2");
    set("attributes", "rack:r1;level:3");
    set("registration_backoff_factor", "1ms");
    set("executor_reregistration_timeout", "10secs");
    set("executor_shutdown_grace_period", "200ms");
    flags
}

pub(crate) async fn start(flags: &AgentFlags) -> Running {
    start_result(flags).await.unwrap()
}

pub(crate) async fn start_result(flags: &AgentFlags) -> anyhow::Result<Running> {
    let launcher = tokio::task::spawn_blocking(launcher).await.unwrap();
    let mut config = AgentConfig::from_flags(flags, &LoggingFlags::default()).unwrap();
    config.launcher_binary = Some(launcher);
    Agent::start(config).await
}

/// A master and an agent that it admitted.
pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) master: Master,
    pub(crate) agent: Running,
    pub(crate) pid: Pid,
}

pub(crate) async fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = start(&flags(directory.path(), &master.pid)).await;
    let (pid, _) = master.admit().await;
    assert_eq!(pid, agent.pid);
    let world = World { directory, master, agent, pid };
    world.eventually("/state", |state| state.contains(&format!(r#""id":"{AGENT_ID}""#))).await;
    world
}

impl World {
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        get(&self.agent, path).await
    }

    pub(crate) async fn eventually(&self, path: &str, condition: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, text) = self.get(path).await;
            if condition(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "not in time: {text}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn operator(&self, body: &str) -> (u16, String) {
        let mut client = Client::new(self.agent.address.to_string());
        let answer =
            client.call(Request::post("/api/v1", "application/json", body.to_owned())).await.unwrap();
        (answer.status.as_u16(), answer.text())
    }
}

pub(crate) async fn get(agent: &Running, path: &str) -> (u16, String) {
    let mut client = Client::new(agent.address.to_string());
    let answer = client.call(Request::get(path)).await.unwrap();
    (answer.status.as_u16(), answer.text())
}

/// An executor of the v1 API, in the test's own process.
pub(crate) struct Executor {
    address: String,
    framework: String,
    id: String,
    events: Events,
}

impl Executor {
    pub(crate) async fn subscribe(agent: &Running, id: &str) -> Self {
        let address = agent.address.to_string();
        let call = Self::call(id, executor::call::Type::Subscribe);
        let call = executor::Call { subscribe: Some(executor::call::Subscribe::default()), ..call };
        let request = Request::post("/api/v1/executor", "application/json", json(&call));
        let events = Client::new(&address).subscribe(request).await.unwrap();
        Self { address, framework: FRAMEWORK_ID.to_owned(), id: id.to_owned(), events }
    }

    fn call(id: &str, kind: executor::call::Type) -> executor::Call {
        executor::Call {
            framework_id: v1::FrameworkId { value: FRAMEWORK_ID.to_owned() },
            executor_id: v1::ExecutorId { value: id.to_owned() },
            r#type: Some(kind as i32),
            ..executor::Call::default()
        }
    }

    pub(crate) async fn next(&mut self) -> executor::Event {
        let record = tokio::time::timeout(PATIENCE, self.events.next()).await.unwrap().unwrap().unwrap();
        http::decode_event(Codec::Json, &record).unwrap()
    }

    pub(crate) async fn expect(&mut self, kind: executor::event::Type) -> executor::Event {
        loop {
            let event = self.next().await;
            if event.r#type() == kind {
                return event;
            }
        }
    }

    /// Reports a task's state; the status of the answer and its text.
    pub(crate) async fn update(&self, task: &str, state: v1::TaskState, uuid: u8) -> (u16, String) {
        let mut bytes = [uuid; 16];
        bytes[6] = 0x40;
        let status = v1::TaskStatus {
            task_id: v1::TaskId { value: task.to_owned() },
            state: state as i32,
            source: Some(v1::task_status::Source::Executor as i32),
            executor_id: Some(v1::ExecutorId { value: self.id.clone() }),
            uuid: Some(Bytes::copy_from_slice(&bytes)),
            ..v1::TaskStatus::default()
        };
        let call = executor::Call {
            update: Some(executor::call::Update { status }),
            ..Self::call(&self.id, executor::call::Type::Update)
        };
        let request = Request::post("/slave(1)/api/v1/executor", "application/json", json(&call));
        let answer = Client::new(&self.address).call(request).await.unwrap();
        assert_eq!(self.framework, FRAMEWORK_ID);
        (answer.status.as_u16(), answer.text())
    }
}

fn json<T: proto::json::Json>(message: &T) -> Vec<u8> {
    proto::json::to_vec(message, Names::V1)
}

pub(crate) fn framework(checkpoint: bool) -> v1::FrameworkInfo {
    v1::FrameworkInfo {
        user: containerizer::users::current(),
        name: "test".to_owned(),
        id: Some(v1::FrameworkId { value: FRAMEWORK_ID.to_owned() }),
        checkpoint: Some(checkpoint),
        roles: vec!["dev".to_owned()],
        capabilities: vec![v1::framework_info::Capability {
            r#type: Some(v1::framework_info::capability::Type::MultiRole as i32),
        }],
        ..v1::FrameworkInfo::default()
    }
}

pub(crate) fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar as i32,
        scalar: Some(v1::value::Scalar { value }),
        allocation_info: Some(v1::resource::AllocationInfo { role: Some("dev".to_owned()) }),
        ..v1::Resource::default()
    }
}

/// A task of an executor that runs `script`.
pub(crate) fn task(id: &str, executor: &str, script: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        name: id.to_owned(),
        task_id: v1::TaskId { value: id.to_owned() },
        agent_id: v1::AgentId { value: AGENT_ID.to_owned() },
        resources: vec![scalar("cpus", 0.5), scalar("mem", 32.0)],
        executor: Some(v1::ExecutorInfo {
            executor_id: v1::ExecutorId { value: executor.to_owned() },
            framework_id: Some(v1::FrameworkId { value: FRAMEWORK_ID.to_owned() }),
            command: Some(v1::CommandInfo {
                value: Some(script.to_owned()),
                uris: Vec::<command_info::Uri>::new(),
                ..v1::CommandInfo::default()
            }),
            resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
            ..v1::ExecutorInfo::default()
        }),
        ..v1::TaskInfo::default()
    }
}
