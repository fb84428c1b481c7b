//! Tasks with files of their own, through master and agent: a tarball of a service that is fetched and entered by
//! chroot, as on machines where nothing else is to be had, and images.
//!
//! Each test has cgroups of its own. Where the machine lacks something a test says so on its standard error, and is over.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{BUSYBOX, Cluster, Framework, Options, eventually, saved_image};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const HIERARCHIES: &[&str] = &["freezer", "cpu", "cpuacct", "memory"];

struct World {
    root: String,
    cluster: Cluster,
}

impl World {
    fn new(name: &str, more: &[String]) -> Option<Self> {
        let hierarchies = HIERARCHIES.iter().all(|it| hierarchy(it).join("cgroup.procs").exists());
        if !rustix::process::geteuid().is_root() || !hierarchies || !Path::new(BUSYBOX).exists() {
            eprintln!("SKIPPED {name}: this needs root, cgroups of version 1 and the package busybox-static");
            return None;
        }
        let root = format!("mesos-e2e-{}-root-{name}", std::process::id());
        let mut agent_flags = vec!["--launcher=linux".to_owned(), format!("--cgroups_root={root}")];
        agent_flags.extend(more.iter().cloned());
        let options = Options { agent_flags, ..Options::default() };
        Some(Self { root, cluster: Cluster::start(&options).expect("a cluster") })
    }

    fn containers(&self, controller: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(hierarchy(controller).join(&self.root)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    /// A file in the sandbox of the one task.
    fn in_sandbox(&self, file: &str) -> Option<String> {
        let work = self.cluster.home.path().join("agent-0/slaves");
        let found = Command::new("find")
            .arg(work)
            .args(["-path", &format!("*/runs/*/{file}")])
            .output()
            .expect("find");
        let found = String::from_utf8(found.stdout).expect("paths");
        let path = found.lines().find(|path| !path.contains("/latest/"))?;
        fs::read_to_string(path).ok()
    }

    fn until_nothing_is_left(&self) {
        let home = self.cluster.home.path();
        eventually("nothing is left of containers", PATIENCE, || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
            let roots = fs::read_dir(home.join("agent-0/provisioner/containers"));
            let left = HIERARCHIES.iter().map(|it| self.containers(it).len()).sum::<usize>()
                + mounts.lines().filter(|line| line.contains(home.to_str().expect("a path"))).count()
                + roots.into_iter().flatten().count();
            (left == 0).then_some(())
        });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for agent in &mut self.cluster.agents {
            agent.kill();
        }
        let lists =
            self.containers("freezer").into_iter().map(|path| fs::read_to_string(path.join("cgroup.procs")));
        for pid in lists.flatten().flat_map(|list| list.lines().map(str::to_owned).collect::<Vec<_>>()) {
            if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        for controller in HIERARCHIES {
            for path in self.containers(controller) {
                // A process that was just killed holds its cgroup a moment longer.
                let gone = || fs::remove_dir(&path).is_ok() || !path.exists();
                eventually("a cgroup is removed", PATIENCE, || gone().then_some(()));
            }
            let _ = fs::remove_dir(hierarchy(controller).join(&self.root));
        }
    }
}

fn hierarchy(controller: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(controller)
}

fn info() -> Value {
    json!({"user": "root", "name": "roots", "failover_timeout": 60.0})
}

/// Launches a task with this command, in this container; cpus and mem beside those that its executor has.
fn launch(framework: &mut Framework, command: &Value, container: Option<Value>) {
    let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
    let offer = &offers["offers"]["offers"][0];
    let mut task = json!({
        "name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"], "command": command,
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.4}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
    });
    if let Some(container) = container {
        task["container"] = container;
    }
    framework.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}],
        "filters": {"refuse_seconds": 1000},
    }}));
}

/// Waits for a state of the task; another end of it is none.
fn until(framework: &mut Framework, state: &str) -> Value {
    let status = framework.until_any_state(&[
        state,
        "TASK_FINISHED",
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_LOST",
        "TASK_ERROR",
    ]);
    assert_eq!(status["state"], state, "{status}");
    status
}

/// A root with a shell and a service.
fn rootfs(at: &Path) {
    e2e::rootfs(at, &["sh", "ls", "cat", "id", "pwd", "sleep"]);
    let service = "#!/bin/sh\n[ -e /usr ] && exit 9\necho \"$1 in\" $(ls /) > /state\n\
        case $1 in\n  busy) while :; do :; done ;;\n  hog) x=0123456789; while :; do x=$x$x; done ;;\nesac\n";
    fs::write(at.join("service"), service).expect("a service");
    fs::set_permissions(at.join("service"), fs::Permissions::from_mode(0o755)).expect("a program");
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it starts");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Serves one file to whoever asks.
fn serve(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
        }
    });
    address
}

