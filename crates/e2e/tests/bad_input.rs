//! Bad input over the wire: each gets its status and its words, and nothing of the cluster's state changes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use e2e::{Answer, Cluster, Framework, Options, Stream, request, request_raw};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn cluster() -> Cluster {
    Cluster::start(&Options::default()).expect("a cluster")
}

fn framework(cluster: &Cluster) -> Framework {
    Framework::subscribe(
        cluster.master.address,
        &json!({"user": "root", "name": "bad", "failover_timeout": 60.0}),
    )
}

fn offer(framework: &mut Framework) -> Value {
    let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
    offers["offers"]["offers"][0].clone()
}

fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut all = vec![JSON];
    all.extend(headers);
    request(address, "POST", path, &all, body.as_bytes()).expect("an answer")
}

/// Posts a call of the framework as it is and gives status and text.
fn call(framework: &Framework, master: SocketAddr, stream_id: Option<&str>, call: Value) -> (u16, String) {
    let headers: Vec<_> = stream_id.map(|id| ("Mesos-Stream-Id", id)).into_iter().collect();
    let mut call = call;
    if call.get("framework_id").is_none() {
        call["framework_id"] = framework.id.clone();
    }
    let answer = post(master, "/api/v1/scheduler", &headers, &call.to_string());
    (answer.status, answer.text())
}

fn scalar(name: &str, value: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": value}})
}

fn task(id: &str, offer: &Value, change: &Value) -> Value {
    let mut task = json!({
        "name": "t", "task_id": {"value": id}, "agent_id": offer["agent_id"], "command": {"value": "exec sleep 71400"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
    });
    for (key, value) in change.as_object().expect("an object") {
        task[key] = value.clone();
    }
    task
}

fn launch(framework: &Framework, offer: &Value, tasks: &[Value]) {
    framework.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": tasks}}],
        "filters": {"refuse_seconds": 0},
    }}));
}

fn update(framework: &mut Framework) -> Value {
    let event = framework.stream.until("an update", |e| e["type"] == "UPDATE").expect("an update");
    event["update"]["status"].clone()
}

#[test]
fn tasks_that_cannot_run_are_refused_with_the_reason() {
    let cluster = cluster();
    let mut framework = framework(&cluster);
    let long = "x".repeat(256);
    let cases = [
        ("big", json!({"resources": [scalar("cpus", 400.0)]}), "more than available"),
        (
            "elsewhere",
            json!({"agent_id": {"value": "nowhere"}}),
            "Task uses invalid agent nowhere while agent",
        ),
        ("a/b", json!({}), "'a/b' contains invalid characters"),
        ("..", json!({}), "'..' is disallowed"),
        ("", json!({}), "ID must not be empty"),
        (&long, json!({}), "ID must not be greater than 255 characters"),
        (
            "idle",
            json!({"command": null}),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo",
        ),
        ("free", json!({"resources": []}), "Task uses no resources"),
        ("negative", json!({"resources": [scalar("cpus", -1.0)]}), "Invalid scalar resource: value"),
        (
            "other",
            json!({"resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}, "role": "else"}]}),
            "more than available",
        ),
        (
            "backwards",
            json!({"resources": [scalar("cpus", 0.1), {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 5, "end": 2}]}}]}),
            "Invalid ranges resource: begin > end",
        ),
        (
            "impatient",
            json!({"kill_policy": {"grace_period": {"nanoseconds": -1}}}),
            "Task's 'kill_policy.grace_period' must be non-negative",
        ),
        (
            "checked",
            json!({"health_check": {"type": "HTTP"}}),
            "Expecting 'http' to be set for HTTP health check",
        ),
        (
            "foreign",
            json!({"command": null, "executor": {"executor_id": {"value": "e"}, "framework_id": {"value": "zz"}, "command": {"value": "true"}}}),
            "ExecutorInfo has an invalid FrameworkID (Actual: zz vs Expected: ",
        ),
    ];
    for (id, change, words) in cases {
        let offer = offer(&mut framework);
        launch(&framework, &offer, &[task(id, &offer, &change)]);
        let status = update(&mut framework);
        assert_eq!(status["state"], "TASK_ERROR", "{id}: {status}");
        assert_eq!(status["reason"], "REASON_TASK_INVALID", "{id}: {status}");
        assert!(status["message"].as_str().is_some_and(|message| message.contains(words)), "{id}: {status}");
        assert!(status.get("uuid").is_none(), "nobody acknowledges what the master says: {status}");
    }

    // One id twice, and one offer twice.
    let offer = offer(&mut framework);
    launch(&framework, &offer, &[task("twin", &offer, &json!({})), task("twin", &offer, &json!({}))]);
    let status = update(&mut framework);
    assert_eq!(status["message"], "Task has duplicate ID: twin");
    framework.until_state("TASK_RUNNING");
    launch(&framework, &offer, &[task("late", &offer, &json!({}))]);
    let status = update(&mut framework);
    assert_eq!(
        (status["state"].as_str(), status["reason"].as_str()),
        (Some("TASK_LOST"), Some("REASON_INVALID_OFFERS"))
    );
    let gone = offer["id"]["value"].as_str().expect("an id");
    assert_eq!(
        status["message"],
        format!("Task launched with invalid offers: Offer {gone} is no longer valid")
    );
    let state = cluster.master.json("/state");
    assert_eq!(state["frameworks"][0]["tasks"].as_array().map(Vec::len), Some(1));
}

