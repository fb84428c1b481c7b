//! What looks into tasks with files of their own: sessions, checks and terminals, through master and agent, and after a
//! restart of the agent.
//!
//! Where the machine lacks something a test says so on its standard error, and is over.

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::{BUSYBOX, Cgroups, Cluster, Framework, Options, Pod, Pty, eventually, rootfs, saved_image};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a test needs beside a cluster. It outlives that.
struct World {
    cgroups: Cgroups,
    files: TempDir,
}

impl World {
    /// None where the machine lacks something.
    fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new(BUSYBOX).exists() {
            eprintln!("SKIPPED {test}: this needs root and the package busybox-static");
            return None;
        }
        let files = tempfile::tempdir().expect("a directory");
        let (root, images) = (files.path().join("root"), files.path().join("images"));
        rootfs(&root, &["sh", "cat", "ls", "id", "sleep", "tty", "stty", "env"]);
        fs::create_dir(root.join("srv")).expect("a directory");
        fs::create_dir(&images).expect("a directory");
        let config = json!({"Env": ["PATH=/bin", "GREETING=image", "COLOUR=image"], "WorkingDir": "/srv"});
        saved_image(&images, "box:1", &config, &root);
        Some(Self { cgroups: Cgroups::new(test), files })
    }

    fn flags(&self, isolation: &str) -> Vec<String> {
        let path = |name: &str| self.files.path().join(name).display().to_string();
        let mut flags = self.cgroups.flags().to_vec();
        flags.extend([
            format!("--isolation=filesystem/linux,docker/runtime{isolation}"),
            "--image_providers=docker".to_owned(),
            format!("--docker_registry={}", path("images")),
            format!("--docker_store_dir={}", path("store")),
        ]);
        flags
    }

    /// Waits until nothing is left of any container of an agent below `home`.
    fn until_nothing_is_left(&self, home: &Path) {
        let entries = |path: &str| fs::read_dir(home.join(path)).into_iter().flatten().count();
        eventually("nothing is left of containers", PATIENCE, || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
            let left = mounts.lines().filter(|line| line.contains(home.to_str().expect("a path"))).count()
                + entries("agent-0/provisioner/containers")
                + entries("run-0/containers")
                + self.cgroups.containers().len();
            (left == 0).then_some(())
        });
    }
}

fn image() -> Value {
    json!({"type": "MESOS", "mesos": {"image": {"type": "DOCKER", "docker": {"name": "box:1"}}}})
}

/// Runs a command in a task by the tool; what it prints.
#[track_caller]
fn exec(pod: &Pod, task: &str, script: &str) -> String {
    let output = pod.tool(&["task", "exec", task, "/bin/sh", "-c", script]).output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {} {errors}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).expect("text")
}

/// Waits until there is a task by what sessions say, since an agent that begins again has to find it first.
fn until_found(pod: &Pod, task: &str) {
    eventually("a session in the task", PATIENCE, || {
        let output =
            pod.tool(&["task", "exec", task, "/bin/sh", "-c", "echo here"]).output().expect("it runs");
        (output.stdout == b"here\n").then_some(())
    });
}

#[test]
fn root_a_session_in_a_command_task_sees_what_the_task_sees() {
    let Some(world) = World::new("command") else { return };
    for isolation in ["", ",namespaces/pid"] {
        let flags = ["--name=t", "--docker_image=box:1", "--command=echo mine > mark; exec sleep 77311"];
        let mut pod = Pod::execute(&world.flags(isolation), &flags.map(str::to_owned), 1);
        let home = pod.cluster.home.path().to_owned();
        let script =
            "pwd; cat mark; echo $MESOS_SANDBOX; [ -e /usr ] || echo alone; ls $MESOS_SANDBOX/stdout";
        let expected = "/srv\nmine\n/mnt/mesos/sandbox\nalone\n/mnt/mesos/sandbox/stdout\n";
        eventually("the task has begun", PATIENCE, || {
            exec(&pod, "t", "cat mark || true").contains("mine").then_some(())
        });
        assert_eq!(exec(&pod, "t", script), expected, "{isolation}");
        // COMPAT(mesos): it is the executor's environment, in which nothing of the image is.
        assert_eq!(exec(&pod, "t", "echo $GREETING."), ".\n");
        // A terminal in there, too.
        let mut shell =
            Pty::start(&pod.tool(&["task", "exec", "-it", "t", "/bin/sh"]), 33, 99).expect("a terminal");
        shell.press("stty size; cat mark\n");
        shell.until("33 99");
        shell.until("mine");
        shell.press("exit 5\n");
        assert_eq!(shell.ended().code(), Some(5), "{}", shell.shown());
        pod.cluster.agents[0].restart().expect("an agent");
        until_found(&pod, "t");
        assert_eq!(exec(&pod, "t", script), expected, "after a restart{isolation}");
        pod.end();
        world.until_nothing_is_left(&home);
    }
}

