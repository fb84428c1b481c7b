//! Secrets and volumes of drivers through master and agent: who has them, who sees them, and what is left of them.
//!
//! Where the machine lacks something a test says so on its standard error, and is over.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{BUSYBOX, Cgroups, Cluster, Framework, Options, eventually, rootfs, saved_image};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// In base64, and as it must not be found anywhere.
const SECRET: (&str, &str) = ("aHVzaC03NzQw", "hush-7740");

struct World {
    cluster: Cluster,
    framework: Framework,
    /// The offers that something was launched on.
    taken: Vec<Value>,
    /// ORDER: dropped after the agent.
    cgroups: Cgroups,
    files: TempDir,
}

impl World {
    /// None where the machine lacks something.
    fn new(test: &str, isolation: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new(BUSYBOX).exists() {
            eprintln!("SKIPPED {test}: this needs root and the package busybox-static");
            return None;
        }
        let files = tempfile::tempdir().expect("a directory");
        let path = |name: &str| files.path().join(name);
        rootfs(&path("root"), &["sh", "cat", "ls", "sleep", "stat"]);
        fs::create_dir(path("images")).expect("a directory");
        saved_image(&path("images"), "box:1", &json!({"Env": ["PATH=/bin", "TOKEN=image"]}), &path("root"));
        let cgroups = Cgroups::new(test);
        let mut agent_flags = cgroups.flags().to_vec();
        agent_flags.extend([
            format!("--isolation=filesystem/linux,docker/runtime{isolation}"),
            "--image_providers=docker".to_owned(),
            format!("--docker_registry={}", path("images").display()),
            format!("--docker_store_dir={}", path("store").display()),
            format!("--docker_volume_checkpoint_dir={}", path("checkpoints").display()),
        ]);
        let options = Options { agent_flags, ..Options::default() };
        let cluster = Cluster::start(&options).expect("a cluster");
        let info = json!({"user": "root", "name": "secrets", "failover_timeout": 60.0, "checkpoint": true});
        let framework = Framework::subscribe(cluster.master.address, &info);
        Some(Self { cluster, framework, taken: Vec::new(), cgroups, files })
    }

    /// Launches a task on the next offer.
    fn launch(&mut self, id: &str, command: &Value, container: &Value) {
        let offer = self.offer();
        let task = json!({
            "name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
            "command": command, "container": container,
            "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
            ],
        });
        self.framework.call(json!({"type": "ACCEPT", "accept": {
            "offer_ids": [offer["id"]],
            "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}],
            "filters": {"refuse_seconds": 0},
        }}));
    }

    /// An offer that was not taken. It may have come while something else was waited for.
    fn offer(&mut self) -> Value {
        loop {
            let mut offers: Vec<Value> = Vec::new();
            for event in &self.framework.stream.seen {
                offers.extend(event["offers"]["offers"].as_array().cloned().unwrap_or_default());
                offers.retain(|offer| offer["id"] != event["rescind"]["offer_id"]);
            }
            if let Some(offer) = offers.into_iter().find(|offer| !self.taken.contains(&offer["id"])) {
                self.taken.push(offer["id"].clone());
                return offer;
            }
            self.framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
        }
    }

    /// Waits until a task is in this state; another end of it is none.
    #[track_caller]
    fn until(&mut self, state: &str) -> Value {
        let ends = ["TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR"];
        let status = self.framework.until_any_state(&[[state].as_slice(), &ends].concat());
        assert_eq!(status["state"], state, "{status}");
        status
    }

    fn kill(&mut self, id: &str) {
        self.framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": id}}}));
        self.until("TASK_KILLED");
        self.until_nothing_is_left();
    }

    /// A file in the sandbox of a task, once it is complete.
    #[track_caller]
    fn said(&self, id: &str) -> String {
        let frameworks = self.cluster.home.path().join("agent-0/slaves");
        eventually("the task has said it", PATIENCE, || {
            let agent = only_entry(&frameworks)?;
            let framework = only_entry(&agent.join("frameworks"))?;
            let run = framework.join("executors").join(id).join("runs/latest");
            fs::read_to_string(run.join("said")).ok().filter(|text| text.ends_with("end\n"))
        })
    }

    fn until_nothing_is_left(&self) {
        let home = self.cluster.home.path();
        let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().count();
        eventually("nothing is left of containers", PATIENCE, || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
            let left = mounts.lines().filter(|line| line.contains(home.to_str().expect("a path"))).count()
                + entries(home.join("agent-0/provisioner/containers"))
                + entries(home.join("run-0/containers"))
                + self.cgroups.containers().len();
            (left == 0).then_some(())
        });
    }

    /// The files below a directory that have the secret in them, but for those in which tasks say what they have.
    fn with_the_secret(&self, directory: &Path) -> String {
        // On a command line it would be found by others.
        let pattern = self.files.path().join("pattern");
        fs::write(&pattern, SECRET.1).expect("a file");
        let mut grep = Command::new("grep");
        let found =
            grep.args(["-rlF", "--exclude=said", "-f"]).arg(&pattern).arg(directory).output().expect("grep");
        String::from_utf8(found.stdout).expect("paths")
    }
}