#[test]
fn root_a_service_in_a_tarball_is_held_to_its_share() {
    // No mounts of its own: this is what works on any machine with cgroups.
    let flags = ["--isolation=cgroups/cpu,cgroups/mem,disk/du", "--cgroups_enable_cfs"].map(str::to_owned);
    let Some(world) = World::new("tarball", &flags) else { return };
    let files = tempfile::tempdir().expect("a directory");
    rootfs(&files.path().join("rootfs"));
    let tarball = files.path().join("service.tar.gz");
    let (directory, tarball) = (files.path().to_str().expect("a path"), tarball.to_str().expect("a path"));
    run("tar", &["-C", directory, "-czf", tarball, "rootfs"]);
    let server = serve(fs::read(tarball).expect("a tarball"));
    let command = |what: &str| {
        json!({
            "value": format!("exec chroot rootfs /service {what}"),
            "uris": [{"value": format!("http://{server}/service.tar.gz"), "extract": true}],
        })
    };
    let mut framework = Framework::subscribe(world.cluster.master.address, &info());
    launch(&mut framework, &command("busy"), None);
    until(&mut framework, "TASK_RUNNING");
    let state = eventually("the service is up", PATIENCE, || world.in_sandbox("rootfs/state"));
    assert_eq!(state, "busy in bin service\n");
    let agent = &world.cluster.agents[0];
    let statistics = eventually("it is throttled", PATIENCE, || {
        let statistics = agent.json("/monitor/statistics")[0]["statistics"].clone();
        (statistics["cpus_nr_throttled"].as_f64()? > 2.0).then_some(statistics)
    });
    // With what its executor has.
    assert_eq!(statistics["cpus_limit"], json!(0.5), "{statistics}");
    assert_eq!(statistics["mem_limit_bytes"], json!(64 << 20), "{statistics}");
    framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left();
    let mut framework = Framework::subscribe(world.cluster.master.address, &info());
    launch(&mut framework, &command("hog"), None);
    let status = until(&mut framework, "TASK_FAILED");
    assert_eq!(status["reason"], "REASON_CONTAINER_LIMITATION_MEMORY", "{status}");
    let message = status["message"].as_str().expect("a message");
    assert!(message.starts_with("Memory limit exceeded: Requested: 64MB Maximum Used: 64MB\n"), "{message}");
    world.until_nothing_is_left();
}

/// An archive as `docker save` makes it, of one layer.
fn saved(directory: &Path, name: &str, config: &Value) {
    let root = tempfile::tempdir().expect("a directory");
    rootfs(root.path());
    saved_image(directory, name, config, root.path());
}

#[test]
fn root_a_task_of_an_image_runs_in_it() {
    let files = tempfile::tempdir().expect("a directory");
    let images = files.path().join("images");
    fs::create_dir(&images).expect("a directory");
    saved(
        &images,
        "box:1",
        &json!({"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo $GREETING $MESOS_SANDBOX $(id -u) $(pwd) $(ls /) > /mnt/mesos/sandbox/said"],
            "Env": ["PATH=/bin", "GREETING=hello"], "WorkingDir": "/srv"}),
    );
    let flags = [
        "--isolation=filesystem/linux,docker/runtime,namespaces/pid,cgroups/mem".to_owned(),
        "--image_providers=docker".to_owned(),
        format!("--docker_registry={}", images.display()),
        format!("--docker_store_dir={}", files.path().join("store").display()),
    ];
    let Some(world) = World::new("image", &flags) else { return };
    let container = || {
        let image = json!({"type": "DOCKER", "docker": {"name": "box:1"}});
        Some(json!({"type": "MESOS", "mesos": {"image": image}}))
    };
    let mut framework = Framework::subscribe(world.cluster.master.address, &info());
    launch(&mut framework, &json!({"shell": false}), container());
    until(&mut framework, "TASK_FINISHED");
    let said = world.in_sandbox("said").expect("a file");
    assert_eq!(said, "hello /mnt/mesos/sandbox 0 /srv bin dev etc mnt proc service srv sys\n");
    framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left();
    // A command of the task's own, as another user of the machine.
    let mut framework = Framework::subscribe(world.cluster.master.address, &info());
    let command = json!({"value": "id -u > /mnt/mesos/sandbox/whose; ls /usr", "user": "daemon"});
    launch(&mut framework, &command, container());
    let status = until(&mut framework, "TASK_FAILED");
    assert_eq!(status["message"], "Command exited with status 1", "{status}");
    assert_eq!(world.in_sandbox("whose").as_deref(), Some("1\n"));
    framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left();
    // One that does not exist.
    let mut framework = Framework::subscribe(world.cluster.master.address, &info());
    let image = json!({"type": "DOCKER", "docker": {"name": "nosuch"}});
    launch(
        &mut framework,
        &json!({"value": "true"}),
        Some(json!({"type": "MESOS", "mesos": {"image": image}})),
    );
    let status = until(&mut framework, "TASK_FAILED");
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains("Failed to launch container: Failed to pull image"), "{message}");
    world.until_nothing_is_left();
}