#[test]
fn calls_that_make_no_sense_are_refused() {
    let cluster = cluster();
    let master = cluster.master.address;
    let framework = framework(&cluster);
    let own = framework.stream.stream_id.clone().expect("a stream id");
    let framework_id = framework.id["value"].as_str().expect("an id").to_owned();
    let other = "00000000-0000-4000-8000-000000000000";
    let foreign = format!(
        "The stream ID '{other}' included in this request didn't match the stream ID currently associated with \
         framework ID {framework_id}"
    );
    let own = Some(own.as_str());
    for (stream_id, made, status, words) in [
        (
            None,
            json!({"type": "REVIVE"}),
            400,
            "All non-subscribe calls should include the 'Mesos-Stream-Id' header",
        ),
        (Some(other), json!({"type": "REVIVE"}), 400, foreign.as_str()),
        (own, json!({"type": "REVIVE", "framework_id": {"value": "zz"}}), 400, "Framework cannot be found"),
        (
            own,
            json!({"type": "REVIVE", "framework_id": null}),
            400,
            "Failed to validate scheduler::Call: Expecting 'framework_id' to be present",
        ),
        (
            own,
            json!({"type": "KILL"}),
            400,
            "Failed to validate scheduler::Call: Expecting 'kill' to be present",
        ),
        (
            own,
            json!({"type": "NONSENSE"}),
            400,
            "Failed to validate scheduler::Call: Expecting 'type' to be present",
        ),
        (
            own,
            json!({"type": "ACKNOWLEDGE", "acknowledge": {"agent_id": {"value": "a"}, "task_id": {"value": "t"}, "uuid": "AAA="}}),
            400,
            "Failed to validate scheduler::Call: Not a valid UUID",
        ),
        (
            own,
            json!({"type": "MESSAGE", "message": {"agent_id": {"value": "zz"}, "executor_id": {"value": "e"}, "data": "AAA="}}),
            202,
            "",
        ),
        (
            own,
            json!({"type": "SHUTDOWN", "shutdown": {"agent_id": {"value": "zz"}, "executor_id": {"value": "e"}}}),
            202,
            "",
        ),
        (own, json!({"type": "DECLINE", "decline": {"offer_ids": [{"value": "zz"}]}}), 202, ""),
    ] {
        let what = made.to_string();
        assert_eq!(call(&framework, master, stream_id, made), (status, words.to_owned()), "{what}");
    }
    let with_id = [("Mesos-Stream-Id", other)];
    let subscribe =
        json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n"}}}).to_string();
    let answer = post(master, "/api/v1/scheduler", &with_id, &subscribe);
    assert_eq!(answer.status, 400, "{}", answer.text());

    // Gone is gone.
    assert_eq!(call(&framework, master, own, json!({"type": "TEARDOWN"})), (202, String::new()));
    assert_eq!(
        call(&framework, master, own, json!({"type": "TEARDOWN"})),
        (400, "Framework cannot be found".to_owned())
    );
    let again = json!({"type": "SUBSCRIBE", "framework_id": framework.id, "subscribe": {"framework_info":
        {"user": "u", "name": "n", "id": framework.id}}});
    let mut stream = Stream::open(master, "/api/v1/scheduler", &again).expect("a stream");
    let error = stream.until("ERROR", |e| e["type"] == "ERROR").expect("an ERROR");
    assert_eq!(error["error"]["message"], "Framework has been removed");
}

