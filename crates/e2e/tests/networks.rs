//! Containers in CNI networks, through master and agent: addresses, ports of the machine that lead there, the end.
//!
//! Each test runs in a network and a mount namespace of its own, with master, agent, bridge and rules in them: nothing
//! of it is the machine's. Where the machine lacks something a test says so on its standard error, and is over.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{BUSYBOX, Cluster, Framework, Options, eventually, operate, request, rootfs, saved_image};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// Where Debian has the plugins of `containernetworking-plugins`.
const PLUGINS: &str = "/usr/lib/cni";

/// The agent's address, which is that of the bridge: what containers behind that can reach.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

const BRIDGE: &str = "mesos-t0";

/// Set within the namespaces of a test.
const INSIDE: &str = "MESOS_TEST_INSIDE";

/// Runs the calling test again within namespaces of its own. True where this is that run.
fn inside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let missing = ["/usr/lib/cni/bridge", "/usr/lib/cni/host-local", "/sys/fs/cgroup/freezer/cgroup.procs"];
    let missing = missing.iter().find(|path| !Path::new(path).exists());
    let iptables = Command::new("iptables").arg("--version").output().is_ok();
    if !rustix::process::geteuid().is_root() || missing.is_some() || !iptables {
        eprintln!(
            "SKIPPED {name}: this needs root, iptables, CNI plugins and cgroups of version 1 ({missing:?})"
        );
        return false;
    }
    let own = std::env::current_exe().expect("a test knows its own path");
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(own)
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare runs");
    assert!(status.success(), "{name} failed in its namespaces: {status}");
    false
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).output().expect("ip runs");
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
}

struct World {
    root: String,
    /// What is kept of networks: configurations, addresses that were given.
    home: PathBuf,
    cluster: Cluster,
    framework: Framework,
    tasks: usize,
    /// Those that nothing was launched on.
    offers: Vec<Value>,
    _directory: tempfile::TempDir,
}

impl World {
    fn new(name: &str, more: &[&str]) -> Self {
        ip("link set lo up");
        ip(&format!("link add {BRIDGE} type bridge"));
        ip(&format!("addr add {GATEWAY}/24 dev {BRIDGE}"));
        ip(&format!("link set {BRIDGE} up"));
        let directory = tempfile::tempdir().expect("a directory");
        let home = directory.path().to_owned();
        for name in ["net.d", "bin"] {
            fs::create_dir(home.join(name)).expect("a directory");
        }
        let root = format!("mesos-e2e-{}-{name}", std::process::id());
        let mut agent_flags = vec![
            "--launcher=linux".to_owned(),
            format!("--cgroups_root={root}"),
            format!("--network_cni_config_dir={}", home.join("net.d").display()),
            format!("--network_cni_plugins_dir={}:{PLUGINS}", home.join("bin").display()),
        ];
        agent_flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        let options = Options { agent_flags, agent_ip: GATEWAY, ..Options::default() };
        let cluster = Cluster::start(&options).expect("a cluster");
        let info = json!({"user": "root", "name": "networks", "failover_timeout": 60.0, "checkpoint": true});
        let framework = Framework::subscribe(cluster.master.address, &info);
        let world =
            Self { root, home, cluster, framework, tasks: 0, offers: Vec::new(), _directory: directory };
        world.network(
            "web",
            json!({"type": "mesos-cni-port-mapper", "chain": "MESOS-TEST",
                                     "excludeDevices": [BRIDGE], "delegate": world.bridge(BRIDGE, 77)}),
        );
        world.network("plain", world.bridge("mesos-t1", 78));
        world
    }

    /// What the plugin `bridge` is told of one, which it makes if it is not there.
    fn bridge(&self, bridge: &str, number: u8) -> Value {
        json!({"type": "bridge", "bridge": bridge, "isGateway": true, "ipam": {
            "type": "host-local", "subnet": format!("10.{number}.0.0/24"),
            "rangeStart": format!("10.{number}.0.10"), "gateway": format!("10.{number}.0.1"),
            "dataDir": self.home.join("ipam").display().to_string(),
        }})
    }

