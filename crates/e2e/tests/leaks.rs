//! A thousand containers come and go, the agent is killed in the middle, and nothing is left of any.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Cluster, Fleet, Options, eventually};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(240);

/// Waves, and tasks in each. Half of a wave ends by itself, half is killed.
const WAVES: usize = 10;
const WAVE: usize = 100;

/// The wave in whose middle the agent dies.
const KILLED_IN: usize = 5;

const ISOLATION: &str = "filesystem/linux,cgroups/cpu,cgroups/mem,cgroups/pids,namespaces/pid,namespaces/ipc";

fn task(wave: usize, n: usize) -> Value {
    let seconds = if n.is_multiple_of(2) { "0" } else { "74731" };
    json!({
        "name": format!("{wave}-{n}"),
        "command": {"shell": false, "value": "/bin/sleep", "arguments": ["sleep", seconds]},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
    })
}

#[test]
fn root_nothing_is_left_of_a_thousand_containers() {
    if !rustix::process::geteuid().is_root() || !Path::new("/sys/fs/cgroup/freezer/cgroup.procs").exists() {
        eprintln!("SKIPPED root_nothing_is_left: this needs root and cgroups of version 1");
        return;
    }
    let root = format!("mesos-e2e-{}-leaks", std::process::id());
    let options = Options {
        resources: "cpus:100;mem:100000;disk:100000".to_owned(),
        agent_flags: vec![
            "--launcher=linux".to_owned(),
            format!("--cgroups_root={root}"),
            format!("--isolation={ISOLATION}"),
        ],
        ..Options::default()
    };
    let mut cluster = Cluster::start(&options).expect("a cluster");
    let namespaces = namespaces();
    let mut fleet = Fleet::subscribe(cluster.master.address, "leaks");
    for wave in 0..WAVES {
        let tasks = (0..WAVE).map(|n| task(wave, n)).collect();
        fleet.launch(tasks, PATIENCE).expect("an offer");
        if wave == KILLED_IN {
            // Some run, some are being launched, some wait.
            let some = |fleet: &Fleet| fleet.count("TASK_RUNNING") > WAVE / 10;
            fleet.until("some tasks run", PATIENCE, some).expect("they do");
            cluster.agents[0].restart().expect("an agent");
            // What was not launched yet is lost with the agent that knew of it, and told.
            fleet.complaints.clear();
        }
        let settled = |fleet: &Fleet| {
            let over = ["TASK_FINISHED", "TASK_KILLED", "TASK_FAILED", "TASK_LOST"];
            let over: usize = over.iter().map(|state| fleet.count(state)).sum();
            over + fleet.count("TASK_RUNNING") == (wave + 1) * WAVE && fleet.count("TASK_RUNNING") <= WAVE / 2
        };
        fleet.until("the wave has settled", PATIENCE, settled).expect("it does");
        let running: Vec<_> = fleet
            .states
            .iter()
            .filter(|(_, state)| *state == "TASK_RUNNING")
            .map(|(task, _)| task.clone())
            .collect();
        running.iter().for_each(|task| fleet.kill(task));
        fleet.until("all are over", PATIENCE, |fleet| fleet.count("TASK_RUNNING") == 0).expect("they are");
    }
    let lost = fleet.count("TASK_FAILED") + fleet.count("TASK_LOST");
    assert!(lost <= WAVE, "{lost} tasks were lost");
    assert_eq!(fleet.count("TASK_FINISHED") + fleet.count("TASK_KILLED") + lost, WAVES * WAVE);
    eventually("nothing is left", PATIENCE, || left(&cluster, &root).is_empty().then_some(()));
    assert_eq!(left(&cluster, &root), Vec::<String>::new());
    // Namespaces of others come and go; none of what went may be held by the agent.
    let held: Vec<_> = descriptors(cluster.agents[0].pid()).difference(&namespaces).cloned().collect();
    assert_eq!(held, Vec::<String>::new());
    cluster.agents[0].terminate();
    for hierarchy in hierarchies() {
        let _ = fs::remove_dir(hierarchy.join(&root));
    }
}

/// What there is of containers: processes, cgroups, mounts, marks, links in sandboxes.
fn left(cluster: &Cluster, root: &str) -> Vec<String> {
    let home = cluster.home.path();
    let name = home.to_string_lossy().into_owned();
    let mut left = Vec::new();
    for hierarchy in hierarchies() {
        left.extend(directories(&hierarchy.join(root)).iter().map(|path| path.display().to_string()));
    }
    let own = [cluster.master.pid(), cluster.agents[0].pid()].map(|pid| pid.to_string());
    for process in fs::read_dir("/proc").expect("/proc").flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let known = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).contains(&name);
        if pid.parse::<u32>().is_ok()
            && !own.contains(&pid)
            && (known(read("environ")) || known(read("cmdline")))
        {
            left.push(format!(
                "process {pid}: {}",
                String::from_utf8_lossy(&read("cmdline")).replace('\0', " ")
            ));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    left.extend(mounts.lines().filter(|line| line.contains(&name)).map(str::to_owned));
    left.extend(directories(&home.join("run-0/containers")).iter().map(|path| path.display().to_string()));
    links(&home.join("agent-0/slaves"), &mut left);
    left
}

/// Symbolic links below a directory, but for those to the latest run.
fn links(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("a kind");
        if kind.is_symlink() && entry.file_name() != "latest" {
            found.push(entry.path().display().to_string());
        }
        if kind.is_dir() {
            links(&entry.path(), found);
        }
    }
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn hierarchies() -> Vec<PathBuf> {
    directories(Path::new("/sys/fs/cgroup"))
}

/// The namespaces that this process is in: what a descriptor of it would read as.
fn namespaces() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/ns").expect("namespaces").flatten();
    entries
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
        .collect()
}

/// Namespaces and processes that a process holds open.
fn descriptors(pid: u32) -> BTreeSet<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten();
    let targets =
        entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()));
    let kinds = ["mnt:[", "net:[", "pid:[", "ipc:[", "uts:[", "user:[", "anon_inode:[pidfd]"];
    targets.filter(|target| kinds.iter().any(|kind| target.starts_with(kind))).collect()
}
