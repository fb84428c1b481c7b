//! An agent that really runs, between a master and executors that the test plays.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod operations;

use std::fs;

use common::{AGENT_ID, Executor, FRAMEWORK_ID, World, framework, get, start, task, world};
use proto::mesos::internal::{
    ExitedExecutorMessage, PingSlaveMessage, PongSlaveMessage, RegisterSlaveMessage, ReregisterSlaveMessage,
    RunTaskMessage, SlaveReregisteredMessage, StatusUpdateAcknowledgementMessage, StatusUpdateMessage,
    UnregisterSlaveMessage, UpdateSlaveMessage,
};
use proto::mesos::v1;
use proto::mesos::v1::TaskState;
use proto::mesos::v1::executor::event;
use types::Pid;

impl World {
    fn run(&self, checkpoint: bool, task: v1::TaskInfo) {
        let message = RunTaskMessage {
            framework: framework(checkpoint),
            pid: Some(String::new()),
            task,
            launch_executor: Some(true),
            ..RunTaskMessage::default()
        };
        self.master.send(&self.pid, &message);
    }

    async fn update(&mut self) -> (TaskState, v1::TaskStatus) {
        let (from, message) = self.master.expect::<StatusUpdateMessage>().await;
        assert_eq!(from, self.pid);
        assert_eq!(message.pid, Some(self.pid.to_string()));
        let status = message.update.status;
        (status.state(), status)
    }

    fn acknowledge(&self, status: &v1::TaskStatus) {
        let message = StatusUpdateAcknowledgementMessage {
            slave_id: v1::AgentId { value: AGENT_ID.to_owned() },
            framework_id: v1::FrameworkId { value: FRAMEWORK_ID.to_owned() },
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap(),
        };
        self.master.send(&self.pid, &message);
    }

    fn sandbox(&self, executor: &str) -> std::path::PathBuf {
        let below =
            format!("work/slaves/{AGENT_ID}/frameworks/{FRAMEWORK_ID}/executors/{executor}/runs/latest");
        self.directory.path().join(below)
    }
}