    /// Describes a network, while the agent runs.
    fn network(&self, name: &str, mut config: Value) {
        config["name"] = name.into();
        config["cniVersion"] = "0.2.0".into();
        fs::write(self.home.join("net.d").join(name), config.to_string()).expect("a file");
    }

    /// Adds a plugin of the test's own.
    fn plugin(&self, name: &str, script: &str) {
        let path = self.home.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    }

    /// Launches a command in these networks, on the first offer.
    fn launch(&mut self, command: &str, networks: &[Value]) -> String {
        self.launch_with(command, networks, &json!({}))
    }

    /// The same with more to be said of the task.
    fn launch_with(&mut self, command: &str, networks: &[Value], more: &Value) -> String {
        self.tasks += 1;
        let id = format!("t{}", self.tasks);
        let offer = self.offer();
        let resources = json!([
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ]);
        let mut task = json!({
            "name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
            "command": {"value": command}, "resources": resources,
            "container": {"type": "MESOS", "hostname": "box", "network_infos": networks},
        });
        for (name, value) in more.as_object().expect("an object") {
            task[name] = value.clone();
        }
        self.framework.call(json!({"type": "ACCEPT", "accept": {
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}],
            "filters": {"refuse_seconds": 0},
        }}));
        id
    }

    /// Launches a group of tasks whose executor is in this network.
    fn launch_group(&mut self, network: &str, tasks: Vec<Value>) {
        let offer = self.offer();
        let resources = json!([
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
            {"name": "disk", "type": "SCALAR", "scalar": {"value": 8}},
        ]);
        let mut tasks = tasks;
        for task in &mut tasks {
            task["agent_id"] = offer["agent_id"].clone();
            task["resources"] = resources.clone();
        }
        let container = json!({"type": "MESOS", "network_infos": [{"name": network}]});
        self.framework.call(json!({"type": "ACCEPT", "accept": {
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH_GROUP", "launch_group": {
                "executor": {"type": "DEFAULT", "executor_id": {"value": "pod"}, "resources": resources,
                             "framework_id": self.framework.id, "container": container},
                "task_group": {"tasks": tasks},
            }}],
            "filters": {"refuse_seconds": 1000},
        }}));
    }

    /// An offer that nothing was launched on.
    fn offer(&mut self) -> Value {
        loop {
            if let Some(offer) = self.offers.pop() {
                return offer;
            }
            self.next_update("an offer");
        }
    }

    /// The next event, acknowledged if it is an update. Offers are kept.
    fn next_update(&mut self, what: &str) -> Option<Value> {
        let event = self.framework.stream.until(what, |_| true).expect("an event");
        if event["type"] == "OFFERS" {
            self.offers.extend(event["offers"]["offers"].as_array().cloned().unwrap_or_default());
        }
        let status = event["update"]["status"].clone();
        if status["uuid"].is_string() {
            self.framework.call(json!({"type": "ACKNOWLEDGE", "acknowledge": {
                "agent_id": status["agent_id"], "task_id": status["task_id"], "uuid": status["uuid"],
            }}));
        }
        status.is_object().then_some(status)
    }

    /// Reads on, acknowledging each update, until one is as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(status) = self.next_update(what).filter(&wanted) {
                return status;
            }
        }
    }

    /// Reads on until a task is told to be in this state.
    fn until_state(&mut self, state: &str) -> Value {
        self.until(state, |status| status["state"] == state)
    }

    /// Ends a task, and waits until nothing is left of it.
    fn kill(&mut self, id: &str) {
        self.framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": id}}}));
        self.until_state("TASK_KILLED");
        self.until_nothing_is_left();
    }

    fn agent_log(&self) -> String {
        fs::read_to_string(&self.cluster.agents[0].log).unwrap_or_default()
    }

    /// Where the agent keeps what it knows of networks.
    fn kept(&self) -> PathBuf {
        self.cluster.home.path().join("run-0/isolators/network/cni")
    }

    fn what_is_left(&self) -> Vec<String> {
        let names = |path: &Path| -> Vec<String> {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.path().display().to_string()).collect()
        };
        let mut left = names(&self.kept());
        let cgroups = names(&Path::new("/sys/fs/cgroup/freezer").join(&self.root));
        left.extend(cgroups.into_iter().filter(|path| Path::new(path).is_dir()));
        // The addresses that were given, one file each, beside the last one and a lock.
        let given = ["web", "plain"].iter().flat_map(|network| names(&self.home.join("ipam").join(network)));
        left.extend(given.filter(|path| !path.ends_with("/lock") && !path.contains("last_reserved")));
        left.extend(names(Path::new("/sys/class/net/").join(BRIDGE).join("brif").as_path()));
        let table = Command::new("iptables").args(["-t", "nat", "-S"]).output().expect("iptables runs");
        let rules = String::from_utf8_lossy(&table.stdout).into_owned();
        left.extend(rules.lines().filter(|rule| rule.contains("container_id")).map(str::to_owned));
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        // Others on this machine have such mounts, too.
        let home = self.cluster.home.path().display().to_string();
        let own = |line: &&str| line.contains(" nsfs ") && line.contains(&home);
        left.extend(mounts.lines().filter(own).map(str::to_owned));
        let links =
            Command::new("ip").args(["-o", "link", "show", "type", "veth"]).output().expect("ip runs");
        left.extend(String::from_utf8_lossy(&links.stdout).lines().map(str::to_owned));
        left
    }

    fn until_nothing_is_left(&self) {
        let mut left = Vec::new();
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < deadline {
            left = self.what_is_left();
            if left.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("left behind: {left:#?}\n{}", self.agent_log());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for agent in &mut self.cluster.agents {
            agent.kill();
        }
        for hierarchy in ["freezer", "memory", "cpu", "cpuacct"] {
            let top = Path::new("/sys/fs/cgroup").join(hierarchy).join(&self.root);
            for entry in fs::read_dir(&top).into_iter().flatten().flatten() {
                let listed = fs::read_to_string(entry.path().join("cgroup.procs")).unwrap_or_default();
                for pid in listed.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?))
                {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
                if entry.path().is_dir() {
                    eventually("a cgroup is removed", PATIENCE, || {
                        (fs::remove_dir(entry.path()).is_ok() || !entry.path().exists()).then_some(())
                    });
                }
            }
            let _ = fs::remove_dir(top);
        }
        // A namespace that is kept open by a mount goes with this process's mounts.
    }
}

