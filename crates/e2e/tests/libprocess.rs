//! A C++ agent at our master, and our agent at a C++ master: the messages of Apache Mesos byte by byte.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use e2e::{Cluster, Daemon, Framework, Message, Options, Process, eventually};
use prost::Message as _;
use proto::mesos::internal::{
    PingSlaveMessage, PongSlaveMessage, RegisterSlaveMessage, RunTaskMessage, SlaveRegisteredMessage,
    StatusUpdate, StatusUpdateAcknowledgementMessage, StatusUpdateMessage,
};
use proto::mesos::v1::{self, TaskState};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

/// What libprocess puts into the head of a message, in this order.
fn assert_head(message: &Message, to: &str, address: SocketAddr) {
    let mut expected = vec![
        format!("POST /{to}/{} HTTP/1.1", message.name),
        format!("User-Agent: libprocess/{}", message.from),
        format!("Libprocess-From: {}", message.from),
        "Connection: Keep-Alive".to_owned(),
        format!("Host: {address}"),
    ];
    if !message.body.is_empty() {
        expected.push("Transfer-Encoding: chunked".to_owned());
    }
    assert_eq!(message.head, expected);
}

#[expect(deprecated, reason = "peers of Apache Mesos fill the old role field")]
fn scalar(name: &str, value: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        role: Some("*".to_owned()),
        ..Default::default()
    }
}