#[test]
fn bytes_that_are_no_request_end_their_connection_only() {
    let cluster = cluster();
    for daemon in [&cluster.master, &cluster.agents[0]] {
        let long = [b"GET /".as_slice(), &[b'a'; 100_000], b" HTTP/1.1\r\n\r\n"].concat();
        for (bytes, status) in [
            (b"\x00\x01\x02\r\n\r\n".as_slice(), 400),
            (b"GET\r\n\r\n", 400),
            (b"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", 400),
            (b"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
            (b"POST /api/v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
            (b"POST /master/x HTTP/1.1\r\nLibprocess-From: nobody\r\nContent-Length: 1\r\n\r\nx", 400),
            (b"POST /nobody/x HTTP/1.1\r\nLibprocess-From: a@127.0.0.1:1\r\nContent-Length: 1\r\n\r\nx", 404),
            (b"POST /nobody/x HTTP/1.1\r\nLibprocess-From: a@127.0.0.1:1\r\nContent-Length: 99999999999\r\n\r\n", 413),
            (&long, 431),
        ] {
            let answer = request_raw(daemon.address, bytes).expect("an answer");
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
            assert_eq!(answer.status, status, "{start}: {}", answer.text());
        }
        for (path, process) in [
            ("/api/v1", ""),
            ("/master/mesos.internal.RegisterSlaveMessage", "Libprocess-From: a@127.0.0.1:1\r\n"),
        ] {
            // The peer goes away in the middle of its body.
            let mut stream = TcpStream::connect(daemon.address).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
            write!(stream, "POST {path} HTTP/1.1\r\nHost: x\r\n{process}Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{{\"type\"").expect("it is sent");
            stream.shutdown(Shutdown::Write).expect("half of it closes");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("the end");
            assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
        }
        assert_eq!(request(daemon.address, "GET", "/health", &[], b"").expect("an answer").status, 200);
    }
    // Messages whose bodies are no messages are dropped without a word.
    for name in [
        "RegisterFrameworkMessage",
        "RegisterSlaveMessage",
        "ReregisterSlaveMessage",
        "StatusUpdateMessage",
        "LaunchTasksMessage",
    ] {
        let bytes = [
            format!("POST /master/mesos.internal.{name} HTTP/1.1\r\nLibprocess-From: a@127.0.0.1:1\r\nContent-Length: 3\r\n\r\n").as_bytes(),
            b"\xff\xff\xff",
        ]
        .concat();
        assert_eq!(request_raw(cluster.master.address, &bytes).expect("an answer").status, 202, "{name}");
    }
    let state = cluster.master.json("/state");
    assert_eq!(state["activated_slaves"], 1.0);
    assert_eq!(state["frameworks"], json!([]));
}

#[test]
fn files_outside_a_sandbox_are_not_read() {
    let cluster = cluster();
    let agent = cluster.agents[0].address;
    let mut framework = framework(&cluster);
    framework.launch("echo inside; ln -s /etc/passwd link; ln -s / root; touch made; exec sleep 71401");
    framework.until_state("TASK_RUNNING");
    let state = cluster.agents[0].json("/state");
    let directory =
        state["frameworks"][0]["executors"][0]["directory"].as_str().expect("a directory").to_owned();
    e2e::eventually("the task has made its links", Duration::from_secs(20), || {
        std::path::Path::new(&directory).join("made").exists().then_some(())
    });
    let get = |path: String| request(agent, "GET", &path, &[], b"").expect("an answer");
    let inside = get(format!("/files/read?path={directory}/stdout&offset=0"));
    assert_eq!((inside.status, inside.text().as_str()), (200, r#"{"data":"inside\n","offset":0}"#));
    for path in [
        format!("{directory}/link"),
        format!("{directory}/root/etc/passwd"),
        format!("{directory}/../../../../../../../../../../../etc/passwd"),
        format!("{directory}/%2e%2e/%2e%2e"),
        "/etc/passwd".to_owned(),
        "/".to_owned(),
        String::new(),
    ] {
        for route in ["read", "download", "browse"] {
            let answer = get(format!("/files/{route}?offset=0&path={path}"));
            assert!(answer.status == 400 || answer.status == 404, "{route} {path}: {}", answer.status);
            assert!(!answer.text().contains("root:"), "{route} {path}");
        }
    }
    for (query, words) in [
        ("offset=abc", "Failed to parse offset: Failed to convert 'abc' to number.\n"),
        ("offset=-5", "Negative offset provided: -5.\n"),
        ("offset=0&length=abc", "Failed to parse length: Failed to convert 'abc' to number.\n"),
        ("offset=0&length=-5", "Negative length provided: -5.\n"),
    ] {
        let answer = get(format!("/files/read?path={directory}/stdout&{query}"));
        assert_eq!((answer.status, answer.text().as_str()), (400, words), "{query}");
    }
    let call = json!({"type": "LIST_FILES", "list_files": {"path": "/nowhere"}}).to_string();
    assert_eq!(post(cluster.master.address, "/api/v1", &[], &call).status, 404);
    let call = json!({"type": "READ_FILE", "read_file": {"path": format!("{directory}/link"), "offset": 0}})
        .to_string();
    let answer = post(agent, "/api/v1", &[], &call);
    assert!(answer.status == 400 || answer.status == 404, "{}: {}", answer.status, answer.text());
}

#[test]
fn executors_that_are_not_ours_are_refused() {
    let cluster = cluster();
    let agent = cluster.agents[0].address;
    let mut framework = framework(&cluster);
    framework.launch("exec sleep 71402");
    framework.until_state("TASK_RUNNING");
    let known = json!({"executor_id": {"value": "t"}, "framework_id": framework.id});
    let stranger = json!({"executor_id": {"value": "zz"}, "framework_id": framework.id});
    let homeless = json!({"executor_id": {"value": "t"}, "framework_id": {"value": "zz"}});
    let status = |state: &str, more: Value| {
        let mut status = json!({"task_id": {"value": "t"}, "state": state, "source": "SOURCE_EXECUTOR"});
        for (key, value) in more.as_object().expect("an object") {
            status[key] = value.clone();
        }
        json!({"status": status})
    };
    let uuid = json!({"uuid": "AAAAAAAAQACAAAAAAAAAAA=="});
    for (who, kind, body, words) in [
        (&homeless, "SUBSCRIBE", json!({"subscribe": {}}), "Framework cannot be found"),
        (&stranger, "SUBSCRIBE", json!({"subscribe": {}}), "Executor cannot be found"),
        (
            &known,
            "SUBSCRIBE",
            json!({}),
            "Failed to validate Executor::Call: Expecting 'subscribe' to be present",
        ),
        (
            &stranger,
            "UPDATE",
            json!({"update": status("TASK_RUNNING", uuid.clone())}),
            "Executor cannot be found",
        ),
        (
            &known,
            "UPDATE",
            json!({"update": status("TASK_RUNNING", json!({}))}),
            "Failed to validate Executor::Call: Expecting 'uuid' to be present",
        ),
        (
            &known,
            "MESSAGE",
            json!({"message": {}}),
            "Failed to convert JSON into Call protobuf: Missing required fields: message.data",
        ),
    ] {
        let mut call = who.clone();
        call["type"] = json!(kind);
        for (key, value) in body.as_object().expect("an object") {
            call[key] = value.clone();
        }
        let answer = post(agent, "/api/v1/executor", &[], &call.to_string());
        assert_eq!((answer.status, answer.text().as_str()), (400, words), "{call}");
    }
    let state = cluster.agents[0].json("/state");
    assert_eq!(state["frameworks"][0]["executors"][0]["tasks"][0]["state"], "TASK_RUNNING");
}
