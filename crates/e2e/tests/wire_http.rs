//! What clients of Apache Mesos rely on in its HTTP, beyond the API: how requests may be written, where they
//! may go, and how answers and streams are framed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use e2e::{Answer, Cluster, Framework, Options, Stream, request, request_raw};
use serde_json::{Value, json};

fn cluster() -> Cluster {
    Cluster::start(&Options::default()).expect("a cluster")
}

fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], call: &Value) -> Answer {
    let mut all = vec![("Content-Type", "application/json")];
    all.extend(headers);
    request(address, "POST", path, &all, &serde_json::to_vec(call).expect("json")).expect("an answer")
}

fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, &[], b"").expect("an answer")
}

/// Sends these bytes and reads the heads of `count` answers with a Content-Length, with their bodies.
fn exchange(address: SocketAddr, bytes: &[u8], count: usize) -> Vec<(Vec<String>, String)> {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    (&stream).write_all(bytes).expect("it is sent");
    let mut reader = BufReader::new(stream);
    let mut answers = Vec::new();
    for _ in 0..count {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let length = head.iter().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")
                .map(|v| v.trim().parse().expect("a number"))
        });
        let mut body = vec![0; length.expect("a length")];
        reader.read_exact(&mut body).expect("a body");
        answers.push((head, String::from_utf8(body).expect("text")));
    }
    answers
}

const HEALTHY: &str = r#"{"type":"GET_HEALTH","get_health":{"healthy":true}}"#;

#[test]
fn paths_fall_back_to_what_is_known() {
    let cluster = cluster();
    let (master, agent) = (cluster.master.address, cluster.agents[0].address);
    let health = json!({"type": "GET_HEALTH"});
    for path in ["/api/v1", "/api/v1/", "/api/v1/operator", "/master/api/v1", "/master/api/v1/operator"] {
        let answer = post(master, path, &[], &health);
        assert_eq!((answer.status, answer.text().as_str()), (200, HEALTHY), "{path}");
    }
    for path in
        ["/api/v1", "/api/v1/state", "/slave(1)/api/v1", "/slave(1)/api/v1/state", "/slave%281%29/api/v1"]
    {
        let answer = post(agent, path, &[], &health);
        assert_eq!((answer.status, answer.text().as_str()), (200, HEALTHY), "{path}");
    }
    for path in ["/api/v1", "/api/v1/operator", "/api/v1/scheduler"] {
        let answer = get(master, path);
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.header("Allow"), Some("POST"), "{path}");
    }
    assert_eq!(get(agent, "/api/v1/executor").status, 405);
    for path in ["/state", "/master/state", "/state/", "/state.json", "/master/state.json"] {
        let state: Value = serde_json::from_slice(&get(master, path).body).expect("json");
        assert_eq!(state["pid"], format!("master@{master}"), "{path}");
        assert_eq!(state["leader"], state["pid"], "{path}");
    }
    for path in ["/state", "/slave(1)/state", "/state.json", "/slave(1)/state.json"] {
        let state: Value = serde_json::from_slice(&get(agent, path).body).expect("json");
        assert_eq!(state["pid"], format!("slave(1)@{agent}"), "{path}");
    }
    for path in [
        "/slaves.json",
        "/frameworks.json",
        "/tasks.json",
        "/roles.json",
        "/state-summary.json",
        "/metrics/snapshot.json",
    ] {
        assert_eq!(get(master, path).status, 200, "{path}");
    }
    for path in [
        "/monitor/statistics.json",
        "/slave(1)/monitor/statistics",
        "/containers",
        "/flags",
        "/metrics/snapshot",
    ] {
        assert_eq!(get(agent, path).status, 200, "{path}");
    }
    for path in ["/nothing", "/master/nothing", "/stat"] {
        assert_eq!(get(master, path).status, 404, "{path}");
    }
}