fn capabilities() -> Vec<v1::agent_info::Capability> {
    use v1::agent_info::capability::Type;
    [Type::MultiRole, Type::HierarchicalRole, Type::ReservationRefinement]
        .map(|kind| v1::agent_info::Capability { r#type: Some(kind.into()) })
        .to_vec()
}

/// The version 4 UUID of this number.
fn uuid(number: u8) -> Bytes {
    let mut bytes = vec![number; 16];
    bytes[6] = 0x40;
    bytes[8] = 0x80;
    bytes.into()
}

fn update(
    framework: &v1::FrameworkId,
    agent: &v1::AgentId,
    state: TaskState,
    uuid: u8,
) -> StatusUpdateMessage {
    let uuid = self::uuid(uuid);
    StatusUpdateMessage {
        update: StatusUpdate {
            framework_id: framework.clone(),
            executor_id: Some(v1::ExecutorId { value: "t".to_owned() }),
            slave_id: Some(agent.clone()),
            status: v1::TaskStatus {
                task_id: v1::TaskId { value: "t".to_owned() },
                state: state.into(),
                agent_id: Some(agent.clone()),
                source: Some(v1::task_status::Source::Executor.into()),
                uuid: Some(uuid.clone()),
                timestamp: Some(1.0),
                ..Default::default()
            },
            timestamp: 1.0,
            uuid: Some(uuid),
            latest_state: Some(state.into()),
        },
        pid: None,
    }
}

#[test]
fn an_agent_of_apache_mesos_serves_our_master() {
    let flags = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=2"];
    let options =
        Options { agents: 0, master_flags: flags.map(str::to_owned).to_vec(), ..Options::default() };
    let cluster = Cluster::start(&options).expect("a master");
    let master = cluster.master.address;
    let master_pid = format!("master@{master}");
    let mut agent = Process::start("slave(1)").expect("a process");
    let mut link = agent.connect(master).expect("a connection");

    let register = RegisterSlaveMessage {
        slave: v1::AgentInfo {
            hostname: "127.0.0.1".to_owned(),
            port: Some(i32::from(agent.address.port())),
            resources: vec![scalar("cpus", 2.0), scalar("mem", 1024.0)],
            ..Default::default()
        },
        version: Some("1.11.0".to_owned()),
        agent_capabilities: capabilities(),
        resource_version_uuid: Some(v1::Uuid { value: Bytes::from(vec![7; 16]) }),
        ..Default::default()
    };
    let name = "mesos.internal.RegisterSlaveMessage";
    let status = agent.post(&mut link, &agent.pid, &master_pid, name, &register.encode_to_vec());
    assert_eq!(status.expect("an answer"), 202);
    let registered = agent.expect("mesos.internal.SlaveRegisteredMessage", PATIENCE);
    assert_head(&registered, "slave(1)", agent.address);
    assert_eq!(registered.from, master_pid);
    let registered = SlaveRegisteredMessage::decode(&registered.body[..]).expect("a message");
    let agent_id = registered.slave_id;
    assert!(agent_id.value.ends_with("-S0"), "{}", agent_id.value);
    let total = registered.connection.and_then(|connection| connection.total_ping_timeout_seconds);
    assert_eq!(total, Some(2.0));

    // To a process that does not exist.
    let status = agent.post(&mut link, &agent.pid, &format!("nobody@{master}"), name, b"x");
    assert_eq!(status.expect("an answer"), 404);

    let info = json!({"user": "root", "name": "wire", "failover_timeout": 60.0, "roles": ["a"],
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]});
    let mut framework = Framework::subscribe(master, &info);
    framework.launch("true");
    let run = agent.expect("mesos.internal.RunTaskMessage", PATIENCE);
    assert_head(&run, "slave(1)", agent.address);
    let run = RunTaskMessage::decode(&run.body[..]).expect("a message");
    assert_eq!(run.task.task_id.value, "t");
    assert_eq!(run.launch_executor, Some(true));
    assert!(run.task.resources.iter().all(|r| r.allocation_info.as_ref().is_some_and(|a| a.role() == "a")));
    let framework_id = run.framework.id.expect("the master gave an id");

    for (state, uuid) in [(TaskState::TaskRunning, 1), (TaskState::TaskFinished, 2)] {
        let mut message = update(&framework_id, &agent_id, state, uuid);
        message.pid = Some(agent.pid.clone());
        let name = "mesos.internal.StatusUpdateMessage";
        let status = agent.post(&mut link, &agent.pid, &master_pid, name, &message.encode_to_vec());
        assert_eq!(status.expect("an answer"), 202);
        framework.until_state(state.as_str_name());
        let acknowledged = agent.expect("mesos.internal.StatusUpdateAcknowledgementMessage", PATIENCE);
        let acknowledged =
            StatusUpdateAcknowledgementMessage::decode(&acknowledged.body[..]).expect("a message");
        assert_eq!(acknowledged.uuid, self::uuid(uuid));
        assert_eq!(acknowledged.task_id.value, "t");
    }

    // As long as it answers pings it stays; then it is unreachable.
    for _ in 0..3 {
        let ping = agent.expect("mesos.internal.PingSlaveMessage", PATIENCE);
        assert_head(&ping, "slave(1)", agent.address);
        assert!(ping.from.starts_with("slave-observer("), "{}", ping.from);
        assert!(PingSlaveMessage::decode(&ping.body[..]).expect("a message").connected);
        let pong = PongSlaveMessage::default().encode_to_vec();
        let name = "mesos.internal.PongSlaveMessage";
        let status = agent.post(&mut link, &agent.pid, &ping.from, name, &pong).expect("an answer");
        assert_eq!(status, 202);
    }
    eventually("the silent agent is unreachable", PATIENCE, || {
        (cluster.master.json("/state")["unreachable_slaves"].as_f64() == Some(1.0)).then_some(())
    });
    framework.stream.until("FAILURE", |e| e["type"] == "FAILURE").expect("a FAILURE");
}

#[test]
fn our_agent_serves_a_master_of_apache_mesos() {
    let home = tempfile::tempdir().expect("a directory");
    let mut master = Process::start("master").expect("a process");
    let agent = Daemon::agent(home.path(), 0, master.address, &Options::default()).expect("an agent");
    let agent_pid = format!("slave(1)@{}", agent.address);

    let register = master.expect("mesos.internal.RegisterSlaveMessage", PATIENCE);
    assert_head(&register, "master", master.address);
    assert_eq!(register.from, agent_pid);
    let register = RegisterSlaveMessage::decode(&register.body[..]).expect("a message");
    assert_eq!(register.slave.hostname, "127.0.0.1");
    assert_eq!(register.version.as_deref(), Some("1.12.0"));
    assert_eq!(register.slave.resources.iter().filter(|r| r.name == "cpus").count(), 1);

    let mut link = master.connect(agent.address).expect("a connection");
    let agent_id = v1::AgentId { value: "00000000-0000-4000-8000-000000000000-S0".to_owned() };
    let registered = SlaveRegisteredMessage { slave_id: agent_id.clone(), ..Default::default() };
    let send = |link: &mut _, from: &str, name: &str, body: Vec<u8>| {
        let status = master.post(link, from, &agent_pid, &format!("mesos.internal.{name}"), &body);
        assert_eq!(status.expect("an answer"), 202, "{name}");
    };
    send(&mut link, &master.pid, "SlaveRegisteredMessage", registered.encode_to_vec());
    let observer = format!("slave-observer(1)@{}", master.address);
    send(&mut link, &observer, "PingSlaveMessage", PingSlaveMessage { connected: true }.encode_to_vec());
    let framework_id = v1::FrameworkId { value: "f-0000".to_owned() };
    let run = RunTaskMessage {
        framework: v1::FrameworkInfo {
            user: "root".to_owned(),
            name: "wire".to_owned(),
            id: Some(framework_id.clone()),
            ..Default::default()
        },
        pid: Some(String::new()),
        task: v1::TaskInfo {
            name: "t".to_owned(),
            task_id: v1::TaskId { value: "t".to_owned() },
            agent_id: agent_id.clone(),
            resources: [scalar("cpus", 0.1), scalar("mem", 32.0)]
                .map(|r| v1::Resource {
                    allocation_info: Some(v1::resource::AllocationInfo { role: Some("*".to_owned()) }),
                    ..r
                })
                .to_vec(),
            command: Some(v1::CommandInfo { value: Some("exit 3".to_owned()), ..Default::default() }),
            ..Default::default()
        },
        launch_executor: Some(true),
        ..Default::default()
    };
    send(&mut link, &master.pid, "RunTaskMessage", run.encode_to_vec());

    let pong = master.expect("mesos.internal.PongSlaveMessage", PATIENCE);
    assert_eq!((pong.to.as_str(), pong.from.as_str()), ("slave-observer(1)", agent_pid.as_str()));
    master.expect("mesos.internal.UpdateSlaveMessage", PATIENCE);

    for state in [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskFailed] {
        let message = master.expect("mesos.internal.StatusUpdateMessage", PATIENCE);
        let message = StatusUpdateMessage::decode(&message.body[..]).expect("a message");
        assert_eq!(message.pid.as_deref(), Some(agent_pid.as_str()));
        let status = message.update.status;
        assert_eq!(status.state(), state);
        assert_eq!(status.agent_id.as_ref(), Some(&agent_id));
        if state == TaskState::TaskFailed {
            assert_eq!(status.message.as_deref(), Some("Command exited with status 3"));
        }
        let acknowledgement = StatusUpdateAcknowledgementMessage {
            slave_id: agent_id.clone(),
            framework_id: framework_id.clone(),
            task_id: status.task_id,
            uuid: status.uuid.expect("an update of an agent has one"),
        };
        let status = master.post(
            &mut link,
            &master.pid,
            &agent_pid,
            "mesos.internal.StatusUpdateAcknowledgementMessage",
            &acknowledgement.encode_to_vec(),
        );
        assert_eq!(status.expect("an answer"), 202);
    }
}
