//! What a v1 executor of a framework's own relies on, call by call: its updates pass through as they are.

use std::time::Duration;

use e2e::{Cluster, Framework, Options, Stream, eventually, request};
use serde_json::{Value, json};

const UUIDS: [&str; 4] = [
    "AAAAAAAAQACAAAAAAAAAAQ==",
    "AAAAAAAAQACAAAAAAAAAAg==",
    "AAAAAAAAQACAAAAAAAAAAw==",
    "AAAAAAAAQACAAAAAAAAABA==",
];

#[test]
fn updates_of_an_executor_pass_as_they_are() {
    let cluster = Cluster::start(&Options::default()).expect("a cluster");
    let agent = cluster.agents[0].address;
    let info = json!({"user": "root", "name": "own", "failover_timeout": 60.0});
    let mut framework = Framework::subscribe(cluster.master.address, &info);
    let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
    let offer = &offers["offers"]["offers"][0];
    let resources = json!([
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
    ]);
    framework.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [{
            "name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"], "resources": resources,
            "executor": {"executor_id": {"value": "e"}, "command": {"value": "exec sleep 120"}, "resources": resources},
        }]}}],
        "filters": {"refuse_seconds": 1000},
    }}));
    let subscribe = json!({"type": "SUBSCRIBE", "executor_id": {"value": "e"}, "framework_id": framework.id,
        "subscribe": {"unacknowledged_tasks": [], "unacknowledged_updates": null}});
    let mut stream = eventually("the agent awaits the executor", Duration::from_secs(20), || {
        Stream::open(agent, "/slave(1)/api/v1/executor", &subscribe).ok()
    });
    stream.until("SUBSCRIBED", |e| e["type"] == "SUBSCRIBED").expect("SUBSCRIBED");
    stream.until("LAUNCH", |e| e["type"] == "LAUNCH").expect("LAUNCH");

    let framework_id = framework.id.clone();
    let update = |task: &str, state: &str, uuid: &str, more: Value| {
        let mut status =
            json!({"task_id": {"value": task}, "state": state, "uuid": uuid, "source": "SOURCE_EXECUTOR"});
        for (key, value) in more.as_object().expect("an object") {
            status[key] = value.clone();
        }
        let call = json!({"type": "UPDATE", "executor_id": {"value": "e"}, "framework_id": framework_id,
            "update": {"status": status}});
        let headers = [("Content-Type", "application/json")];
        let body = call.to_string();
        let answer = request(agent, "POST", "/api/v1/executor", &headers, body.as_bytes());
        assert_eq!(answer.expect("an answer").status, 202);
    };
    // Each is acknowledged to the executor, told to the framework and acknowledged by it before the next one:
    // a last word may be followed by another one with a name of its own, and one may speak of a stranger.
    let more = json!({"data": "AAE=", "labels": {"labels": {"key": "k", "value": "v"}}});
    let updates = [
        ("t", "TASK_RUNNING", more),
        ("t", "TASK_FINISHED", json!({})),
        ("t", "TASK_FAILED", json!({})),
        ("stranger", "TASK_RUNNING", json!({})),
    ];
    let mut heard = Vec::new();
    for ((task, state, more), uuid) in updates.into_iter().zip(UUIDS) {
        update(task, state, uuid, more);
        let event = stream.until("ACKNOWLEDGED", |e| e["type"] == "ACKNOWLEDGED").expect("ACKNOWLEDGED");
        assert_eq!(event["acknowledged"]["uuid"], uuid);
        let status = framework.until_state(state);
        assert_eq!(status["uuid"], uuid, "{status}");
        // ORDER: the agent must have the acknowledgement before the executor speaks of the task again.
        eventually("the agent has heard of it", Duration::from_secs(20), || {
            let executor = &cluster.agents[0].json("/state")["frameworks"][0]["executors"][0];
            let waits = executor["tasks"].as_array()?.iter().any(|task| task["state"] == "TASK_FINISHED");
            (!waits).then_some(())
        });
        heard.push(status);
    }
    let of = |uuid: &str| heard.iter().find(|status| status["uuid"] == uuid).expect("each is forwarded");
    let running = of(UUIDS[0]);
    assert_eq!(running["state"], "TASK_RUNNING");
    assert_eq!(running["data"], "AAE=");
    assert_eq!(running["labels"], json!({"labels": [{"key": "k", "value": "v"}]}));
    assert!(running.get("executor_id").is_none(), "what the executor left out stays out: {running}");
    assert_eq!(running["agent_id"], offer["agent_id"]);
    assert!(running["timestamp"].is_f64() && running["container_status"].is_object(), "{running}");
    assert_eq!(of(UUIDS[1])["state"], "TASK_FINISHED");
    assert_eq!(of(UUIDS[2])["state"], "TASK_FAILED");
    assert_eq!(of(UUIDS[3])["task_id"]["value"], "stranger");
}
