//! A task's life as the wire shows it: an agent that registers, runs, updates and vanishes, all played by this test;
//! and how an operator takes it out of service.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::sync::Arc;

use common::{Events, PATIENCE, json_headers, request};
use http::{Request, Response, Route, Router, Server};
use libprocess::{Inbox, Message, Mixed, Receiver, ReceiverLimits, Transport, TransportLimits};
use master::{Master, MasterConfig};
use proto::mesos::internal;
use proto::mesos::v1;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use types::Pid;

/// An agent's place on the wire, without an agent.
struct Agent {
    messages: mpsc::Receiver<Message>,
    transport: Transport,
    pid: Pid,
    master: Pid,
    _stop: oneshot::Sender<()>,
}

impl Agent {
    async fn start(master: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (queue, messages) = mpsc::channel(64);
        let inbox = Arc::new(Inbox::new().process("slave(1)", queue));
        let health = Route::get("slave(1)/health", |_: Request| async { Response::ok() });
        let router = Mixed::new(Arc::clone(&inbox), Router::new("slave(1)").route(health));
        let server = Server::new(router).first_look(Receiver::new(inbox, ReceiverLimits::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.run(listener, async {
            let _ = stopped.await;
        }));
        let (transport, _) = Transport::new(address, TransportLimits::default());
        let master = Pid::new("master", master.parse().unwrap());
        Self { messages, transport, pid: Pid::new("slave(1)", address), master, _stop: stop }
    }

    fn send(&self, name: &str, message: &impl prost::Message) {
        self.transport.send(
            "slave(1)",
            &self.master,
            &format!("mesos.internal.{name}"),
            &message.encode_to_vec(),
        );
    }

    /// The next message of this name; pings and others before it are passed over.
    async fn expect<M: prost::Message + Default>(&mut self, name: &str) -> M {
        let name = format!("mesos.internal.{name}");
        let waiting = async {
            loop {
                let message = self.messages.recv().await.unwrap();
                if message.name == name {
                    return M::decode(message.body).unwrap();
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("no {name}"))
    }

    fn info(&self) -> v1::AgentInfo {
        let mut resources =
            resources::Resources::parse("cpus:4;mem:2048;disk:10240;ports:[31000-31099]", "*")
                .unwrap()
                .to_protos();
        resources::format::downgrade_all(&mut resources).unwrap();
        v1::AgentInfo {
            hostname: "agent.example".to_owned(),
            port: Some(i32::from(self.pid.address.port())),
            resources,
            checkpoint: Some(true),
            ..v1::AgentInfo::default()
        }
    }

    async fn register(&mut self) -> String {
        let capability = |kind| v1::agent_info::Capability { r#type: Some(kind) };
        self.send(
            "RegisterSlaveMessage",
            &internal::RegisterSlaveMessage {
                slave: self.info(),
                version: Some("1.12.0".to_owned()),
                agent_capabilities: (1..=8).map(capability).collect(),
                ..internal::RegisterSlaveMessage::default()
            },
        );
        let registered: internal::SlaveRegisteredMessage = self.expect("SlaveRegisteredMessage").await;
        registered.slave_id.value
    }

    fn update(&self, task: &internal::RunTaskMessage, agent: &str, state: v1::TaskState, uuid: [u8; 16]) {
        let agent = Some(v1::AgentId { value: agent.to_owned() });
        let uuid = bytes::Bytes::copy_from_slice(&uuid);
        let status = v1::TaskStatus {
            task_id: task.task.task_id.clone(),
            state: state as i32,
            agent_id: agent.clone(),
            timestamp: Some(1.5),
            uuid: Some(uuid.clone()),
            source: Some(v1::task_status::Source::Executor as i32),
            ..v1::TaskStatus::default()
        };
        let update = internal::StatusUpdate {
            framework_id: task.framework.id.clone().unwrap(),
            slave_id: agent,
            status,
            timestamp: 1.5,
            uuid: Some(uuid),
            latest_state: Some(state as i32),
            ..internal::StatusUpdate::default()
        };
        let message = internal::StatusUpdateMessage { update, pid: Some(self.pid.to_string()) };
        self.send("StatusUpdateMessage", &message);
    }
}

struct Framework {
    address: String,
    id: Value,
    stream_id: String,
    events: Events,
}

impl Framework {
    async fn subscribe(address: &str) -> Self {
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "test",
            "roles": ["dev"], "failover_timeout": 60, "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"},
            {"type": "RESERVATION_REFINEMENT"}]}}});
        let mut events =
            Events::open(address, "/api/v1/scheduler", &json_headers(), call.to_string().as_bytes()).await;
        let stream_id = events.head.header("Mesos-Stream-Id").unwrap().to_owned();
        let id = events.wait_for("SUBSCRIBED").await["subscribed"]["framework_id"].clone();
        Self { address: address.to_owned(), id, stream_id, events }
    }

    async fn call(&self, mut call: Value) {
        call["framework_id"] = self.id.clone();
        let mut headers = json_headers();
        headers.push(("Mesos-Stream-Id".to_owned(), self.stream_id.clone()));
        let answer =
            request(&self.address, "POST", "/api/v1/scheduler", &headers, call.to_string().as_bytes()).await;
        assert_eq!((answer.status, answer.text()), (202, String::new()), "{call}");
    }
}