fn only_entry(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    let mut paths = entries.map(|entry| entry.path()).filter(|path| !path.ends_with("latest"));
    paths.next()
}

/// Set to where the driver is in the run that has it in its `PATH`.
const DRIVER: &str = "MESOS_TEST_DRIVER";

/// Runs the calling test again with a driver in its `PATH`, and so in that of its agent. The driver's directory where
/// this is that run.
fn with_driver(name: &str) -> Option<PathBuf> {
    if let Some(bin) = std::env::var_os(DRIVER) {
        return Some(bin.into());
    }
    let directory = tempfile::tempdir().expect("a directory");
    let bin = directory.path().join("bin");
    driver(&bin, &directory.path().join("volumes"));
    let search = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let status = Command::new(std::env::current_exe().expect("a test knows its own path"))
        .args([name, "--exact", "--nocapture"])
        .env(DRIVER, &bin)
        .env("PATH", search)
        .status()
        .expect("it runs");
    assert!(status.success(), "{name} failed with its driver: {status}");
    None
}

/// What stands for `dvdcli`: a volume is a directory.
fn driver(bin: &Path, volumes: &Path) {
    fs::create_dir_all(bin).expect("a directory");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {0}/calls\nfor word; do case $word in --volumename=*) name=${{word#*=}} ;; esac; done\n\
         [ \"$name\" = bad ] && {{ echo 'no such volume' >&2; exit 3; }}\n\
         [ $1 = mount ] && mkdir -p {1}/$name && echo {1}/$name\nexit 0\n",
        bin.display(),
        volumes.display()
    );
    fs::write(bin.join("dvdcli"), script).expect("a program");
    fs::set_permissions(bin.join("dvdcli"), fs::Permissions::from_mode(0o755)).expect("a program");
}

fn image(volumes: &Value) -> Value {
    let image = json!({"type": "DOCKER", "docker": {"name": "box:1"}});
    json!({"type": "MESOS", "mesos": {"image": image}, "volumes": volumes})
}

fn plain(volumes: &Value) -> Value {
    json!({"type": "MESOS", "volumes": volumes})
}

/// A command with a secret in its environment.
fn knowing(value: &str) -> Value {
    let secret = json!({"type": "VALUE", "value": {"data": SECRET.0}});
    let variables = json!([{"name": "TOKEN", "type": "SECRET", "secret": secret}]);
    json!({"value": value, "environment": {"variables": variables}})
}

/// Whether a command line of this machine has the secret in it.
fn is_on_a_command_line() -> bool {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| String::from_utf8_lossy(&line).contains(SECRET.1))
}

#[test]
fn root_an_environment_has_secrets_that_nobody_else_sees() {
    let Some(mut world) = World::new("environment", ",environment_secret") else { return };
    let script = "{ echo $TOKEN; echo end; } > ${MESOS_SANDBOX}/said; exec sleep 77401";
    for (id, container) in [("plain", plain(&json!([]))), ("imaged", image(&json!([])))] {
        world.launch(id, &knowing(script), &container);
        world.until("TASK_RUNNING");
        assert_eq!(world.said(id), format!("{}\nend\n", SECRET.1));
        assert!(!is_on_a_command_line());
        // Not in what is kept for a later agent of how it was launched.
        let kept = world.cluster.home.path().join("run-0");
        assert_eq!(world.with_the_secret(&kept), "");
        world.kill(id);
    }
    let secret = json!({"type": "REFERENCE", "reference": {"name": "vault", "key": "k"}});
    let variables = json!([{"name": "TOKEN", "type": "SECRET", "secret": secret}]);
    let command = json!({"value": "true", "environment": {"variables": variables}});
    world.launch("referring", &command, &plain(&json!([])));
    let status = world.until("TASK_FAILED");
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains("Default secret resolver cannot resolve references"), "{message}");
    world.until_nothing_is_left();
}

