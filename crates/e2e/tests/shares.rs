//! Shares on a live cluster: weights, quota guarantees and quota limits decide what greedy frameworks get.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use e2e::{Framework, Local, eventually, operate, request};
use serde_json::{Value, json};

/// Agents of each cluster, and the processors of an agent.
const AGENTS: usize = 5;
const CPUS: usize = 4;

/// Tasks leave nothing on an agent that is full, so that no offers go around that nobody can use.
fn cluster() -> Local {
    let resources = format!("--resources=cpus:{CPUS};mem:{};disk:0", CPUS * 32);
    Local::start(AGENTS, &[&resources, "--allocation_interval=100ms"]).expect("a cluster")
}

/// A framework that takes every offer for tasks of one processor, as many as fit, and always wants more. Its tasks
/// run for 1, 2 and 3 times `seconds` in turn. It ends when its cluster does.
fn greedy(master: SocketAddr, role: &'static str, seconds: usize) -> JoinHandle<()> {
    let mut framework = Framework::in_role(master, &format!("greedy in {role}"), role);
    std::thread::spawn(move || {
        let mut launched = 0;
        while let Ok(Some(event)) = framework.stream.next(Duration::from_secs(120)) {
            for offer in event["offers"]["offers"].as_array().into_iter().flatten() {
                let tasks: Vec<_> = (0..cpus(offer))
                    .map(|_| {
                        launched += 1;
                        task(&format!("{role}-{launched}"), offer, seconds * (1 + launched % 3))
                    })
                    .collect();
                let launch = json!([{"type": "LAUNCH", "launch": {"task_infos": tasks}}]);
                let accept = json!({"offer_ids": [offer["id"]], "operations": launch,
                    "filters": {"refuse_seconds": 0.2}});
                // Not accepted: the cluster has ended.
                if !framework.try_call(json!({"type": "ACCEPT", "accept": accept})) {
                    return;
                }
            }
            let status = &event["update"]["status"];
            if status["uuid"].is_string() {
                let acknowledge = json!({"agent_id": status["agent_id"], "task_id": status["task_id"],
                    "uuid": status["uuid"]});
                if !framework.try_call(json!({"type": "ACKNOWLEDGE", "acknowledge": acknowledge})) {
                    return;
                }
            }
        }
    })
}

/// The whole processors of an offer.
fn cpus(offer: &Value) -> usize {
    let cpus = offer["resources"].as_array().into_iter().flatten().filter(|r| r["name"] == "cpus");
    cpus.filter_map(|r| r["scalar"]["value"].as_f64()).sum::<f64>() as usize
}

fn task(id: &str, offer: &Value, seconds: usize) -> Value {
    json!({
        "name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
        "command": {"value": format!("exec sleep {seconds}")},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
    })
}

/// How many processors the tasks of each role have that live.
fn used(master: SocketAddr) -> BTreeMap<String, f64> {
    let answer = request(master, "GET", "/tasks?limit=10000", &[], b"").expect("tasks");
    let tasks: Value = serde_json::from_slice(&answer.body).expect("json");
    let mut used = BTreeMap::new();
    let lives = |task: &&Value| {
        ["TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"].map(Value::from).contains(&task["state"])
    };
    for task in tasks["tasks"].as_array().expect("a list").iter().filter(lives) {
        let role = task["resources"]["allocation_role"].as_str().or(task["role"].as_str()).unwrap_or("?");
        *used.entry(role.to_owned()).or_default() += task["resources"]["cpus"].as_f64().unwrap_or_default();
    }
    used
}

/// Waits until all that tasks use is as expected, and looks that it stays so.
fn settles(master: SocketAddr, what: &str, fits: impl Fn(&BTreeMap<String, f64>) -> bool) {
    let mut last = BTreeMap::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !fits(&last) {
        assert!(Instant::now() < deadline, "{what}: but it is {last:?}");
        last = used(master);
    }
    let until = Instant::now() + Duration::from_millis(700);
    while Instant::now() < until {
        let used = used(master);
        assert!(fits(&used), "{what} no more: {used:?}");
    }
}

fn of(used: &BTreeMap<String, f64>, role: &str) -> f64 {
    used.get(role).copied().unwrap_or_default()
}

#[test]
fn weights_share_a_cluster_one_to_two() {
    let cluster = cluster();
    let weights = json!([{"role": "dev", "weight": 1.0}, {"role": "prod", "weight": 2.0}]);
    operate(cluster.master, &json!({"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": weights}}));
    let all = [greedy(cluster.master, "dev", 1), greedy(cluster.master, "prod", 1)];
    // Tasks end all the time, and each processor that is freed goes to who has less than its share: 6 2/3 and 13 1/3
    // of the twenty on average, once those that began alone have ended.
    eventually("both run tasks", Duration::from_secs(60), || {
        let used = used(cluster.master);
        (of(&used, "dev") > 0.0 && of(&used, "prod") > 10.0).then_some(())
    });
    let (mut dev, mut prod) = (0.0, 0.0);
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        let used = used(cluster.master);
        dev += of(&used, "dev");
        prod += of(&used, "prod");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ratio = prod / dev;
    assert!((1.6..=2.5).contains(&ratio), "prod has {ratio} times what dev has");
    drop(cluster);
    all.into_iter().for_each(|one| one.join().expect("it ends with its cluster"));
}

#[test]
fn a_guarantee_waits_for_its_role_and_a_limit_holds_it() {
    let cluster = cluster();
    let amounts = json!({"cpus": {"value": 8.0}, "mem": {"value": 256.0}});
    let quota = json!([{"role": "batch", "guarantees": amounts, "limits": amounts}]);
    operate(cluster.master, &json!({"type": "UPDATE_QUOTA", "update_quota": {"quota_configs": quota}}));
    let other = greedy(cluster.master, "dev", 300);
    settles(cluster.master, "dev takes all but the guarantee", |used| of(used, "dev") == 12.0);
    let batch = greedy(cluster.master, "batch", 300);
    settles(cluster.master, "batch gets its guarantee, and no more", |used| {
        of(used, "batch") == 8.0 && of(used, "dev") == 12.0
    });
    drop(cluster);
    [other, batch].into_iter().for_each(|one| one.join().expect("it ends with its cluster"));
}
