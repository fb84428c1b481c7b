//! kill -9 and cut connections: the right updates arrive, and nothing is left behind.

use std::time::Duration;

use e2e::{Cluster, Framework, Options, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn info(failover_timeout: f64) -> Value {
    json!({"user": "root", "name": "failures", "failover_timeout": failover_timeout, "checkpoint": true})
}

fn cluster() -> Cluster {
    Cluster::start(&Options::default()).expect("a cluster")
}

/// The processes whose command line holds `words`.
fn processes(words: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(words) {
            found.push(pid);
        }
    }
    found
}

fn kill_9(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("the process is ours");
}

/// The executor of the only task: the parent of the process that runs `words`.
fn executor_of(words: &str) -> i32 {
    let child = eventually("the task runs", Duration::from_secs(20), || processes(words).first().copied());
    let status = std::fs::read_to_string(format!("/proc/{child}/stat")).expect("the task's process");
    let after_name = status.rsplit_once(')').expect("a stat line").1;
    after_name.split_whitespace().nth(1).expect("a parent").parse().expect("a pid")
}

#[test]
fn a_killed_executor_is_a_failed_task() {
    let cluster = cluster();
    let mut framework = Framework::subscribe(cluster.master.address, &info(60.0));
    framework.launch("exec sleep 71001");
    framework.until_state("TASK_RUNNING");
    kill_9(executor_of("sleep 71001"));
    let status = framework.until_state("TASK_FAILED");
    assert_eq!(status["source"], "SOURCE_AGENT", "{status}");
    eventually("the task's process is gone", Duration::from_secs(20), || {
        processes("sleep 71001").is_empty().then_some(())
    });
}

#[test]
fn a_killed_task_is_a_failed_task_with_its_signal() {
    let cluster = cluster();
    let mut framework = Framework::subscribe(cluster.master.address, &info(60.0));
    framework.launch("exec sleep 71002");
    framework.until_state("TASK_RUNNING");
    kill_9(eventually("it runs", Duration::from_secs(20), || processes("sleep 71002").first().copied()));
    let status = framework.until_state("TASK_FAILED");
    assert_eq!(status["message"], "Command terminated with signal Killed");
}

#[test]
fn a_framework_that_comes_back_in_time_keeps_its_task() {
    let cluster = cluster();
    let mut framework = Framework::subscribe(cluster.master.address, &info(60.0));
    framework.launch("exec sleep 71003");
    framework.until_state("TASK_RUNNING");
    eventually("it runs", Duration::from_secs(20), || processes("sleep 71003").first().copied());
    let id = framework.id.clone();
    framework.stream.cut();
    eventually("the master notices", Duration::from_secs(20), || {
        let state = cluster.master.json("/state");
        (state["frameworks"][0]["connected"] == json!(false)).then_some(())
    });
    let mut info = info(60.0);
    info["id"] = id.clone();
    let mut framework = Framework::subscribe(cluster.master.address, &info);
    assert_eq!(framework.id, id);
    framework.call(json!({"type": "RECONCILE", "reconcile": {"tasks": []}}));
    let status = framework.until_state("TASK_RUNNING");
    assert_eq!(status["reason"], "REASON_RECONCILIATION");
    framework.call(json!({"type": "TEARDOWN"}));
    eventually("the task's process is gone", Duration::from_secs(20), || {
        processes("sleep 71003").is_empty().then_some(())
    });
}

#[test]
fn a_second_subscription_of_one_id_ends_the_first() {
    let cluster = cluster();
    let mut first = Framework::subscribe(cluster.master.address, &info(60.0));
    let mut info = info(60.0);
    info["id"] = first.id.clone();
    let _second = Framework::subscribe(cluster.master.address, &info);
    let error = first.stream.until("ERROR", |e| e["type"] == "ERROR").expect("an ERROR event");
    assert_eq!(error["error"]["message"], "Framework failed over");
    assert_eq!(first.stream.next(Duration::from_secs(20)).expect("the end of the stream"), None);
}

