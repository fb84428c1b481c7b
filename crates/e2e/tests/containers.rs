//! Containers of the Linux launcher through master and agent: limits that end a task, kill -9 of the agent, orphans.
//!
//! Each test has cgroups of its own, of the version that the machine works with; the last one runs them all again on a machine
//! with version 2. Where the machine lacks something a test says so on its standard error, and is over.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Cluster, Framework, Options, eventually};
use serde_json::{Value, json};
use vm::{Guest, Packages};

const PATIENCE: Duration = Duration::from_secs(30);

/// The hierarchies that the tests' isolators and the launcher work with.
const HIERARCHIES: &[&str] = &["freezer", "cpu", "cpuacct", "memory", "pids"];

struct World {
    root: String,
    cluster: Cluster,
}

impl World {
    /// A cluster with an agent whose containers are below a root of their own; none where that cannot be had.
    fn new(name: &str, more: &[&str]) -> Option<Self> {
        let missing = HIERARCHIES.iter().find(|it| !hierarchy(it).join("cgroup.procs").exists());
        if !rustix::process::geteuid().is_root() || missing.is_some() {
            eprintln!("SKIPPED {name}: this needs root and cgroups ({missing:?} is missing)");
            return None;
        }
        let (root, options) = Self::options(name, more);
        Some(Self { root, cluster: Cluster::start(&options).expect("a cluster") })
    }

    fn options(name: &str, more: &[&str]) -> (String, Options) {
        let root = format!("mesos-e2e-{}-{name}", std::process::id());
        let mut agent_flags = vec!["--launcher=linux".to_owned(), format!("--cgroups_root={root}")];
        agent_flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        (root, Options { agent_flags, ..Options::default() })
    }

    fn containers(&self, controller: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(hierarchy(controller).join(&self.root)).into_iter().flatten().flatten();
        // On version 2 the agent has one too.
        entries.map(|entry| entry.path()).filter(|path| path.is_dir() && !path.ends_with("agent")).collect()
    }

    /// Nothing is left of any container.
    fn until_nothing_is_left(&self) {
        eventually("all cgroups are gone", PATIENCE, || {
            HIERARCHIES.iter().all(|it| self.containers(it).is_empty()).then_some(())
        });
        let marks = self.cluster.home.path().join("run-0/containers");
        eventually("all marks are gone", PATIENCE, || {
            (fs::read_dir(&marks).into_iter().flatten().count() == 0).then_some(())
        });
    }

    fn processes(&self) -> Vec<String> {
        let cgroups = self.containers("freezer").into_iter().flat_map(|path| whole(&path));
        let lists = cgroups.map(|path| fs::read_to_string(path.join("cgroup.procs")));
        lists.flatten().flat_map(|list| list.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

/// A cgroup and all below it, the deepest first.
fn whole(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir()).flat_map(|it| whole(&it)).collect();
    found.push(cgroup.to_owned());
    found
}

impl Drop for World {
    fn drop(&mut self) {
        for agent in &mut self.cluster.agents {
            agent.kill();
        }
        // What a failed test leaves: its executors, and their cgroups.
        for pid in self.processes().iter().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?))
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        for controller in HIERARCHIES {
            for path in self.containers(controller) {
                // A process that was just killed holds its cgroup a moment longer.
                let gone = || {
                    whole(&path).iter().for_each(|path| drop(fs::remove_dir(path)));
                    !path.exists()
                };
                eventually("a cgroup is removed", PATIENCE, || gone().then_some(()));
            }
            let root = hierarchy(controller).join(&self.root);
            for path in [root.join("agent/leaf"), root.join("agent"), root] {
                let _ = fs::remove_dir(path);
            }
        }
    }
}

fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn hierarchy(controller: &str) -> PathBuf {
    let place = Path::new("/sys/fs/cgroup");
    if is_v2() { place.to_owned() } else { place.join(controller) }
}

fn info(checkpoint: bool) -> Value {
    json!({"user": "root", "name": "containers", "failover_timeout": 60.0, "checkpoint": checkpoint})
}

#[test]
fn root_a_task_that_takes_too_much_memory_fails_with_that_reason() {
    // A fifth of an emulated processor would take minutes to use that much.
    let flags = ["--isolation=cgroups/cpu,cgroups/mem,cgroups/pids", "--cgroups_enable_cfs"];
    let flags = if is_v2() { &flags[..1] } else { &flags[..] };
    let Some(world) = World::new("oom", flags) else { return };
    let mut framework = Framework::subscribe(world.cluster.master.address, &info(true));
    // The task itself is what the kernel kills. It has 32 MB, and its executor as much.
    // It keeps in memory what is to be the end of all that it reads.
    framework.launch("head -c 300000000 /dev/zero | tail -c 300000000");
    let status = framework.until_state("TASK_FAILED");
    assert_eq!(status["reason"], "REASON_CONTAINER_LIMITATION_MEMORY", "{status}");
    assert_eq!(status["source"], "SOURCE_AGENT");
    let message = status["message"].as_str().expect("a message");
    assert!(
        message.starts_with("Memory limit exceeded: Requested: 64MB Maximum Used: 64MB\n\nMEMORY"),
        "{message}"
    );
    assert_eq!(status["limitation"]["resources"][0]["name"], "mem", "{status}");
    world.until_nothing_is_left();
}

