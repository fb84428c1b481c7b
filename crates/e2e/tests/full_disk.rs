//! An agent whose disk fills up while tasks run: what is told was written, and what cannot be written ends the agent with a
//! clear word. With room again its successor finds everything.
//!
//! The disk is a small one in memory, mounted where nobody but the test and its agent sees it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::{Cluster, Fleet, Options, eventually};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// Set where the test is in a namespace of its own.
const INSIDE: &str = "MESOS_E2E_FULL_DISK";

/// Runs the test again in its own mounts. True in there.
fn inside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED {name}: this needs root");
        return false;
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(own)
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare runs");
    assert!(status.success(), "{name} failed in its namespace: {status}");
    false
}

fn task(name: &str, command: &str) -> Value {
    json!({
        "name": name, "command": {"value": command},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
    })
}

/// Writes until there is no room.
fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file");
    loop {
        match file.write_all(&[0; 4096]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn state_is(fleet: &Fleet, task: &str, state: &str) -> bool {
    fleet.states.get(task).is_some_and(|known| known == state)
}

#[test]
fn root_a_full_disk_loses_nothing_that_was_told() {
    if !inside("root_a_full_disk_loses_nothing_that_was_told") {
        return;
    }
    let options = Options { agents: 0, ..Options::default() };
    let mut cluster = Cluster::start(&options).expect("a cluster");
    let disk = cluster.home.path().join("agent-0");
    fs::create_dir(&disk).expect("a directory");
    let mount = ["-t", "tmpfs", "-o", "size=8m", "full-disk"];
    let mounted = Command::new("mount").args(mount).arg(&disk).status().expect("mount runs");
    assert!(mounted.success());
    cluster.add_agent(&options).expect("an agent");
    cluster.wait_for_agents(1);

    let mut fleet = Fleet::subscribe(cluster.master.address, "full");
    let go = cluster.home.path().join("go");
    let waits = format!("until [ -e {} ]; do sleep 0.1; done", go.display());
    fleet.launch(vec![task("ends", &waits), task("stays", "exec sleep 77410")], PATIENCE).expect("an offer");
    let run = |fleet: &Fleet| fleet.count("TASK_RUNNING") == 2;
    fleet.until("both run", PATIENCE, run).expect("they do");

    // What runs is told of: a file that is there has room for another record.
    let ballast = disk.join("ballast");
    fill(&ballast);
    fs::write(&go, "").expect("a file");
    let ended = |fleet: &Fleet| state_is(fleet, "ends", "TASK_FINISHED");
    fleet.until("one ends", PATIENCE, ended).expect("it does");

    // What is to be launched cannot be written down.
    fleet.launch(vec![task("late", "true")], PATIENCE).expect("an offer");
    let status = eventually("the agent ends", PATIENCE, || cluster.agents[0].ended());
    assert_eq!(status.code(), Some(1), "{status}");
    let log = fs::read_to_string(&cluster.agents[0].log).expect("a log");
    let last = log.lines().last().expect("last words");
    assert!(last.contains("Failed to checkpoint '") && last.contains("No space left on device"), "{last}");

    // There is room again.
    fs::remove_file(&ballast).expect("it is there");
    fleet.complaints.clear();
    cluster.agents[0].restart().expect("an agent");
    let told = |fleet: &Fleet| state_is(fleet, "late", "TASK_LOST");
    fleet.until("the launch is told to be lost", PATIENCE, told).expect("it is");
    assert!(state_is(&fleet, "stays", "TASK_RUNNING"), "{:?}", fleet.states);
    fleet.launch(vec![task("after", "true")], PATIENCE).expect("an offer");
    let finished = |fleet: &Fleet| state_is(fleet, "after", "TASK_FINISHED");
    fleet.until("another runs", PATIENCE, finished).expect("it does");
    fleet.kill("stays");
    let killed = |fleet: &Fleet| state_is(fleet, "stays", "TASK_KILLED");
    fleet.until("the one that stayed is killed", PATIENCE, killed).expect("it is");
    assert!(state_is(&fleet, "ends", "TASK_FINISHED"), "{:?}", fleet.states);

    cluster.agents[0].terminate();
    let unmounted = Command::new("umount").arg(&disk).status().expect("umount runs");
    assert!(unmounted.success());
}