async fn document(address: &str, path: &str) -> Value {
    let answer = request(address, "GET", path, &[], b"").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Waits until a document says so.
async fn until(address: &str, path: &str, says: impl Fn(&Value) -> bool) -> Value {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let value = document(address, path).await;
        if says(&value) {
            return value;
        }
        assert!(tokio::time::Instant::now() < end, "{path} never says so: {value:#}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_runs_and_its_agent_vanishes() {
    let running = Master::start(MasterConfig::new("127.0.0.1:0".parse().unwrap())).await.unwrap();
    let address = running.address.to_string();
    let mut agent = Agent::start(&address).await;
    let agent_id = agent.register().await;
    assert!(agent_id.ends_with("-S0"), "{agent_id}");
    let mut framework = Framework::subscribe(&address).await;

    let offer = framework.events.wait_for("OFFERS").await["offers"]["offers"][0].clone();
    assert_eq!(offer["agent_id"]["value"], agent_id.as_str());
    assert_eq!(offer["url"]["path"], "/slave(1)");
    assert_eq!(offer["url"]["address"]["port"], agent.pid.address.port());

    let resource = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": {"role": "dev"}});
    let task = json!({"name": "t", "task_id": {"value": "t"}, "agent_id": {"value": agent_id},
        "command": {"value": "true"}, "resources": [resource("cpus", 1.0), resource("mem", 64.0)]});
    let launch = json!({"type": "LAUNCH", "launch": {"task_infos": [task]}});
    framework
        .call(json!({"type": "ACCEPT", "accept": {"offer_ids": [offer["id"]], "operations": [launch]}}))
        .await;
    let run: internal::RunTaskMessage = agent.expect("RunTaskMessage").await;
    assert_eq!(run.task.task_id.value, "t");

    agent.update(&run, &agent_id, v1::TaskState::TaskRunning, [0x41; 16]);
    let update = framework.events.wait_for("UPDATE").await["update"]["status"].clone();
    assert_eq!(update["state"], "TASK_RUNNING");
    framework
        .call(json!({"type": "ACKNOWLEDGE", "acknowledge": {"agent_id": {"value": agent_id},
            "task_id": {"value": "t"}, "uuid": update["uuid"]}}))
        .await;
    let ack: internal::StatusUpdateAcknowledgementMessage =
        agent.expect("StatusUpdateAcknowledgementMessage").await;
    assert_eq!(ack.uuid, vec![0x41; 16]);

    let state = document(&address, "/state").await;
    assert_eq!(state["slaves"][0]["used_resources"]["cpus"], 1.0);
    assert_eq!(state["frameworks"][0]["tasks"][0]["state"], "TASK_RUNNING");
    let metrics = document(&address, "/metrics/snapshot").await;
    assert_eq!(metrics["master/slaves_active"], 1.0);
    assert_eq!(metrics["master/tasks_running"], 1.0);
    assert_eq!(metrics["allocator/mesos/resources/cpus/total"], 4.0);

    agent.update(&run, &agent_id, v1::TaskState::TaskFinished, [0x42; 16]);
    let update = framework.events.wait_for("UPDATE").await["update"]["status"].clone();
    assert_eq!(update["state"], "TASK_FINISHED");
    framework
        .call(json!({"type": "ACKNOWLEDGE", "acknowledge": {"agent_id": {"value": agent_id},
            "task_id": {"value": "t"}, "uuid": update["uuid"]}}))
        .await;
    until(&address, "/tasks", |tasks| tasks["tasks"][0]["state"] == "TASK_FINISHED").await;

    // Its sockets close with it, and the master's link breaks.
    drop(agent);
    until(&address, "/slaves", |slaves| slaves["slaves"][0]["active"] == false).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_marked_gone() {
    let running = Master::start(MasterConfig::new("127.0.0.1:0".parse().unwrap())).await.unwrap();
    let address = running.address.to_string();
    let mut events = Events::open(&address, "/api/v1", &json_headers(), br#"{"type":"SUBSCRIBE"}"#).await;
    let mut agent = Agent::start(&address).await;
    let agent_id = agent.register().await;
    let added = events.wait_for("AGENT_ADDED").await["agent_added"]["agent"].clone();
    assert_eq!(added["agent_info"]["id"]["value"], agent_id.as_str());
    assert_eq!(added["pid"], agent.pid.to_string());

    let gone = |id: &str| json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": {"value": id}}});
    let call = async |id: &str| {
        let answer =
            request(&address, "POST", "/api/v1", &json_headers(), gone(id).to_string().as_bytes()).await;
        (answer.status, answer.text())
    };
    assert_eq!(call("nope").await, (404, "Agent 'nope' not found".to_owned()));
    assert_eq!(call(&agent_id).await, (200, String::new()));
    let shutdown: internal::ShutdownMessage = agent.expect("ShutdownMessage").await;
    assert!(shutdown.message().contains("gone"), "{}", shutdown.message());
    until(&address, "/slaves", |slaves| slaves["slaves"] == json!([])).await;
    // Once gone is gone for good.
    assert_eq!(call(&agent_id).await, (200, String::new()));
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_framework_that_returns_replaces_its_old_stream() {
    let running = Master::start(MasterConfig::new("127.0.0.1:0".parse().unwrap())).await.unwrap();
    let address = running.address.to_string();
    let mut framework = Framework::subscribe(&address).await;
    let call = json!({"type": "SUBSCRIBE", "framework_id": framework.id, "subscribe": {"framework_info": {
        "user": "root", "name": "test", "id": framework.id, "roles": ["dev"], "failover_timeout": 60,
        "capabilities": [{"type": "MULTI_ROLE"}]}}});
    let mut events =
        Events::open(&address, "/api/v1/scheduler", &json_headers(), call.to_string().as_bytes()).await;
    let subscribed = events.wait_for("SUBSCRIBED").await;
    assert_eq!(subscribed["subscribed"]["framework_id"], framework.id);
    let error = framework.events.wait_for("ERROR").await;
    assert_eq!(error["error"]["message"], "Framework failed over");
    assert_eq!(framework.events.next().await, None);
    // The stream that is left ends: the framework waits for its return, unconnected.
    drop(events);
    until(&address, "/frameworks", |all| all["frameworks"][0]["connected"] == false).await;
    running.shutdown().await.unwrap();
}

async fn start() -> (master::Running, String) {
    let running = Master::start(MasterConfig::new("127.0.0.1:0".parse().unwrap())).await.unwrap();
    let address = running.address.to_string();
    (running, address)
}

/// Posts a document, and returns the status and the text of the answer.
async fn post(address: &str, path: &str, body: &str) -> (u16, String) {
    let answer = request(address, "POST", path, &json_headers(), body.as_bytes()).await;
    (answer.status, answer.text())
}

async fn call(address: &str, call: &Value) -> Value {
    let (status, text) = post(address, "/api/v1", &call.to_string()).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_is_scheduled_taken_down_and_brought_up() {
    let (running, address) = start().await;
    let address = address.as_str();
    let machines = json!([{"hostname": "a", "ip": "10.0.0.1"}, {"hostname": "b"}]);
    let unavailability = json!({"start": {"nanoseconds": 1}, "duration": {"nanoseconds": 2}});
    let schedule = json!({"windows": [{"machine_ids": machines, "unavailability": unavailability}]});
    let answer = post(address, "/maintenance/schedule", &schedule.to_string()).await;
    assert_eq!(answer, (200, String::new()));
    assert_eq!(document(address, "/maintenance/schedule").await, schedule);
    let read = call(address, &json!({"type": "GET_MAINTENANCE_SCHEDULE"})).await;
    assert_eq!(read["get_maintenance_schedule"]["schedule"], schedule);
    let status = json!({"draining_machines": [{"id": machines[0]}, {"id": machines[1]}]});
    assert_eq!(document(address, "/maintenance/status").await, status);

    let a = json!([machines[0]]).to_string();
    assert_eq!(post(address, "/machine/down", &a).await, (200, String::new()));
    let read = call(address, &json!({"type": "GET_MAINTENANCE_STATUS"})).await;
    let status = json!({"draining_machines": [{"id": machines[1]}], "down_machines": [machines[0]]});
    assert_eq!(read["get_maintenance_status"]["status"], status);
    assert_eq!(
        post(address, "/machine/down", &a).await,
        (400, r#"Machine '{"hostname":"a","ip":"10.0.0.1"}' is not in DRAINING mode and cannot be brought down"#.to_owned())
    );
    let without = json!({"type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": {"schedule": {"windows": []}}});
    assert_eq!(
        post(address, "/api/v1", &without.to_string()).await,
        (400, r#"Machine '{"hostname":"a","ip":"10.0.0.1"}' is deactivated and cannot be removed from the schedule"#.to_owned())
    );
    call(address, &json!({"type": "STOP_MAINTENANCE", "stop_maintenance": {"machines": [machines[0]]}}))
        .await;
    let schedule = json!({"windows": [{"machine_ids": [machines[1]], "unavailability": unavailability}]});
    assert_eq!(document(address, "/maintenance/schedule").await, schedule);
    call(address, &without).await;
    assert_eq!(document(address, "/maintenance/schedule").await, json!({}));
    assert_eq!(document(address, "/maintenance/status").await, json!({}));
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_refused_with_its_reason() {
    let (running, address) = start().await;
    for (path, body) in [
        ("/maintenance/schedule", "{"),
        ("/maintenance/schedule", "[]"),
        ("/maintenance/schedule", r#"{"windows":[{"machine_ids":[{"hostname":"a"}]}]}"#),
        (
            "/maintenance/schedule",
            r#"{"windows":[{"machine_ids":[{"hostname":"a"}],"unavailability":{"start":{"nanoseconds":"soon"}}}]}"#,
        ),
        ("/machine/down", ""),
        ("/machine/down", "{}"),
        ("/machine/down", "[]"),
        ("/machine/up", "[{}]"),
        ("/machine/up", "[7]"),
        ("/machine/up", r#"[{"hostname":"a"}]"#),
    ] {
        let (status, text) = post(&address, path, body).await;
        assert!(status == 400 && !text.is_empty(), "{path} {body}: {status} {text}");
    }
    for (body, why) in [
        (r#"{"type":"DRAIN_AGENT","drain_agent":{"agent_id":{"value":"x"}}}"#, "Unknown agent"),
        (r#"{"type":"DEACTIVATE_AGENT","deactivate_agent":{"agent_id":{"value":"x"}}}"#, "Unknown agent"),
        (
            r#"{"type":"REACTIVATE_AGENT","reactivate_agent":{"agent_id":{"value":"x"}}}"#,
            "Agent is not deactivated",
        ),
    ] {
        assert_eq!(post(&address, "/api/v1", body).await, (400, why.to_owned()));
    }
    for path in ["/maintenance/status", "/machine/down", "/machine/up"] {
        let method = if path == "/maintenance/status" { "POST" } else { "GET" };
        assert_eq!(request(&address, method, path, &[], b"").await.status, 405, "{path}");
    }
    assert_eq!(request(&address, "DELETE", "/maintenance/schedule", &[], b"").await.status, 405);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_framework_is_asked_to_leave_and_an_agent_drained() {
    let (running, address) = start().await;
    let mut agent = Agent::start(&address).await;
    let agent_id = agent.register().await;
    let mut framework = Framework::subscribe(&address).await;
    framework.events.wait_for("OFFERS").await;

    let machine = json!({"hostname": "agent.example", "ip": "127.0.0.1"});
    let unavailability = json!({"start": {"nanoseconds": 5}});
    let windows = json!([{"machine_ids": [machine], "unavailability": unavailability}]);
    let schedule = |windows: Value| json!({"type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": {"schedule": {"windows": windows}}});
    call(&address, &schedule(windows)).await;
    framework.events.wait_for("RESCIND").await;
    let offers = framework.events.wait_for("OFFERS").await;
    assert_eq!(offers["offers"]["offers"][0]["unavailability"], unavailability);
    let asked =
        framework.events.wait_for("INVERSE_OFFERS").await["inverse_offers"]["inverse_offers"][0].clone();
    assert_eq!(asked["agent_id"]["value"], agent_id.as_str());
    assert_eq!(asked["unavailability"], unavailability);
    assert_eq!(asked["url"]["path"], "/slave(1)");
    framework
        .call(json!({"type": "ACCEPT_INVERSE_OFFERS", "accept_inverse_offers": {"inverse_offer_ids": [asked["id"]]}}))
        .await;
    let status = until(&address, "/maintenance/status", |status| {
        status["draining_machines"][0]["statuses"][0]["status"] == "ACCEPT"
    })
    .await;
    assert_eq!(status["draining_machines"][0]["statuses"][0]["framework_id"], framework.id);
    assert_eq!(status["draining_machines"][0]["id"], machine);

    let drain = json!({"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": agent_id}, "max_grace_period": {"seconds": 7}}});
    let (status, why) = post(&address, "/api/v1", &drain.to_string()).await;
    assert_eq!(
        (status, why),
        (
            400,
            format!(
                "Agent {agent_id} is part of a maintenance schedule under Machine agent.example (127.0.0.1)"
            )
        )
    );
    call(&address, &schedule(json!([]))).await;
    call(&address, &drain).await;
    let told: internal::DrainSlaveMessage = agent.expect("DrainSlaveMessage").await;
    assert_eq!(told.config.max_grace_period.map(|grace| grace.nanoseconds), Some(7_000_000_000));
    let slaves =
        until(&address, "/slaves", |slaves| slaves["slaves"][0]["drain_info"]["state"] == "DRAINED").await;
    let slave = &slaves["slaves"][0];
    assert_eq!((&slave["active"], &slave["deactivated"]), (&json!(false), &json!(true)));
    assert!(slave["estimated_drain_start_time_seconds"].is_number());
    let agents = call(&address, &json!({"type": "GET_AGENTS"})).await;
    assert_eq!(agents["get_agents"]["agents"][0]["drain_info"]["state"], "DRAINED");
    assert!(agents["get_agents"]["agents"][0]["estimated_drain_start_time"]["nanoseconds"].is_number());
    let reactivate =
        json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": {"value": agent_id}}});
    call(&address, &reactivate).await;
    framework.events.wait_for("OFFERS").await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_which_agents_constraints_exclude() {
    const PATH: &str = "/hierarchical-allocator(1)/offer_constraints_debug";
    let running = Master::start(MasterConfig::new("127.0.0.1:0".parse().unwrap())).await.unwrap();
    let address = running.address.to_string();
    assert_eq!(document(&address, PATH).await, json!({"frameworks": {}}));
    let mut agent = Agent::start(&address).await;
    let agent_id = agent.register().await;
    let hostname = |predicate: Value| {
        let one = json!({"selector": {"pseudoattribute_type": "HOSTNAME"}, "predicate": predicate});
        json!({"groups": [{"attribute_constraints": [one]}]})
    };
    let constraints = json!({"role_constraints": {
        "dev": hostname(json!({"text_equals": {"value": "other.example"}})),
        "web": hostname(json!({"text_matches": {"regex": "agent[.].*"}})),
    }});
    let call = json!({"type": "SUBSCRIBE", "subscribe": {"offer_constraints": constraints, "suppressed_roles": ["web"],
        "framework_info": {"user": "root", "name": "picky", "roles": ["dev", "web", "x"],
            "capabilities": [{"type": "MULTI_ROLE"}]}}});
    let mut events =
        Events::open(&address, "/api/v1/scheduler", &json_headers(), call.to_string().as_bytes()).await;
    let id = events.wait_for("SUBSCRIBED").await["subscribed"]["framework_id"]["value"].clone();
    let excluded = json!({"dev": [agent_id], "web": [], "x": []});
    let expected = json!({"frameworks": {id.as_str().unwrap(): {
        "suppressed_roles": ["web"], "excluded_by_attribute_constraints": excluded,
    }}});
    assert_eq!(document(&address, PATH).await, expected);
    assert_eq!(request(&address, "POST", PATH, &[], b"").await.status, 405);
    running.shutdown().await.unwrap();
}