#[test]
fn root_a_busy_task_is_throttled_and_counted() {
    let flags = ["--isolation=cgroups/cpu,cgroups/mem", "--cgroups_enable_cfs"];
    let Some(world) = World::new("cfs", &flags) else { return };
    let mut framework = Framework::subscribe(world.cluster.master.address, &info(true));
    framework.launch("while :; do :; done");
    framework.until_state("TASK_RUNNING");
    let agent = &world.cluster.agents[0];
    let statistics = eventually("it is throttled", PATIENCE, || {
        let statistics = agent.json("/monitor/statistics")[0]["statistics"].clone();
        (statistics["cpus_nr_throttled"].as_f64()? > 2.0).then_some(statistics)
    });
    // The task's tenth of a cpu, and its executor's.
    assert_eq!(statistics["cpus_limit"], json!(0.2), "{statistics}");
    assert_eq!(statistics["mem_limit_bytes"], json!(64 << 20), "{statistics}");
    assert!(statistics["mem_total_bytes"].as_f64() > Some(0.0), "{statistics}");
    framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left();
}

#[test]
fn root_a_restarted_agent_keeps_its_containers_and_destroys_orphans() {
    let Some(mut world) = World::new("restart", &["--isolation=cgroups/mem"]) else { return };
    let mut kept = Framework::subscribe(world.cluster.master.address, &info(true));
    // It hides from everything but its cgroup.
    kept.launch("(setsid env -i /bin/sleep 1000 &); exec sleep 1000");
    kept.until_state("TASK_RUNNING");
    let before = eventually("both sleep", PATIENCE, || {
        let pids = world.processes();
        let name = |pid: &String| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        (pids.iter().filter(|pid| name(pid) == "sleep\n").count() == 2 && pids.len() == 3).then_some(pids)
    });
    world.cluster.agents[0].restart().expect("an agent");
    world.cluster.wait_for_agents(1);
    assert_eq!(world.processes(), before);
    kept.call(json!({"type": "KILL", "kill": {"task_id": {"value": "t"}}}));
    kept.until_state("TASK_KILLED");
    world.until_nothing_is_left();
    // It holds offers, which the next framework needs.
    kept.call(json!({"type": "TEARDOWN"}));
    // A framework that does not checkpoint has no records, so that nobody adopts its task.
    let mut orphaned = Framework::subscribe(world.cluster.master.address, &info(false));
    orphaned.launch("(setsid env -i /bin/sleep 1000 &); exec sleep 1000");
    orphaned.until_state("TASK_RUNNING");
    assert!(!world.processes().is_empty());
    world.cluster.agents[0].restart().expect("an agent");
    world.until_nothing_is_left();
}

#[test]
fn root_an_executor_grows_and_shrinks_as_its_tasks_come_and_go() {
    let flags = ["--isolation=cgroups/cpu,cgroups/mem", "--cgroups_enable_cfs"];
    let Some(world) = World::new("resize", &flags) else { return };
    let mut framework = Framework::subscribe(world.cluster.master.address, &info(true));
    let amounts = json!([
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        {"name": "disk", "type": "SCALAR", "scalar": {"value": 8}},
    ]);
    let mut offer = None;
    let mut pod = |name: &str| {
        let is_offer = |event: &Value| event["type"] == "OFFERS";
        let offers = offer.take().or_else(|| framework.stream.until("an offer", is_offer).ok());
        let offers = offers.expect("an offer");
        let used = &offers["offers"]["offers"][0];
        let executor = json!({
            "type": "DEFAULT", "executor_id": {"value": "pod"}, "framework_id": framework.id,
            "resources": amounts,
        });
        let task = json!({
            "name": name, "task_id": {"value": name}, "agent_id": used["agent_id"], "resources": amounts,
            "command": {"value": "exec sleep 78011"},
        });
        framework.call(json!({"type": "ACCEPT", "accept": {
            "offer_ids": [used["id"]],
            "operations": [{"type": "LAUNCH_GROUP", "launch_group": {
                "executor": executor, "task_group": {"tasks": [task]},
            }}],
            "filters": {"refuse_seconds": 0},
        }}));
        loop {
            let event = framework.stream.until("it runs", |e| is_offer(e) || e["type"] == "UPDATE");
            let event = event.expect("an update");
            if is_offer(&event) {
                offer = Some(event);
                continue;
            }
            let status = &event["update"]["status"];
            framework.call(json!({"type": "ACKNOWLEDGE", "acknowledge": {
                "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
            }}));
            if status["state"] == "TASK_RUNNING" {
                return;
            }
        }
    };
    // A tenth of a cpu for the executor, and one for each task; the hard limit of memory does not fall.
    let is = |v1: [&str; 3], v2: [&str; 3], tasks: &str| {
        let files = [
            ("cpu", "cpu.shares", "cpu.weight"),
            ("cpu", "cpu.cfs_quota_us", "cpu.max"),
            ("memory", "memory.soft_limit_in_bytes", "memory.low"),
        ];
        let expected = if is_v2() { v2 } else { v1 };
        eventually(tasks, PATIENCE, || {
            let found = files.map(|(controller, v1, v2)| {
                let path = world.containers(controller).pop().unwrap_or_default();
                fs::read_to_string(path.join(if is_v2() { v2 } else { v1 })).unwrap_or_default()
            });
            (found.each_ref().map(|text| text.trim()) == expected).then_some(())
        });
    };
    pod("one");
    is(["204", "20000", "67108864"], ["20", "20000 100000", "67108864"], "one task");
    pod("two");
    is(["307", "30000", "100663296"], ["30", "30000 100000", "100663296"], "two tasks");
    framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": "one"}}}));
    is(["204", "20000", "67108864"], ["20", "20000 100000", "67108864"], "one task again");
    framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left();
}