#[test]
fn requests_of_old_clients_are_served() {
    let cluster = cluster();
    let master = cluster.master.address;
    let body = r#"{"type":"GET_HEALTH"}"#;
    let length = body.len();
    let old = format!(
        "POST /api/v1 HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let answers = exchange(master, format!("{old}{old}").as_bytes(), 2);
    assert!(answers.iter().all(|(_, body)| body == HEALTHY), "{answers:?}");

    // Messages: two in a row, under either header, with and without Host.
    let heads = [
        "POST /master/mesos.internal.Nothing HTTP/1.0\r\nLibprocess-From: s(1)@127.0.0.1:1\r\nConnection: Keep-Alive\r\n",
        "POST /master/mesos.internal.Nothing HTTP/1.1\r\nUser-Agent: libprocess/s(1)@127.0.0.1:1\r\n",
        "POST /master/mesos.internal.Nothing HTTP/1.1\r\nhost: x\r\nlibprocess-from: s(1)@127.0.0.1:1\r\nUser-Agent: Go\r\n",
    ];
    for head in heads {
        let message = format!("{head}Content-Length: 3\r\n\r\nabc");
        for (head, body) in exchange(master, format!("{message}{message}").as_bytes(), 2) {
            assert_eq!(head[0], "HTTP/1.1 202 Accepted");
            assert_eq!(body, "");
        }
    }
}

#[test]
fn accept_chooses_the_codec() {
    let cluster = cluster();
    let master = cluster.master.address;
    let call = json!({"type": "GET_VERSION"});
    let choice = |accept: Option<&str>| {
        let headers: Vec<_> = accept.map(|accept| ("Accept", accept)).into_iter().collect();
        let answer = post(master, "/api/v1", &headers, &call);
        (answer.status, answer.header("Content-Type").unwrap_or_default().to_owned())
    };
    let json = (200, "application/json".to_owned());
    let protobuf = (200, "application/x-protobuf".to_owned());
    for accept in [None, Some("*/*"), Some("application/*"), Some("application/json, text/plain, */*")] {
        assert_eq!(choice(accept), json, "{accept:?}");
    }
    assert_eq!(choice(Some("application/x-protobuf")), protobuf);
    assert_eq!(choice(Some("text/html, application/x-protobuf")), protobuf);
    assert_eq!(choice(Some("text/html")).0, 406);
    let version: Value = serde_json::from_slice(&get(master, "/version").body).expect("json");
    assert_eq!(version["version"], "1.12.0", "clients parse the parts as numbers");
}

#[test]
fn a_redirect_is_of_the_form_that_clients_split() {
    let cluster = cluster();
    let port = cluster.master.address.port();
    for path in ["/redirect", "/master/redirect"] {
        let answer = get(cluster.master.address, path);
        assert_eq!(answer.status, 307);
        let location = answer.header("Location").expect("a location");
        let (host, at) =
            location.strip_prefix("//").and_then(|rest| rest.split_once(':')).expect("//host:port");
        assert!(!host.is_empty() && at == port.to_string(), "{location}");
        assert_eq!((answer.header("Content-Length"), answer.body.len()), (Some("0"), 0));
    }
}

/// Posts a SUBSCRIBE and gives the answer's headers and its first chunks.
fn chunks(
    master: SocketAddr,
    path: &str,
    headers: &str,
    call: &Value,
    count: usize,
) -> (String, Vec<Vec<u8>>) {
    let body = call.to_string();
    let stream = TcpStream::connect(master).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    write!(
        &stream,
        "POST {path} HTTP/1.1\r\nHost: {master}\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it is sent");
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("a line") > 0, "{head}");
    }
    let mut chunks = Vec::new();
    while chunks.len() < count {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a chunk's length");
        let length = usize::from_str_radix(line.trim(), 16).expect("a chunk's length");
        let mut chunk = vec![0; length + 2];
        reader.read_exact(&mut chunk).expect("a chunk");
        chunk.truncate(length);
        chunks.push(chunk);
    }
    (head, chunks)
}

/// A chunk's one record.
fn record(chunk: &[u8]) -> &[u8] {
    let newline = chunk.iter().position(|b| *b == b'\n').expect("a record opens with its length");
    let length: usize = std::str::from_utf8(&chunk[..newline]).expect("digits").parse().expect("digits");
    assert_eq!(chunk.len() - newline - 1, length, "one record in one chunk");
    &chunk[newline + 1..]
}

#[test]
fn a_subscription_opens_with_subscribed_and_a_heartbeat() {
    let cluster = cluster();
    let master = cluster.master.address;
    let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "root", "name": "née"}}});
    // Without Accept, without compression whatever the client would take.
    for (path, headers) in [
        ("/api/v1/scheduler", ""),
        ("/master/api/v1/scheduler", "Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\n"),
        ("/api/v1/scheduler", "Connection: close\r\n"),
    ] {
        let (head, chunks) = chunks(master, path, headers, &call, 2);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        for line in
            ["Content-Type: application/json\r\n", "Transfer-Encoding: chunked\r\n", "Mesos-Stream-Id: "]
        {
            assert!(head.contains(line), "{head}");
        }
        assert!(!head.contains("Content-Encoding"), "{head}");
        let subscribed = record(&chunks[0]);
        assert!(!subscribed.contains(&b'\n'), "one line");
        let subscribed: Value = serde_json::from_slice(subscribed).expect("json");
        assert_eq!(subscribed["type"], "SUBSCRIBED");
        assert_eq!(subscribed["subscribed"]["heartbeat_interval_seconds"], 15.0);
        let info = &subscribed["subscribed"]["master_info"];
        assert_eq!(info["ip"], 16_777_343, "127.0.0.1 read little-endian");
        assert_eq!(info["address"]["ip"], "127.0.0.1");
        assert_eq!(record(&chunks[1]), br#"{"type":"HEARTBEAT"}"#);
    }
    let headers = "Accept: text/html, application/x-protobuf\r\n";
    let (head, chunks) = chunks(master, "/api/v1/scheduler/api/v1/scheduler", headers, &call, 2);
    assert!(head.contains("Content-Type: application/x-protobuf\r\n"), "{head}");
    assert_eq!(record(&chunks[0])[..2], [8, 1], "SUBSCRIBED");
    assert_eq!(record(&chunks[1]), [8, 8], "HEARTBEAT");
}

