//! What a restarted agent finds and does: files that cannot be read, another agent in its place, flags that end the old one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use e2e::{Cluster, Framework, Options, binary, eventually, free_address};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn cluster(flags: &[&str]) -> Cluster {
    let agent_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    Cluster::start(&Options { agent_flags, ..Options::default() }).expect("a cluster")
}

fn framework(cluster: &Cluster) -> Framework {
    let info = json!({"user": "root", "name": "restarts", "failover_timeout": 60.0, "checkpoint": true});
    Framework::subscribe(cluster.master.address, &info)
}

/// A file of this name below a directory.
fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("a file type");
        if kind.is_file() && entry.file_name() == name {
            return Some(entry.path());
        }
        if kind.is_dir()
            && let Some(found) = find(&entry.path(), name)
        {
            return Some(found);
        }
    }
    None
}

/// An agent that is expected to end by itself, over this work directory.
fn other_agent(cluster: &Cluster, work_dir: &Path) -> Output {
    let address = free_address().expect("a port");
    let home = cluster.home.path();
    Command::new(binary())
        .args(["agent", "--launcher=posix", "--no-systemd_enable_support", "--ip=127.0.0.1"])
        .arg("--hostname=127.0.0.1")
        .arg(format!("--master={}", cluster.master.address))
        .arg(format!("--port={}", address.port()))
        .arg(format!("--resources={}", Options::default().resources))
        .arg(format!("--work_dir={}", work_dir.display()))
        .arg(format!("--runtime_dir={}", home.join("run-other").display()))
        .arg(format!("--fetcher_cache_dir={}", home.join("fetch-other").display()))
        .output()
        .expect("it runs")
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", output.status);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn agent_id(cluster: &Cluster) -> Value {
    cluster.master.json("/slaves")["slaves"][0]["id"].clone()
}

#[test]
fn a_work_directory_is_one_agents() {
    let cluster = cluster(&[]);
    let mut framework = framework(&cluster);
    framework.launch("exec sleep 77420");
    framework.until_state("TASK_RUNNING");
    let work_dir = cluster.home.path().join("agent-0");
    let why = refused(&other_agent(&cluster, &work_dir));
    let expected = format!("Another agent runs with this --work_dir '{}'", work_dir.display());
    assert!(why.contains(&expected), "{why}");
    // A copy is somebody else's too.
    let copy = cluster.home.path().join("copy");
    let copied = Command::new("cp").arg("-a").args([&work_dir, &copy]).status().expect("cp runs");
    assert!(copied.success());
    let why = refused(&other_agent(&cluster, &copy));
    assert!(why.contains("Incompatible agent info detected."), "{why}");
    assert!(why.contains(&format!("rm -f {}", copy.join("meta/slaves/latest").display())), "{why}");
    assert_eq!(
        cluster.agents[0].json("/state")["frameworks"][0]["executors"][0]["tasks"][0]["state"],
        "TASK_RUNNING"
    );
    assert_eq!(cluster.master.json("/slaves")["slaves"].as_array().map(Vec::len), Some(1));
    framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": "t"}}}));
    framework.until_state("TASK_KILLED");
}

#[test]
fn a_broken_file_is_refused_or_counted() {
    let mut cluster = cluster(&["--executor_reregistration_timeout=15secs"]);
    let mut framework = framework(&cluster);
    framework.launch("exec sleep 77421");
    framework.until_state("TASK_RUNNING");
    let id = agent_id(&cluster);
    cluster.agents[0].kill();
    let meta = cluster.home.path().join("agent-0/meta");
    let broken = find(&meta, "task.info").expect("a task");
    let bytes = fs::read(&broken).expect("bytes");
    fs::write(&broken, &bytes[..bytes.len() / 2]).expect("a file");
    // Strict: it ends.
    assert!(cluster.agents[0].try_restart().is_some_and(|status| !status.success()));
    let log = fs::read_to_string(&cluster.agents[0].log).expect("a log");
    for words in
        ["Failed to recover: Failed to read 'frameworks/", "/task.info' below '", "--no-strict", "rm -f "]
    {
        assert!(log.contains(words), "{words}: {log}");
    }
    // Not strict: it goes on without the task, whose executor it knows.
    cluster.agents[0].set_flag("strict", "false");
    cluster.agents[0].restart().expect("an agent");
    cluster.wait_for_agents(1);
    assert_eq!(agent_id(&cluster), id);
    assert_eq!(cluster.agents[0].json("/metrics/snapshot")["slave/recovery_errors"], 1.0);
    framework.until_any_state(&["TASK_LOST", "TASK_FAILED", "TASK_GONE"]);
    framework.call(json!({"type": "TEARDOWN"}));
    eventually("nothing runs", PATIENCE, || {
        let state = cluster.agents[0].json("/state");
        state["frameworks"].as_array()?.is_empty().then_some(())
    });
}

#[test]
fn an_agent_that_cleans_up_ends_what_runs_and_itself() {
    let mut cluster = cluster(&["--executor_shutdown_grace_period=1secs"]);
    let mut framework = framework(&cluster);
    framework.launch("exec sleep 77422");
    framework.until_state("TASK_RUNNING");
    let id = agent_id(&cluster);
    cluster.agents[0].set_flag("recover", "cleanup");
    let status = cluster.agents[0].try_restart();
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    let latest = cluster.home.path().join("agent-0/meta/slaves/latest");
    assert!(fs::symlink_metadata(&latest).is_err());
    let environments = fs::read_dir("/proc").expect("/proc").flatten();
    let home = cluster.home.path().join("agent-0").display().to_string();
    let mut left = environments.filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&home)
    });
    assert!(left.next().is_none(), "something runs");
    cluster.agents[0].set_flag("recover", "reconnect");
    cluster.agents[0].restart().expect("an agent");
    eventually("a new agent is there", PATIENCE, || {
        let state = cluster.master.json("/slaves");
        let agents = state["slaves"].as_array()?;
        agents.iter().any(|agent| agent["id"] != id && agent["active"] == true).then_some(())
    });
}
