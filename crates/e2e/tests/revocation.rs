//! Revocation on a live cluster: who hoards while another starves is warned, and then loses tasks beyond its guarantee.

use std::time::Duration;

use e2e::{Framework, Local};
use serde_json::{Value, json};

/// One agent of four processors, which two roles without quota are guaranteed in equal parts.
fn cluster(grace: &str) -> Local {
    let flags =
        ["--resources=cpus:4;mem:128;disk:1024", "--revocation_after=1secs", "--revocation_any_task=true"];
    Local::start(1, &[&flags[..], &[&format!("--revocation_grace={grace}")]].concat()).expect("a cluster")
}

/// Takes offers for a task on each of so many processors, and wants no more then.
fn take(framework: &mut Framework, cpus: usize, name: &str) {
    let mut launched = 0;
    while launched < cpus {
        let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
        let offer = &offers["offers"]["offers"][0];
        let tasks: Vec<_> = (launched..launched + offered(offer))
            .map(|at| {
                json!({
                    "name": name, "task_id": {"value": format!("{name}{at}")}, "agent_id": offer["agent_id"],
                    "command": {"value": "exec sleep 77011"},
                    "resources": [
                        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}},
                        {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
                    ],
                })
            })
            .collect();
        launched += tasks.len();
        let launch = json!([{"type": "LAUNCH", "launch": {"task_infos": tasks}}]);
        let accept =
            json!({"offer_ids": [offer["id"]], "operations": launch, "filters": {"refuse_seconds": 1000}});
        framework.call(json!({"type": "ACCEPT", "accept": accept}));
    }
    assert_eq!(launched, cpus);
    framework.call(json!({"type": "SUPPRESS"}));
    for _ in 0..cpus {
        framework.until_state("TASK_RUNNING");
    }
}

/// The whole processors of an offer.
fn offered(offer: &Value) -> usize {
    let cpus = offer["resources"].as_array().into_iter().flatten().filter(|one| one["name"] == "cpus");
    cpus.filter_map(|one| one["scalar"]["value"].as_f64()).sum::<f64>() as usize
}

/// Waits for the warning: an inverse offer of two processors of the agent.
fn until_warned(hoarder: &mut Framework) -> Value {
    let asked = hoarder.stream.until("a warning", |e| e["type"] == "INVERSE_OFFERS").expect("a warning");
    let ask = asked["inverse_offers"]["inverse_offers"][0].clone();
    let cpus = ask["resources"].as_array().into_iter().flatten().find(|one| one["name"] == "cpus");
    assert_eq!(cpus.expect("cpus")["scalar"]["value"], 2.0, "{ask}");
    assert!(ask["unavailability"]["start"]["nanoseconds"].is_number(), "{ask}");
    ask
}

/// Two tasks of each framework run, and nobody is asked for more.
fn assert_even(frameworks: [&mut Framework; 2]) {
    for framework in frameworks {
        // Longer than until somebody would be warned again.
        let until = std::time::Instant::now() + Duration::from_millis(2500);
        let seen = framework.stream.seen.len();
        while let Some(left) = until.checked_duration_since(std::time::Instant::now()) {
            drop(framework.stream.next(left));
        }
        let later = &framework.stream.seen[seen..];
        let kinds = ["UPDATE", "INVERSE_OFFERS"];
        assert!(later.iter().all(|event| !kinds.map(Value::from).contains(&event["type"])), "{later:?}");
    }
}

#[test]
fn who_hoards_loses_what_another_is_guaranteed() {
    let cluster = cluster("1secs");
    let mut hoarder = Framework::in_role(cluster.master, "dev", "dev");
    take(&mut hoarder, 4, "h");
    let mut starving = Framework::in_role(cluster.master, "prod", "prod");
    until_warned(&mut hoarder);
    for _ in 0..2 {
        let status = hoarder.until_state("TASK_KILLED");
        assert_eq!(status["reason"], "REASON_CONTAINER_PREEMPTED", "{status}");
        let why = status["message"].as_str().unwrap_or_default();
        assert!(why.starts_with("Revoked: the framework holds more than its guarantee, framework "), "{why}");
    }
    take(&mut starving, 2, "s");
    assert_even([&mut hoarder, &mut starving]);
}

#[test]
fn who_heeds_the_warning_chooses_what_to_end() {
    let cluster = cluster("60secs");
    let mut hoarder = Framework::in_role(cluster.master, "dev", "dev");
    take(&mut hoarder, 4, "h");
    let mut starving = Framework::in_role(cluster.master, "prod", "prod");
    let ask = until_warned(&mut hoarder);
    let accept = json!({"inverse_offer_ids": [ask["id"]]});
    hoarder.call(json!({"type": "ACCEPT_INVERSE_OFFERS", "accept_inverse_offers": accept}));
    for task in ["h0", "h2"] {
        hoarder.call(json!({"type": "KILL", "kill": {"task_id": {"value": task}}}));
        let status = hoarder.until_state("TASK_KILLED");
        assert_eq!(status["task_id"]["value"], task);
        assert_ne!(status["reason"], "REASON_CONTAINER_PREEMPTED", "{status}");
    }
    take(&mut starving, 2, "s");
    assert_even([&mut hoarder, &mut starving]);
}
