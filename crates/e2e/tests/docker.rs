//! Containers of a real Docker daemon through master and agent.
//!
//! Each test has a daemon, a network and cgroups of its own, and counts what is left of them. Where the machine lacks
//! something a test says so on its standard error, and is over.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Cluster, Docker, Framework, IMAGE, Options, Stream, eventually, request};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    // ORDER: agents end before the daemon does.
    cluster: Cluster,
    docker: Docker,
}

impl World {
    fn new(test: &str, more: &[&str]) -> Option<Self> {
        let docker = Docker::start(test).expect("a daemon")?;
        let mut agent_flags = docker.agent_flags();
        agent_flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        let options = Options { agent_flags, ..Options::default() };
        Some(Self { cluster: Cluster::start(&options).expect("a cluster"), docker })
    }

    fn framework(&self) -> Framework {
        let info = json!({"user": "root", "name": "docker", "failover_timeout": 60.0, "checkpoint": true});
        Framework::subscribe(self.cluster.master.address, &info)
    }

    /// A file in the sandbox of a task's only run.
    fn sandbox_file(&self, framework: &Framework, id: &str, name: &str) -> String {
        let slaves = self.cluster.home.path().join("agent-0/slaves");
        let Some(agent) = only_entry(&slaves) else { return String::new() };
        let framework = framework.id["value"].as_str().expect("an id");
        let run = agent.join("frameworks").join(framework).join("executors").join(id).join("runs/latest");
        fs::read_to_string(run.join(name)).unwrap_or_default()
    }

    /// Nothing of any container runs, and its executor is gone.
    fn until_nothing_runs(&self) {
        eventually("no container runs", PATIENCE, || self.docker.running().is_empty().then_some(()));
        eventually("no executor runs", PATIENCE, || executors(&self.docker).is_empty().then_some(()));
    }
}

fn only_entry(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let mut paths = entries.map(|entry| entry.path()).filter(|path| !path.ends_with("latest"));
    paths.next()
}

/// The processes beside the daemon's containers.
fn executors(docker: &Docker) -> Vec<u32> {
    let mark = format!("--docker_socket={}", docker.socket().display());
    let is_one = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"mesos-docker-executor\0")
            && line.split(|byte| *byte == 0).any(|argument| argument == mark.as_bytes())
    };
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_one).collect()
}

/// A task in a container of the tests' image, changed by `more`.
fn task(id: &str, command: &str, more: Value) -> Value {
    let mut task = json!({
        "name": id, "task_id": {"value": id},
        "command": {"value": command},
        "container": {"type": "DOCKER", "docker": {"image": IMAGE, "network": "BRIDGE"}},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 64}},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31001}]}},
        ],
    });
    merge(&mut task, more);
    task
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

/// Launches the task on the next offer.
fn launch(framework: &mut Framework, mut task: Value) {
    let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
    let offer = &offers["offers"]["offers"][0];
    task["agent_id"] = offer["agent_id"].clone();
    framework.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}],
        "filters": {"refuse_seconds": 1000},
    }}));
}

/// Asks to be offered again what was left.
fn revive(framework: &Framework) {
    framework.call(json!({"type": "REVIVE"}));
}

/// Reads on until the task is told to be in `state`; it must not end otherwise.
fn until(framework: &mut Framework, state: &str) -> Value {
    loop {
        let status = framework.next_update();
        if status["state"] == state {
            return status;
        }
        let goes_on = ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"];
        assert!(goes_on.iter().any(|it| status["state"] == *it), "not {state}: {status}");
    }
}

fn kill(framework: &Framework, id: &str, grace_secs: u64) {
    framework.call(json!({"type": "KILL", "kill": {
        "task_id": {"value": id},
        "kill_policy": {"grace_period": {"nanoseconds": grace_secs * 1_000_000_000}},
    }}));
}

fn message(status: &Value) -> &str {
    status["message"].as_str().unwrap_or_default()
}