/// Where the machine of the last test has an XFS with project quotas.
const XFS: &str = "/xfs";

#[test]
fn root_xfs_bounds_a_sandbox_and_a_volume() {
    if !Path::new(XFS).exists() {
        eprintln!("no XFS with project quotas here; the machine with cgroups of version 2 has it");
        return;
    }
    let home = tempfile::tempdir_in(XFS).expect("a directory");
    let flags = ["--isolation=disk/xfs", "--enforce_container_disk_quota", "--xfs_project_range=[7301-7310]"];
    let (root, options) = World::options("xfs", &flags);
    let cluster = Cluster::start(&Options { agents: 0, ..options.clone() }).expect("a master");
    let mut world = World { root, cluster };
    let agent = e2e::Daemon::agent(home.path(), 0, world.cluster.master.address, &options);
    world.cluster.agents.push(agent.expect("an agent"));
    world.cluster.wait_for_agents(1);
    let agent = &world.cluster.agents[0];
    let ids = |agent: &e2e::Daemon| {
        let metrics = agent.json("/metrics/snapshot");
        let id = |name: &str| metrics[format!("containerizer/mesos/disk/project_ids_{name}")].as_f64();
        [id("total"), id("free")]
    };
    assert_eq!(ids(agent), [Some(10.0), Some(10.0)]);
    let mut info = info(true);
    info["roles"] = json!(["web"]);
    let capabilities = ["MULTI_ROLE", "RESERVATION_REFINEMENT"];
    info["capabilities"] = capabilities.map(|kind| json!({"type": kind})).into_iter().collect();
    let mut framework = Framework::subscribe(world.cluster.master.address, &info);
    let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
    let offer = &offers["offers"]["offers"][0];
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": {"role": "web"}});
    let mut reserved = scalar("disk", 16.0);
    reserved["reservations"] = json!([{"type": "DYNAMIC", "role": "web"}]);
    let mut volume = reserved.clone();
    volume["disk"] = json!({"persistence": {"id": "v1"}, "volume": {"container_path": "data", "mode": "RW"}});
    // Neither has room for 20 MB.
    let script =
        "for at in . data; do head -c 20971520 /dev/zero > $at/file && exit 1; done; exec sleep 78215";
    let task = json!({
        "name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"], "command": {"value": script},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 8.0), volume],
    });
    framework.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 1000},
        "operations": [
            {"type": "RESERVE", "reserve": {"resources": [reserved]}},
            {"type": "CREATE", "create": {"volumes": [volume]}},
            {"type": "LAUNCH", "launch": {"task_infos": [task]}},
        ],
    }}));
    framework.until_state("TASK_RUNNING");
    let statistics = eventually("both are full", PATIENCE, || {
        let statistics = agent.json("/monitor/statistics")[0]["statistics"].clone();
        let used = |at: &Value| at.as_u64().filter(|bytes| *bytes > 6 << 20);
        used(&statistics["disk_used_bytes"])?;
        used(&statistics["disk_statistics"][0]["used_bytes"]).filter(|bytes| *bytes > 14 << 20)?;
        Some(statistics)
    });
    assert_eq!(statistics["disk_limit_bytes"], json!(8 << 20), "{statistics}");
    let told = &statistics["disk_statistics"][0];
    assert_eq!(
        (&told["persistence"]["id"], &told["limit_bytes"]),
        (&json!("v1"), &json!(16 << 20)),
        "{told}"
    );
    assert!(told["used_bytes"].as_u64() <= Some(16 << 20), "{told}");
    assert_eq!(ids(agent), [Some(10.0), Some(8.0)]);
    framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left();
}