#[test]
fn root_a_task_has_images_as_volumes() {
    let files = tempfile::tempdir().expect("a directory");
    let images = files.path().join("images");
    fs::create_dir(&images).expect("a directory");
    saved(&images, "box:1", &json!({"Env": ["PATH=/bin"]}));
    let flags = [
        "--isolation=filesystem/linux,docker/runtime,volume/image,cgroups/mem".to_owned(),
        "--image_providers=docker".to_owned(),
        format!("--docker_registry={}", images.display()),
        format!("--docker_store_dir={}", files.path().join("store").display()),
    ];
    let Some(mut world) = World::new("volumes", &flags) else { return };
    let image = |name: &str| json!({"type": "DOCKER", "docker": {"name": name}});
    let volume =
        |at: &str, name: &str, mode: &str| json!({"container_path": at, "image": image(name), "mode": mode});
    // One without a root of its own, whose agent is killed meanwhile.
    let volumes = json!([volume("tools", "box:1", "RW"), volume("fixed", "box:1", "RO")]);
    let container = |volumes: &Value| json!({"type": "MESOS", "mesos": {}, "volumes": volumes});
    let script = "echo new > tools/new && tools/bin/ls tools fixed > said; (echo new > fixed/new) 2>> said || : > ready
        exec tools/bin/sleep 78214";
    let checkpoints = json!({"user": "root", "name": "roots", "failover_timeout": 60.0, "checkpoint": true});
    let mut framework = Framework::subscribe(world.cluster.master.address, &checkpoints);
    launch(&mut framework, &json!({"value": script}), Some(container(&volumes)));
    until(&mut framework, "TASK_RUNNING");
    eventually("it has tried", PATIENCE, || world.in_sandbox("ready"));
    let said = world.in_sandbox("said").expect("a file");
    let expected = "fixed:\nbin\nservice\n\ntools:\nbin\nnew\nservice\n";
    assert!(said.starts_with(expected) && said.contains("Read-only file system"), "{said}");
    world.cluster.agents[0].restart().expect("an agent");
    world.cluster.wait_for_agents(1);
    framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": "t"}}}));
    framework.until_state("TASK_KILLED");
    framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left();
    // One whose root is an image too.
    let mut framework = Framework::subscribe(world.cluster.master.address, &info());
    let volumes = json!([volume("/opt/tools", "box:1", "RW"), volume("deep/tools", "box:1", "RW")]);
    let mut container_of_image = container(&volumes);
    container_of_image["mesos"]["image"] = image("box:1");
    let script = "ls / /opt/tools deep/tools > found; [ -e /usr ] && exit 7; exit 0";
    launch(&mut framework, &json!({"value": script}), Some(container_of_image));
    until(&mut framework, "TASK_FINISHED");
    let said = world.in_sandbox("found").expect("a file");
    assert!(said.ends_with("/opt/tools:\nbin\nservice\n\ndeep/tools:\nbin\nservice\n"), "{said}");
    framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left();
    // One that does not exist.
    let mut framework = Framework::subscribe(world.cluster.master.address, &info());
    let volumes = json!([volume("tools", "nosuch", "RW")]);
    launch(&mut framework, &json!({"value": "true"}), Some(container(&volumes)));
    let status = until(&mut framework, "TASK_FAILED");
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains("Failed to launch container: Failed to pull image"), "{message}");
    world.until_nothing_is_left();
}

#[test]
fn root_a_command_in_a_root_of_its_own_has_what_its_container_has() {
    let files = tempfile::tempdir().expect("a directory");
    let images = files.path().join("images");
    fs::create_dir(&images).expect("a directory");
    saved(&images, "box:1", &json!({"Env": ["PATH=/bin"]}));
    let flags = [
        "--isolation=filesystem/linux,docker/runtime,linux/capabilities,linux/nnp".to_owned(),
        "--image_providers=docker".to_owned(),
        format!("--docker_registry={}", images.display()),
        format!("--docker_store_dir={}", files.path().join("store").display()),
    ];
    let Some(world) = World::new("granted", &flags) else { return };
    let mut framework = Framework::subscribe(world.cluster.master.address, &info());
    let script = "while read name value; do case $name in Cap[EB]*|NoNew*) echo $name$value;; esac; done \
        < /proc/self/status > /mnt/mesos/sandbox/said";
    let image = json!({"type": "DOCKER", "docker": {"name": "box:1"}});
    let capabilities = |names: &[&str]| json!({"capabilities": names});
    let linux = json!({"effective_capabilities": capabilities(&["KILL"]),
        "bounding_capabilities": capabilities(&["KILL", "CHOWN"])});
    let container = json!({"type": "MESOS", "mesos": {"image": image}, "linux_info": linux});
    launch(&mut framework, &json!({"value": script}), Some(container));
    until(&mut framework, "TASK_FINISHED");
    let said = world.in_sandbox("said").expect("a file");
    assert_eq!(said, "CapEff:0000000000000020\nCapBnd:0000000000000021\nNoNewPrivs:1\n");
    framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left();
}
