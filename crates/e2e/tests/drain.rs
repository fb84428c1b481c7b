//! An operator drains an agent: its tasks end, it takes no more, and it comes back when it is let.

use std::time::Duration;

use e2e::{Cluster, Framework, Options, eventually, operate};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// Less than the time to the master's next ping, which must not be what makes it look.
const PROMPT: Duration = Duration::from_secs(10);

fn subscribe(cluster: &Cluster) -> Framework {
    let info = json!({
        "user": "root", "name": "drained", "failover_timeout": 60.0, "checkpoint": true,
        "capabilities": [{"type": "PARTITION_AWARE"}],
    });
    Framework::subscribe(cluster.master.address, &info)
}

fn agent(cluster: &Cluster) -> Value {
    operate(cluster.master.address, &json!({"type": "GET_AGENTS"}))["get_agents"]["agents"][0].clone()
}

/// Tells the master to drain the only agent, in at most `secs`.
fn drain(cluster: &Cluster, secs: u64) -> Value {
    let id = agent(cluster)["agent_info"]["id"].clone();
    let longest = json!({"seconds": secs});
    let drain = json!({"agent_id": id, "max_grace_period": longest});
    operate(cluster.master.address, &json!({"type": "DRAIN_AGENT", "drain_agent": drain}));
    id
}

fn until_drained(cluster: &Cluster) {
    eventually("the agent is drained", PROMPT, || {
        (agent(cluster)["drain_info"]["state"] == "DRAINED").then_some(())
    });
    eventually("the agent forgets that it was drained", PATIENCE, || {
        cluster.agents[0].json("/state").get("drain_config").is_none().then_some(())
    });
}

#[test]
fn a_drained_agent_lets_its_task_go_and_comes_back() {
    let cluster = Cluster::start(&Options::default()).expect("a cluster");
    let mut framework = subscribe(&cluster);
    framework.launch("exec sleep 71010");
    framework.until_state("TASK_RUNNING");
    let id = drain(&cluster, 5);
    let status = framework.until_state("TASK_KILLED");
    assert_eq!(status["reason"], "REASON_AGENT_DRAINING", "{status}");
    until_drained(&cluster);
    operate(
        cluster.master.address,
        &json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": id}}),
    );
    framework.launch("true");
    framework.until_state("TASK_FINISHED");
}

#[test]
fn a_drain_goes_on_when_the_agent_was_killed() {
    let mut cluster = Cluster::start(&Options::default()).expect("a cluster");
    let mut framework = subscribe(&cluster);
    // It does not listen, so that the drain lasts as long as it may.
    framework.launch("trap '' TERM; while :; do sleep 1; done");
    framework.until_state("TASK_RUNNING");
    drain(&cluster, 3);
    eventually("the agent drains", PATIENCE, || {
        cluster.agents[0].json("/state").get("drain_config").cloned()
    });
    cluster.agents[0].restart().expect("the agent starts again");
    let status = framework.until_state("TASK_KILLED");
    assert_eq!(status["reason"], "REASON_AGENT_DRAINING", "{status}");
    until_drained(&cluster);
}