/// The ERROR of a subscription with this framework, or none when it was taken; the status when it was not 200.
fn subscribe(master: SocketAddr, info: &Value) -> Result<(), String> {
    let mut framework = json!({"user": "root", "name": "lenient"});
    for (key, value) in info.as_object().expect("an object") {
        framework[key] = value.clone();
    }
    let call = json!({"type": "SUBSCRIBE", "framework_id": null, "accept": null, "unheard": {"of": [1]},
        "subscribe": {"framework_info": framework, "suppressed_roles": null}});
    let mut stream = Stream::open(master, "/api/v1/scheduler", &call).map_err(|error| error.to_string())?;
    let first = stream.next(Duration::from_secs(20)).expect("a record").expect("an event");
    if first["type"] == "SUBSCRIBED" { Ok(()) } else { Err(first["error"]["message"].to_string()) }
}

#[test]
fn json_is_read_as_leniently_as_apache_mesos_reads_it() {
    let cluster = cluster();
    let master = cluster.master.address;
    for taken in [
        json!({"id": null, "roles": null, "labels": null, "failover_timeout": null, "capabilities": null}),
        json!({"capabilities": {"type": "MULTI_ROLE"}, "roles": "one"}),
        json!({"capabilities": [{"type": "MULTI_ROLE"}], "roles": ["one", null]}),
        json!({"failover_timeout": "1.5", "checkpoint": "true"}),
        json!({"labels": {"labels": {"key": "k", "value": "v"}}}),
        json!({"capabilities": [{"type": "FROM_THE_FUTURE"}, {"type": "PARTITION_AWARE"}]}),
        json!({"unheard": [{"of": 1}], "webui_url": "http://x/ü"}),
    ] {
        assert_eq!(subscribe(master, &taken), Ok(()), "{taken}");
    }
    for refused in [
        json!({"user": null}),
        json!({"name": 5}),
        json!({"labels": []}),
        json!({"failover_timeout": true}),
        json!({"capabilities": [{"type": 7}]}),
        json!({"failover_timeout": "soon"}),
    ] {
        assert_eq!(
            subscribe(master, &refused),
            Err("/api/v1/scheduler answered 400".to_owned()),
            "{refused}"
        );
    }
}

