//! Operations that a framework names, on a live cluster: it hears of each, GET_OPERATIONS and the metrics agree, and
//! what they made is there after a kill of the agent.

use std::time::Duration;

use e2e::{Cluster, Framework, Options, eventually, request};
use serde_json::{Value, json};

fn disk(value: u32) -> Value {
    let reservation = json!({"type": "DYNAMIC", "role": "dev"});
    json!({"name": "disk", "type": "SCALAR", "scalar": {"value": value}, "reservations": [reservation]})
}

fn volume() -> Value {
    let mut volume = disk(64);
    volume["disk"] = json!({"persistence": {"id": "v"}, "volume": {"container_path": "data", "mode": "RW"}});
    volume
}

fn launch(id: &str, agent: &Value, command: &str) -> Value {
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
    let task = json!({"name": id, "task_id": {"value": id}, "agent_id": agent, "command": {"value": command},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), volume()]});
    json!({"type": "LAUNCH", "launch": {"task_infos": [task]}})
}

/// The offers that were made and neither withdrawn nor taken. An offer may come before the
/// update that says why there is something to offer.
fn outstanding(framework: &Framework, taken: &[Value]) -> Vec<Value> {
    let mut offers = Vec::new();
    for event in &framework.stream.seen {
        offers.extend(event["offers"]["offers"].as_array().cloned().unwrap_or_default());
        offers.retain(|offer: &Value| offer["id"] != event["rescind"]["offer_id"]);
    }
    offers.retain(|offer| !taken.contains(&offer["id"]));
    offers
}

/// Takes an offer that has the wanted, and does these operations on it.
fn accept(
    framework: &mut Framework,
    taken: &mut Vec<Value>,
    with: &str,
    operations: impl FnOnce(&Value) -> Vec<Value>,
) {
    let offer = loop {
        let fits = |offer: &Value| offer["resources"].to_string().contains(with);
        if let Some(offer) = outstanding(framework, taken).into_iter().find(fits) {
            break offer;
        }
        framework.stream.until("offers", |e| e["type"] == "OFFERS").expect("an offer");
    };
    taken.push(offer["id"].clone());
    framework.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]], "operations": operations(&offer["agent_id"]), "filters": {"refuse_seconds": 0},
    }}));
}

/// Reads on until all these operations are finished, and acknowledges each.
fn finish(framework: &mut Framework, ids: &[&str]) {
    let mut left = ids.to_vec();
    while !left.is_empty() {
        let event =
            framework.stream.until("an operation's state", |e| e["type"] == "UPDATE_OPERATION_STATUS");
        let status = event.expect("an event")["update_operation_status"]["status"].clone();
        assert_eq!(status["state"], "OPERATION_FINISHED", "{status}");
        let id = status["operation_id"]["value"].as_str().expect("an id");
        left.retain(|one| *one != id);
        framework.call(json!({"type": "ACKNOWLEDGE_OPERATION_STATUS", "acknowledge_operation_status": {
            "agent_id": status["agent_id"], "operation_id": status["operation_id"], "uuid": status["uuid"]["value"],
        }}));
    }
}

/// Reads on until the task is told to be finished; no task must end otherwise.
fn finished(framework: &mut Framework, id: &str) {
    let mut status = Value::Null;
    while status["state"] != "TASK_FINISHED" || status["task_id"]["value"] != id {
        let event = framework.stream.until("an update", |e| e["type"] == "UPDATE").expect("an update");
        status = event["update"]["status"].clone();
        let fine = ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"].map(Value::from);
        assert!(fine.contains(&status["state"]), "{status}");
        if status["uuid"].is_string() {
            framework.call(json!({"type": "ACKNOWLEDGE", "acknowledge": {
                "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
            }}));
        }
    }
}

fn until_nothing_is_under_way(cluster: &Cluster) {
    let headers = [("Content-Type", "application/json"), ("Accept", "application/json")];
    eventually("no operation is under way", Duration::from_secs(20), || {
        let call = br#"{"type":"GET_OPERATIONS"}"#;
        let answer = request(cluster.master.address, "POST", "/api/v1", &headers, call).expect("an answer");
        (answer.text() == r#"{"type":"GET_OPERATIONS","get_operations":{}}"#).then_some(())
    });
}

#[test]
fn named_operations_are_heard_of_and_what_they_made_is_kept() {
    let mut cluster = Cluster::start(&Options::default()).expect("a cluster");
    let info = json!({
        "user": std::env::var("USER").unwrap_or_else(|_| "root".to_owned()), "name": "keeper", "roles": ["dev"],
        "failover_timeout": 600, "checkpoint": true,
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "RESERVATION_REFINEMENT"}],
    });
    let mut framework = Framework::subscribe(cluster.master.address, &info);
    let mut taken = Vec::new();
    accept(&mut framework, &mut taken, "disk", |agent| {
        vec![
            json!({"type": "RESERVE", "id": {"value": "reserve"}, "reserve": {"resources": [disk(64)]}}),
            json!({"type": "CREATE", "id": {"value": "create"}, "create": {"volumes": [volume()]}}),
            launch("writer", agent, "echo kept > data/file"),
        ]
    });
    finish(&mut framework, &["reserve", "create"]);
    finished(&mut framework, "writer");
    until_nothing_is_under_way(&cluster);
    let metrics = cluster.master.json("/metrics/snapshot");
    assert_eq!(metrics["master/operations/create/finished"], 1.0);
    assert_eq!(metrics["master/operations/finished"], 2.0);
    assert_eq!(metrics["master/operations/pending"], 0.0);

    // What the task gave back is offered; it must be known here, or it could not be told from what comes later.
    while outstanding(&framework, &taken).is_empty() {
        framework.stream.until("offers", |e| e["type"] == "OFFERS").expect("an offer");
    }
    cluster.agents[0].restart().expect("the agent starts again");
    // What was offered before is void; the agent is offered anew when it is back.
    while !outstanding(&framework, &taken).is_empty() {
        framework.stream.until("the offers end", |e| e["type"] == "RESCIND").expect("RESCIND");
    }
    accept(&mut framework, &mut taken, "\"persistence\"", |agent| {
        vec![launch("reader", agent, "test \"$(cat data/file)\" = kept")]
    });
    finished(&mut framework, "reader");

    accept(&mut framework, &mut taken, "\"persistence\"", |_| {
        vec![
            json!({"type": "DESTROY", "id": {"value": "destroy"}, "destroy": {"volumes": [volume()]}}),
            json!({"type": "UNRESERVE", "id": {"value": "unreserve"}, "unreserve": {"resources": [disk(64)]}}),
        ]
    });
    finish(&mut framework, &["destroy", "unreserve"]);
    until_nothing_is_under_way(&cluster);
    cluster.agents[0].restart().expect("the agent starts again");
    cluster.wait_for_agents(1);
    eventually("nothing is reserved after the restart", Duration::from_secs(20), || {
        let agent = &cluster.master.json("/slaves")["slaves"][0];
        (agent["reserved_resources"] == json!({}) && agent["active"] == true).then_some(())
    });
}