#[test]
fn root_docker_tasks_run_fail_and_are_told_of() {
    let Some(world) = World::new("docker_tasks", &["--docker_remove_delay=1secs"]) else { return };
    let mut framework = world.framework();
    let command = "echo out; echo err >&2; echo $MESOS_SANDBOX $MESOS_CONTAINER_NAME $GIVEN; \
                   cd $MESOS_SANDBOX; until test -e data/go; do sleep 0.05; done; cat data/file; touch data/no || echo read only; exit 7";
    let home = world.cluster.home.path().join("volume");
    fs::create_dir_all(&home).expect("a directory");
    fs::write(home.join("file"), "from the machine\n").expect("a file");
    let volume = json!({"host_path": home.to_str(), "container_path": "data", "mode": "RO"});
    let variables = json!([{"name": "GIVEN", "value": "given"}]);
    launch(
        &mut framework,
        task(
            "t1",
            command,
            json!({
                "command": {"environment": {"variables": variables}},
                "container": {"volumes": [volume], "docker": {"parameters": [{"key": "label", "value": "a=b"}]}},
            }),
        ),
    );
    let running = until(&mut framework, "TASK_RUNNING");
    let ip = running["container_status"]["network_infos"][0]["ip_addresses"][0]["ip_address"].clone();
    assert!(ip.as_str().is_some_and(|ip| ip.starts_with("172.")), "{running}");
    assert!(
        running["data"].as_str().is_some_and(|data| data.starts_with("W3si")),
        "a list of one: {running}"
    );
    // One that ends at once has no address any more when somebody looks.
    fs::write(home.join("go"), "").expect("a file");
    let failed = until(&mut framework, "TASK_FAILED");
    assert_eq!(message(&failed), "Container exited with status 7");
    assert_eq!(failed["source"], "SOURCE_EXECUTOR");
    let name = world.docker.containers().into_iter().next().expect("a container");
    let inspected = world.docker.inspect(&name);
    assert_eq!(inspected["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(inspected["HostConfig"]["CpuShares"], 102);
    assert_eq!(inspected["Config"]["Labels"]["a"], "b");
    let stdout = world.sandbox_file(&framework, "t1", "stdout");
    assert_eq!(stdout, format!("out\n/mnt/mesos/sandbox {name} given\nfrom the machine\nread only\n"));
    assert!(world.sandbox_file(&framework, "t1", "stderr").contains("err\n"));
    world.until_nothing_runs();
    // It is kept for a while, and then removed.
    eventually("the container is removed", PATIENCE, || world.docker.containers().is_empty().then_some(()));

    revive(&framework);
    launch(
        &mut framework,
        task("t2", "sleep 76601", json!({"container": {"docker": {"image": "nosuch/image:1"}}})),
    );
    let failed = until(&mut framework, "TASK_FAILED");
    assert_eq!(failed["reason"], "REASON_CONTAINER_LAUNCH_FAILED", "{failed}");
    let why = "Failed to launch container: Failed to pull image 'nosuch/image:1': Docker daemon: ";
    assert!(message(&failed).starts_with(why), "{failed}");

    let outside = json!([{"host_port": 80, "container_port": 80}]);
    revive(&framework);
    launch(
        &mut framework,
        task("t3", "sleep 76602", json!({"container": {"docker": {"port_mappings": outside}}})),
    );
    let failed = until(&mut framework, "TASK_FAILED");
    let why = "Failed to create docker run options: Port [80] not included in resources";
    assert_eq!(message(&failed), why);

    revive(&framework);
    launch(&mut framework, task("t4", "/bin/nosuch", json!({"command": {"shell": false}})));
    let failed = until(&mut framework, "TASK_FAILED");
    assert!(message(&failed).starts_with("Failed to run docker container: Docker daemon: "), "{failed}");
    world.until_nothing_runs();
}

#[test]
fn root_docker_tasks_are_reached_checked_limited_and_killed() {
    let Some(world) = World::new("docker_checks", &["--cgroups_enable_cfs"]) else { return };
    let agent = world.cluster.agents[0].address;
    let mut framework = world.framework();
    let serve = "mkdir /www; echo hello > /www/index.html; httpd -f -p 80 -h /www & \
                 trap 'echo asked; exit 0' TERM; while :; do sleep 0.1; done";
    let mappings = json!([{"host_port": 31001, "container_port": 80, "protocol": "tcp"}]);
    let check = json!({"type": "HTTP", "http": {"port": 80, "path": "/"}, "delay_seconds": 0, "interval_seconds": 0.2});
    let limits = json!({"mem": {"value": 128.0}});
    let reached = json!({
        "container": {"docker": {"port_mappings": mappings}}, "health_check": check, "limits": limits,
    });
    launch(&mut framework, task("t1", serve, reached));
    until(&mut framework, "TASK_RUNNING");
    let healthy = until(&mut framework, "TASK_RUNNING");
    assert_eq!((&healthy["healthy"], &healthy["data"]), (&json!(true), &Value::Null), "{healthy}");
    assert_eq!(healthy["reason"], "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED");
    let answer = eventually("the mapped port answers", PATIENCE, || {
        request("127.0.0.1:31001".parse().expect("an address"), "GET", "/", &[], b"").ok()
    });
    assert_eq!(answer.text(), "hello\n");
    let statistics = eventually("its memory is counted", PATIENCE, || {
        let statistics = world.cluster.agents[0].json("/monitor/statistics")[0]["statistics"].clone();
        (statistics["mem_rss_bytes"].as_u64()? > 0).then_some(statistics)
    });
    assert_eq!(statistics["cpus_limit"], 0.1, "{statistics}");
    // What the task asked for, without what its executor has.
    assert_eq!(statistics["mem_soft_limit_bytes"], 64 << 20, "{statistics}");
    assert!(statistics["cpus_nr_periods"].is_u64() && statistics["cpus_user_time_secs"].is_f64());
    let name = world.docker.running().into_iter().next().expect("a container");
    let host = world.docker.inspect(&name)["HostConfig"].clone();
    assert_eq!((&host["Memory"], &host["MemoryReservation"]), (&json!(128 << 20), &json!(64 << 20)));
    assert_eq!(host["CpuQuota"], 10_000);
    let containers = world.cluster.agents[0].json("/containers");
    assert!(containers[0]["status"]["executor_pid"].is_u64(), "{containers} at {agent}");
    kill(&framework, "t1", 30);
    let killed = until(&mut framework, "TASK_KILLED");
    assert_eq!(message(&killed), "Container exited with status 0");
    assert!(world.sandbox_file(&framework, "t1", "stdout").ends_with("asked\n"));

    // One that does not end when it is asked to, and fails the check that the daemon makes.
    let check = json!({
        "type": "COMMAND", "command": {"value": "test -e /tmp/fine"}, "delay_seconds": 0, "interval_seconds": 0.1,
        "grace_period_seconds": 0, "consecutive_failures": 2,
    });
    let policy = json!({"grace_period": {"nanoseconds": 200_000_000}});
    revive(&framework);
    launch(&mut framework, task("t2", "sleep 76603", json!({"health_check": check, "kill_policy": policy})));
    let killed = until(&mut framework, "TASK_KILLED");
    assert_eq!((message(&killed), &killed["healthy"]), ("Container exited with status 137", &json!(false)));

    // Its memory is bounded.
    revive(&framework);
    launch(&mut framework, task("t3", "exec dd if=/dev/zero of=/dev/null bs=256M count=1", json!({})));
    let failed = until(&mut framework, "TASK_FAILED");
    assert_eq!(message(&failed), "Container exited with status 137");

    // Somebody else may kill it.
    revive(&framework);
    launch(&mut framework, task("t4", "sleep 76604", json!({})));
    until(&mut framework, "TASK_RUNNING");
    let name = eventually("it runs", PATIENCE, || world.docker.running().into_iter().next());
    let _ = world.docker.tool(&["kill", &name]);
    assert_eq!(message(&until(&mut framework, "TASK_FAILED")), "Container exited with status 137");
    world.until_nothing_runs();
}

#[test]
fn root_docker_tasks_outlive_their_agent_and_orphans_do_not() {
    let Some(mut world) = World::new("docker_recovery", &[]) else { return };
    let mut framework = world.framework();
    launch(&mut framework, task("t1", "trap 'exit 4' TERM; while :; do sleep 0.1; done", json!({})));
    until(&mut framework, "TASK_RUNNING");
    let ours = world.docker.running();
    assert_eq!(ours.len(), 1);
    let orphan = "mesos-6e1b2f0a-52a8-4a3e-9d0c-7b1f5f6a9c11";
    for name in [orphan, "mesos-dns"] {
        let _ = world.docker.tool(&["run", "-d", "--name", name, IMAGE, "sleep", "76605"]);
    }
    world.cluster.agents[0].restart().expect("the agent starts again");
    eventually("the orphan is gone", PATIENCE, || {
        (!world.docker.containers().iter().any(|name| name == orphan)).then_some(())
    });
    world.cluster.wait_for_agents(1);
    let mut left = world.docker.running();
    left.retain(|name| name != "mesos-dns");
    assert_eq!(left, ours);
    let containers = eventually("the container is known again", PATIENCE, || {
        let containers = world.cluster.agents[0].json("/containers");
        (containers[0]["statistics"]["mem_rss_bytes"].as_u64()? > 0).then_some(containers)
    });
    assert_eq!(containers[0]["executor_id"], "t1");
    kill(&framework, "t1", 30);
    let killed = until(&mut framework, "TASK_KILLED");
    assert_eq!(message(&killed), "Container exited with status 4");

    // With the executor killed its container goes too, and so does one whose executor died while nobody looked.
    revive(&framework);
    launch(&mut framework, task("t2", "sleep 76606", json!({})));
    until(&mut framework, "TASK_RUNNING");
    eventually("it runs", PATIENCE, || (world.docker.running().len() == 2).then_some(()));
    let executor = eventually("its executor runs", PATIENCE, || executors(&world.docker).pop());
    world.cluster.agents[0].kill();
    let pid = i32::try_from(executor).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the executor lives");
    world.cluster.agents[0].restart().expect("the agent starts again");
    let failed = until(&mut framework, "TASK_FAILED");
    assert!(message(&failed).contains("Container terminated"), "{failed}");
    assert_eq!(world.docker.running(), ["mesos-dns"]);
    let _ = world.docker.tool(&["rm", "-f", "mesos-dns"]);
    world.until_nothing_runs();
}

#[test]
fn root_docker_executors_run_in_containers() {
    let Some(world) = World::new("docker_executor", &[]) else { return };
    let agent = world.cluster.agents[0].address;
    let mut framework = world.framework();
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
    let task = |id: &str| {
        json!({
            "name": id, "task_id": {"value": id}, "resources": [scalar("cpus", 0.3), scalar("mem", 64.0)],
            "executor": {
                "executor_id": {"value": "e"},
                // The test itself is what it says to the agent.
                "command": {"value": "env > $MESOS_SANDBOX/env; echo begun; exec sleep 76607"},
                "container": {"type": "DOCKER", "docker": {"image": IMAGE, "network": "HOST"}},
                "resources": [scalar("cpus", 0.1), scalar("mem", 64.0)],
            },
        })
    };
    launch(&mut framework, task("t1"));
    let subscribe = json!({"type": "SUBSCRIBE", "executor_id": {"value": "e"}, "framework_id": framework.id,
        "subscribe": {"unacknowledged_tasks": [], "unacknowledged_updates": null}});
    eventually("its container begins", PATIENCE, || {
        (world.sandbox_file(&framework, "e", "stdout") == "begun\n").then_some(())
    });
    let mut stream = eventually("the agent awaits the executor", PATIENCE, || {
        Stream::open(agent, "/slave(1)/api/v1/executor", &subscribe).ok()
    });
    stream.until("LAUNCH", |e| e["type"] == "LAUNCH").expect("LAUNCH");
    let name = world.docker.running().into_iter().next().expect("a container");
    let amounts = || {
        let host = world.docker.inspect(&name)["HostConfig"].clone();
        (host["Memory"].as_u64().unwrap_or_default() >> 20, host["CpuShares"].as_u64().unwrap_or_default())
    };
    // What the executor has, and its task.
    assert_eq!(amounts(), (128, 409));
    let environment = world.sandbox_file(&framework, "e", "env");
    for line in
        [&format!("MESOS_AGENT_ENDPOINT={agent}"), "MESOS_SANDBOX=/mnt/mesos/sandbox", "MESOS_EXECUTOR_ID=e"]
    {
        assert!(environment.lines().any(|it| it == line), "{line} is not in {environment}");
    }
    revive(&framework);
    launch(&mut framework, task("t2"));
    eventually("it grows with its tasks", PATIENCE, || (amounts() == (192, 716)).then_some(()));
    let statistics = world.cluster.agents[0].json("/monitor/statistics")[0]["statistics"].clone();
    assert_eq!(statistics["mem_limit_bytes"], 192 << 20, "{statistics}");

    // It does not shut down when it is asked to.
    let agent_id = world.cluster.master.json("/slaves")["slaves"][0]["id"].clone();
    framework.call(json!({"type": "SHUTDOWN", "shutdown": {
        "executor_id": {"value": "e"}, "agent_id": {"value": agent_id},
    }}));
    let failed = until(&mut framework, "TASK_FAILED");
    assert!(message(&failed).contains("Container killed"), "{failed}");
    world.until_nothing_runs();
}

#[test]
fn root_docker_tasks_end_with_a_daemon_that_stalls_or_dies() {
    let Some(mut world) = World::new("docker_daemon", &[]) else { return };
    let mut framework = world.framework();
    launch(&mut framework, task("t1", "sleep 76608", json!({})));
    until(&mut framework, "TASK_RUNNING");
    world.docker.kill();
    // It goes on without the daemon, and can be ended without it.
    kill(&framework, "t1", 0);
    let failed = until(&mut framework, "TASK_FAILED");
    assert!(message(&failed).starts_with("Failed to get exit status of container: "), "{failed}");

    // Nothing can be launched without it, and that is said.
    revive(&framework);
    launch(&mut framework, task("t2", "sleep 76609", json!({})));
    let failed = until(&mut framework, "TASK_FAILED");
    let why = format!("Cannot connect to the Docker daemon at unix://{}", world.docker.socket().display());
    assert!(message(&failed).contains(&why), "{failed}");
    assert_eq!(failed["reason"], "REASON_CONTAINER_LAUNCH_FAILED");
    world.docker.restart().expect("the daemon starts again");
    world.until_nothing_runs();

    // A daemon that starts again ends what it finds, which is noticed.
    revive(&framework);
    launch(&mut framework, task("t3", "sleep 76611", json!({})));
    until(&mut framework, "TASK_RUNNING");
    world.docker.restart().expect("the daemon starts again");
    let failed = until(&mut framework, "TASK_FAILED");
    assert!(message(&failed).starts_with("Container exited with status "), "{failed}");

    // One that does not answer is not waited for in vain.
    revive(&framework);
    launch(&mut framework, task("t4", "sleep 76610", json!({})));
    until(&mut framework, "TASK_RUNNING");
    world.docker.freeze();
    kill(&framework, "t4", 0);
    eventually("no process of the container is left", PATIENCE, || (!runs("sleep\u{0}76610")).then_some(()));
    world.docker.thaw();
    assert_eq!(message(&until(&mut framework, "TASK_KILLED")), "Container exited with status 137");
    world.until_nothing_runs();
}

/// Whether there is a process with these arguments.
fn runs(arguments: &str) -> bool {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(arguments))
}

#[test]
fn root_docker_images_run_by_the_tool() {
    let Some(world) = World::new("docker_execute", &[]) else { return };
    // The image as `docker save` writes it, and nothing else of it.
    let archive = world.cluster.home.path().join("image.tar");
    let archive = archive.to_str().expect("text");
    let _ = world.docker.tool(&["save", "-o", archive, IMAGE]);
    let _ = world.docker.tool(&["rmi", IMAGE]);
    let _ = world.docker.tool(&["load", "-i", archive]);
    let tool = world.cluster.tool().verb("execute");
    let image = format!("--docker_image={IMAGE}");
    let printed = tool.prints(&["--containerizer=docker", &image, "--command=ls /bin/busybox; id"]);
    assert!(printed.contains("/bin/busybox\nuid=0"), "{printed}");
    let printed = tool.prints(&["--containerizer=docker", &image, "--no-shell", "--command=/bin/ls"]);
    assert!(printed.contains("bin\n"), "{printed}");
    tool.fails(&["--containerizer=docker", &image, "--command=exit 3"], "Container exited with status 3");
    tool.fails(
        &["--containerizer=docker", "--command=true"],
        "'Docker' containerizer requires docker image name",
    );
    world.until_nothing_runs();
}

#[test]
fn root_docker_tasks_join_networks_and_keep_volumes() {
    let Some(world) = World::new("docker_networks", &[]) else { return };
    let _ = world.docker.tool(&["network", "create", "--subnet=10.99.7.0/24", "mine"]);
    let info = json!({
        "user": "root", "name": "docker", "roles": ["web"],
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "RESERVATION_REFINEMENT"}],
    });
    let mut framework = Framework::subscribe(world.cluster.master.address, &info);
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": {"role": "web"}});
    let mut reserved = scalar("disk", 64.0);
    reserved["reservations"] = json!([{"type": "DYNAMIC", "role": "web"}]);
    let mut volume = reserved.clone();
    volume["disk"] = json!({"persistence": {"id": "v1"}, "volume": {"container_path": "data", "mode": "RW"}});
    // One network that somebody made, with an address of its own in it; a volume of Docker's; one of Mesos's.
    let named = json!({
        "mode": "RW", "container_path": "/docker", "source": {
            "type": "DOCKER_VOLUME", "docker_volume": {"name": "v2", "driver": "local"},
        },
    });
    let script = "cd $MESOS_SANDBOX; until test -e go; do sleep 0.05; done; \
                  echo mesos > data/file && echo docker > /docker/file && cat data/file /docker/file";
    let check = json!({
        "type": "COMMAND", "command": {"command": {"value": "exit 9"}}, "delay_seconds": 0, "interval_seconds": 0.2,
    });
    let task = task(
        "t1",
        script,
        json!({
            "container": {
                "docker": {"network": "USER", "parameters": [{"key": "ip", "value": "10.99.7.9"}]},
                "network_infos": [{"name": "mine"}], "volumes": [named],
            },
            "check": check,
            "resources": [scalar("cpus", 0.1), scalar("mem", 64.0), volume.clone()],
        }),
    );
    let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
    let offer = &offers["offers"]["offers"][0];
    let mut task = task;
    task["agent_id"] = offer["agent_id"].clone();
    framework.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]],
        "operations": [
            {"type": "RESERVE", "reserve": {"resources": [reserved]}},
            {"type": "CREATE", "create": {"volumes": [volume]}},
            {"type": "LAUNCH", "launch": {"task_infos": [task]}},
        ],
        "filters": {"refuse_seconds": 1000},
    }}));
    let running = until(&mut framework, "TASK_RUNNING");
    let network = &running["container_status"]["network_infos"][0];
    assert_eq!(network["name"], "mine", "{running}");
    assert_eq!(network["ip_addresses"][0]["ip_address"], "10.99.7.9", "{running}");
    let checked = until(&mut framework, "TASK_RUNNING");
    assert_eq!(checked["check_status"]["command"]["exit_code"], 9, "{checked}");
    let agent = only_entry(&world.cluster.home.path().join("agent-0/slaves")).expect("an agent");
    let id = framework.id["value"].as_str().expect("an id");
    let run = agent.join("frameworks").join(id).join("executors/t1/runs/latest");
    fs::write(run.join("go"), "").expect("a file");
    assert_eq!(message(&until(&mut framework, "TASK_FINISHED")), "Container exited with status 0");
    assert_eq!(world.sandbox_file(&framework, "t1", "stdout"), "mesos\ndocker\n");
    let kept = world.cluster.home.path().join("agent-0/volumes/roles/web/v1/file");
    assert_eq!(fs::read_to_string(kept).expect("the volume's file"), "mesos\n");
    assert!(world.docker.tool(&["volume", "ls", "-q"]).lines().any(|name| name == "v2"));
    world.until_nothing_runs();
}
