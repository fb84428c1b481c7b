//! The tool's commands for maintenance, draining and deactivation against a live cluster.

use std::process::{Command, Output};

use e2e::{Cluster, Options, binary, request};
use serde_json::Value;

fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    let master = format!("--master={}", cluster.master.address);
    Command::new(binary()).args(arguments).arg(master).output().expect("it runs")
}

/// What the tool prints; it must succeed.
fn mesos(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = run(cluster, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn slave(cluster: &Cluster) -> Value {
    let answer = request(cluster.master.address, "GET", "/slaves", &[], b"").expect("an answer");
    let slaves: Value = serde_json::from_slice(&answer.body).expect("JSON");
    slaves["slaves"][0].clone()
}

#[test]
fn agents_are_drained_and_machines_scheduled() {
    let cluster = Cluster::start(&Options { agents: 1, ..Options::default() }).expect("a cluster");
    let agent = slave(&cluster)["id"].as_str().expect("an id").to_owned();

    let text = mesos(&cluster, &["drain", &agent, "--max-grace-period=5secs", "--wait"]);
    assert!(text.ends_with(&format!("Agent {agent} is drained.\n")), "{text}");
    let drained = slave(&cluster);
    assert_eq!(drained["drain_info"]["state"], "DRAINED");
    assert_eq!(drained["drain_info"]["config"]["max_grace_period"]["nanoseconds"], 5_000_000_000_u64);
    mesos(&cluster, &["reactivate", &agent]);
    assert_eq!(slave(&cluster)["active"], true);
    mesos(&cluster, &["deactivate", &agent]);
    assert_eq!(slave(&cluster)["deactivated"], true);
    mesos(&cluster, &["reactivate", &agent]);
    let refused = run(&cluster, &["reactivate", &agent]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Agent is not deactivated"));

    let file = cluster.home.path().join("schedule.json");
    let schedule = r#"{"windows":[{"machine_ids":[{"hostname":"elsewhere","ip":"10.0.0.1"}],"unavailability":{"start":{"nanoseconds":1}}}]}"#;
    std::fs::write(&file, schedule).expect("written");
    let file = file.to_str().expect("text");
    mesos(&cluster, &["maintenance", "schedule", "set", file]);
    assert_eq!(mesos(&cluster, &["maintenance", "schedule", "show"]).trim(), schedule);
    assert!(mesos(&cluster, &["maintenance", "status"]).contains("draining"));
    mesos(&cluster, &["maintenance", "start", "elsewhere:10.0.0.1"]);
    assert!(mesos(&cluster, &["maintenance", "status"]).contains("down"));
    let refused = run(&cluster, &["maintenance", "start", "elsewhere:10.0.0.1"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not in DRAINING mode"));
    mesos(&cluster, &["maintenance", "stop", "elsewhere:10.0.0.1"]);
    assert_eq!(mesos(&cluster, &["maintenance", "schedule", "show"]).trim(), "{}");
}