#[test]
fn offers_have_the_form_that_a_framework_understands() {
    let cluster = Cluster::start(&Options {
        resources: "cpus(web):1;mem(web):512;cpus:2;mem:1024;disk:1024;ports:[31000-31009]".to_owned(),
        ..Options::default()
    })
    .expect("a cluster");
    let agent = cluster.agents[0].address;
    let offer_of = |info: Value| {
        let mut framework = Framework::subscribe(cluster.master.address, &info);
        let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
        let offer = offers["offers"]["offers"][0].clone();
        (framework, offer)
    };
    let (old, offer) = offer_of(json!({"user": "root", "name": "old", "role": "web"}));
    assert!(offer.get("allocation_info").is_none(), "{offer}");
    assert_eq!(
        offer["url"]["address"],
        json!({"hostname": "127.0.0.1", "ip": "127.0.0.1", "port": agent.port()})
    );
    assert_eq!(offer["url"]["path"], "/slave(1)");
    assert_eq!(offer["hostname"], "127.0.0.1");
    assert_eq!(offer["framework_id"], old.id);
    let mut reserved = 0;
    for resource in offer["resources"].as_array().expect("a list") {
        assert!(
            resource.get("allocation_info").is_none() && resource.get("reservations").is_none(),
            "{resource}"
        );
        assert!(resource["role"] == "*" || resource["role"] == "web", "{resource}");
        reserved += usize::from(resource["role"] == "web");
    }
    assert_eq!(reserved, 2);
    old.call(json!({"type": "TEARDOWN"}));

    let (new, offer) = offer_of(json!({"user": "root", "name": "new", "roles": ["web"],
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "RESERVATION_REFINEMENT"}]}));
    assert_eq!(offer["allocation_info"], json!({"role": "web"}));
    let mut reserved = 0;
    for resource in offer["resources"].as_array().expect("a list") {
        assert_eq!(resource["allocation_info"], json!({"role": "web"}), "{resource}");
        assert!(resource.get("role").is_none(), "{resource}");
        if let Some(reservations) = resource.get("reservations") {
            assert_eq!(reservations, &json!([{"type": "STATIC", "role": "web"}]));
            reserved += 1;
        }
    }
    assert_eq!(reserved, 2);
    new.call(json!({"type": "TEARDOWN"}));

    // The old form comes back as clients copy it: name, type, amount and role.
    let (mut old, offer) = offer_of(json!({"user": "root", "name": "old", "role": "web"}));
    let copied = |name: &str, role: &str, value: f64| json!({"name": name, "type": "SCALAR", "role": role, "scalar": {"value": value}});
    let task = |id: &str, resources: Value| {
        json!({"name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"], "slave_id": {"value": "x"},
            "command": {"value": "true", "shell": null, "environment": null}, "resources": resources,
            "executor": null, "container": null, "labels": {"labels": {"key": "k", "value": "v"}}})
    };
    old.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": offer["id"],
        "operations": {"type": "LAUNCH", "launch": {"task_infos": [
            task("own", json!([copied("cpus", "web", 0.5), copied("mem", "web", 64.0)])),
            task("any", json!([copied("cpus", "*", 0.5), copied("mem", "*", 64.0), copied("gpus", "*", 0.0),
                {"name": "ports", "type": "RANGES", "ranges": {"range": {"begin": "31000", "end": 31000}}}])),
            task("bare", json!([{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": "32"}}])),
        ]}},
        "filters": null,
    }}));
    for _ in 0..3 {
        let status = old.until_state("TASK_FINISHED");
        assert_eq!(status["message"], "Command exited with status 0");
    }
    let state = cluster.master.json("/state");
    let tasks = state["frameworks"][0]["completed_tasks"].as_array().expect("a list");
    assert!(tasks.iter().all(|task| task["role"] == "web"), "{tasks:?}");
}

#[test]
fn tools_find_their_fields_in_the_state() {
    let cluster = cluster();
    let mut framework = Framework::subscribe(
        cluster.master.address,
        &json!({"user": "root", "name": "tools", "failover_timeout": 60.0}),
    );
    framework.launch("exec sleep 71300");
    framework.until_state("TASK_RUNNING");
    let state = cluster.master.json("/state");
    let has = |value: &Value, keys: &[&str]| {
        for key in keys {
            assert!(!value[*key].is_null(), "{key} of {value}");
        }
    };
    has(&state, &["leader", "pid", "id", "hostname", "frameworks", "completed_frameworks"]);
    has(&state["slaves"][0], &["id", "hostname", "pid", "active", "resources", "used_resources"]);
    let seen = &state["frameworks"][0];
    has(seen, &["id", "name", "user", "active", "hostname", "resources", "tasks", "completed_tasks"]);
    has(&seen["resources"], &["cpus", "mem", "disk", "gpus"]);
    let task = &seen["tasks"][0];
    has(task, &["id", "state", "slave_id", "framework_id", "executor_id", "statuses"]);
    assert_eq!((task["executor_id"].as_str(), task["state"].as_str()), (Some(""), Some("TASK_RUNNING")));
    let container = &task["statuses"][1]["container_status"]["container_id"]["value"];
    assert!(container.is_string(), "{task}");

    let agent = cluster.agents[0].json("/state");
    let executor = &agent["frameworks"][0]["executors"][0];
    has(
        executor,
        &[
            "id",
            "name",
            "directory",
            "tasks",
            "queued_tasks",
            "completed_tasks",
            "container",
            "source",
            "resources",
        ],
    );
    assert_eq!(executor["container"], *container);
    let metrics = cluster.master.json("/metrics/snapshot");
    for resource in ["cpus", "mem", "disk", "gpus"] {
        assert!(metrics[format!("master/{resource}_total")].is_f64(), "{resource}");
        assert!(metrics[format!("master/{resource}_used")].is_f64(), "{resource}");
    }
    has(
        &metrics,
        &["master/tasks_staging", "master/tasks_starting", "master/uptime_secs", "master/slaves_inactive"],
    );
    assert_eq!(metrics["master/tasks_running"], 1.0);
    assert_eq!(metrics["master/slaves_active"], 1.0);
    assert_eq!(metrics["master/elected"], 1.0);
    assert_eq!(cluster.agents[0].json("/metrics/snapshot")["slave/registered"], 1.0);
    // A tool that asks for a callback gets one.
    let answer =
        request_raw(cluster.master.address, b"GET /state?jsonp=f HTTP/1.0\r\n\r\n").expect("an answer");
    assert!(answer.text().starts_with("f({") && answer.text().ends_with("})"), "{}", answer.status);
}