#[test]
fn a_framework_that_stays_away_is_removed_and_its_task_killed() {
    let cluster = cluster();
    let mut framework = Framework::subscribe(cluster.master.address, &info(0.0));
    framework.launch("exec sleep 71004");
    framework.until_state("TASK_RUNNING");
    eventually("it runs", Duration::from_secs(20), || processes("sleep 71004").first().copied());
    framework.stream.cut();
    eventually("the framework is completed", Duration::from_secs(20), || {
        let state = cluster.master.json("/state");
        (state["completed_frameworks"].as_array()?.len() == 1).then_some(())
    });
    eventually("the task's process is gone", Duration::from_secs(20), || {
        processes("sleep 71004").is_empty().then_some(())
    });
}

#[test]
fn a_killed_agent_is_disconnected_and_back_after_its_restart() {
    let mut cluster = cluster();
    let mut framework = Framework::subscribe(cluster.master.address, &info(60.0));
    let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
    let offer = offers["offers"]["offers"][0]["id"].clone();
    let id = cluster.master.json("/slaves")["slaves"][0]["id"].clone();
    let Framework { mut stream, .. } = framework;
    // Killed before it wrote its id down, it would come back as another agent.
    eventually("the agent knows its id", Duration::from_secs(20), || {
        (cluster.agents[0].json("/state")["id"] == id).then_some(())
    });
    cluster.agents[0].kill();
    let rescind = stream.until("RESCIND", |e| e["type"] == "RESCIND").expect("a RESCIND");
    assert_eq!(rescind["rescind"]["offer_id"], offer);
    eventually("the agent is inactive", Duration::from_secs(20), || {
        (cluster.master.json("/slaves")["slaves"][0]["active"] == json!(false)).then_some(())
    });
    cluster.agents[0].restart().expect("the agent starts again");
    cluster.wait_for_agents(1);
    assert_eq!(cluster.master.json("/slaves")["slaves"][0]["id"], id);
    stream.until("an offer again", |e| e["type"] == "OFFERS").expect("an offer");
}

#[test]
fn a_killed_master_knows_its_agents_and_tasks_run_on() {
    let options = Options { registry: "local", agents: 2, ..Options::default() };
    let mut cluster = Cluster::start(&options).expect("a cluster");
    let mut framework = Framework::subscribe(cluster.master.address, &info(600.0));
    framework.launch("exec sleep 71004");
    let running = framework.until_state("TASK_RUNNING");
    let agents = |cluster: &Cluster, key: &str| -> Vec<Value> {
        let state = cluster.master.json("/slaves");
        state[key].as_array().expect("a list").iter().map(|agent| agent["id"].clone()).collect()
    };
    let mut before = agents(&cluster, "slaves");
    cluster.master.restart().expect("it starts again");
    // Each agent is either still expected or back, under the id it had: none is new.
    let mut known = agents(&cluster, "slaves");
    known.extend(agents(&cluster, "recovered_slaves"));
    let text = |ids: &mut Vec<Value>| {
        ids.sort_by_key(ToString::to_string);
        ids.clone()
    };
    assert_eq!(text(&mut known), text(&mut before));
    cluster.wait_for_agents(2);
    assert_eq!(text(&mut agents(&cluster, "slaves")), before);

    let mut again = info(600.0);
    again["id"] = framework.id.clone();
    let mut framework = Framework::subscribe(cluster.master.address, &again);
    let task = json!({"task_id": running["task_id"], "agent_id": running["agent_id"]});
    framework.call(json!({"type": "RECONCILE", "reconcile": {"tasks": [task]}}));
    let status = framework.until_state("TASK_RUNNING");
    assert_eq!(status["reason"], "REASON_RECONCILIATION", "{status}");
    framework.call(json!({"type": "TEARDOWN"}));
    eventually("the task ends with its framework", Duration::from_secs(20), || {
        processes("sleep 71004").is_empty().then_some(())
    });
}

#[test]
fn a_second_master_does_not_share_a_registry() {
    let options = Options { registry: "local", agents: 0, ..Options::default() };
    let cluster = Cluster::start(&options).expect("a cluster");
    let work_dir = format!("--work_dir={}", cluster.home.path().join("master").display());
    let output = std::process::Command::new(e2e::binary())
        .args(["master", "--ip=127.0.0.1", "--port=0", "--registry=local", &work_dir])
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("another master runs with this --work_dir"), "{error}");
}