#[tokio::test]
async fn registers_with_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let mut master = common::Master::start().await;
    let agent = start(&common::flags(directory.path(), &master.pid)).await;
    assert_eq!(get(&agent, "/health").await, (200, String::new()));
    let (from, message): (Pid, RegisterSlaveMessage) = master.admit().await;
    assert_eq!(from, agent.pid);
    assert_eq!(agent.pid.to_string(), format!("slave(1)@{}", agent.address));
    assert_eq!(message.version.as_deref(), Some("1.12.0"));
    assert_eq!(
        (message.slave.hostname.as_str(), message.slave.port()),
        ("agent1.example", i32::from(agent.address.port()))
    );
    assert_eq!(message.agent_capabilities.len(), 8);
    assert_eq!(message.slave.resources.len(), 5);
    assert_eq!(message.slave.attributes.len(), 2);
    master.expect::<UpdateSlaveMessage>().await;
    let meta = directory.path().join("work/meta");
    assert_eq!(fs::read_link(meta.join("slaves/latest")).unwrap(), meta.join("slaves").join(AGENT_ID));
    let info = fs::read(meta.join("slaves/latest/slave.info")).unwrap();
    let length = u32::from_ne_bytes(info[..4].try_into().unwrap());
    assert_eq!(length as usize, info.len() - 4);
    master.send(&agent.pid, &PingSlaveMessage { connected: true });
    master.expect::<PongSlaveMessage>().await;
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn runs_a_task_of_an_executor() {
    let mut world = world().await;
    let script = "echo $MESOS_EXECUTOR_ID on $MESOS_AGENT_ENDPOINT; echo oops >&2; exec sleep 1000";
    world.run(false, task("t1", "e1", script));
    world.eventually("/state", |state| state.contains("\"queued_tasks\":[{\"id\":\"t1\"")).await;
    let mut executor = Executor::subscribe(&world.agent, "e1").await;
    let subscribed = executor.next().await.subscribed.unwrap();
    assert_eq!(subscribed.agent_info.id.unwrap().value, AGENT_ID);
    let launch = executor.expect(event::Type::Launch).await.launch.unwrap();
    assert_eq!(launch.task.task_id.value, "t1");
    assert_eq!(executor.update("t1", TaskState::TaskRunning, 1).await, (202, String::new()));
    let acknowledged = executor.expect(event::Type::Acknowledged).await.acknowledged.unwrap();
    assert_eq!(acknowledged.task_id.value, "t1");
    let (state, status) = world.update().await;
    assert_eq!(state, TaskState::TaskRunning);
    assert!(status.container_status.as_ref().unwrap().executor_pid.unwrap() > 1);
    world.acknowledge(&status);

    let output = format!("e1 on {}\n", world.agent.address);
    let printed = |file: &str| fs::read_to_string(world.sandbox("e1").join(file)).unwrap();
    world.eventually("/health", |_| printed("stdout") == output && printed("stderr") == "oops\n").await;
    let real = world.sandbox("e1").canonicalize().unwrap();
    for path in [real.to_str().unwrap(), &format!("/frameworks/{FRAMEWORK_ID}/executors/e1/runs/latest")] {
        let (status, text) = world.get(&format!("/files/read?path={path}/stderr&offset=0")).await;
        assert_eq!((status, text.as_str()), (200, r#"{"data":"oops\n","offset":0}"#));
    }
    shows_it(&world).await;

    // The executor dies, and its task with it.
    let pid = status.container_status.unwrap().executor_pid.unwrap();
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let (state, status) = world.update().await;
    assert_eq!(state, TaskState::TaskFailed);
    world.acknowledge(&status);
    let (_, exited) = world.master.expect::<ExitedExecutorMessage>().await;
    assert_eq!(exited.status, 9);
    world.eventually("/state", |state| state.contains("\"frameworks\":[]")).await;
    let (_, containers) = world.get("/containers").await;
    assert_eq!(containers, "[]");
    let (_, metrics) = world.get("/metrics/snapshot").await;
    assert!(metrics.contains("\"slave/executors_terminated\":1.0"), "{metrics}");
    assert!(metrics.contains("\"slave/tasks_failed\":1.0"), "{metrics}");
    world.agent.stop().await.unwrap();
}

/// What the documents say of the one task that runs.
async fn shows_it(world: &World) {
    let (_, containers) = world.get("/containers").await;
    for part in
        ["\"executor_id\":\"e1\"", "\"mem_rss_bytes\":", "\"cpus_soft_limit\":0.6", "\"executor_pid\":"]
    {
        assert!(containers.contains(part), "{part} in {containers}");
    }
    let (_, statistics) = world.get("/monitor/statistics.json").await;
    assert!(statistics.contains("\"mem_limit_bytes\":67108864"), "{statistics}");
    let (status, _) = world.get("/containers?executor_id=e1").await;
    assert_eq!(status, 400);
    assert_eq!(world.get("/containers?container_id=nosuch").await.1, "[]");
    assert_eq!(world.get("/containerizer/debug").await, (200, "{\"pending\":[]}".to_owned()));
    for (call, part) in [
        ("GET_HEALTH", "{\"healthy\":true}"),
        ("GET_TASKS", "\"launched_tasks\":[{\"name\":\"t1\""),
        ("GET_EXECUTORS", "\"executors\":[{\"executor_info\":{\"executor_id\":{\"value\":\"e1\"}"),
        ("GET_FRAMEWORKS", "\"completed_frameworks\":[]"),
        ("GET_STATE", "\"get_executors\":{"),
        ("GET_CONTAINERS", "\"resource_statistics\":{"),
        ("GET_AGENT", "\"hostname\":\"agent1.example\""),
        ("GET_VERSION", "\"version\":\"1.12.0\""),
        ("GET_FLAGS", "{\"name\":\"work_dir\""),
        ("GET_LOGGING_LEVEL", "\"level\":0"),
        ("GET_OPERATIONS", "\"get_operations\":{}"),
        ("GET_RESOURCE_PROVIDERS", "\"get_resource_providers\":{}"),
    ] {
        let (status, text) = world.operator(&format!("{{\"type\":\"{call}\"}}")).await;
        assert!(status == 200 && text.contains(part), "{call}: {status} {text}");
    }
    // Without a store of images there is none to be removed.
    let (status, text) = world.operator(r#"{"type":"PRUNE_IMAGES"}"#).await;
    assert_eq!((status, text.as_str()), (200, ""));
    let (status, text) = world.operator(r#"{"type":"READ_FILE"}"#).await;
    let expected = "Failed to validate agent::Call: Expecting 'read_file' to be present";
    assert_eq!((status, text.as_str()), (400, expected));
}

#[tokio::test]
async fn refuses_executors_that_it_does_not_know() {
    let world = world().await;
    let (status, text) = {
        let mut client = http::Client::new(world.agent.address.to_string());
        let body =
            r#"{"type":"SUBSCRIBE","framework_id":{"value":"x"},"executor_id":{"value":"y"},"subscribe":{}}"#;
        let call = http::Call::post("/api/v1/executor", "application/json", body);
        let answer = client.call(call).await.unwrap();
        (answer.status.as_u16(), answer.text())
    };
    assert_eq!((status, text.as_str()), (400, "Framework cannot be found"));
    world.agent.stop().await.unwrap();
}

#[tokio::test]
async fn an_executor_that_cannot_be_launched_fails_its_task() {
    let mut world = world().await;
    let mut broken = task("t1", "e1", "true");
    let command = broken.executor.as_mut().unwrap().command.as_mut().unwrap();
    command.uris.push(v1::command_info::Uri { value: "/no/such/file".to_owned(), ..Default::default() });
    world.run(false, broken);
    let (state, status) = world.update().await;
    assert_eq!(state, TaskState::TaskFailed);
    assert!(status.message().contains("Failed to launch container: Failed to fetch"), "{}", status.message());
    world.agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_restarted_agent_finds_its_executor() {
    let mut world = world().await;
    world.run(true, task("t1", "e1", "exec sleep 1000"));
    world.eventually("/state", |state| state.contains("\"queued_tasks\":[{\"id\":\"t1\"")).await;
    let mut executor = Executor::subscribe(&world.agent, "e1").await;
    executor.expect(event::Type::Launch).await;
    assert_eq!(executor.update("t1", TaskState::TaskRunning, 1).await.0, 202);
    let (_, status) = world.update().await;
    let runs = world
        .directory
        .path()
        .join(format!("work/meta/slaves/{AGENT_ID}/frameworks/{FRAMEWORK_ID}/executors/e1/runs/latest"));
    let pid: u32 = fs::read_to_string(runs.join("pids/forked.pid")).unwrap().parse().unwrap();
    assert!(runs.join("http.marker").exists());
    // An agent that goes before the command was given its word takes it along.
    let command = || fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    world.eventually("/health", |_| command().starts_with(b"sleep\0")).await;
    let updates = || fs::metadata(runs.join("tasks/t1/task.updates")).unwrap().len();
    let unacknowledged = updates();
    world.acknowledge(&status);
    world.eventually("/health", |_| updates() > unacknowledged).await;

    // The agent goes and comes back at its address, as a daemon under a supervisor does.
    let address = world.agent.address;
    world.agent.stop().await.unwrap();
    let mut flags = common::flags(world.directory.path(), &world.master.pid);
    flags::FlagSet::set(&mut flags, "port", &address.port().to_string(), None).unwrap();
    world.agent = start(&flags).await;
    assert_eq!(world.get("/state").await, (503, "Agent has not finished recovery".to_owned()));
    let mut executor = Executor::subscribe(&world.agent, "e1").await;
    executor.expect(event::Type::Subscribed).await;
    let (_, message) = world.master.expect::<ReregisterSlaveMessage>().await;
    assert_eq!(message.slave.id.unwrap().value, AGENT_ID);
    assert_eq!(message.tasks.len(), 1);
    let back = SlaveReregisteredMessage {
        slave_id: v1::AgentId { value: AGENT_ID.to_owned() },
        ..SlaveReregisteredMessage::default()
    };
    world.master.send(&world.pid, &back);
    let (_, containers) = world.get("/containers").await;
    assert!(containers.contains(&format!("\"executor_pid\":{pid}")), "{containers}");
    assert_eq!(executor.update("t1", TaskState::TaskFinished, 2).await.0, 202);
    let (state, status) = world.update().await;
    assert_eq!(state, TaskState::TaskFinished);
    world.acknowledge(&status);
    world.agent.shutdown().await.unwrap();
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap() || zombie(pid));
}

/// Whether a process has ended and waits for its parent, which is this one.
fn zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[tokio::test]
async fn shutting_down_ends_everything_and_says_so() {
    let mut world = world().await;
    world.run(false, task("t1", "e1", "exec sleep 1000"));
    world.eventually("/state", |state| state.contains("\"queued_tasks\":[{\"id\":\"t1\"")).await;
    let mut executor = Executor::subscribe(&world.agent, "e1").await;
    executor.expect(event::Type::Launch).await;
    executor.update("t1", TaskState::TaskRunning, 1).await;
    let (_, status) = world.update().await;
    let pid = status.container_status.unwrap().executor_pid.unwrap();
    let leaving = tokio::spawn(world.agent.shutdown());
    executor.expect(event::Type::Shutdown).await;
    leaving.await.unwrap().unwrap();
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap() || zombie(pid));
    world.master.expect::<UnregisterSlaveMessage>().await;
}