#[test]
fn root_a_volume_has_a_secret_that_is_gone_with_its_container() {
    let Some(mut world) = World::new("volume", ",volume/secret") else { return };
    let secret = |path: &str| {
        json!({"mode": "RW", "container_path": path, "source": {"type": "SECRET", "secret": {
            "type": "VALUE", "value": {"data": SECRET.0}}}})
    };
    let script = "{ cat token; echo; cat /etc/token 2> /dev/null; echo; stat -c %a token; echo end; } > $MESOS_SANDBOX/said; \
        exec sleep 77402";
    for (id, container) in [
        ("plain", plain(&json!([secret("token")]))),
        ("imaged", image(&json!([secret("token"), secret("/etc/token")]))),
    ] {
        world.launch(id, &json!({"value": script}), &container);
        world.until("TASK_RUNNING");
        let absolute = if id == "imaged" { SECRET.1 } else { "" };
        let said = world.said(id);
        assert!(said.starts_with(&format!("{}\n{absolute}\n", SECRET.1)), "{said}");
        // In an image the executor starts the task, whose user the agent does not know.
        let mode = if id == "imaged" { "444" } else { "400" };
        assert_eq!(said.lines().nth(2), Some(mode), "{said}");
        assert!(!is_on_a_command_line());
        // It is in memory, which only the container sees: on the machine there is an empty file at most.
        let sandboxes = world.cluster.home.path().join("agent-0/slaves");
        assert_eq!(world.with_the_secret(&sandboxes), "");
        world.kill(id);
    }
}

#[test]
fn root_volumes_of_drivers_are_let_go_by_the_last_container() {
    let Some(bin) = with_driver("root_volumes_of_drivers_are_let_go_by_the_last_container") else { return };
    let Some(mut world) = World::new("drivers", ",docker/volume") else { return };
    let calls = || -> Vec<String> {
        let text = fs::read_to_string(bin.join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let volume = |name: &str, path: &str| {
        json!({"mode": "RW", "container_path": path, "source": {"type": "DOCKER_VOLUME",
            "docker_volume": {"driver": "rexray", "name": name,
                              "driver_options": {"parameter": [{"key": "size", "value": "1"}]}}}})
    };
    let script = |file: &str| {
        format!(
            "echo $MESOS_SANDBOX > {file}; {{ cat {file} | wc -l; echo end; }} > $MESOS_SANDBOX/said; exec sleep 77403"
        )
    };
    world.launch("a", &json!({"value": script("data/a")}), &plain(&json!([volume("shared", "data")])));
    world.until("TASK_RUNNING");
    world.said("a");
    let busy = script("/mnt/data/b").replace("| wc -l", "");
    world.launch("b", &json!({"value": busy}), &image(&json!([volume("shared", "/mnt/data")])));
    world.until("TASK_RUNNING");
    assert_eq!(world.said("b"), "/mnt/mesos/sandbox\nend\n");
    let directory = bin.with_file_name("volumes").join("shared");
    assert!(directory.join("a").exists() && directory.join("b").exists());
    let mounts = || calls().iter().filter(|call| call.starts_with("mount ")).count();
    let unmounts = || calls().iter().filter(|call| call.starts_with("unmount ")).count();
    let first = calls()[0].clone();
    for word in ["--volumedriver=rexray", "--volumename=shared", "--volumeopts=size=1"] {
        assert!(first.contains(word), "{first}");
    }
    // COMPAT(mesos): each container has it mounted, and the last one unmounted.
    assert_eq!((mounts(), unmounts()), (2, 0), "{:?}", calls());
    // Whoever comes after a killed agent knows who has it.
    world.cluster.agents[0].restart().expect("an agent");
    world.cluster.wait_for_agents(1);
    for (id, left) in [("a", 0), ("b", 1)] {
        world.framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": id}}}));
        world.until("TASK_KILLED");
        eventually("the container is gone", PATIENCE, || (unmounts() == left).then_some(()));
    }
    world.until_nothing_is_left();
    // A driver that refuses.
    world.launch("c", &json!({"value": "true"}), &plain(&json!([volume("bad", "data")])));
    let status = world.until("TASK_FAILED");
    let message = status["message"].as_str().expect("a message");
    assert!(
        message.starts_with("Failed to launch container: ") && message.contains("no such volume"),
        "{message}"
    );
    world.until_nothing_is_left();
}