/// What somebody who connects there reads.
fn read_from(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// A command that answers connections to a port with these words of a shell.
fn server(port: u16, words: &str) -> String {
    let answer = format!(
        "import socket,subprocess\ns=socket.socket();s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\n\
         s.bind(('',{port}));s.listen(9)\nwhile True:\n c,_=s.accept()\n c.recv(9)\n c.sendall(subprocess.check_output(['sh','-c',\
         '''{words}''']))\n c.close()"
    );
    format!("exec python3 -c \"{answer}\"")
}

fn addresses(status: &Value) -> Vec<String> {
    let infos = status["container_status"]["network_infos"].as_array().cloned().unwrap_or_default();
    let addresses =
        infos.iter().flat_map(|info| info["ip_addresses"].as_array().cloned().unwrap_or_default());
    addresses.filter_map(|it| Some(it["ip_address"].as_str()?.to_owned())).collect()
}

#[test]
fn root_a_task_behind_a_bridge_answers_on_the_mapped_port_of_the_machine() {
    if !inside("root_a_task_behind_a_bridge_answers_on_the_mapped_port_of_the_machine") {
        return;
    }
    let mut world = World::new("bridge", &["--isolation=cgroups/mem"]);
    let ports = json!([{"host_port": 31017, "container_port": 80, "protocol": "tcp"}]);
    let words = "hostname; cat /etc/hosts; echo $MESOS_CONTAINER_IP $LIBPROCESS_IP";
    let id = world.launch(&server(80, words), &[json!({"name": "web", "port_mappings": ports})]);
    let status = world.until_state("TASK_RUNNING");
    let info = &status["container_status"]["network_infos"][0];
    assert_eq!((&info["name"], &info["port_mappings"]), (&json!("web"), &ports), "{status}");
    let own = addresses(&status);
    assert_eq!(own.len(), 1, "{status}");
    let expected = format!("box\n127.0.0.1 localhost\n{0} box\n{0} 0.0.0.0\n", own[0]);
    let answers = |address: SocketAddr| {
        eventually("the task answers", PATIENCE, || read_from(address).filter(|text| !text.is_empty()))
    };
    assert_eq!(answers(SocketAddr::new(own[0].parse().expect("an address"), 80)), expected);
    assert_eq!(answers((GATEWAY, 31017).into()), expected);
    // The documents say the same.
    let containers = world.cluster.agents[0].json("/containers");
    assert_eq!(addresses(&json!({"container_status": containers[0]["status"]})), own, "{containers}");
    assert!(containers[0]["statistics"]["net_rx_bytes"].as_u64() > Some(0), "{containers}");
    // An agent that is killed and comes back knows it all.
    world.cluster.agents[0].restart().expect("an agent");
    world.cluster.wait_for_agents(1);
    eventually("the container is known again", PATIENCE, || {
        let containers = world.cluster.agents[0].json("/containers");
        (addresses(&json!({"container_status": containers[0]["status"]})) == own).then_some(())
    });
    assert_eq!(answers((GATEWAY, 31017).into()), expected);
    world.kill(&id);
    assert_eq!(read_from((GATEWAY, 31017).into()), None);
}

#[test]
fn root_networks_that_fail_leave_nothing_behind() {
    if !inside("root_networks_that_fail_leave_nothing_behind") {
        return;
    }
    let mut world = World::new("failing", &[]);
    let failed = |world: &mut World, networks: &[&str]| {
        let networks: Vec<Value> = networks.iter().map(|name| json!({"name": name})).collect();
        world.launch("sleep 71011", &networks);
        let status = world.until_state("TASK_FAILED");
        assert_eq!(status["reason"], "REASON_CONTAINER_LAUNCH_FAILED", "{status}");
        world.until_nothing_is_left();
        status["message"].as_str().expect("a message").to_owned()
    };
    assert_eq!(failed(&mut world, &["nosuch"]), "Failed to launch container: Unknown CNI network 'nosuch'");
    assert_eq!(
        failed(&mut world, &["plain", "plain"]),
        "Failed to launch container: Attempted to join CNI network 'plain' multiple times"
    );
    // The first network was joined when the second one failed.
    world.plugin("broken", "[ $CNI_COMMAND = DEL ] && exit 0; echo no; echo never >&2; exit 7");
    world.network("broken", json!({"type": "broken"}));
    let message = failed(&mut world, &["plain", "broken"]);
    let expected = "/bin/broken' failed to attach container";
    assert!(message.starts_with("Failed to launch container: The CNI plugin '"), "{message}");
    assert!(message.contains(expected) && message.ends_with("stdout='no\n', stderr='never\n'"), "{message}");
    world.plugin("babbling", "echo '{'");
    world.network("babbling", json!({"type": "babbling"}));
    let message = failed(&mut world, &["babbling"]);
    assert!(message.contains("Failed to parse the output of the CNI plugin"), "{message}");
}

#[test]
fn root_two_networks_and_the_networks_of_an_agent_that_died() {
    if !inside("root_two_networks_and_the_networks_of_an_agent_that_died") {
        return;
    }
    let dns =
        json!({"mesos": [{"network_mode": "CNI", "dns": {"nameservers": ["9.9.9.9"], "search": ["test"]}}]});
    let mut world = World::new("two", &[&format!("--default_container_dns={dns}")]);
    let words = "grep -c eth /proc/net/dev; cat /etc/resolv.conf";
    let networks = [json!({"name": "plain"}), json!({"name": "web"})];
    let id = world.launch(&server(8080, words), &networks);
    let status = world.until_state("TASK_RUNNING");
    let own = addresses(&status);
    assert_eq!(own.len(), 2, "{status}");
    let first = SocketAddr::new(own[0].parse().expect("an address"), 8080);
    let text = eventually("it answers", PATIENCE, || read_from(first).filter(|text| !text.is_empty()));
    assert_eq!(text, "2\nsearch test test\nnameserver 9.9.9.9\nnameserver 9.9.9.9\n");
    // The agent dies, and so does the container, before another agent comes.
    world.cluster.agents[0].kill();
    let procs = fs::read_dir(Path::new("/sys/fs/cgroup/freezer").join(&world.root)).expect("cgroups");
    for entry in procs.flatten().filter(|entry| entry.path().is_dir()) {
        let listed = fs::read_to_string(entry.path().join("cgroup.procs")).expect("processes");
        for pid in listed.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    assert!(!world.what_is_left().is_empty());
    world.cluster.agents[0].restart().expect("an agent");
    world.until_nothing_is_left();
    drop(id);
}

/// Serves files within the container alone.
const INNER_SERVER: &str = "exec python3 -m http.server 8000 --bind 127.0.0.1";

fn http_health_check() -> Value {
    json!({"type": "HTTP", "http": {"port": 8000, "path": "/", "scheme": "http"},
           "delay_seconds": 0.1, "interval_seconds": 0.2, "grace_period_seconds": 60.0})
}

#[test]
fn root_checks_are_made_within_the_network_of_the_task() {
    if !inside("root_checks_are_made_within_the_network_of_the_task") {
        return;
    }
    let mut world = World::new("checks", &[]);
    let more = json!({
        "health_check": http_health_check(),
        "check": {"type": "TCP", "tcp": {"port": 8000}, "delay_seconds": 0.1, "interval_seconds": 0.2},
    });
    let id = world.launch_with(INNER_SERVER, &[json!({"name": "web"})], &more);
    let status = world.until("it is healthy, and checked", |status| {
        status["healthy"] == json!(true) && status["check_status"]["tcp"]["succeeded"] == json!(true)
    });
    assert_eq!(status["state"], "TASK_RUNNING", "{status}");
    // Nobody outside finds anything there.
    let own = addresses(&status)[0].parse().expect("an address");
    assert_eq!(read_from(SocketAddr::new(own, 8000)), None);
    world.kill(&id);
    // One that nobody answers for is killed.
    let more = json!({"health_check": {
        "type": "TCP", "tcp": {"port": 8001}, "delay_seconds": 0.0, "interval_seconds": 0.1,
        "grace_period_seconds": 0.0, "consecutive_failures": 2,
    }});
    world.launch_with("exec sleep 71012", &[json!({"name": "web"})], &more);
    let status = world.until_state("TASK_KILLED");
    assert_eq!(status["healthy"], json!(false), "{status}");
    world.until_nothing_is_left();
}

#[test]
fn root_a_pod_shares_the_network_of_its_executor() {
    if !inside("root_a_pod_shares_the_network_of_its_executor") {
        return;
    }
    let mut world = World::new("pod", &[]);
    let server = json!({"name": "server", "task_id": {"value": "server"}, "command": {"value": INNER_SERVER},
                        "health_check": http_health_check()});
    let look = "hostname > name; grep -q \"$(cat name)\" /etc/hosts && \
        python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:8000/\")'; exit $(($? + 3))";
    let client = json!({"name": "client", "task_id": {"value": "client"}, "command": {"value": "sleep 71013"},
                        "check": {"type": "COMMAND", "command": {"command": {"value": look}},
                                  "delay_seconds": 0.1, "interval_seconds": 0.2}});
    world.launch_group("web", vec![server, client]);
    let mut own = Vec::new();
    let mut seen = (false, false);
    while seen != (true, true) {
        let status = world.until("an update", |_| true);
        seen.0 |= status["healthy"] == json!(true);
        seen.1 |= status["check_status"]["command"]["exit_code"] == json!(3);
        if status["state"] == "TASK_RUNNING" {
            own.extend(addresses(&status));
        }
    }
    own.dedup();
    assert!(matches!(own.as_slice(), [ip] if ip.starts_with("10.77.0.")), "all have one address: {own:?}");
    world.framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left();
}

#[test]
fn root_who_listens_on_a_port_that_is_not_his_ends() {
    if !inside("root_who_listens_on_a_port_that_is_not_his_ends") {
        return;
    }
    let flags =
        ["--isolation=network/ports", "--container_ports_watch_interval=100ms", "--enforce_container_ports"];
    let mut world = World::new("ports", &flags);
    let ports = |from: u16, to: u16| {
        json!({"resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": from, "end": to}]}},
        ]})
    };
    let serve = |port: u16| format!("exec python3 -m http.server {port} --bind 127.0.0.1");
    // In the machine's network it has what it was given, and in one of its own all there is.
    let good = world.launch_with(&serve(31005), &[], &ports(31005, 31005));
    world.until_state("TASK_RUNNING");
    let apart = world.launch_with(&serve(31007), &[json!({"name": "web"})], &ports(31006, 31006));
    world.until_state("TASK_RUNNING");
    world.launch_with(&serve(31009), &[], &ports(31008, 31008));
    let status = world.until_state("TASK_FAILED");
    assert_eq!(status["reason"], "REASON_CONTAINER_LIMITATION", "{status}");
    let message = status["message"].as_str().expect("a message");
    assert!(message.starts_with("Container "), "{message}");
    assert!(message.ends_with(" is listening on unallocated port(s): [31009-31009]"), "{message}");
    assert_eq!(status["limitation"]["resources"][0]["name"], "ports", "{status}");
    for id in [good, apart] {
        world.framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": id}}}));
        world.until_state("TASK_KILLED");
    }
    world.until_nothing_is_left();
}

