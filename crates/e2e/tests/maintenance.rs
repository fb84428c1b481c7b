//! The tool's commands for maintenance, draining and deactivation against a live cluster.

use e2e::{Cluster, Options};
use serde_json::Value;

fn slave(cluster: &Cluster) -> Value {
    cluster.master.json("/slaves")["slaves"][0].clone()
}

#[test]
fn agents_are_drained_and_machines_scheduled() {
    let cluster = Cluster::start(&Options { agents: 1, ..Options::default() }).expect("a cluster");
    let agent = slave(&cluster)["id"].as_str().expect("an id").to_owned();
    let tool = cluster.tool();

    let text = tool.prints(&["drain", &agent, "--max-grace-period=5secs", "--wait"]);
    assert!(text.ends_with(&format!("Agent {agent} is drained.\n")), "{text}");
    let drained = slave(&cluster);
    assert_eq!(drained["drain_info"]["state"], "DRAINED");
    assert_eq!(drained["drain_info"]["config"]["max_grace_period"]["nanoseconds"], 5_000_000_000_u64);
    tool.does(&["reactivate", &agent], "");
    assert_eq!(slave(&cluster)["active"], true);
    tool.does(&["deactivate", &agent], "");
    assert_eq!(slave(&cluster)["deactivated"], true);
    tool.does(&["reactivate", &agent], "");
    tool.fails(&["reactivate", &agent], "Agent is not deactivated");

    let file = cluster.home.path().join("schedule.json");
    let schedule = r#"{"windows":[{"machine_ids":[{"hostname":"elsewhere","ip":"10.0.0.1"}],"unavailability":{"start":{"nanoseconds":1}}}]}"#;
    std::fs::write(&file, schedule).expect("written");
    let file = file.to_str().expect("text");
    tool.does(&["maintenance", "schedule", "set", file], "");
    assert_eq!(tool.prints(&["maintenance", "schedule", "show"]).trim(), schedule);
    tool.does(&["maintenance", "status"], "draining");
    tool.does(&["maintenance", "start", "elsewhere:10.0.0.1"], "");
    tool.does(&["maintenance", "status"], "down");
    tool.fails(&["maintenance", "start", "elsewhere:10.0.0.1"], "is not in DRAINING mode");
    tool.does(&["maintenance", "stop", "elsewhere:10.0.0.1"], "");
    assert_eq!(tool.prints(&["maintenance", "schedule", "show"]).trim(), "{}");
}