#[test]
fn root_a_session_in_a_pod_has_the_environment_of_its_task() {
    let Some(world) = World::new("pod") else { return };
    let variables = json!([
        {"name": "GREETING", "value": "task"},
        {"name": "TOKEN", "type": "SECRET", "secret": {"type": "VALUE", "value": {"data": "aHVzaA=="}}},
    ]);
    let group = json!({"tasks": [{
        "name": "a", "task_id": {"value": "a"}, "agent_id": {"value": ""},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                      {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}],
        "command": {
            "value": "echo $GREETING $COLOUR $TOKEN > /srv/mark; exec sleep 77312",
            "environment": {"variables": variables},
        },
        "container": image(),
    }]});
    let mut pod = Pod::execute(&world.flags(""), &[format!("--task_group={group}")], 1);
    let home = pod.cluster.home.path().to_owned();
    // The image's variables go under those that the task asks for.
    eventually("the task has begun", PATIENCE, || {
        exec(&pod, "a", "cat /srv/mark || true").contains("task image hush\n").then_some(())
    });
    let script = "pwd; echo $GREETING $COLOUR $TOKEN. $MESOS_SANDBOX $PATH";
    assert_eq!(exec(&pod, "a", script), "/srv\ntask image hush. /mnt/mesos/sandbox /bin\n");
    pod.cluster.agents[0].restart().expect("an agent");
    until_found(&pod, "a");
    // No secret was on the disk for the next agent.
    assert_eq!(exec(&pod, "a", script), "/srv\ntask image . /mnt/mesos/sandbox /bin\n");
    pod.end();
    world.until_nothing_is_left(&home);
}

/// Launches a task that is checked by a command.
fn launch_checked(framework: &mut Framework, command: &str, check: &str) {
    let offers = framework.stream.until("an offer", |e| e["type"] == "OFFERS").expect("an offer");
    let offer = &offers["offers"]["offers"][0];
    let checked = |more: Value| {
        let mut check = json!({"type": "COMMAND", "delay_seconds": 0.0, "interval_seconds": 0.1, "timeout_seconds": 30.0});
        check.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        check
    };
    let task = json!({
        "name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"],
        "command": {"value": command}, "container": image(),
        "check": checked(json!({"command": {"command": {"value": check}}})),
        "health_check": checked(json!({"command": {"value": check}, "grace_period_seconds": 60.0})),
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
    });
    framework.call(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}],
        "filters": {"refuse_seconds": 1000},
    }}));
}

#[test]
fn root_commands_that_check_a_task_see_what_the_task_sees() {
    let Some(world) = World::new("checks") else { return };
    let options = Options { agent_flags: world.flags(""), ..Options::default() };
    let cluster = Cluster::start(&options).expect("a cluster");
    let info = json!({"user": "root", "name": "checks", "failover_timeout": 60.0});
    let mut framework = Framework::subscribe(cluster.master.address, &info);
    // The first check is due before the task has gone to its root: it must not see the machine's.
    let check = "[ -e /usr ] && exit 9; [ -e /srv/mark ]";
    launch_checked(&mut framework, "echo mine > /srv/mark; exec sleep 77313", check);
    let (mut passed, mut healthy) = (false, false);
    while !(passed && healthy) {
        let status = framework.next_update();
        assert!(["TASK_STARTING", "TASK_RUNNING"].map(Value::from).contains(&status["state"]), "{status}");
        let code = &status["check_status"]["command"]["exit_code"];
        assert!(*code != json!(9), "the check saw the machine's files: {status}");
        passed |= *code == json!(0);
        healthy |= status["healthy"] == json!(true);
    }
    framework.call(json!({"type": "TEARDOWN"}));
    world.until_nothing_is_left(cluster.home.path());
}

/// Echoes lines, with a word before each, for ever; says which terminal it is at.
const ECHO: &str = "trap 'echo interrupted.' INT; while true; do read line; echo \"got-$line.\"; tty; echo direct > /dev/console; done";

fn look_at_terminal(pod: &Pod, task: &str) {
    let mut tool = Pty::start(&pod.tool(&["task", "attach", task]), 31, 91).expect("a terminal");
    tool.press("words\r");
    tool.until("got-words.");
    // It has a name in the task's root.
    tool.until("/dev/console");
    tool.until("direct");
    tool.press("\u{3}");
    tool.until("interrupted.");
    tool.press("\u{10}\u{11}");
    assert_eq!(tool.ended().code(), Some(0), "{}", tool.shown());
}

#[test]
fn root_a_task_of_an_image_has_a_terminal() {
    let Some(world) = World::new("tty") else { return };
    let flags = [
        "--tty".to_owned(),
        "--name=t".to_owned(),
        "--docker_image=box:1".to_owned(),
        format!("--command={ECHO}"),
    ];
    let mut pod = Pod::execute(&world.flags(",namespaces/pid"), &flags, 1);
    let home = pod.cluster.home.path().to_owned();
    look_at_terminal(&pod, "t");
    pod.cluster.agents[0].restart().expect("an agent");
    until_found(&pod, "t");
    look_at_terminal(&pod, "t");
    pod.end();
    world.until_nothing_is_left(&home);
}

#[test]
fn root_a_pod_of_an_image_has_a_terminal_of_its_user() {
    let Some(world) = World::new("podtty") else { return };
    let mut container = image();
    container["tty_info"] = json!({});
    let group = json!({"tasks": [{
        "name": "a", "task_id": {"value": "a"}, "agent_id": {"value": ""},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                      {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}}],
        "command": {"value": ECHO, "user": "daemon"},
        "container": container,
    }]});
    let pod = Pod::execute(&world.flags(""), &[format!("--task_group={group}")], 1);
    let home = pod.cluster.home.path().to_owned();
    look_at_terminal(&pod, "a");
    pod.end();
    world.until_nothing_is_left(&home);
}