/// The flags of an agent that has an image of busybox, which is made in that directory.
fn with_images(files: &Path) -> Vec<String> {
    rootfs(&files.join("root"), &["sh", "cat", "hostname", "httpd", "sleep", "mkdir"]);
    fs::create_dir(files.join("images")).expect("a directory");
    saved_image(&files.join("images"), "box:1", &json!({"Env": ["PATH=/bin"]}), &files.join("root"));
    vec![
        "--isolation=filesystem/linux,docker/runtime,cgroups/mem".to_owned(),
        "--image_providers=docker".to_owned(),
        format!("--docker_registry={}", files.join("images").display()),
        format!("--docker_store_dir={}", files.join("store").display()),
    ]
}

/// Waits until no root of a container and no reference to a layer is left: what nobody uses can be removed.
fn until_no_image_is_used(world: &World, files: &Path) {
    world.until_nothing_is_left();
    let count = |path: &Path| fs::read_dir(path).into_iter().flatten().count();
    let roots = world.cluster.home.path().join("agent-0/provisioner/containers");
    eventually("no root is left", PATIENCE, || (count(&roots) == 0).then_some(()));
    let prune = json!({"type": "PRUNE_IMAGES", "prune_images": {"excluded_images": []}});
    operate(world.cluster.agents[0].address, &prune);
    assert_eq!(count(&files.join("store/layers")), 0, "somebody still uses a layer");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let home = world.cluster.home.path().display().to_string();
    let own: Vec<&str> = mounts.lines().filter(|line| line.contains(&home)).collect();
    // The networks' own directory is one for as long as the agent is there.
    assert!(own.iter().all(|line| line.contains("/isolators/network/cni ")), "{own:?}");
}