#[test]
fn root_an_agent_is_in_cgroups_of_its_own() {
    let flags = ["--agent_subsystems=cpu,memory", "--isolation=cgroups/mem"];
    let Some(world) = World::new("agents-own", &flags) else { return };
    let of = |pid: &str, controller: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its cgroups");
        let fields = text.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        let found = fields.into_iter().find(|it| is_v2() || it[1].split(',').any(|name| name == controller));
        found.expect("a hierarchy")[2].to_owned()
    };
    let agent = world.cluster.agents[0].pid().to_string();
    let own = format!("/{}/{}", world.root, if is_v2() { "agent/leaf" } else { "slave" });
    for controller in ["cpu", "memory"] {
        assert!(of(&agent, controller).ends_with(&own), "{}", of(&agent, controller));
    }
    // Its containers are beside it.
    let mut framework = Framework::subscribe(world.cluster.master.address, &info(false));
    framework.launch("exec sleep 77501");
    framework.until_state("TASK_RUNNING");
    let processes = world.processes();
    assert!(!processes.is_empty());
    for pid in processes.iter().filter(|pid| **pid != agent) {
        assert!(!of(pid, "memory").ends_with(&own), "{}", of(pid, "memory"));
    }
    framework.call(json!({"type": "TEARDOWN"}));
    if is_v2() {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    let output = std::process::Command::new(e2e::binary())
        .args(["agent", "--master=127.0.0.1:1", "--ip=127.0.0.1", "--port=0", "--agent_subsystems=nosuch"])
        .args(["--launcher=posix", "--isolation=posix/cpu"])
        .args([format!("--cgroups_root={}", world.root), format!("--work_dir={}", home.path().display())])
        .args([format!("--runtime_dir={}", home.path().join("run").display())])
        .args([format!("--fetcher_cache_dir={}", home.path().join("fetch").display())])
        .output()
        .expect("the binary runs");
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("for subsystem nosuch: the subsystem is not mounted"), "{words}");
}

/// All of the above take two minutes in the emulated machine; more where the real one has much else to do.
const MACHINE_PATIENCE: Duration = Duration::from_secs(600);

#[test]
fn the_same_holds_on_a_machine_with_cgroups_of_version_2() {
    if is_v2() {
        eprintln!("SKIPPED: this machine works with version 2 itself, and has shown the same already");
        return;
    }
    let mut guest = Guest::new(Packages::of_this_checkout().expect("packages")).expect("a machine");
    let me = std::env::current_exe().expect("a program knows its own path");
    for (program, name) in [(me, "/bin/under-test"), (e2e::binary(), "/bin/mesos")] {
        guest.program(&program, Path::new(name)).expect("a program");
    }
    let with_xfs = guest.xfs().expect("what XFS takes");
    let script = format!("{with_xfs}/bin/under-test root_ --test-threads=2");
    let outcome = guest.run(&script, MACHINE_PATIENCE).expect("an outcome");
    assert_eq!(outcome.status, 0);
    let passed = outcome.output.lines().filter(|line| line.ends_with(" ... ok")).count();
    assert!(passed >= 6 && !outcome.output.contains("SKIPPED"), "{passed} passed");
    assert!(!outcome.output.contains("no XFS"));
}

#[test]
fn root_isolators_that_do_not_exist_are_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let output = std::process::Command::new(e2e::binary())
        .args(["agent", "--master=127.0.0.1:1", "--ip=127.0.0.1", "--port=0", "--isolation=cgroups/nosuch"])
        .args([format!("--work_dir={}", home.path().display())])
        .output()
        .expect("the binary runs");
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("Unknown or unsupported isolator 'cgroups/nosuch'"), "{words}");
}

#[test]
fn root_project_quotas_need_xfs() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: this needs root");
        return;
    }
    // No kernel has XFS there.
    let home = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let output = std::process::Command::new(e2e::binary())
        .args(["agent", "--master=127.0.0.1:1", "--ip=127.0.0.1", "--port=0", "--isolation=disk/xfs"])
        .args(["--launcher=posix", "--no-systemd_enable_support"])
        .args([format!("--work_dir={}", home.path().display())])
        .args([format!("--runtime_dir={}", home.path().join("run").display())])
        .output()
        .expect("the binary runs");
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    let refused =
        format!("Failed to create isolator 'disk/xfs': '{}' is not an XFS filesystem", home.path().display());
    assert!(words.contains(&refused), "{words}");
}