#[test]
fn root_an_image_in_a_network_leaves_nothing_after_a_killed_agent() {
    if !Path::new(BUSYBOX).exists() {
        eprintln!("SKIPPED: this needs the package busybox-static");
        return;
    }
    if !inside("root_an_image_in_a_network_leaves_nothing_after_a_killed_agent") {
        return;
    }
    let files = tempfile::tempdir().expect("a directory");
    let flags = with_images(files.path());
    let mut world = World::new("imaged", &flags.iter().map(String::as_str).collect::<Vec<_>>());
    let image = json!({"type": "DOCKER", "docker": {"name": "box:1"}});
    let ports = json!([{"host_port": 31018, "container_port": 80, "protocol": "tcp"}]);
    let container = json!({"container": {
        "type": "MESOS", "hostname": "box", "mesos": {"image": image},
        "network_infos": [{"name": "web", "port_mappings": ports}],
    }});
    let command = "mkdir /srv; { hostname; cat /etc/hosts /etc/hostname; echo; [ -e /usr ] || echo alone; } > /srv/seen; \
        exec httpd -f -p 80 -h /srv";
    let id = world.launch_with(command, &[], &container);
    let own = addresses(&world.until_state("TASK_RUNNING"));
    let expected = format!("box\n127.0.0.1 localhost\n{0} box\nbox\nalone\n", own[0]);
    let answers = || {
        eventually("the task answers", PATIENCE, || {
            let direct =
                request((own[0].parse::<Ipv4Addr>().ok()?, 80).into(), "GET", "/seen", &[], b"").ok()?;
            let mapped = request((GATEWAY, 31018).into(), "GET", "/seen", &[], b"").ok()?;
            (direct.status == 200 && mapped.status == 200).then_some((direct.text(), mapped.text()))
        })
    };
    assert_eq!(answers(), (expected.clone(), expected.clone()));
    // It lives on without its agent, and the next one ends it as a whole.
    world.cluster.agents[0].kill();
    assert_eq!(answers(), (expected.clone(), expected.clone()));
    world.cluster.agents[0].restart().expect("an agent");
    world.cluster.wait_for_agents(1);
    world.kill(&id);
    until_no_image_is_used(&world, files.path());
    // The same where the container dies before the next agent comes.
    world.launch_with(command, &[], &container);
    world.until_state("TASK_RUNNING");
    world.cluster.agents[0].kill();
    let procs = fs::read_dir(Path::new("/sys/fs/cgroup/freezer").join(&world.root)).expect("cgroups");
    for entry in procs.flatten().filter(|entry| entry.path().is_dir()) {
        let listed = fs::read_to_string(entry.path().join("cgroup.procs")).expect("processes");
        for pid in listed.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    assert!(!world.what_is_left().is_empty());
    world.cluster.agents[0].restart().expect("an agent");
    world.cluster.wait_for_agents(1);
    until_no_image_is_used(&world, files.path());
}

#[test]
fn root_users_of_a_containers_own_are_in_its_networks() {
    if !inside("root_users_of_a_containers_own_are_in_its_networks") {
        return;
    }
    let flags =
        ["--isolation=filesystem/linux,namespaces/pid,namespaces/user", "--userns_range=[2000000-2131071]"];
    let mut world = World::new("users", &flags);
    let id = world.launch(&server(8081, "hostname; cat /proc/self/uid_map"), &[json!({"name": "web"})]);
    let own = addresses(&world.until_state("TASK_RUNNING"));
    let address = SocketAddr::new(own[0].parse().expect("an address"), 8081);
    let text =
        eventually("the task answers", PATIENCE, || read_from(address).filter(|text| !text.is_empty()));
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!((words[0], words[1]), ("box", "0"), "{text}");
    let first: u32 = words[2].parse().expect("an id");
    assert!((2_000_000..=2_131_071).contains(&first), "{text}");
    world.kill(&id);
}
